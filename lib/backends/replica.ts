import { setTimeout as delay } from 'node:timers/promises';
import {
  HanoiError,
  hasCode,
  invalid,
  LONGEST_TIMER_MS,
  refuseNumber,
  refuseUnknownOptions,
} from '../errors.js';
import type {
  Backend,
  Change,
  ChangeEvent,
  Health,
  HealthEvent,
  HeldMembers,
  HistoryOptions,
  IdOf,
  Loaded,
  Source,
  Stored,
  Token,
  View,
  Write,
  Written,
} from './backend.js';
import { changesBetween } from './catch-up.js';
import {
  apply,
  Copy,
  type Held,
  isEqual,
  isSameDocument,
  type NewMembers,
  type Succession,
  successor,
} from './copy.js';
import { readBootstrap } from './features-file.js';
import { Room } from './memberships.js';
import { State } from './state.js';
import { Store } from './store.js';

export interface ReplicaBackendOptions {
  /** How often the store is asked whether something has changed, in ms, 10% more or less. From 10; default 1,000. */
  pollMs?: number;
  /** How old the copy may get, in ms, before its answers say STALE. From 10; default 5,000. */
  maxStaleMs?: number;
  /**
   * How many answers about members are kept of lists that are too long to be held, or that the
   * backend does not load. From 0; default 100,000, which take some 10 MB.
   */
  membershipsHeld?: number;
  /**
   * What to answer from, as STALE, until the store has answered: the path of a file as a FileBackend
   * has it, or the same as an object. Read once, here.
   */
  bootstrap?: string | object;
}

const DEFAULTS = {
  pollMs: 1_000,
  maxStaleMs: 5_000,
  membershipsHeld: 100_000,
  bootstrap: undefined,
};

/** After so many failed polls in a row the copy is `degraded`. The first one is repeated at once. */
const MOST_FAILURES = 2;

/** Pause after the second failed poll in a row; it doubles up to `pollMs`. */
const RETRY_MS = 50;

/** A load that meets changes underway is done again so often. */
const MOST_ATTEMPTS = 3;

/** How many changes of a feature are read to catch up with its members. */
const CATCH_UP = 8;

/** Fewer members are fetched as fast as the changes to them. */
const FEW_MEMBERS = 200;

/**
 * Keeps a copy of another backend's features in this process, so that checks need no I/O. It asks
 * for the store's token at intervals, and at once where it hears of a change, and loads what is
 * new. It knows how old its copy can be, and goes on with it while the store is away.
 */
export class ReplicaBackend implements Backend {
  local: View | undefined;

  private copy: Copy;
  /** Until the first copy is loaded. */
  private bootstrap: View | undefined;
  private isLoaded: boolean = false;
  /** The last that was loaded, to load what is new since. */
  private loaded: Loaded | undefined;
  private seen: Token | undefined;
  private hasSeenToken: boolean = false;
  private failures = 0;
  private problem: HanoiError | undefined;
  private isLost: boolean = false;

  private readonly pollMs: number;
  private readonly maxStaleMs: number;
  private readonly room: Room;
  private readonly listeners = new Set<(event: ChangeEvent | undefined) => void>();
  private readonly watchers = new Set<(event: HealthEvent) => void>();
  private readonly waiting = new Set<() => void>();
  private readonly unsubscribe: () => void;
  private readonly unwatch: () => void;
  /** The look at the store that is underway, and the one that was asked for since it began. */
  private underway: Promise<void> | undefined;
  private next: Promise<void> | undefined;
  /** When a load may begin: they take up at most half of the time. */
  private loadFrom = 0;
  private timer: NodeJS.Timeout | undefined;
  private spoiling: NodeJS.Timeout | undefined;
  private closing: Promise<void> | undefined;

  /** Closes `source` when it is closed. INVALID_ARGUMENT. */
  constructor(
    private readonly source: Source,
    options: ReplicaBackendOptions = {},
  ) {
    refuseUnknownOptions(options, Object.keys(DEFAULTS));
    const { pollMs, maxStaleMs, membershipsHeld, bootstrap } = { ...DEFAULTS, ...options };
    if (typeof (source as Partial<Source> | undefined)?.loadAll !== 'function') {
      throw invalid('a backend to keep a copy of', source);
    }
    refuseNumber('pollMs', pollMs, 10);
    refuseNumber('maxStaleMs', maxStaleMs, 10);
    refuseNumber('membershipsHeld', membershipsHeld, 0);
    this.pollMs = pollMs;
    this.maxStaleMs = maxStaleMs;
    this.room = new Room(membershipsHeld);
    this.copy = new Copy(new Map(), Number.NEGATIVE_INFINITY, notLoaded());
    if (bootstrap !== undefined) this.bootstrap = viewOf(bootstrap);
    this.local = this.bootstrap ?? this.copy;
    this.unsubscribe = source.subscribe(() => void this.look());
    this.unwatch = source.watch(({ kind }) => {
      if (kind === 'recovered') void this.look();
    });
    void this.look();
  }

  async read(names: readonly string[], idOf: IdOf): Promise<View> {
    const { copy } = this;
    this.refuseClosed();
    if (this.isLoaded && names.every((name) => isKnown(copy.get(name), idOf))) return copy;
    const view = await this.orBootstrap(this.source.read(names, idOf));
    this.remember(names, view, idOf);
    return view;
  }

  async readAll(idOf: IdOf): Promise<View> {
    const { copy } = this;
    this.refuseClosed();
    if (this.isLoaded && Array.from(copy.features.values()).every((held) => isKnown(held, idOf))) {
      return copy;
    }
    const view = await this.orBootstrap(this.source.readAll(idOf));
    this.remember(view.names(), view, idOf);
    return view;
  }

  load(name: string): Promise<Stored | undefined> {
    return this.source.load(name);
  }

  loadAll(known?: Loaded): Promise<Loaded> {
    return this.source.loadAll(known);
  }

  loadMembers(ids: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, HeldMembers>> {
    return this.source.loadMembers(ids);
  }

  token(): Promise<Token | undefined> {
    return this.source.token();
  }

  countMembers(name: string): Promise<number> {
    return this.source.countMembers(name);
  }

  members(name: string): AsyncIterable<readonly string[]> {
    return this.source.members(name);
  }

  history(name: string, options: HistoryOptions): Promise<Change[]> {
    return this.source.history(name, options);
  }

  log(options: HistoryOptions): Promise<Change[]> {
    return this.source.log(options);
  }

  /** Resolves once the write shows in the copy too. READ_ONLY where what is copied only reads. */
  async write(write: Write): Promise<Written> {
    this.refuseClosed();
    if (!('write' in this.source)) {
      throw new HanoiError('READ_ONLY', 'What this is a replica of only reads.', {
        feature: write.name,
      });
    }
    const written = await (this.source as Backend).write(write);
    await this.look();
    return written;
  }

  subscribe(listener: (event: ChangeEvent | undefined) => void): () => void {
    const call = (event: ChangeEvent | undefined) => listener(event);
    if (this.closing === undefined) this.listeners.add(call);
    return () => this.listeners.delete(call);
  }

  health(): Health {
    if (this.closing !== undefined) {
      return {
        state: 'closed',
        ageMs: Number.POSITIVE_INFINITY,
        token: undefined,
        error: 'CLOSED',
      };
    }
    const { copy, failures } = this;
    return {
      state: !this.isLoaded
        ? 'starting'
        : copy.stale !== undefined
          ? 'stale'
          : failures >= MOST_FAILURES
            ? 'degraded'
            : 'ready',
      ageMs: copy.ageMs(),
      token: this.seen,
      error: this.problem?.code,
    };
  }

  watch(listener: (event: HealthEvent) => void): () => void {
    const call = (event: HealthEvent) => listener(event);
    if (this.closing === undefined) this.watchers.add(call);
    return () => this.watchers.delete(call);
  }

  async ready(timeoutMs: number): Promise<Health> {
    if (!this.isLoaded && this.closing === undefined) {
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          this.waiting.delete(done);
          resolve();
        };
        const timer = setTimeout(done, timeoutMs);
        this.waiting.add(done);
      });
    }
    return this.health();
  }

  close(): Promise<void> {
    this.closing ??= this.shut();
    return this.closing;
  }

  /** What the source itself says, as long as it can. */
  private async orBootstrap(read: Promise<View>): Promise<View> {
    const { bootstrap } = this;
    if (bootstrap === undefined) return read;
    try {
      const view = await read;
      return view.stale === undefined ? view : bootstrap;
    } catch {
      this.refuseClosed();
      return bootstrap;
    }
  }

  private async shut(): Promise<void> {
    this.local = undefined;
    clearTimeout(this.timer);
    clearTimeout(this.spoiling);
    this.unsubscribe();
    this.unwatch();
    this.listeners.clear();
    this.watchers.clear();
    for (const done of this.waiting) done();
    await this.source.close();
  }

  /**
   * Resolves after a look at the store that began after this call. Never rejects. Where a change is
   * to be expected, it doesn't ask first whether there is one.
   */
  private look(isExpected = true): Promise<void> {
    if (this.underway === undefined) {
      this.underway = this.poll(isExpected).finally(() => {
        this.underway = undefined;
      });
      return this.underway;
    }
    this.next ??= this.underway.then(() => {
      this.next = undefined;
      return this.look();
    });
    return this.next;
  }

  private async poll(isExpected: boolean): Promise<void> {
    clearTimeout(this.timer);
    if (this.closing !== undefined) return;
    const sentAt = performance.now();
    try {
      // What is new is read as fast as a token; all of it can take long, so first see who is there.
      if ((isExpected && this.isLoaded) || (await this.hasMoved())) await this.takeOver();
      else this.copy.confirmedAt = sentAt;
      if (this.closing === undefined) this.succeeded();
    } catch (error) {
      if (this.closing === undefined) this.failed(error as HanoiError);
    }
    if (this.closing === undefined) this.schedule(sentAt);
  }

  private async hasMoved(): Promise<boolean> {
    const token = await this.source.token();
    if (token === undefined && this.hasSeenToken) throw lost();
    if (!this.isLoaded) return true;
    return token?.documents !== this.seen?.documents || token?.members !== this.seen?.members;
  }

  /** When to look again: after a failure at once, then ever later. */
  private schedule(sentAt: number): void {
    const { pollMs, failures } = this;
    const pauseMs =
      failures === 0
        ? pollMs * (0.9 + 0.2 * Math.random())
        : Math.min(RETRY_MS * 2 ** (failures - 1), pollMs) * (0.5 + 0.5 * Math.random());
    const tookMs = failures === 0 ? 0 : performance.now() - sentAt;
    const waitMs = Math.min(Math.max(0, pauseMs - tookMs), LONGEST_TIMER_MS);
    this.timer = setTimeout(() => void this.look(false), waitMs);
    this.timer.unref();
  }

  /** Takes over the present state of the store. */
  private async takeOver(): Promise<void> {
    const waitMs = this.loadFrom - performance.now();
    if (waitMs > 0) await delay(waitMs);
    const beganAt = performance.now();
    try {
      for (let attempt = 1; ; attempt++) {
        const sentAt = performance.now();
        const { token, features } = await this.source.loadAll(this.loaded);
        const members = await this.membersOf(features);
        const isFit = Array.from(members).every(([name, { head }]) =>
          isSameDocument(head, features.get(name)?.head),
        );
        if (this.closing !== undefined) return;
        if (!isFit && attempt < MOST_ATTEMPTS) continue;
        if (token === undefined && this.hasSeenToken) throw lost();
        const isReplaced = this.seen?.epoch !== undefined && this.seen.epoch !== token?.epoch;
        const loss = isReplaced ? lostWith() : undefined;
        const succession = await successor(this.copy, features, members, this.room, sentAt, loss);
        if (this.closing !== undefined) return;
        for (const held of members.values()) apply(held);
        this.loaded = { token, features };
        this.swap(token, succession);
        if (loss !== undefined && !this.isLost) this.tell('dataLoss', loss);
        return;
      }
    } finally {
      const now = performance.now();
      this.loadFrom = now + (now - beganAt);
    }
  }

  /** All the members that are not held yet of the features that have some. */
  private async membersOf(
    features: ReadonlyMap<string, Stored>,
  ): Promise<ReadonlyMap<string, NewMembers>> {
    const ids = new Map<string, string>();
    const found = new Map<string, NewMembers>();
    for (const [name, { head, feature }] of features) {
      if (feature === undefined || head.members === 0) continue;
      const held = this.copy.get(name);
      const isOne = held?.head?.id === head.id;
      if (isOne && held?.facts.stamp === head.members) continue;
      const known = isOne ? held?.facts.ids : undefined;
      if (known !== undefined && known.size > FEW_MEMBERS) {
        const history = await this.source.history(name, { limit: CATCH_UP });
        const stamp = held?.facts.stamp as number;
        const changes = changesBetween(stamp, known.size, head, history);
        if (changes !== undefined) {
          found.set(name, { head, ids: known, changes });
          continue;
        }
      }
      ids.set(name, head.id);
    }
    if (ids.size > 0) {
      for (const [name, held] of await this.source.loadMembers(ids)) {
        found.set(name, { ...held, changes: [] });
      }
    }
    return found;
  }

  private swap(token: Token | undefined, { copy, events, problems, asked }: Succession): void {
    const isFirst = !this.isLoaded;
    this.room.keep(asked);
    this.copy = copy;
    this.local = copy;
    this.bootstrap = undefined;
    this.seen = token;
    this.isLoaded = true;
    if (token !== undefined) this.hasSeenToken = true;
    for (const problem of problems) this.tell('corrupt', problem);
    // Nothing has changed by being looked at for the first time.
    for (const event of isFirst ? [] : events) {
      for (const listener of this.listeners) listener(event);
    }
    for (const done of this.waiting) done();
  }

  /** Keeps the answers that a lookup gave, where they are of the state that is held. */
  private remember(names: Iterable<string>, view: View, idOf: IdOf): void {
    if (view.stale !== undefined) return;
    for (const name of names) {
      const held = this.copy.get(name);
      const found = view.get(name);
      if (!isEqual(held?.head, found?.head)) {
        if (held?.head !== found?.head) void this.look();
        continue;
      }
      if (held === undefined || found === undefined || held.facts.ids !== undefined) continue;
      const id = idOf(found.compiled);
      const isMember = id === undefined ? undefined : found.facts.isMember(id);
      if (id !== undefined && isMember !== undefined) held.facts.remember(id, isMember);
    }
  }

  private succeeded(): void {
    const wasDegraded = this.failures >= MOST_FAILURES;
    const { copy } = this;
    this.failures = 0;
    this.problem = undefined;
    this.isLost = false;
    const wasStale = copy.stale !== undefined;
    copy.stale = undefined;
    this.spoiling ??= this.spoilIn(this.maxStaleMs);
    if (wasDegraded || wasStale) this.tell('recovered');
  }

  private failed(error: HanoiError): void {
    this.problem = error;
    if (hasCode(error, 'STORE_UNAVAILABLE') && error.message === LOST && !this.isLost) {
      this.isLost = true;
      this.tell('dataLoss', error);
    }
    if (++this.failures === MOST_FAILURES) this.tell('degraded', error);
  }

  /** Makes the copy stale once it is, however busy this process is with other things. */
  private spoilIn(ms: number): NodeJS.Timeout {
    const timer = setTimeout(() => {
      const leftMs = this.maxStaleMs - this.copy.ageMs();
      if (leftMs > 0) {
        this.spoiling = this.spoilIn(leftMs);
        return;
      }
      this.spoiling = undefined;
      const cause = this.problem ?? notConfirmed();
      this.copy.spoil(cause);
      this.tell('stale', cause);
    }, ms);
    timer.unref();
    return timer;
  }

  private tell(kind: HealthEvent['kind'], cause?: HanoiError): void {
    for (const watcher of this.watchers) watcher({ kind, health: this.health(), cause });
  }

  private refuseClosed(): void {
    if (this.closing === undefined) return;
    throw new HanoiError('CLOSED', 'The backend was closed. Make a new one.');
  }
}

/** INVALID_ARGUMENT. */
function viewOf(bootstrap: string | object): View {
  const { kept } = readBootstrap(bootstrap);
  const state = new State(Store.of(kept, 0, Date.now), Number.NEGATIVE_INFINITY);
  state.spoil(notLoaded());
  return state;
}

/** Whether a check of this feature needs no more than is here. */
function isKnown(held: Held | undefined, idOf: IdOf): boolean {
  if (held === undefined) return true;
  const id = idOf(held.compiled);
  return id === undefined || held.facts.isMember(id) !== undefined;
}

const LOST = 'The store holds nothing any more of what it held: it was emptied, or lost its data.';

function lost(): HanoiError {
  return new HanoiError('STORE_UNAVAILABLE', LOST);
}

function lostWith(): HanoiError {
  return new HanoiError(
    'STORE_UNAVAILABLE',
    'The store is another one than before: it was emptied, or lost its data, and begun anew.',
  );
}

function notLoaded(): HanoiError {
  return new HanoiError('STORE_UNAVAILABLE', 'Nothing was loaded yet. Await `ready()`.');
}

function notConfirmed(): HanoiError {
  return new HanoiError('STORE_TIMEOUT', 'The store has not answered for long.');
}
