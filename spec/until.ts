import { setTimeout as delay } from 'node:timers/promises';

/**
 * Until it holds; what it throws counts as not yet. Rejects after `giveUpMs`, which is less than the
 * runner gives a spec: so that what was waited for is named.
 */
export async function until(holds: () => unknown, giveUpMs = 15_000): Promise<void> {
  const end = performance.now() + giveUpMs;
  let cause: unknown;
  for (;;) {
    try {
      if (await holds()) return;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > end) throw new Error(`It never came: ${holds}`, { cause });
    await delay(5);
  }
}
