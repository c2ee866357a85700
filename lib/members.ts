import { parseId } from './domain/parse.js';
import { type Identify, type Subject, subjectId } from './domain/subject.js';
import { isMany, type Subjects } from './subjects.js';
import type { MembersOptions, Writer } from './writer.js';

/** Lets subjects in and out as members, by the ids under which a feature knows them. */
export class Members {
  constructor(
    private readonly writer: Writer,
    private readonly identify: Identify,
  ) {}

  /** Many go in batches; resolves with how many changed. INVALID_FEATURE, FEATURE_NOT_FOUND. */
  async change(
    name: string,
    kind: 'add' | 'remove',
    who: Subjects,
    options: MembersOptions,
  ): Promise<number> {
    if (isMany<Subject>(who)) {
      return this.writer.changeManyMembers(name, kind, this.idsOf(name, who), options);
    }
    return this.writer.changeMembers(name, kind, await this.ids(name, who), options);
  }

  /** INVALID_FEATURE, FEATURE_NOT_FOUND. */
  async ids(name: string, who: Subjects): Promise<string[]> {
    const ids: string[] = [];
    for await (const id of this.idsOf(name, isMany<Subject>(who) ? who : [who])) ids.push(id);
    return ids;
  }

  private async *idsOf(
    name: string,
    subjects: Iterable<Subject> | AsyncIterable<Subject>,
  ): AsyncGenerator<string, void, undefined> {
    let key: string | undefined;
    let known = false;
    let at = 0;
    for await (const subject of subjects) {
      const path = `subjects[${at++}]`;
      if (typeof subject !== 'object' || (subject as unknown) === null) {
        yield parseId(subject, path);
        continue;
      }
      if (!known) {
        ({ subjectKey: key } = await this.writer.load(name));
        known = true;
      }
      yield parseId(subjectId(subject, key, this.identify), path);
    }
  }
}
