import type { HanoiError } from '../errors.js';
import type { Staleness } from './backend.js';

/** What was known of a store at a moment, and knows how old it can be. */
export class Aging implements Staleness {
  /** This, once its answers have to say that it is old. */
  stale: Staleness | undefined;

  constructor(
    /**
     * When that was asked (`performance.now()`) which showed last that this is the present state;
     * minus infinity where nothing did, and it is stale.
     */
    public confirmedAt: number,
    /** Why it is stale, where it is. */
    public cause: HanoiError,
  ) {
    this.stale = confirmedAt === Number.NEGATIVE_INFINITY ? this : undefined;
  }

  ageMs(): number {
    return performance.now() - this.confirmedAt;
  }

  /** From now on its answers say why it is old. */
  spoil(cause: HanoiError): void {
    this.cause = cause;
    this.stale = this;
  }
}

/** Spoils what is held once it is too old, however busy this process is with other things. */
export class Expiry {
  private timer: NodeJS.Timeout | undefined;
  private isStopped: boolean = false;

  constructor(
    private readonly maxStaleMs: number,
    private readonly held: () => Aging,
    private readonly expired: () => void,
  ) {}

  /** To be called whenever what is held was confirmed. */
  start(): void {
    if (!this.isStopped) this.timer ??= this.in(this.maxStaleMs);
  }

  /** Whether what is held is too old. */
  get isOver(): boolean {
    return this.held().ageMs() >= this.maxStaleMs;
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }

  private in(ms: number): NodeJS.Timeout {
    const timer = setTimeout(() => {
      const leftMs = this.maxStaleMs - this.held().ageMs();
      this.timer = leftMs > 0 ? this.in(leftMs) : undefined;
      if (leftMs <= 0) this.expired();
    }, ms);
    timer.unref();
    return timer;
  }
}
