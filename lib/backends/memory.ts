import { HanoiError, invalid, refuseUnknownOptions, shown } from '../errors.js';
import type {
  Assignment,
  Backend,
  Change,
  ChangeEvent,
  Health,
  HeldMembers,
  HistoryOptions,
  Loaded,
  Stored,
  Token,
  View,
  Write,
  Written,
} from './backend.js';
import { printContents, readContents } from './features-file.js';
import { assignmentBatchesOf, batchesOf, Store } from './store.js';

export interface MemoryBackendOptions {
  /**
   * What to begin with: what another one's `contents` has given, or a text as people write it for
   * `FileBackend`. Default nothing.
   */
  contents?: string | undefined;
  /**
   * How many changes of documents, and as many of members alone, are kept of each feature and of
   * all together. From 0; default 100.
   */
  historyLength?: number;
  /** The clock, in Unix ms. Default `Date.now`. */
  now?: () => number;
}

const DEFAULTS = { contents: undefined, historyLength: 100, now: () => Date.now() };

/** Keeps everything in this process. The store itself: its view is always the present state. */
export class MemoryBackend implements Backend {
  local: View | undefined;

  private readonly store: Store;
  private readonly unreadable: ReadonlyMap<string, unknown>;
  private readonly listeners = new Set<(event: ChangeEvent) => void>();

  /** INVALID_ARGUMENT for an option; INVALID_RECORD for contents that can't be read. */
  constructor(options: MemoryBackendOptions = {}) {
    refuseUnknownOptions(options, Object.keys(DEFAULTS));
    const { contents, historyLength, now } = { ...DEFAULTS, ...options };
    if (!Number.isSafeInteger(historyLength) || historyLength < 0) {
      throw new HanoiError(
        'INVALID_ARGUMENT',
        `Expected \`historyLength\` to be a whole number from 0, got ${shown(historyLength)}.`,
      );
    }
    if (typeof now !== 'function') {
      throw new HanoiError(
        'INVALID_ARGUMENT',
        `Expected \`now\` to be a function, got ${shown(now)}.`,
      );
    }
    if (contents !== undefined && typeof contents !== 'string') {
      throw invalid('`contents` to be a text', contents);
    }
    const found = contents === undefined ? undefined : readContents(contents);
    this.unreadable = found?.unreadable ?? new Map();
    this.store =
      found === undefined
        ? new Store(historyLength, now)
        : Store.of(found.kept, historyLength, now);
    this.local = this.store.view;
  }

  async read(): Promise<View> {
    return this.open().view;
  }

  async readAll(): Promise<View> {
    return this.open().view;
  }

  async load(name: string): Promise<Stored | undefined> {
    return this.open().load(name);
  }

  async loadAll(): Promise<Loaded> {
    return this.open().loadAll();
  }

  async loadMembers(ids: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, HeldMembers>> {
    return this.open().loadMembers(ids);
  }

  async token(): Promise<Token | undefined> {
    return this.open().token();
  }

  async countMembers(name: string): Promise<number> {
    return this.open().countMembers(name);
  }

  async *members(name: string): AsyncIterable<readonly string[]> {
    yield* batchesOf(name, () => this.open());
  }

  async *assignments(name: string): AsyncIterable<readonly Assignment[]> {
    yield* assignmentBatchesOf(name, () => this.open());
  }

  async countAssigned(name: string): Promise<number> {
    return this.open().countAssigned(name);
  }

  async assignedWeights(name: string): Promise<ReadonlyMap<string, number>> {
    return this.open().assignedWeights(name);
  }

  async history(name: string, options: HistoryOptions): Promise<Change[]> {
    return this.open().history(name, options);
  }

  async log(options: HistoryOptions): Promise<Change[]> {
    return this.open().log(options);
  }

  subscribe(listener: (event: ChangeEvent) => void): () => void {
    // A wrapper of its own, so that one function can subscribe twice.
    const call = (event: ChangeEvent) => listener(event);
    this.listeners.add(call);
    return () => this.listeners.delete(call);
  }

  /**
   * All that is kept, as one text for `new MemoryBackend({ contents })`: documents, members, what
   * was assigned, heads and token, the history and the answers to request ids. It is JSON, as
   * `FileBackend` has it in its file. STORE_DENIED for more than can be read again: 20,000
   * features, a million members, 50 million characters. CLOSED.
   */
  contents(): string {
    return printContents(this.open().keep(), this.unreadable);
  }

  /**
   * For who knows that the answer to this request has arrived, so that nobody is going to repeat it:
   * it is remembered no longer. CLOSED.
   */
  forgetRequest(requestId: string): void {
    this.open().forgetRequest(requestId);
  }

  health(): Health {
    if (this.local === undefined) {
      return {
        state: 'closed',
        ageMs: Number.POSITIVE_INFINITY,
        token: undefined,
        error: 'CLOSED',
      };
    }
    return { state: 'ready', ageMs: 0, token: this.store.token(), error: undefined };
  }

  /** Nothing ever happens to it. */
  watch(): () => void {
    return () => {};
  }

  async ready(): Promise<Health> {
    return this.health();
  }

  async close(): Promise<void> {
    this.local = undefined;
    this.store.clear();
    this.listeners.clear();
  }

  async write(write: Write): Promise<Written> {
    const { written, event } = this.open().write(write);
    if (event !== undefined) for (const listener of this.listeners) listener(event);
    return written;
  }

  private open(): Store {
    if (this.local === undefined) {
      throw new HanoiError('CLOSED', 'The backend was closed. Make a new one.');
    }
    return this.store;
  }
}
