import type { Rollout } from '../../rollout.js';
import type { Leftovers } from './list-page.js';

/** What is left over is so for 30 days and more: a minute is nothing. */
const FRESH_MS = 60_000;

/** To look takes all documents and a look into every history: after the page that asked is sent. */
const LATER_MS = 100;

/** The features that are left over, as they were told last: no page waits for them. */
export class LeftoverCache {
  private known: Leftovers;
  private since = Number.NEGATIVE_INFINITY;
  private isLooking: boolean = false;

  constructor(
    private readonly rollout: Rollout,
    private readonly report: (error: unknown) => void,
  ) {}

  /** Undefined while nothing is known. */
  get(): Leftovers {
    const isOld = performance.now() - this.since > FRESH_MS;
    if (isOld && !this.isLooking) {
      this.isLooking = true;
      setTimeout(() => void this.look(), LATER_MS).unref();
    }
    return this.known;
  }

  private async look(): Promise<void> {
    try {
      this.known = await this.rollout.leftovers();
    } catch (error) {
      this.report(error);
    } finally {
      this.since = performance.now();
      this.isLooking = false;
    }
  }
}
