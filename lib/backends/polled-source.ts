import { HanoiError, LONGEST_TIMER_MS, refuseNumber } from '../errors.js';
import { Expiry } from './aging.js';
import type { Health } from './backend.js';
import { Latch } from './latch.js';
import { Poll } from './poll.js';
import type { State } from './state.js';
import { closed, StateSource } from './state-source.js';
import type { Store } from './store.js';

/** How a source is asked. */
export interface Pace {
  /** Between two questions, 10% more or less. */
  readonly pollMs: number;
  /** How long an answer may take to arrive. */
  readonly timeoutMs: number;
  /** How old the state may get before its answers say STALE; four times `pollMs` if undefined. */
  readonly maxStaleMs: number | undefined;
  /** Pause after the first failure; it doubles up to `pollMs`. */
  readonly retryMs: number;
}

/** The store asks to be left alone for so long. */
export class Postponement extends HanoiError {
  constructor(
    message: string,
    readonly afterMs: number,
  ) {
    super('STORE_UNAVAILABLE', message);
  }
}

/** After so many failures in a row the source is `degraded`. */
const MOST_FAILURES = 2;

/** How long a check waits for the first state: as long as one that asks Redis. */
const FIRST_MS = 250;

/** However long a store asks to be left alone. */
const MOST_POSTPONED_MS = 5 * 60 * 1000;

/**
 * A read-only source that asks for the whole state of its store at intervals. All of its reads are
 * as of the last answer, and need no I/O: `load` and the like reject where the last question failed,
 * checks go on. It knows how old its state can be.
 */
export abstract class PolledSource<Held extends State> extends StateSource<Held> {
  private isLoaded: boolean = false;
  private isToldStale: boolean = false;
  private readonly polling: Poll;
  private readonly expiry: Expiry;
  private readonly loaded = new Latch();
  /** Of the first question, whatever comes of it. */
  private readonly asked = new Latch();
  private readonly timeoutMs: number;
  private aborting: AbortController | undefined;

  /** INVALID_ARGUMENT. `isNothing`: this state never came from the store. */
  constructor(
    state: Held,
    isNothing: boolean,
    {
      pollMs,
      timeoutMs,
      maxStaleMs = Math.min(4 * Number(pollMs), LONGEST_TIMER_MS),
      retryMs,
    }: Pace,
  ) {
    super(state, isNothing);
    refuseNumber('pollMs', pollMs, 10);
    refuseNumber('timeoutMs', timeoutMs, 1);
    refuseNumber('maxStaleMs', maxStaleMs, 2 * pollMs, ' (twice `pollMs`)');
    this.timeoutMs = timeoutMs;
    this.polling = new Poll(pollMs, retryMs, () => this.poll());
    this.expiry = new Expiry(
      maxStaleMs,
      () => this.state,
      () => this.spoil(this.problem ?? timedOut()),
    );
  }

  /**
   * Asks now, whatever the interval: when a change is known to have been made. Resolves with the
   * health after an answer to a question that began after this call. Never rejects.
   */
  async refresh(): Promise<Health> {
    await this.look();
    return this.health();
  }

  async ready(timeoutMs: number): Promise<Health> {
    if (!this.isLoaded && !this.isClosed) await this.loaded.opened(timeoutMs);
    return this.health();
  }

  /**
   * The state of the store, confirmed at `sentAt`; undefined where the one that is held is still
   * the present one. It may take until `deadline` (`performance.now()`) to call `arrived`: else
   * `signal` aborts it, as the source's end does at any time, and what it brings counts no more, so
   * what it changes in the source has to be in the state. What it makes of what has arrived takes
   * as long as this process is busy.
   */
  protected abstract fetch(
    sentAt: number,
    deadline: number,
    signal: AbortSignal,
    arrived: () => void,
  ): Promise<Held | undefined>;

  /** What `fetch` brought is taken over, or what was held is confirmed. */
  protected accepted(): void {}

  /** To be called once, when the source can be asked. */
  protected begin(): void {
    void this.look();
  }

  protected condition(): Exclude<Health['state'], 'closed'> {
    if (this.isNothing) return 'starting';
    if (this.state.stale !== undefined) return 'stale';
    return this.polling.failures >= MOST_FAILURES ? 'degraded' : 'ready';
  }

  protected async present(): Promise<Store> {
    if (!this.isLoaded && this.problem === undefined) await this.polling.settled;
    this.refuseClosed();
    if (this.problem !== undefined) throw this.problem;
    return this.state.store;
  }

  protected async refreshed(_names: readonly string[]): Promise<void> {
    if (!this.isLoaded && this.problem === undefined) await this.asked.opened(FIRST_MS);
  }

  protected async end(): Promise<void> {
    this.polling.stop();
    this.expiry.stop();
    this.aborting?.abort(closed());
    this.loaded.open();
    this.asked.open();
    await this.polling.settled;
  }

  /** Resolves after a question that began after this call. Never rejects. */
  protected look(): Promise<void> {
    return this.polling.look();
  }

  private async poll(): Promise<number> {
    const sentAt = performance.now();
    try {
      const state = await this.fetchInTime(sentAt);
      if (this.isClosed) return 0;
      if (state !== undefined) this.take(state);
      else this.state.confirmedAt = sentAt;
      // Whoever was told of it may have closed this; it is to be saved all the same.
      this.succeeded();
      // What takes long takes half of the time at most.
      return performance.now() - sentAt;
    } catch (error) {
      if (!this.isClosed) this.failed(error);
      return this.postponedMs();
    } finally {
      this.asked.open();
    }
  }

  private fetchInTime(sentAt: number): Promise<Held | undefined> {
    const { timeoutMs } = this;
    const aborting = new AbortController();
    this.aborting = aborting;
    const { signal } = aborting;
    return new Promise<Held | undefined>((resolve, reject) => {
      // Nothing else ends what heeds no signal.
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      let hasArrived: boolean = false;
      const expire = () => {
        if (!hasArrived) aborting.abort(timedOut());
      };
      // What has arrived by then is read first: where this process was busy, it was not late.
      const timer = setTimeout(() => setImmediate(expire), timeoutMs);
      timer.unref();
      const arrived = () => {
        hasArrived = true;
        clearTimeout(timer);
      };
      this.fetch(sentAt, sentAt + timeoutMs, signal, arrived)
        .then(resolve, reject)
        .finally(arrived);
    });
  }

  private postponedMs(): number {
    const { problem } = this;
    if (!(problem instanceof Postponement)) return 0;
    // All that were told the same time are not to come back as one.
    return Math.min(problem.afterMs, MOST_POSTPONED_MS) * (1 + 0.1 * Math.random());
  }

  private succeeded(): void {
    const wasTold = this.polling.failures >= MOST_FAILURES || this.isToldStale;
    this.isLoaded = true;
    this.isToldStale = false;
    this.polling.failures = 0;
    this.problem = undefined;
    this.state.stale = undefined;
    this.expiry.start();
    this.accepted();
    this.loaded.open();
    if (wasTold) this.tell('recovered');
  }

  protected failed(error: unknown): void {
    const problem = problemOf(error);
    this.problem = problem;
    if (this.state.stale !== undefined) this.spoil(problem);
    if (++this.polling.failures === MOST_FAILURES) this.tell('degraded', problem);
  }

  private spoil(cause: HanoiError): void {
    this.state.spoil(cause);
    if (this.isNothing || this.isToldStale) return;
    this.isToldStale = true;
    this.tell('stale', cause);
  }
}

/** Not the error itself where it is somebody else's, which can show anything. */
function problemOf(error: unknown): HanoiError {
  let what = '';
  try {
    if (error instanceof HanoiError) return error;
    const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown };
    what = [name, code].filter((word) => typeof word === 'string').join(' ');
  } catch {
    // It can even throw when it is looked at.
  }
  return new HanoiError('STORE_UNAVAILABLE', `The store was not read (${what || 'failed'}).`);
}

function timedOut(): HanoiError {
  return new HanoiError('STORE_TIMEOUT', 'The store did not answer in time.');
}
