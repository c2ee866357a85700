import { setTimeout as delay } from 'node:timers/promises';
import { now } from './connection.js';

/**
 * Work that nobody waits for: one task after the other, in at most half of the time, so that the
 * server stays free for others. A task is known by its name, and waits once, however often it is
 * wanted. One that fails is dropped: whoever misses its work wants it again.
 */
export class Background {
  private readonly wanted = new Map<string, () => Promise<void>>();
  private isBusy: boolean = false;
  private isClosed: boolean = false;

  want(name: string, task: () => Promise<void>): void {
    if (this.isClosed) return;
    this.wanted.set(name, task);
    if (!this.isBusy) void this.work();
  }

  close(): void {
    this.isClosed = true;
    this.wanted.clear();
  }

  private async work(): Promise<void> {
    this.isBusy = true;
    for (const [name, task] of this.wanted) {
      this.wanted.delete(name);
      const beganAt = now();
      await task().catch(() => {});
      await delay(now() - beganAt, undefined, { ref: false });
    }
    this.isBusy = false;
  }
}
