import { parseDuration } from '../domain/duration.js';
import { type Instant, instantOf } from '../domain/instant.js';
import { invalid } from '../errors.js';

/** A clock that stands still until it is told to go. */
export interface ManualClock {
  /** The time in Unix ms. Can be handed on alone: `new Rollout(backend, { now: clock.now })`. */
  readonly now: () => number;
  /** Earlier instants too. INVALID_ARGUMENT. */
  set(instant: Instant | number): void;
  /** By a duration such as `2d`, `36h` or `1d12h`, or by ms above 0. INVALID_ARGUMENT. */
  advance(by: string | number): void;
}

/** A clock that stands at this instant: a Date, Unix ms, or ISO 8601 with a zone. INVALID_ARGUMENT. */
export function manualClock(start: Instant | number): ManualClock {
  let ms = msOf(start);
  return {
    now: () => ms,
    set: (instant) => {
      ms = msOf(instant);
    },
    advance: (by) => {
      ms += durationOf(by);
    },
  };
}

function msOf(instant: unknown): number {
  const ms = instantOf(instant);
  if (ms !== undefined) return ms;
  throw invalid(
    'a Date, ms, or a date and time with a zone, such as 2026-11-30T09:00:00Z',
    instant,
  );
}

function durationOf(by: unknown): number {
  try {
    return parseDuration(by, 'by');
  } catch {
    throw invalid('a duration, such as 14d, 36h or 1d12h (w, d, h, m, s, ms), or ms above 0', by);
  }
}
