import { setTimeout as delay } from 'node:timers/promises';
import type { Rollout } from '../../rollout.js';
import type { Leftovers } from './list-page.js';

/** What is left over is so for 30 days and more: a minute is nothing. */
const FRESH_MS = 60_000;

/** So long a page waits for it; it takes a look into every history. */
const PATIENCE_MS = 10;

/** The features that are left over, as they were told last: no page waits for them. */
export class LeftoverCache {
  private known: Leftovers;
  private since = Number.NEGATIVE_INFINITY;
  private looking: Promise<void> | undefined;

  constructor(
    private readonly rollout: Rollout,
    private readonly report: (error: unknown) => void,
  ) {}

  /** Undefined while nothing is known. */
  async get(): Promise<Leftovers> {
    if (performance.now() - this.since > FRESH_MS) {
      this.looking ??= this.look();
      if (this.known === undefined) await Promise.race([this.looking, delay(PATIENCE_MS)]);
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
      this.looking = undefined;
    }
  }
}
