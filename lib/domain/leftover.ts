import type { Feature } from './feature.js';
import { instantOf } from './instant.js';

/** Why a feature can go from the code, or has to be looked at. */
export interface Leftover {
  readonly name: string;
  /**
   * `expired`: it is past its `data.expiresAt`. `everyone`: for 30 days or more all get it, with the
   * same variant or none. `nobody`: for 30 days nobody gets it, and it was not changed.
   */
  readonly why: 'expired' | 'everyone' | 'nobody';
  /** Unix ms: when it expired, or since when it is so. */
  readonly since: number;
  /** False where the history that is kept does not go back so far: it is so for longer. */
  readonly isExact: boolean;
}

/** From then on a feature that stays as it is counts as left over: 30 days. */
export const LEFT_OVER_MS: number = 30 * 24 * 60 * 60 * 1000;

const DATE = /^\d{4}-\d\d-\d\d$/;

/**
 * When the feature expires by its `data.expiresAt` (Unix ms): an instant (ISO 8601 with a zone), or
 * a date, which is its beginning in UTC. Undefined where it says nothing, NaN where it can't be read.
 */
export function expiryOf({ data }: Pick<Feature, 'data'>): number | undefined {
  if (!Object.hasOwn(data, 'expiresAt')) return undefined;
  const { expiresAt } = data;
  if (expiresAt === null) return undefined;
  if (typeof expiresAt !== 'string') return Number.NaN;
  return instantOf(DATE.test(expiresAt) ? `${expiresAt}T00:00Z` : expiresAt) ?? Number.NaN;
}
