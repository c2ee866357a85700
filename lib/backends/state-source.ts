import { HanoiError } from '../errors.js';
import type {
  Assignment,
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
} from './backend.js';
import { eventsOf, problemsOf, type State } from './state.js';
import { assignmentBatchesOf, batchesOf, type Store } from './store.js';

/**
 * A source that has the whole state of its store in this process, and puts another one in its place
 * when the store has changed. How it finds out is the backend's own.
 */
export abstract class StateSource<Held extends State> implements Source {
  local: View | undefined;

  /** Why the last look at the store failed, where it did. */
  protected problem: HanoiError | undefined;
  private readonly listeners = new Set<(event: ChangeEvent | undefined) => void>();
  private readonly watchers = new Set<(event: HealthEvent) => void>();
  private closing: Promise<void> | undefined;

  constructor(
    /** What checks are answered from. `isNothing` until there is one that came from the store. */
    protected state: Held,
    protected isNothing: boolean,
  ) {
    this.local = state;
  }

  abstract ready(timeoutMs: number): Promise<Health>;

  /** The store as it is now. Rejects where that can't be known. */
  protected abstract present(): Promise<Store>;

  /** For checks: resolves once `state` may be asked. Never rejects. */
  protected abstract refreshed(names: readonly string[]): Promise<void>;

  protected abstract condition(): Exclude<Health['state'], 'closed'>;

  /** Ends what was opened. Nothing is told any more. */
  protected abstract end(): Promise<void>;

  async read(names: readonly string[], _idOf: IdOf): Promise<View> {
    this.refuseClosed();
    await this.refreshed(names);
    this.refuseClosed();
    return this.state;
  }

  readAll(idOf: IdOf): Promise<View> {
    return this.read([], idOf);
  }

  async load(name: string): Promise<Stored | undefined> {
    return (await this.now()).load(name);
  }

  async loadAll(): Promise<Loaded> {
    return (await this.now()).loadAll();
  }

  async loadMembers(ids: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, HeldMembers>> {
    return (await this.now()).loadMembers(ids);
  }

  async token(): Promise<Token | undefined> {
    return (await this.now()).token();
  }

  async countMembers(name: string): Promise<number> {
    return (await this.now()).countMembers(name);
  }

  members(name: string): AsyncIterable<readonly string[]> {
    return this.stream(name, batchesOf);
  }

  assignments(name: string): AsyncIterable<readonly Assignment[]> {
    return this.stream(name, assignmentBatchesOf);
  }

  async countAssigned(name: string): Promise<number> {
    return (await this.now()).countAssigned(name);
  }

  async assignedWeights(name: string): Promise<ReadonlyMap<string, number>> {
    return (await this.now()).assignedWeights(name);
  }

  async history(name: string, options: HistoryOptions): Promise<Change[]> {
    return (await this.now()).history(name, options);
  }

  async log(options: HistoryOptions): Promise<Change[]> {
    return (await this.now()).log(options);
  }

  subscribe(listener: (event: ChangeEvent | undefined) => void): () => void {
    // A wrapper of its own, so that one function can subscribe twice.
    const call = (event: ChangeEvent | undefined) => listener(event);
    if (!this.isClosed) this.listeners.add(call);
    return () => this.listeners.delete(call);
  }

  watch(listener: (event: HealthEvent) => void): () => void {
    const call = (event: HealthEvent) => listener(event);
    if (!this.isClosed) this.watchers.add(call);
    return () => this.watchers.delete(call);
  }

  health(): Health {
    const { state, problem } = this;
    return this.isClosed
      ? { state: 'closed', ageMs: Number.POSITIVE_INFINITY, token: undefined, error: 'CLOSED' }
      : {
          state: this.condition(),
          ageMs: state.ageMs(),
          token: state.store.token(),
          error: problem?.code,
        };
  }

  close(): Promise<void> {
    this.closing ??= this.shut();
    return this.closing;
  }

  protected get isClosed(): boolean {
    return this.closing !== undefined;
  }

  /** Takes over a state, and tells what is new in it. */
  protected take(state: Held): void {
    const before = this.state.store;
    const wasNothing = this.isNothing;
    const isAnother = state.follow(this.state);
    this.state = state;
    this.isNothing = false;
    if (!this.isClosed) this.local = state;
    for (const problem of problemsOf(before, state.store)) this.tell('corrupt', problem);
    // Nothing has changed by being looked at for the first time.
    if (wasNothing) return;
    if (isAnother) this.tell('dataLoss', lost());
    for (const event of eventsOf(before, state.store)) {
      for (const listener of this.listeners) listener(event);
    }
  }

  protected tell(kind: HealthEvent['kind'], cause?: HanoiError): void {
    for (const watcher of this.watchers) watcher({ kind, health: this.health(), cause });
  }

  protected refuseClosed(): void {
    if (this.isClosed) throw closed();
  }

  private async *stream<Item>(
    name: string,
    batchesOf: (name: string, present: () => Store) => Iterable<readonly Item[]>,
  ): AsyncGenerator<readonly Item[]> {
    // All of one moment: later states are others.
    const store = await this.now();
    const { head } = store.load(name) ?? {};
    for (const batch of batchesOf(name, () => store)) {
      yield batch;
      if ((await this.now()).load(name)?.head?.id !== head?.id) throw replaced(name);
    }
  }

  private async now(): Promise<Store> {
    this.refuseClosed();
    const store = await this.present();
    this.refuseClosed();
    return store;
  }

  private async shut(): Promise<void> {
    this.local = undefined;
    this.listeners.clear();
    this.watchers.clear();
    await this.end();
  }
}

function lost(): HanoiError {
  return new HanoiError('STORE_UNAVAILABLE', 'The store is another one than before, begun anew.');
}

export function closed(): HanoiError {
  return new HanoiError('CLOSED', 'The backend was closed. Make a new one.');
}

function replaced(feature: string): HanoiError {
  return new HanoiError('CONFLICT', `Feature ${JSON.stringify(feature)} was replaced underway.`, {
    feature,
  });
}
