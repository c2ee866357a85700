import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Rollout } from '../../rollout.js';

/** How long a request waits for what its sender has heard of already, and in which steps. */
const PATIENCE_MS = 500;
const STEP_MS = 20;

/** Names the state of all features that this process knows; undefined where it keeps no account of that. */
export function configEtagOf(rollout: Rollout): string | undefined {
  const { token } = rollout.health();
  if (token === undefined) return undefined;
  const { epoch = '', documents, members } = token;
  const text = JSON.stringify([epoch, documents, members]);
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
}

/**
 * Resolves once this process knows that state. Another one may have told the client of a change, of
 * which this one hears a moment later, and nobody would tell the client again. A state that it knows
 * no more, or never will, it waits for in vain, for half a second.
 */
export async function caughtUp(rollout: Rollout, etag: string): Promise<void> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const present = configEtagOf(rollout);
    if (present === undefined || present === etag || performance.now() >= until) return;
    await delay(STEP_MS);
  }
}
