import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type AssignmentsWrite,
  type Backend,
  type Creation,
  type Head,
  MEMBERS_PER_WRITE,
  type MembersWrite,
  type Present,
  type RecordedWrite,
  type Replacement,
  type Source,
  type Stored,
  type Write,
  type Written,
} from './backends/backend.js';
import { batchesOf } from './batches.js';
import { withBucketsChosen } from './buckets.js';
import { currentActor, parseActor } from './current-actor.js';
import type { Feature } from './domain/feature.js';
import { refused } from './domain/parse.js';
import { MOST_DECISIONS } from './domain/prerequisite.js';
import {
  changedMeanwhile,
  HanoiError,
  hasCode,
  invalid,
  notApplied,
  notFound,
  outcomeUnknown,
} from './errors.js';
import type { Observers } from './observers.js';
import { POPULATION } from './stored-name.js';

export interface WriteOptions {
  /**
   * Write only if the feature is still this one, at this revision; CONFLICT otherwise. A feature
   * from `get` fits. Without it, a write that met another one is done again on top of it.
   */
  expect?: { readonly id: string; readonly revision: number } | undefined;
  /** Who makes the change, for the history. Default: whom `as` says. */
  actor?: string | undefined;
  /** Why, for the history. */
  note?: string | undefined;
  /**
   * Names this write, so that it can be repeated: within ten minutes the same id with the same
   * feature applies nothing twice, and gets the first one's answer.
   */
  requestId?: string | undefined;
}

export const WRITE_OPTIONS = ['expect', 'actor', 'note', 'requestId'] as const;

export interface MembersOptions extends Omit<WriteOptions, 'expect'> {
  /** Called after each batch of at most 1,000: how many ids were taken, how many of them changed. */
  onProgress?: (progress: { readonly done: number; readonly changed: number }) => void;
}

/** The other documents that one is written by, as they are read now; called before each attempt. */
export type DecidedBy = (document: Feature) => Promise<Beside>;

/** Other documents that a write was decided by, as they were read. */
type Beside = ReadonlyMap<string, Head | undefined>;

/** A write, but for who makes it. */
export type Planned = Pick<RecordedWrite, 'expect' | 'document'> &
  Pick<Creation, 'add' | 'remove'> & { readonly memberCount?: number | undefined };

type About = Pick<RecordedWrite, 'actor' | 'note' | 'requestId'>;

interface Put {
  readonly document: Feature;
  /** How many ids lost what they were assigned. */
  readonly released: number;
}

/** Attempts of a write without `expect` that meets other processes' writes. */
export const ATTEMPTS = 100;

const READ_ONLY: Pick<Backend, 'write'> = {
  async write() {
    throw new HanoiError(
      'READ_ONLY',
      'This backend only reads. Write where its features come from.',
    );
  },
};

/** Turns "change this about the feature" into the backend's conditional writes. */
export class Writer {
  // Writes of one feature queue here, so that only other processes can cause a conflict.
  private readonly queues: Map<string, Promise<unknown>>;

  private readonly backend: Pick<Backend, 'write'>;

  constructor(
    private readonly source: Source,
    private readonly observers: Observers,
    /** Who writes, where a write doesn't say. */
    private readonly actor: string | undefined = undefined,
    beside: Writer | undefined = undefined,
  ) {
    this.backend = 'write' in source ? observers.writesOf(source as Backend) : READ_ONLY;
    this.queues = beside?.queues ?? new Map();
  }

  /** The same, for another actor. INVALID_ARGUMENT. */
  as(actor: string): Writer {
    return new Writer(this.source, this.observers, parseActor(actor), this);
  }

  async create(feature: Feature, options: WriteOptions, decidedBy?: DecidedBy): Promise<Feature> {
    const { name } = feature;
    const about = this.about(options);
    for (let attempt = 1; ; attempt++) {
      const { document, beside } = await this.decided(feature, undefined, decidedBy);
      try {
        const write = { name, expect: 'absent', document, ...about, beside } as const;
        return (await this.put(write)).document;
      } catch (error) {
        // Another feature, by which this was decided, has changed meanwhile.
        if (!hasCode(error, 'CONFLICT') || attempt === ATTEMPTS) throw error;
      }
    }
  }

  /**
   * Replaces the document by what `change` makes of it; nothing is written if that is the same
   * object. Resolves with the document afterwards. `change` can be called again.
   */
  async amend(
    name: string,
    options: WriteOptions,
    change: (feature: Feature) => Feature,
    decidedBy?: DecidedBy,
  ): Promise<Feature> {
    const { document } = await this.replace(name, options, change, decidedBy);
    return document;
  }

  /**
   * Takes from some ids, at most MEMBERS_PER_WRITE, what they were assigned; resolves with how many
   * had something.
   */
  async release(
    name: string,
    ids: readonly string[],
    options: Omit<WriteOptions, 'expect'>,
  ): Promise<number> {
    // With its document, so that no copy of what was assigned outlives it.
    const next = (feature: Feature) => ({ ...feature, revision: feature.revision + 1 });
    const { released } = await this.replace(name, options, next, undefined, ids);
    return released;
  }

  private replace(
    name: string,
    options: WriteOptions,
    change: (feature: Feature) => Feature,
    decidedBy?: DecidedBy,
    release?: readonly string[],
  ): Promise<Put> {
    const about = this.about(options);
    return this.inTurn(name, async () => {
      for (let attempt = 1; ; attempt++) {
        const feature = await this.load(name).catch((cause) => {
          throw isOfStore(cause) ? notApplied(name, cause) : cause;
        });
        const { id, revision } = feature;
        const { expect = { id, revision } } = options;
        const isExpected = expect.id === id && expect.revision === revision;
        let changed: Feature;
        try {
          if (!isExpected) throw changedMeanwhile(name);
          changed = change(feature);
        } catch (error) {
          // A write that is repeated may itself be what has changed it: the backend knows.
          if (await this.isDone(name, about)) return { document: feature, released: 0 };
          throw error;
        }
        if (changed === feature) return { document: feature, released: 0 };
        const { document, beside } = await this.decided(changed, feature, decidedBy);
        if (document === feature) return { document: feature, released: 0 };
        try {
          return await this.put({ name, expect, document, release, ...about, beside });
        } catch (error) {
          const isOther = hasCode(error, 'CONFLICT') && error.feature !== name;
          const isOurs = isExpected || isOther;
          if (!hasCode(error, 'CONFLICT') || !isOurs || attempt === ATTEMPTS) throw error;
        }
      }
    });
  }

  /** Removes whatever is there, also a document that can't be read. */
  async remove(name: string, options: WriteOptions): Promise<void> {
    const { expect = 'present' } = options;
    await this.backend.write({ name, expect, document: null, ...this.about(options) });
  }

  /**
   * Writes what `plan` makes of the state that is there, in turn with the other writes here. Where it
   * was refused, because that state is another by now, `plan` is called again with the refusal, and
   * says whether to go on. Resolves with the document afterwards.
   */
  async rewrite(
    name: string,
    options: Omit<WriteOptions, 'expect'>,
    plan: (present: Stored | undefined, refusal?: HanoiError) => Promise<Planned | undefined>,
    decidedBy?: DecidedBy,
  ): Promise<Feature | undefined> {
    const about = this.about(options);
    return this.inTurn(name, async () => {
      if (await this.isDone(name, about)) return (await this.source.load(name))?.feature;
      let refusal: HanoiError | undefined;
      for (let attempt = 1; ; attempt++) {
        const present = await this.source.load(name);
        const planned = await plan(present, refusal);
        if (planned === undefined) return present?.feature;
        const { document } = planned;
        const beside = document
          ? ((await decidedBy?.(document)) ?? (await this.besideOf(document, present?.feature)))
          : undefined;
        try {
          const { head } = await this.backend.write({
            name,
            ...planned,
            ...about,
            beside,
          } as Write);
          if (document === null) return undefined;
          const isOurs = head.id === document?.id && head.revision === document.revision;
          return isOurs ? document : await this.load(name);
        } catch (error) {
          const isMoved =
            hasCode(error, 'CONFLICT') ||
            hasCode(error, 'FEATURE_EXISTS') ||
            hasCode(error, 'FEATURE_NOT_FOUND');
          if (!isMoved || attempt === ATTEMPTS) throw error;
          refusal = error;
        }
      }
    });
  }

  /** A write that begins by looking at what there was. READ_ONLY; NOT_APPLIED where that fails. */
  async writing<Result>(name: string, task: () => Promise<Result>): Promise<Result> {
    if (this.backend === READ_ONLY) await this.backend.write({ name, expect: 'present' });
    try {
      return await task();
    } catch (cause) {
      throw isOfStore(cause) ? notApplied(name, cause) : cause;
    }
  }

  /** As the contract has it; it leaves no change. */
  assign(write: AssignmentsWrite): Promise<Written> {
    return this.backend.write(write);
  }

  /** Adds or removes some members, at once; resolves with how many of the ids changed. */
  changeMembers(
    name: string,
    kind: 'add' | 'remove',
    ids: readonly string[],
    options: WriteOptions,
  ): Promise<number> {
    // No async function: a registration is mostly this.
    try {
      const about = this.about(options);
      return this.backend.write(membersWrite(name, 'present', kind, ids, about)).then(changedCount);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Adds or removes any number, in batches with a turn of the event loop between them. */
  async changeManyMembers(
    name: string,
    kind: 'add' | 'remove',
    ids: AsyncIterable<string>,
    options: MembersOptions,
  ): Promise<number> {
    let expect: Present = 'present';
    let done = 0;
    let changed = 0;
    // One for all of it, by which it can be repeated whole.
    const { requestId = crypto.randomUUID(), ...about } = this.about(options);
    for await (const batch of orNone(batchesOf(ids, MEMBERS_PER_WRITE))) {
      const own = { ...about, requestId: `${requestId}/${done}` };
      const written: Written = await this.backend
        .write(membersWrite(name, expect, kind, batch, own))
        .catch((error) => {
          throw hasCode(error, 'OUTCOME_UNKNOWN')
            ? outcomeUnknown(name, requestId, error.cause)
            : error;
        });
      // Removed and created again in between, it is another feature: stop there.
      expect = { id: written.head.id };
      done += batch.length;
      changed += changedCount(written);
      options.onProgress?.({ done, changed });
      await nextTurn();
    }
    return changed;
  }

  /** The document as it would be written now, and by which others that is so. INVALID_FEATURE. */
  async wouldBe(
    changed: Feature,
    before: Feature | undefined,
    decidedBy?: DecidedBy,
  ): Promise<{ readonly document: Feature; readonly beside: Beside | undefined }> {
    const required = (await decidedBy?.(changed)) ?? (await this.besideOf(changed, before));
    const { document, population } = await withBucketsChosen(this.source, changed, before);
    if (population === undefined) return { document, beside: required };
    return { document, beside: new Map([...(required ?? []), [POPULATION, population]]) };
  }

  private async decided(
    changed: Feature,
    before: Feature | undefined,
    decidedBy: DecidedBy | undefined,
  ): Promise<{ readonly document: Feature; readonly beside: Beside | undefined }> {
    try {
      return await this.wouldBe(changed, before, decidedBy);
    } catch (cause) {
      throw isOfStore(cause) ? notApplied(changed.name, cause) : cause;
    }
  }

  /**
   * The features that the document requires, and those that these do, as they are now: it is written
   * only if they still are, so that two writers together make no circle. INVALID_FEATURE.
   */
  private async besideOf(
    document: Feature,
    before: Feature | undefined,
  ): Promise<Beside | undefined> {
    const { requires, name } = document;
    const isNew = JSON.stringify(requires) !== JSON.stringify(before?.requires ?? []);
    if (!isNew || requires.length === 0) return undefined;
    const beside = new Map<string, Head | undefined>();
    const waiting = requires.map(({ feature }, at) => ({ feature, at }));
    for (const { feature, at } of waiting) {
      if (beside.has(feature)) continue;
      const path = `requires[${at}].feature`;
      if (feature === name)
        throw refused(path, 'not to require this feature in turn', requires[at]?.feature);
      const stored = await this.source.load(feature);
      if (stored?.feature === undefined) {
        throw refused(path, 'to be a feature that is there, as all that it requires', feature);
      }
      beside.set(feature, stored.head);
      if (beside.size > MOST_DECISIONS) {
        throw refused('requires', `to lead to at most ${MOST_DECISIONS} features`, 'more');
      }
      for (const next of stored.feature.requires) waiting.push({ feature: next.feature, at });
    }
    for (const [at, { feature, variants = [] }] of requires.entries()) {
      const known = (await this.source.load(feature))?.feature?.variants ?? [];
      for (const [index, variant] of variants.entries()) {
        if (known.some((each) => each.name === variant)) continue;
        throw refused(
          `requires[${at}].variants[${index}]`,
          `to be a variant of ${JSON.stringify(feature)}`,
          variant,
        );
      }
    }
    return beside;
  }

  /** Of the one who calls: who, why, and under which id. INVALID_ARGUMENT. */
  private about({ actor, note, requestId }: Omit<WriteOptions, 'expect'>): About {
    const who = actor === undefined ? (this.actor ?? currentActor()) : parseActor(actor);
    if (note !== undefined && typeof note !== 'string') throw invalid('`note` to be a text', note);
    return { actor: who, note, requestId };
  }

  /**
   * Whether this is the repetition of a write that was applied: what it was made of has changed by
   * that. Asked by a write to no feature, which the backend answers by the request id alone.
   */
  private async isDone(name: string, { requestId }: About): Promise<boolean> {
    if (requestId === undefined) return false;
    try {
      await this.backend.write({ name, expect: { id: '' }, requestId });
      return true;
    } catch (error) {
      if (hasCode(error, 'CONFLICT') || hasCode(error, 'FEATURE_NOT_FOUND')) return false;
      throw error;
    }
  }

  /** Resolves with the document that is there by this write, also if it is repeated. */
  private async put(write: Creation | Replacement): Promise<Put> {
    const { name, document } = write;
    const { head, removed } = await this.backend.write(write);
    const isThere = head.id === document.id && head.revision === document.revision;
    return { document: isThere ? document : await this.load(name), released: removed };
  }

  /** The document as it is stored. FEATURE_NOT_FOUND, CORRUPT_FEATURE. */
  async load(name: string): Promise<Feature> {
    const stored = await this.source.load(name);
    if (stored === undefined) throw notFound(name);
    if (stored.problem !== undefined) throw stored.problem;
    return stored.feature;
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

/** Whether the store failed, rather than answered. */
function isOfStore(error: unknown): boolean {
  return error instanceof Error && String((error as Partial<HanoiError>).code).startsWith('STORE_');
}

function changedCount({ added, removed }: Written): number {
  return added + removed;
}

function membersWrite(
  name: string,
  expect: Present,
  kind: 'add' | 'remove',
  ids: readonly string[],
  { actor, note, requestId }: About,
): MembersWrite {
  return {
    name,
    expect,
    add: kind === 'add' ? ids : undefined,
    remove: kind === 'remove' ? ids : undefined,
    actor,
    note,
    requestId,
  };
}

/** At least one batch, so that none at all is still a write to a feature that must be there. */
async function* orNone(
  batches: AsyncIterable<readonly string[]>,
): AsyncGenerator<readonly string[]> {
  let hasSome = false;
  for await (const batch of batches) {
    hasSome = true;
    yield batch;
  }
  if (!hasSome) yield [];
}
