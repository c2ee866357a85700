import { AsyncResource } from 'node:async_hooks';
import { LONGEST_TIMER_MS } from '../errors.js';

/**
 * Looks at a store at intervals: one look at a time, sooner where somebody asks for it, after a
 * failure soon and then ever later, and never a whole fleet at once.
 */
export class Poll {
  /** How many looks have failed in a row. */
  failures = 0;
  /** The look that is underway, and the one that was asked for since it began. */
  private underway: Promise<void> | undefined;
  private next: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isStopped: boolean = false;
  // In nobody's context: who asks for a look would be the current user of all that follow.
  private readonly context = new AsyncResource('hanoi.Poll');

  constructor(
    private readonly pollMs: number,
    /** Pause after the first failure; it doubles up to `pollMs`. */
    private readonly retryMs: number,
    /**
     * Looks, and sets `failures`; never rejects. `isExpected`: it was asked for. Gives how long the
     * next look has to wait at least, in ms.
     */
    private readonly once: (isExpected: boolean) => Promise<number>,
  ) {}

  /** Until the look that is underway has ended. */
  get settled(): Promise<void> | undefined {
    return this.underway;
  }

  /** Resolves after a look that began after this call. Never rejects. */
  look(isExpected = true): Promise<void> {
    if (this.underway === undefined) {
      this.underway = this.context
        .runInAsyncScope(() => this.run(isExpected))
        .finally(() => {
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

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }

  private async run(isExpected: boolean): Promise<void> {
    clearTimeout(this.timer);
    if (this.isStopped) return;
    const beganAt = performance.now();
    const leastMs = await this.once(isExpected);
    if (this.isStopped) return;
    const tookMs = this.failures === 0 ? performance.now() - beganAt : 0;
    const waitMs = Math.max(this.pauseMs() - tookMs, leastMs, 0);
    this.timer = setTimeout(() => void this.look(false), Math.min(waitMs, LONGEST_TIMER_MS));
    this.timer.unref();
  }

  private pauseMs(): number {
    const { pollMs, retryMs, failures } = this;
    return failures === 0
      ? pollMs * (0.9 + 0.2 * Math.random())
      : Math.min(retryMs * 2 ** (failures - 1), pollMs) * (0.5 + 0.5 * Math.random());
  }
}
