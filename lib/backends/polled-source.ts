import { HanoiError, LONGEST_TIMER_MS, refuseNumber } from '../errors.js';
import type { Health } from './backend.js';
import type { State } from './state.js';
import { closed, StateSource } from './state-source.js';
import type { Store } from './store.js';

/** How a source is asked. */
export interface Pace {
  /** Between two questions, 10% more or less. */
  readonly pollMs: number;
  /** How long one may take. */
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
  private readonly maxStaleMs: number;
  private isLoaded: boolean = false;
  private isToldStale: boolean = false;
  private failures = 0;
  /** The question that is underway, and the one that was asked for since it began. */
  private underway: Promise<void> | undefined;
  private next: Promise<void> | undefined;
  private aborting: AbortController | undefined;
  private readonly waiting = new Set<() => void>();
  private timer: NodeJS.Timeout | undefined;
  private spoiling: NodeJS.Timeout | undefined;

  /** INVALID_ARGUMENT. `isNothing`: this state never came from the store. */
  constructor(
    state: Held,
    isNothing: boolean,
    private readonly pace: Pace,
  ) {
    super(state, isNothing);
    const { pollMs, timeoutMs, maxStaleMs = Math.min(4 * Number(pollMs), LONGEST_TIMER_MS) } = pace;
    refuseNumber('pollMs', pollMs, 10);
    refuseNumber('timeoutMs', timeoutMs, 1);
    refuseNumber('maxStaleMs', maxStaleMs, 2 * pollMs, ' (twice `pollMs`)');
    this.maxStaleMs = maxStaleMs;
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
    if (!this.isLoaded && !this.isClosed) {
      await within(timeoutMs, (done) => {
        this.waiting.add(done);
        return () => this.waiting.delete(done);
      });
    }
    return this.health();
  }

  /**
   * The state of the store, confirmed at `sentAt`; undefined where the one that is held is still
   * the present one. It may take until `deadline` (`performance.now()`): then `signal` aborts it,
   * and what it brings counts no more, so what it changes in the source has to be in the state.
   */
  protected abstract fetch(
    sentAt: number,
    deadline: number,
    signal: AbortSignal,
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
    return this.failures >= MOST_FAILURES ? 'degraded' : 'ready';
  }

  protected async present(): Promise<Store> {
    if (!this.isLoaded && this.problem === undefined) await this.underway;
    this.refuseClosed();
    if (this.problem !== undefined) throw this.problem;
    return this.state.store;
  }

  protected async refreshed(_names: readonly string[]): Promise<void> {
    const { underway } = this;
    if (this.isLoaded || this.problem !== undefined || underway === undefined) return;
    await within(FIRST_MS, (done) => {
      void underway.then(done);
      return () => {};
    });
  }

  protected async end(): Promise<void> {
    clearTimeout(this.timer);
    clearTimeout(this.spoiling);
    this.aborting?.abort(closed());
    for (const done of this.waiting) done();
    await this.underway;
  }

  /** Resolves after a question that began after this call. Never rejects. */
  protected look(): Promise<void> {
    if (this.underway === undefined) {
      this.underway = this.poll().finally(() => {
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

  private async poll(): Promise<void> {
    clearTimeout(this.timer);
    if (this.isClosed) return;
    const sentAt = performance.now();
    try {
      const state = await this.fetchInTime(sentAt);
      if (this.isClosed) return;
      if (state !== undefined) this.take(state);
      else this.state.confirmedAt = sentAt;
      // Whoever was told of it may have closed this.
      if (!this.isClosed) this.succeeded();
    } catch (error) {
      if (this.isClosed) return;
      this.failed(error);
    }
    if (!this.isClosed) this.schedule();
  }

  private fetchInTime(sentAt: number): Promise<Held | undefined> {
    const { timeoutMs } = this.pace;
    const aborting = new AbortController();
    this.aborting = aborting;
    const { signal } = aborting;
    return new Promise<Held | undefined>((resolve, reject) => {
      // Nothing else ends what heeds no signal.
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      // What has arrived by then is read first: where this process was busy, it was not late.
      const timer = setTimeout(() => setImmediate(() => aborting.abort(timedOut())), timeoutMs);
      timer.unref();
      this.fetch(sentAt, sentAt + timeoutMs, signal)
        .then(resolve, reject)
        .finally(() => clearTimeout(timer));
    });
  }

  private schedule(): void {
    const { pollMs, retryMs } = this.pace;
    const { failures, problem } = this;
    const pauseMs =
      failures === 0
        ? pollMs * (0.9 + 0.2 * Math.random())
        : Math.min(retryMs * 2 ** (failures - 1), pollMs) * (0.5 + 0.5 * Math.random());
    const askedMs = problem instanceof Postponement ? problem.afterMs : 0;
    // All that were told the same time are not to come back as one.
    const leastMs = Math.min(askedMs, MOST_POSTPONED_MS) * (1 + 0.1 * Math.random());
    this.timer = setTimeout(() => void this.look(), Math.max(pauseMs, leastMs));
    this.timer.unref();
  }

  private succeeded(): void {
    const wasTold = this.failures >= MOST_FAILURES || this.isToldStale;
    this.isLoaded = true;
    this.isToldStale = false;
    this.failures = 0;
    this.problem = undefined;
    this.state.stale = undefined;
    this.spoiling ??= this.spoilIn(this.maxStaleMs);
    this.accepted();
    for (const done of this.waiting) done();
    if (wasTold) this.tell('recovered');
  }

  protected failed(error: unknown): void {
    const problem = error instanceof HanoiError ? error : failure(error);
    this.problem = problem;
    if (this.state.stale !== undefined) this.spoil(problem);
    if (++this.failures === MOST_FAILURES) this.tell('degraded', problem);
  }

  private spoil(cause: HanoiError): void {
    this.state.spoil(cause);
    if (this.isNothing || this.isToldStale) return;
    this.isToldStale = true;
    this.tell('stale', cause);
  }

  /** Makes the state stale once it is, however busy this process is with other things. */
  private spoilIn(ms: number): NodeJS.Timeout {
    const timer = setTimeout(() => {
      const leftMs = this.maxStaleMs - this.state.ageMs();
      if (leftMs > 0) {
        this.spoiling = this.spoilIn(leftMs);
        return;
      }
      this.spoiling = undefined;
      this.spoil(this.problem ?? timedOut());
    }, ms);
    timer.unref();
    return timer;
  }
}

/** Until it is done, or the time is up. */
async function within(ms: number, start: (done: () => void) => () => void): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stop();
      resolve();
    };
    const timer = setTimeout(done, ms);
    const stop = start(done);
  });
}

/** Not the error itself: it is somebody else's, and can show anything. */
function failure(error: unknown): HanoiError {
  let what = '';
  try {
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
