import { createHash, randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Feature } from '../../domain/feature.js';
import { parseId } from '../../domain/parse.js';
import { createFeature, type FeatureSettings } from '../../domain/validate.js';
import { HanoiError, hasCode, invalid, refuseUnknownOptions, withoutValue } from '../../errors.js';
import type { Head } from '../backend.js';
import { splitList } from '../comma-list.js';
import { PolledSource } from '../polled-source.js';
import { State } from '../state.js';
import { closed } from '../state-source.js';
import { type Kept, type KeptFeature, Store } from '../store.js';
import { Connection, keyPrefixOf } from './connection.js';
import { readRolloutGemRecord } from './rollout-gem-record.js';

export interface RolloutGemSourceOptions {
  /** What a Redis::Namespace puts before the gem's keys: `myapp` where they are `myapp:feature:…`. */
  namespace?: string;
  /** The gem's option `randomize_percentage`, which its data doesn't tell. Default false. */
  randomizePercentage?: boolean;
  /** How often everything is read, in ms, 10% more or less. From 10; default 1,000. */
  pollMs?: number;
  /** How long Redis may take to answer, in ms. From 1; default 1,000. */
  timeoutMs?: number;
  /** How old what is held may get, in ms, before its answers say STALE. Default four times `pollMs`. */
  maxStaleMs?: number;
}

const DEFAULTS = {
  namespace: undefined,
  randomizePercentage: false,
  pollMs: 1_000,
  timeoutMs: 1_000,
  maxStaleMs: undefined,
};

const RETRY_MS = 50;

/** Names that were asked about and are not in the index: of these the last. */
const MOST_MISSED = 1_000;

/** How often an index is read again that names features which were not read along. */
const MOST_ATTEMPTS = 4;

/** After so many records were parsed, others get their turn. */
const AT_ONCE = 100;

/** Features by name, as their records say; null of one that has none. */
type Records = ReadonlyMap<string, string | null>;

class GemState extends State {
  constructor(
    readonly kept: Kept,
    store: Store,
    confirmedAt: number,
    readonly index: string | null,
    readonly records: Records,
    private readonly missed: (name: string) => void,
  ) {
    super(store, confirmedAt);
  }

  override get(name: string) {
    const held = super.get(name);
    if (held === undefined && !this.records.has(name)) this.missed(name);
    return held;
  }
}

/**
 * Follows the features of a running rollout gem (2.4.2 and later) on its own keys, and answers as
 * it does, to the bit. Read-only, and checks need no I/O: the gem tells nobody of a change, so all
 * of its records are read at intervals, in one round trip. A feature that only its index names is
 * off; one that only its record tells of is found once it was asked about. Where index and records
 * are all gone, they count as lost, and what was known stays: the gem's `clear!` looks the same.
 */
export class RolloutGemSource extends PolledSource<GemState> {
  private readonly connection: Connection;
  private readonly keyOf: (name: string) => string;
  private readonly randomize: boolean;
  private readonly missed = new Set<string>();
  private isLost: boolean = false;

  /** `redis` stays the app's own to close. INVALID_ARGUMENT; for a Cluster too, which the gem knows not. */
  constructor(redis: Redis, options: RolloutGemSourceOptions = {}) {
    refuseUnknownOptions(options, Object.keys(DEFAULTS));
    const { namespace, randomizePercentage, pollMs, timeoutMs, maxStaleMs } = {
      ...DEFAULTS,
      ...options,
    };
    if (
      typeof (redis as Partial<Redis> | undefined)?.duplicate !== 'function' ||
      'nodes' in redis
    ) {
      throw invalid('an ioredis Redis', redis);
    }
    if (typeof randomizePercentage !== 'boolean') {
      // To overlook it would deal everyone again.
      throw invalid('`randomizePercentage` to be true or false', randomizePercentage);
    }
    if (!(namespace === undefined || (typeof namespace === 'string' && namespace !== ''))) {
      throw invalid('`namespace` to be what stands before the first colon', namespace);
    }
    const kept = nothing();
    const store = Store.of(kept, 0, Date.now);
    super(new GemState(kept, store, Number.NEGATIVE_INFINITY, null, new Map(), () => {}), true, {
      pollMs,
      timeoutMs,
      maxStaleMs,
      retryMs: RETRY_MS,
    });
    const before = keyPrefixOf(redis) + (namespace === undefined ? '' : `${namespace}:`);
    this.keyOf = (name) => `${before}feature:${name}`;
    this.randomize = randomizePercentage;
    this.connection = new Connection(redis, false, () => void this.look());
    this.begin();
  }

  protected async fetch(
    sentAt: number,
    deadline: number,
    signal: AbortSignal,
    arrived: () => void,
  ): Promise<GemState | undefined> {
    const { state } = this;
    await this.connection.ready(deadline, true);
    const { index, records } = await this.recordsBy(deadline);
    arrived();
    const hasRecords = Array.from(records.values()).some((record) => record !== null);
    if (index === null && !hasRecords && state.kept.features.size > 0) throw lost();
    this.isLost = false;
    const isKnown = index === state.index && isSame(records, state.records);
    if (isKnown && !this.isNothing) return undefined;
    const kept = await this.parse(records, new Set(namesIn(index)), signal);
    const store = Store.of(kept, 0, Date.now, state.store);
    return new GemState(kept, store, sentAt, index, records, (name) => this.miss(name));
  }

  protected override failed(error: unknown): void {
    super.failed(error);
    const { problem } = this;
    if (problem?.message !== LOST || this.isLost) return;
    this.isLost = true;
    this.tell('dataLoss', problem);
  }

  protected override async end(): Promise<void> {
    this.connection.close(closed());
    await super.end();
  }

  /** The index and all records that it names, or that were known or asked about, of one moment. */
  private async recordsBy(deadline: number): Promise<{ index: string | null; records: Records }> {
    const names = new Set(this.missed);
    // Its index has lost some where two of its processes wrote at once.
    for (const name of this.state.kept.features.keys()) names.add(name);
    for (let attempt = 1; ; attempt++) {
      const asked = [...names];
      const [index, ...found] = (await this.connection.by(
        deadline,
        this.connection.send('mget', this.keyOf(INDEX), asked.map(this.keyOf)),
      )) as [string | null, ...(string | null)[]];
      const records = new Map(asked.map((name, at) => [name, found[at] as string | null]));
      const named = namesIn(index);
      const isWhole = named.every((name) => records.has(name));
      if (isWhole || attempt === MOST_ATTEMPTS) return { index, records };
      for (const name of named) names.add(name);
    }
  }

  /** What has not changed since is taken over. */
  private async parse(
    records: Records,
    indexed: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<Kept> {
    const { kept: before, records: old } = this.state;
    const features = new Map<string, KeptFeature>();
    let [documentWrites, memberWrites] = [before.documentWrites, before.memberWrites];
    let count = 0;
    for (const [name, record] of records) {
      if (record === null && !indexed.has(name)) continue;
      const known = before.features.get(name);
      if (known !== undefined && old.get(name) === record) {
        features.set(name, known);
        continue;
      }
      const feature = this.keptOf(name, record ?? NO_RECORD, known?.head);
      if (feature.head.document !== known?.head.document) documentWrites++;
      if (feature.head.members !== (known?.head.members ?? 0)) memberWrites++;
      features.set(name, feature);
      if (++count % AT_ONCE !== 0) continue;
      await nextTurn();
      signal.throwIfAborted();
    }
    for (const name of before.features.keys()) if (!features.has(name)) documentWrites++;
    return { ...before, documentWrites, memberWrites, features };
  }

  private keptOf(name: string, record: string, known: Head | undefined): KeptFeature {
    try {
      const { settings, members } = readRolloutGemRecord(record, this.randomize);
      for (const member of members) parseId(member, 'users');
      const first = featureOf(name, settings);
      const head = headOf(name, known, stampOf({ ...first, revision: 0 }), members);
      return {
        head,
        feature: Object.freeze({ ...first, revision: head.revision }),
        problem: undefined,
        members,
      };
    } catch (cause) {
      const problem = new HanoiError(
        'CORRUPT_FEATURE',
        `Record ${JSON.stringify(this.keyOf(name))} can't be read: ${withoutValue(cause)} It is off until it is mended.`,
        { feature: name, path: this.keyOf(name) },
      );
      const head = headOf(name, known, stampOf(record), []);
      return { head, feature: undefined, problem, members: [] };
    }
  }

  private miss(name: string): void {
    this.missed.add(name);
    if (this.missed.size <= MOST_MISSED) return;
    const [oldest] = this.missed;
    this.missed.delete(oldest as string);
  }
}

const INDEX = '__features__';

/** What the gem makes of a feature that has none. */
const NO_RECORD = '0|||';

function nothing(): Kept {
  return {
    epoch: randomUUID(),
    origin: undefined,
    documentWrites: 0,
    memberWrites: 0,
    lastChange: 0,
    features: new Map(),
    setAside: [],
    requests: [],
    changes: [],
  };
}

function headOf(
  name: string,
  known: Head | undefined,
  document: number,
  members: readonly string[],
): Head {
  const isSame = known?.document === document;
  return Object.freeze({
    id: idOf(name),
    revision: isSame ? known.revision : (known?.revision ?? 0) + 1,
    document,
    members: members.length === 0 ? 0 : stampOf(members),
  });
}

/** Without its data where that can't be kept here: it decides nothing. INVALID_FEATURE. */
function featureOf(name: string, settings: FeatureSettings): Feature {
  try {
    return createFeature(name, idOf(name), settings);
  } catch (error) {
    if (!hasCode(error, 'INVALID_FEATURE') || !/^data\b/.test(error.path ?? '')) throw error;
    return createFeature(name, idOf(name), { ...settings, data: {} });
  }
}

/** The gem has no such thing; a name can be too long to be one. */
function idOf(name: string): string {
  return `rollout-gem:${stampOf(name)}`;
}

/** 48 bits of a digest. */
function stampOf(value: unknown): number {
  const digest = createHash('sha1').update(JSON.stringify(value)).digest('hex');
  return Number.parseInt(digest.slice(0, 12), 16);
}

function namesIn(index: string | null): string[] {
  return index === null ? [] : splitList(index);
}

function isSame(some: Records, others: Records): boolean {
  if (some.size !== others.size) return false;
  for (const [name, record] of some) if (others.get(name) !== record) return false;
  return true;
}

const LOST = "The rollout gem's keys are gone: the store was emptied, or cleared.";

function lost(): HanoiError {
  return new HanoiError('STORE_UNAVAILABLE', LOST);
}
