import { setTimeout as delay } from 'node:timers/promises';
import { HanoiError, hasCode, invalid, refuseNumber, refuseUnknownOptions } from '../errors.js';
import { Expiry } from './aging.js';
import type {
  Assignment,
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
import { Latch } from './latch.js';
import { Room } from './memberships.js';
import { Poll } from './poll.js';
import { State } from './state.js';
import { Store } from './store.js';

export interface ReplicaBackendOptions {
  /** How often the store is asked whether something has changed, in ms, 10% more or less. From 10; default 1,000. */
  pollMs?: number;
  /**
   * How old the copy may get, in ms, before its answers say STALE. From twice `pollMs`; default 5,000,
   * or four times `pollMs`.
   */
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
  maxStaleMs: undefined,
  membershipsHeld: 100_000,
  bootstrap: undefined,
};

const LEAST_STALE_MS = 5_000;

/** After so many failed polls in a row the copy is `degraded`. The first one is repeated at once. */
const MOST_FAILURES = 2;

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
  private problem: HanoiError | undefined;
  private isLost: boolean = false;
  private isToldStale: boolean = false;

  private readonly room: Room;
  private readonly listeners = new Set<(event: ChangeEvent | undefined) => void>();
  private readonly watchers = new Set<(event: HealthEvent) => void>();
  private readonly firstLoad = new Latch();
  private readonly unsubscribe: () => void;
  private readonly unwatch: () => void;
  private readonly polling: Poll;
  private readonly expiry: Expiry;
  /** When a load may begin: they take up at most half of the time. */
  private loadFrom = 0;
  private closing: Promise<void> | undefined;

  /** Closes `source` when it is closed. INVALID_ARGUMENT. */
  constructor(
    private readonly source: Source,
    options: ReplicaBackendOptions = {},
  ) {
    refuseUnknownOptions(options, Object.keys(DEFAULTS));
    const { pollMs, membershipsHeld, bootstrap, ...others } = { ...DEFAULTS, ...options };
    const { maxStaleMs = Math.max(LEAST_STALE_MS, 4 * Number(pollMs)) } = others;
    if (typeof (source as Partial<Source> | undefined)?.loadAll !== 'function') {
      throw invalid('a backend to keep a copy of', source);
    }
    refuseNumber('pollMs', pollMs, 10);
    refuseNumber('maxStaleMs', maxStaleMs, 2 * pollMs, ' (twice `pollMs`)');
    refuseNumber('membershipsHeld', membershipsHeld, 0);
    this.polling = new Poll(pollMs, RETRY_MS, (isExpected) => this.poll(isExpected));
    this.expiry = new Expiry(
      maxStaleMs,
      () => this.copy,
      () => this.expired(),
    );
    this.room = new Room(membershipsHeld);
    this.copy = new Copy(new Map(), Number.NEGATIVE_INFINITY, notLoaded());
    if (bootstrap !== undefined) this.bootstrap = viewOf(bootstrap);
    this.local = this.bootstrap ?? this.copy;
    this.unsubscribe = source.subscribe(() => void this.polling.look());
    this.unwatch = source.watch(({ kind }) => {
      if (kind === 'recovered') void this.polling.look();
    });
    void this.polling.look();
  }

  async read(names: readonly string[], idOf: IdOf): Promise<View> {
    const { copy } = this;
    this.refuseClosed();
    if (this.isLoaded && names.every((name) => isKnown(copy.get(name), idOf))) return copy;
    const view = await this.orHeld(this.source.read(names, idOf));
    this.remember(names, view, idOf);
    return view;
  }

  async readAll(idOf: IdOf): Promise<View> {
    const { copy } = this;
    this.refuseClosed();
    if (this.isLoaded && Array.from(copy.features.values()).every((held) => isKnown(held, idOf))) {
      return copy;
    }
    const view = await this.orHeld(this.source.readAll(idOf));
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

  assignments(name: string): AsyncIterable<readonly Assignment[]> {
    return this.source.assignments(name);
  }

  countAssigned(name: string): Promise<number> {
    return this.source.countAssigned(name);
  }

  assignedWeights(name: string): Promise<ReadonlyMap<string, number>> {
    return this.source.assignedWeights(name);
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
    // As a part of what is looked at for the first time, nobody would be told of it.
    if (!this.isLoaded) await this.polling.settled;
    const written = await (this.source as Backend).write(write);
    // What is assigned shows in no token.
    if (!('assign' in write)) await this.polling.look();
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
    const { copy } = this;
    return {
      state: !this.isLoaded
        ? 'starting'
        : copy.stale !== undefined
          ? 'stale'
          : this.polling.failures >= MOST_FAILURES
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
    if (!this.isLoaded && this.closing === undefined) await this.firstLoad.opened(timeoutMs);
    return this.health();
  }

  close(): Promise<void> {
    this.closing ??= this.shut();
    return this.closing;
  }

  /**
   * What the source itself says, as long as it can. Else what is held here, which is newer than what
   * the source knew last: only what it does not hold is not known then.
   */
  private async orHeld(read: Promise<View>): Promise<View> {
    const held = () => (this.isLoaded ? this.copy : this.bootstrap);
    let problem: HanoiError;
    try {
      const view = await read;
      if (view.stale === undefined || held() === undefined) return view;
      problem = view.stale.cause;
    } catch (error) {
      if (held() === undefined) throw error;
      problem = error as HanoiError;
    }
    this.refuseClosed();
    return new HeldView(held() as View, problem);
  }

  private async shut(): Promise<void> {
    this.local = undefined;
    this.polling.stop();
    this.expiry.stop();
    this.unsubscribe();
    this.unwatch();
    this.listeners.clear();
    this.watchers.clear();
    this.firstLoad.open();
    await this.source.close();
  }

  /** Where a change is to be expected, it doesn't ask first whether there is one. */
  private async poll(isExpected: boolean): Promise<number> {
    const sentAt = performance.now();
    try {
      // What is new is read as fast as a token; all of it can take long, so first see who is there.
      if ((isExpected && this.isLoaded) || (await this.hasMoved())) await this.takeOver();
      else this.copy.confirmedAt = this.asOf(sentAt);
      if (this.closing === undefined) this.succeeded();
    } catch (error) {
      if (this.closing === undefined) this.failed(error as HanoiError);
    }
    return 0;
  }

  /** Of which moment an answer is that was asked for then: a source that answers by itself can be old. */
  private asOf(sentAt: number): number {
    return this.source.local === undefined ? sentAt : sentAt - this.source.health().ageMs;
  }

  private async hasMoved(): Promise<boolean> {
    const token = await this.source.token();
    if (token === undefined && this.hasSeenToken) throw lost();
    if (!this.isLoaded) return true;
    return token?.documents !== this.seen?.documents || token?.members !== this.seen?.members;
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
        const [before, epoch] = [this.seen?.epoch, token?.epoch];
        const isReplaced = before !== undefined && epoch !== undefined && before !== epoch;
        const loss = isReplaced ? lostWith() : undefined;
        const asOf = this.asOf(sentAt);
        const succession = await successor(this.copy, features, members, this.room, asOf, loss);
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
    this.firstLoad.open();
  }

  /** Keeps the answers that a lookup gave, where they are of the state that is held. */
  private remember(names: Iterable<string>, view: View, idOf: IdOf): void {
    if (view.stale !== undefined || view.problem !== undefined) return;
    for (const name of names) {
      const held = this.copy.get(name);
      const found = view.get(name);
      if (!isEqual(held?.head, found?.head)) {
        if (held?.head !== found?.head) void this.polling.look();
        continue;
      }
      if (held === undefined || found === undefined) continue;
      const id = idOf(found.compiled);
      if (id === undefined) continue;
      const isMember = found.facts.isMember(id);
      if (held.facts.ids === undefined && isMember !== undefined) held.facts.remember(id, isMember);
      const value = found.compiled.isAssigned ? found.facts.assigned(id) : undefined;
      if (typeof value === 'string') held.facts.rememberAssigned(id, value);
    }
  }

  private succeeded(): void {
    const wasDegraded = this.polling.failures >= MOST_FAILURES;
    this.polling.failures = 0;
    this.problem = undefined;
    this.isLost = false;
    // What it was copied from can be old itself.
    if (this.expiry.isOver) {
      this.expired();
      return;
    }
    const wasStale = this.isToldStale;
    this.isToldStale = false;
    this.copy.stale = undefined;
    this.expiry.start();
    if (wasDegraded || wasStale) this.tell('recovered');
  }

  private failed(error: HanoiError): void {
    this.problem = error;
    if (hasCode(error, 'STORE_UNAVAILABLE') && error.message === LOST && !this.isLost) {
      this.isLost = true;
      this.tell('dataLoss', error);
    }
    if (++this.polling.failures === MOST_FAILURES) this.tell('degraded', error);
  }

  private expired(): void {
    const cause = this.problem ?? notConfirmed();
    this.copy.spoil(cause);
    if (this.isToldStale) return;
    this.isToldStale = true;
    this.tell('stale', cause);
  }

  private tell(kind: HealthEvent['kind'], cause?: HanoiError): void {
    for (const watcher of this.watchers) watcher({ kind, health: this.health(), cause });
  }

  private refuseClosed(): void {
    if (this.closing === undefined) return;
    throw new HanoiError('CLOSED', 'The backend was closed. Make a new one.');
  }
}

/** What is held, where the rest could not be looked up. */
class HeldView implements View {
  constructor(
    private readonly held: View,
    readonly problem: HanoiError,
  ) {}

  get stale() {
    return this.held.stale;
  }

  get(name: string) {
    return this.held.get(name);
  }

  names() {
    return this.held.names();
  }
}

/** INVALID_ARGUMENT. */
function viewOf(bootstrap: string | object): View {
  const { kept } = readBootstrap(bootstrap);
  const features = { ...kept, setAside: [], requests: [], changes: [] };
  const state = new State(Store.of(features, 0, Date.now), Number.NEGATIVE_INFINITY);
  state.spoil(notLoaded());
  return state;
}

/** Whether a check of this feature needs no more than is here. */
function isKnown(held: Held | undefined, idOf: IdOf): boolean {
  if (held === undefined) return true;
  const id = idOf(held.compiled);
  if (id === undefined) return true;
  if (held.compiled.isAssigned && held.facts.assigned(id) === undefined) return false;
  return held.facts.isMember(id) !== undefined;
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
