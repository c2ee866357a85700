import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type Backend,
  type Expectation,
  MEMBERS_PER_WRITE,
  type Source,
  type Stored,
  type Write,
} from './backends/backend.js';
import type { Feature } from './domain/feature.js';
import { changedMeanwhile, HanoiError, hasCode, notFound } from './errors.js';

export interface WriteOptions {
  /**
   * Write only if the feature is still this one, at this revision; CONFLICT otherwise. A feature
   * from `get` fits. Without it, a write that met another one is done again on top of it.
   */
  expect?: { readonly id: string; readonly revision: number };
  /** Who makes the change, for the history. */
  actor?: string;
  /** Why, for the history. */
  note?: string;
}

export interface MembersOptions extends Omit<WriteOptions, 'expect'> {
  /** Called after each batch of at most 1,000: how many ids were taken, how many of them changed. */
  onProgress?: (progress: { readonly done: number; readonly changed: number }) => void;
}

/** Attempts of a write without `expect` that meets other processes' writes. */
const ATTEMPTS = 100;

/** Turns "change this about the feature" into the backend's conditional writes. */
export class Writer {
  // Writes of one feature queue here, so that only other processes can cause a conflict.
  private readonly queues = new Map<string, Promise<unknown>>();

  constructor(private readonly source: Source) {}

  async create(feature: Feature, options: WriteOptions): Promise<Feature> {
    await this.write({ name: feature.name, expect: 'absent', document: feature }, options);
    return feature;
  }

  /**
   * Replaces the document by what `change` makes of it, null for a removal; nothing is written if
   * that is the same object. Resolves with the document afterwards. `change` can be called again.
   */
  amend(
    name: string,
    options: WriteOptions,
    change: (feature: Feature) => Feature,
  ): Promise<Feature> {
    return this.inTurn(name, async () => {
      for (let attempt = 1; ; attempt++) {
        const stored = await this.stored(name);
        if (stored.problem !== undefined) throw stored.problem;
        const { feature } = stored;
        const { id, revision } = feature;
        if (options.expect !== undefined) refuseOther(feature, options.expect);
        const changed = change(feature);
        if (changed === feature) return feature;
        try {
          await this.write({ name, expect: { id, revision }, document: changed }, options);
          return changed;
        } catch (error) {
          if (!hasCode(error, 'CONFLICT') || attempt === ATTEMPTS) throw error;
        }
      }
    });
  }

  /** Removes whatever is there, also a document that can't be read. */
  async remove(name: string, options: WriteOptions): Promise<void> {
    await this.write({ name, expect: options.expect ?? 'present', document: null }, options);
  }

  /** Adds or removes some members, at once; resolves with how many of the ids changed. */
  async changeMembers(
    name: string,
    kind: 'add' | 'remove',
    ids: readonly string[],
    options: MembersOptions,
  ): Promise<number> {
    const written = await this.write({ name, expect: 'present', [kind]: ids }, options);
    return kind === 'add' ? written.added : written.removed;
  }

  /** Adds or removes any number, in batches with a turn of the event loop between them. */
  async changeManyMembers(
    name: string,
    kind: 'add' | 'remove',
    ids: AsyncIterable<string> | Iterable<string>,
    options: MembersOptions,
  ): Promise<number> {
    let expect: Expectation = 'present';
    let done = 0;
    let changed = 0;
    let batch: string[] = [];
    const flush = async () => {
      const written = await this.write({ name, expect, [kind]: batch }, options);
      // Removed and created again in between, it is another feature: stop there.
      expect = { id: written.head.id };
      done += batch.length;
      changed += kind === 'add' ? written.added : written.removed;
      batch = [];
      options.onProgress?.({ done, changed });
      await nextTurn();
    };
    for await (const id of ids) {
      if (batch.push(id) === MEMBERS_PER_WRITE) await flush();
    }
    if (batch.length > 0 || done === 0) await flush();
    return changed;
  }

  private async stored(name: string): Promise<Stored> {
    const stored = await this.source.load(name);
    if (stored === undefined) throw notFound(name);
    return stored;
  }

  private write(write: Write, { actor, note }: WriteOptions) {
    if (!('write' in this.source)) {
      throw new HanoiError('READ_ONLY', 'This backend only reads: it has no write().');
    }
    return (this.source as Backend).write({
      ...write,
      ...(actor !== undefined && { actor }),
      ...(note !== undefined && { note }),
    });
  }

  private inTurn<Result>(name: string, task: () => Promise<Result>): Promise<Result> {
    const turn = (this.queues.get(name) ?? Promise.resolve()).then(task, task);
    this.queues.set(name, turn);
    const done = () => {
      if (this.queues.get(name) === turn) this.queues.delete(name);
    };
    turn.then(done, done);
    return turn;
  }
}

function refuseOther(feature: Feature, expected: { id: string; revision: number }): void {
  if (feature.id !== expected.id || feature.revision !== expected.revision) {
    throw changedMeanwhile(feature.name);
  }
}
