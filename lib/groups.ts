import type { Source } from './backends/backend.js';
import { groupsIn } from './domain/condition.js';
import { parseGroup } from './domain/group.js';
import { createFeature } from './domain/validate.js';
import { HanoiError, hasCode, invalid, refuseUnknownOptions } from './errors.js';
import type { Members } from './members.js';
import { isOfFeature, readName, storedName } from './stored-name.js';
import type { Subjects } from './subjects.js';
import type { MembersOptions, WriteOptions, Writer } from './writer.js';

/** A group that is a stored list. */
export interface Group {
  readonly name: string;
  /** The attribute by which its members are listed instead of their id. */
  readonly subjectKey?: string;
}

/** Groups as stored lists: features that have nothing but members. */
export class Groups {
  constructor(
    private readonly source: Source,
    private readonly writer: Writer,
    private readonly members: Members,
  ) {}

  async add(
    group: string,
    who: Subjects,
    options: MembersOptions & { readonly subjectKey?: string },
  ): Promise<number> {
    refuseUnknownOptions(options, ['subjectKey', 'onProgress', 'actor', 'note', 'requestId']);
    const { subjectKey, onProgress, ...about } = options;
    const name = await this.made(group, about, subjectKey);
    const others = onProgress === undefined ? about : { ...about, onProgress };
    return this.members.change(name, 'add', who, others);
  }

  async take(group: string, who: Subjects, options: MembersOptions): Promise<number> {
    return this.members.change(nameOf(group), 'remove', who, options);
  }

  async remove(group: string, options: WriteOptions): Promise<void> {
    const name = nameOf(group);
    await this.refuseNeeded(group);
    await this.writer.remove(name, options);
  }

  /** INVALID_ARGUMENT while a rule of a feature names the group: then nobody could say who is not in it. */
  async refuseNeeded(group: string): Promise<void> {
    const stored = nameOf(group);
    const { features } = await this.source.loadAll();
    for (const [feature, { feature: document }] of features) {
      if (document === undefined || !isOfFeature(feature)) continue;
      const rule = document.rules.find(({ when }) => groupsIn(when).includes(stored));
      if (rule === undefined) continue;
      throw new HanoiError(
        'INVALID_ARGUMENT',
        `The rule ${JSON.stringify(rule.id)} of feature ${JSON.stringify(feature)} names the group ` +
          `${JSON.stringify(group)}. Take it out before; an override with rollout.clearOverride().`,
        { feature },
      );
    }
  }

  /** By name. Those that can't be read are reported. */
  async all(report: (problem: HanoiError) => void): Promise<Group[]> {
    const { features } = await this.source.loadAll();
    const groups: Group[] = [];
    for (const [stored, { feature, problem }] of features) {
      const [kind, name] = readName(stored);
      if (kind !== 'group') continue;
      if (problem !== undefined) report(problem);
      else {
        const { subjectKey } = feature;
        groups.push({ name, ...(subjectKey !== undefined && { subjectKey }) });
      }
    }
    return groups.sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  async count(group: string): Promise<number> {
    return this.source.countMembers(nameOf(group));
  }

  async *list(group: string): AsyncGenerator<string, void, undefined> {
    for await (const batch of this.source.members(nameOf(group))) yield* batch;
  }

  /** The stored name of a group, which is there from then on. */
  async made(group: string, options: WriteOptions, subjectKey?: string): Promise<string> {
    const name = nameOf(group);
    // A write of its own, without condition: the request is the one that it is made for.
    const { expect: _, requestId: __, ...about } = options;
    for (;;) {
      const stored = await this.source.load(name);
      if (stored?.problem !== undefined) throw stored.problem;
      if (stored !== undefined) {
        if (subjectKey === undefined || subjectKey === stored.feature.subjectKey) return name;
        throw invalid('the `subjectKey` with which the group was begun', subjectKey);
      }
      try {
        await this.writer.create(createFeature(name, crypto.randomUUID(), { subjectKey }), about);
        return name;
      } catch (error) {
        if (!hasCode(error, 'FEATURE_EXISTS')) throw error;
      }
    }
  }
}

/** INVALID_ARGUMENT for a reserved name. */
function nameOf(group: string): string {
  return storedName('group', parseGroup(group));
}
