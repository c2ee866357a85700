import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import {
  changedMeanwhile,
  HanoiError,
  hasCode,
  invalid,
  notApplied,
  notFound,
  refuseNumber,
  refuseUnknownOptions,
} from '../../errors.js';
import {
  type Assignment,
  type Backend,
  type Change,
  type ChangeEvent,
  type Health,
  type HealthEvent,
  type HeldMembers,
  type HistoryOptions,
  type IdOf,
  type Loaded,
  MEMBERS_PER_WRITE,
  type Stored,
  type Token,
  type View,
  type Write,
  type Written,
} from '../backend.js';
import { Checks, inParts, type Membership, MOST_HELD } from './checks.js';
import { Connection, keyPrefixOf, now, type Reading } from './connection.js';
import { Keys } from './keys.js';
import { compareIds, Loader } from './loader.js';
import { Pulse } from './pulse.js';
import { Replicas } from './replicas.js';
import {
  parseAssignment,
  parseChange,
  parseEvent,
  parseHead,
  parseStored,
  parseToken,
  type StoredText,
} from './stored.js';
import { Subscriber } from './subscriber.js';
import { Writes } from './writes.js';

export interface RedisBackendOptions {
  /** What the keys begin with, in braces. 1-100 characters without braces; default 'hanoi'. */
  namespace?: string;
  /**
   * Use the app's own connection, whatever its options are, instead of one beside it that fails
   * fast. Default false.
   */
  reuse?: boolean;
  /** How long a check may take, in ms; from then on it answers closed. From 1; default 250. */
  timeoutMs?: number;
  /** How long a write, or another read, may take, in ms. From 1; default 5,000. */
  operationTimeoutMs?: number;
  /**
   * How many changes of documents, and as many of members alone, are kept at least of each feature
   * and of all together. From 0; default 100.
   */
  historyLength?: number;
  /**
   * On how many replicas a write has to be before it counts as applied; OUTCOME_UNKNOWN where that
   * is not certain in time. All that the master has, so that whichever takes over has it. From 0;
   * default 0: it can be lost with its master. Not with `reuse`.
   */
  waitForReplicas?: number;
}

const DEFAULTS = {
  namespace: 'hanoi',
  reuse: false,
  timeoutMs: 250,
  operationTimeoutMs: 5_000,
  historyLength: 100,
  waitForReplicas: 0,
};

/** Lists of members that go on changing while they are loaded are left out in the end. */
const MOST_ROUNDS = 4;

/** Between attempts to reach a server that refuses. */
const PAUSE_MS = 50;

/** Everything in Redis, shared by all processes. How membership is answered is a backend's own. */
export abstract class RedisStorage implements Backend {
  /** A check asks the server. */
  readonly local = undefined;

  private readonly keys: Keys;
  private readonly channel: string;
  private readonly connection: Connection;
  private readonly confirming: Connection | undefined;
  private readonly checks: Checks;
  private readonly writes: Writes;
  private readonly loader: Loader;
  private readonly pulse: Pulse;
  private readonly timeoutMs: number;
  private readonly operationTimeoutMs: number;
  private readonly listeners = new Set<(event: ChangeEvent | undefined) => void>();
  private readonly watchers = new Set<(event: HealthEvent) => void>();
  private lastToken: Token | undefined;
  private subscriber: Subscriber | undefined;
  private closing: Promise<void> | undefined;

  constructor(
    app: Redis | Cluster,
    options: RedisBackendOptions,
    private readonly membership: Membership,
  ) {
    refuseUnknownOptions(options, Object.keys(DEFAULTS));
    const { namespace, reuse, timeoutMs, operationTimeoutMs, historyLength, waitForReplicas } = {
      ...DEFAULTS,
      ...options,
    };
    if (typeof (app as Partial<Redis> | undefined)?.duplicate !== 'function') {
      throw invalid('an ioredis Redis or Cluster', app);
    }
    if (typeof reuse !== 'boolean') throw invalid('`reuse` to be true or false', reuse);
    refuseNumber('timeoutMs', timeoutMs, 1);
    refuseNumber('operationTimeoutMs', operationTimeoutMs, 1);
    refuseNumber('historyLength', historyLength, 0);
    refuseNumber('waitForReplicas', waitForReplicas, 0);
    if (waitForReplicas > 0 && reuse) {
      throw invalid('`waitForReplicas` without `reuse`: it would hold up the app', waitForReplicas);
    }
    const prefix = keyPrefixOf(app);
    // What is in the first braces of a key is its slot, or all of the key where these are empty.
    if ('nodes' in app && /^[^{]*\{\}/.test(prefix)) {
      throw invalid('a `keyPrefix` without `{}`, which spreads keys over the slots', prefix);
    }
    // The app's own client puts its prefix before keys by itself, but not before a channel.
    this.keys = new Keys(namespace, reuse ? '' : prefix);
    this.channel = new Keys(namespace, prefix).channel;
    this.timeoutMs = timeoutMs;
    this.operationTimeoutMs = operationTimeoutMs;
    const tell = (kind: HealthEvent['kind'], cause?: HanoiError) => this.tell(kind, cause);
    const pulse = new Pulse(tell);
    this.pulse = pulse;
    this.connection = new Connection(app, reuse, () => {
      pulse.reconnected();
      // Meanwhile, nothing could be looked at.
      this.hear(undefined);
    });
    this.loader = new Loader(this.keys, async (commands, isLittle) => {
      const [token, ...replies] = await this.query(
        [['get', this.keys.token], ...commands],
        isLittle ? timeoutMs : operationTimeoutMs,
      );
      this.refuseLost(token);
      return [token as string | null, ...replies];
    });
    const query = (commands: readonly Reading[]) => this.query(commands);
    this.checks = new Checks(this.connection, this.keys, membership, timeoutMs, pulse, tell, query);
    let replicas: Replicas | undefined;
    if (waitForReplicas > 0) {
      this.confirming = new Connection(app, false, () => {});
      replicas = new Replicas(this.confirming, waitForReplicas);
    }
    const { connection, keys } = this;
    this.writes = new Writes(connection, keys, historyLength, operationTimeoutMs, replicas);
  }

  read(names: readonly string[], idOf: IdOf): Promise<View> {
    return this.checks.read(names, idOf);
  }

  readAll(idOf: IdOf): Promise<View> {
    return this.checks.readAll(idOf);
  }

  async load(name: string): Promise<Stored | undefined> {
    const [token, head, document] = await this.query([
      ['get', this.keys.token],
      ['hget', this.keys.heads, name],
      ['documents', this.keys.features, name],
    ]);
    this.refuseLost(token);
    const [text = null] = document as StoredText[];
    return parseStored(name, head as string | null, text);
  }

  async loadAll(known?: Loaded): Promise<Loaded> {
    const loaded = await this.loader.load(known);
    this.lastToken = loaded.token;
    return loaded;
  }

  async loadMembers(ids: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, HeldMembers>> {
    this.refuseClosed();
    const found = new Map<string, HeldMembers>();
    if (this.membership === 'asked') return found;
    let names = [...ids.keys()];
    // What came in one portion is of one moment; of more, what has changed since comes again.
    for (let round = 0; names.length > 0 && round < MOST_ROUNDS; round++) {
      const portions = await this.portionsOf(names, ids);
      for (const portion of portions) await this.loadPortion(portion, ids, found);
      names = portions.length > 1 || round > 0 ? await this.changedSince(found) : [];
      for (const name of names) found.delete(name);
    }
    return found;
  }

  async token(): Promise<Token | undefined> {
    const sentAt = now();
    try {
      const [token] = await this.query([['get', this.keys.token]], this.timeoutMs);
      const loss = this.checks.seeToken(token as string | null);
      if (loss === undefined) this.pulse.succeeded(sentAt);
      else this.pulse.failed(loss);
      this.lastToken = parseToken(token as string | null);
      return this.lastToken;
    } catch (error) {
      if (this.closing === undefined) this.pulse.failed(error as HanoiError);
      throw error;
    }
  }

  countMembers(name: string): Promise<number> {
    return this.count('scard', this.keys.users, name);
  }

  members(name: string): AsyncIterable<readonly string[]> {
    return this.scan('sscan', this.keys.users, name);
  }

  async *assignments(name: string): AsyncIterable<readonly Assignment[]> {
    for await (const page of this.scan('hscan', this.keys.assigned, name)) {
      const batch: Assignment[] = [];
      for (let at = 0; at + 1 < page.length; at += 2) {
        batch.push(parseAssignment(page[at] as string, page[at + 1] as string));
      }
      yield batch;
    }
  }

  countAssigned(name: string): Promise<number> {
    return this.count('hlen', this.keys.assigned, name);
  }

  async assignedWeights(name: string): Promise<ReadonlyMap<string, number>> {
    for (;;) {
      const id = await this.idOf(name);
      const [values, weights, head] = await this.query([
        ['hkeys', this.keys.weights + id],
        ['hvals', this.keys.weights + id],
        ['hget', this.keys.heads, name],
      ]);
      if (parseHead(head as string | null)?.id !== id) continue;
      return new Map(
        (values as string[]).map((each, at) => [each, Number((weights as string[])[at])]),
      );
    }
  }

  history(name: string, options: HistoryOptions): Promise<Change[]> {
    return this.changes((kind) => this.keys.history(kind, name), options);
  }

  log(options: HistoryOptions): Promise<Change[]> {
    return this.changes((kind) => this.keys.log(kind), options);
  }

  subscribe(listener: (event: ChangeEvent | undefined) => void): () => void {
    // A wrapper of its own, so that one function can subscribe twice.
    const call = (event: ChangeEvent | undefined) => listener(event);
    if (this.closing === undefined) {
      this.listeners.add(call);
      this.subscriber ??= new Subscriber(
        this.connection,
        this.channel,
        (message) => {
          const event = parseEvent(message);
          if (event !== undefined) this.hear(event);
        },
        () => this.hear(undefined),
      );
    }
    return () => {
      this.listeners.delete(call);
      if (this.listeners.size > 0) return;
      this.subscriber?.close();
      this.subscriber = undefined;
    };
  }

  health(): Health {
    const { answeredAt, problem, isDegraded } = this.pulse;
    if (this.closing !== undefined) {
      return {
        state: 'closed',
        ageMs: Number.POSITIVE_INFINITY,
        token: undefined,
        error: 'CLOSED',
      };
    }
    return {
      state: isDegraded ? 'degraded' : answeredAt === undefined ? 'starting' : 'ready',
      // A check that is answered is answered of now.
      ageMs:
        answeredAt === undefined ? Number.POSITIVE_INFINITY : isDegraded ? now() - answeredAt : 0,
      token: this.lastToken,
      error: problem?.code,
    };
  }

  watch(listener: (event: HealthEvent) => void): () => void {
    const call = (event: HealthEvent) => listener(event);
    if (this.closing === undefined) this.watchers.add(call);
    return () => this.watchers.delete(call);
  }

  async ready(timeoutMs: number): Promise<Health> {
    const deadline = now() + timeoutMs;
    while (this.closing === undefined) {
      try {
        await this.connection.ready(deadline, true);
        await this.token();
        break;
      } catch {
        const leftMs = deadline - now();
        if (leftMs <= 0) break;
        await this.connection.by(deadline, delay(Math.min(PAUSE_MS, leftMs))).catch(() => {});
      }
    }
    return this.health();
  }

  close(): Promise<void> {
    this.closing ??= this.shut();
    return this.closing;
  }

  async write(write: Write): Promise<Written> {
    this.refuseClosed();
    // Whoever subscribed before this write hears of it.
    if (this.subscriber !== undefined) await this.subscriber.begun;
    const sentAt = now();
    const written = await this.writes.apply(write).catch(async (error) => {
      // In a store that was emptied, it is not the feature that is missing.
      if (hasCode(error, 'FEATURE_NOT_FOUND')) {
        await this.load(write.name).catch((cause) => {
          throw notApplied(write.name, cause);
        });
      }
      throw error;
    });
    // Whoever checks now is to see it.
    this.checks.written();
    this.pulse.succeeded(sentAt);
    return written;
  }

  private hear(event: ChangeEvent | undefined): void {
    for (const each of this.listeners) each(event);
  }

  private tell(kind: HealthEvent['kind'], cause?: HanoiError): void {
    for (const each of this.watchers) each({ kind, health: this.health(), cause });
  }

  /** How much a key under the feature's id holds. */
  private async count(command: 'scard' | 'hlen', prefix: string, name: string): Promise<number> {
    for (;;) {
      const id = await this.idOf(name);
      const [count, head] = await this.query([
        [command, prefix + id],
        ['hget', this.keys.heads, name],
      ]);
      if (parseHead(head as string | null)?.id === id) return Number(count);
    }
  }

  /** All that a key under the feature's id holds, in pages. */
  private async *scan(
    command: 'sscan' | 'hscan',
    prefix: string,
    name: string,
  ): AsyncGenerator<readonly string[]> {
    const id = await this.idOf(name);
    let cursor = '0';
    do {
      const [page, head] = await this.query([
        [command, prefix + id, cursor, 'COUNT', MEMBERS_PER_WRITE],
        ['hget', this.keys.heads, name],
      ]);
      if (parseHead(head as string | null)?.id !== id) throw changedMeanwhile(name);
      const [next, items] = page as [string, string[]];
      if (items.length > 0) yield items;
      cursor = next;
    } while (cursor !== '0');
  }

  /** The features in portions whose members the server can send without keeping others waiting. */
  private async portionsOf(
    names: readonly string[],
    ids: ReadonlyMap<string, string>,
  ): Promise<string[][]> {
    if (names.length === 1) return [[...names]];
    const counts = await this.query(names.map((name) => ['scard', this.membersOf(name, ids)]));
    const portions: string[][] = [];
    let left = 0;
    for (const [at, name] of names.entries()) {
      const count = Number(counts[at]);
      if (count > MOST_HELD) continue;
      if (count > left || portions.length === 0) {
        portions.push([]);
        left = MOST_HELD;
      }
      portions.at(-1)?.push(name);
      left -= count;
    }
    return portions;
  }

  private async loadPortion(
    names: readonly string[],
    ids: ReadonlyMap<string, string>,
    found: Map<string, HeldMembers>,
  ): Promise<void> {
    const replies = await this.query([
      ...names.map((name) => ['smembers', this.membersOf(name, ids), MOST_HELD] as const),
      ...inParts('hmget', this.keys.heads, names),
    ]);
    const heads = replies.splice(names.length).flat() as (string | null)[];
    for (const [at, name] of names.entries()) {
      const head = parseHead(heads[at] ?? null);
      const members = replies[at];
      // Of too many there is only the number.
      if (head?.id !== ids.get(name) || head === undefined || !Array.isArray(members)) continue;
      found.set(name, { head, ids: new Set(members as string[]) });
    }
  }

  private async changedSince(found: ReadonlyMap<string, HeldMembers>): Promise<string[]> {
    const names = [...found.keys()];
    const replies = await this.query(inParts('hmget', this.keys.heads, names));
    const heads = replies.flat() as (string | null)[];
    return names.filter((name, at) => {
      const head = parseHead(heads[at] ?? null);
      const known = found.get(name)?.head;
      return head?.id !== known?.id || head?.members !== known?.members;
    });
  }

  private membersOf(name: string, ids: ReadonlyMap<string, string>): string {
    return this.keys.membersOf(ids.get(name) ?? '');
  }

  /** Replies of one moment, all of them needed. */
  private async query(
    commands: readonly Reading[],
    timeoutMs: number = this.operationTimeoutMs,
  ): Promise<unknown[]> {
    this.refuseClosed();
    const deadline = now() + timeoutMs;
    await this.connection.ready(deadline);
    const replies = await this.connection.by(deadline, this.connection.atOnce(commands));
    for (const reply of replies) if (reply instanceof HanoiError) throw reply;
    return replies;
  }

  private async idOf(name: string): Promise<string> {
    const stored = await this.load(name);
    if (stored === undefined) throw notFound(name);
    if (stored.head === undefined) throw stored.problem;
    return stored.head.id;
  }

  /** Of both kinds of changes, or one, the newest first. */
  private async changes(
    keyOf: (kind: 'documents' | 'members') => string,
    { limit, before, kind }: HistoryOptions,
  ): Promise<Change[]> {
    if (before !== undefined && !isStreamId(before)) {
      throw invalid('`before` to be the id of a change', before);
    }
    this.refuseClosed();
    const count = Math.min(limit, Number.MAX_SAFE_INTEGER);
    // Before the least id, which Redis refuses to look, there is nothing.
    if (count === 0 || (before !== undefined && /^0+-0+$/.test(before))) return [];
    const found: Change[] = [];
    const end = before === undefined ? '+' : `(${before}`;
    let open = (kind === undefined ? (['documents', 'members'] as const) : [kind]).map((each) => ({
      key: keyOf(each),
      end,
    }));
    while (open.length > 0) {
      const pages = (await this.query(
        open.map((stream) => ['xrevrange', stream.key, stream.end, '-', 'COUNT', count]),
      )) as [string, string[]][][];
      open = open.flatMap(({ key }, at) => {
        const page = pages[at] as [string, string[]][];
        const changes = page.map(parseChange).filter((change) => change !== undefined);
        found.push(...changes);
        const last = page.at(-1)?.[0];
        // Where foreign entries took up the page, there can be more.
        const isCut = page.length === count && changes.length < count;
        return isCut && last !== undefined ? [{ key, end: `(${last}` }] : [];
      });
    }
    return found.sort((one, other) => compareIds(other.id, one.id)).slice(0, count);
  }

  private refuseLost(token: unknown): void {
    const loss = this.checks.seeToken(token as string | null);
    if (loss !== undefined) throw loss;
  }

  private refuseClosed(): void {
    if (this.closing !== undefined) throw closed();
  }

  private async shut(): Promise<void> {
    this.listeners.clear();
    this.watchers.clear();
    this.subscriber?.close();
    this.checks.close(closed());
    this.connection.close(closed());
    this.confirming?.close(closed());
  }
}

function closed(): HanoiError {
  return new HanoiError('CLOSED', 'The backend was closed. Make a new one.');
}

/** Two numbers of 64 bits: Redis takes no others. */
function isStreamId(text: string): boolean {
  return (
    /^\d{1,20}-\d{1,20}$/.test(text) && text.split('-').every((part) => BigInt(part) < 2n ** 64n)
  );
}
