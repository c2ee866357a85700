import { parseDuration } from './duration.js';
import type { Ramp } from './feature.js';
import { type Instant, instantOf, parseInstant } from './instant.js';
import { list, parsePercentage, record, refused, refuseUnknown } from './parse.js';

/** A ramp as `addFeature` and `update` take it. */
export interface RampSettings {
  points: Iterable<{ at: Instant; percentage: number }>;
  pausedAt?: Instant | undefined;
}

/** A ramp made ready: pure in the clock, so that all processes agree and no job has to run. */
export interface CompiledRamp {
  /** Unix ms, in order; two at the same instant are a step. */
  readonly times: Float64Array;
  readonly percentages: Float64Array;
  /** From then on time stands still. */
  readonly pausedAt: number;
}

const MOST_POINTS = 100;

/** A percentage, fixed or as a ramp. INVALID_FEATURE with `path`. */
export function parseShare(value: unknown, path: string, isExact: boolean = false): number | Ramp {
  const isRamp = typeof value === 'object' && value !== null && 'points' in value;
  return isRamp ? parseRamp(value, path, isExact) : parsePercentage(value, path, isExact);
}

/** In stored form, frozen. INVALID_FEATURE with `path`. */
function parseRamp(value: unknown, path: string, isExact: boolean): Ramp {
  const given = record(value, path);
  refuseUnknown(given, new Set(['points', 'pausedAt']), path);
  const points = list(given.points, `${path}.points`, (item, at) => {
    const point = record(item, at);
    refuseUnknown(point, new Set(['at', 'percentage']), at);
    return Object.freeze({
      at: parseInstant(point.at, `${at}.at`),
      percentage: parsePercentage(point.percentage, `${at}.percentage`, isExact),
    });
  });
  if (points.length === 0 || points.length > MOST_POINTS) {
    throw refused(`${path}.points`, `to be 1 to ${MOST_POINTS}`, points.length);
  }
  for (let at = 1; at < points.length; at++) {
    if (timeOf(points[at]) < timeOf(points[at - 1])) {
      throw refused(
        `${path}.points[${at}].at`,
        'to be no earlier than the point before',
        points[at]?.at,
      );
    }
  }
  return Object.freeze({
    points,
    ...(given.pausedAt !== undefined && {
      pausedAt: parseInstant(given.pausedAt, `${path}.pausedAt`),
    }),
  });
}

export function compileRamp({ points, pausedAt }: Ramp): CompiledRamp {
  return {
    times: Float64Array.from(points, timeOf),
    percentages: Float64Array.from(points, ({ percentage }) => percentage),
    pausedAt: instantOf(pausedAt) ?? Number.POSITIVE_INFINITY,
  };
}

/** Linear between the points; 0 before the first, and what the last one says after it. */
export function percentageAt({ times, percentages, pausedAt }: CompiledRamp, now: number): number {
  const at = now < pausedAt ? now : pausedAt;
  const last = times.length - 1;
  if (at < (times[0] as number)) return 0;
  if (at >= (times[last] as number)) return percentages[last] as number;
  let next = 1;
  while ((times[next] as number) <= at) next++;
  const [from, to] = [times[next - 1] as number, times[next] as number];
  const [low, high] = [percentages[next - 1] as number, percentages[next] as number];
  return low + (high - low) * ((at - from) / (to - from));
}

/** Of a percentage, fixed or as a ramp, the one at that instant (Unix ms). */
export function presentPercentage(percentage: number | Ramp, now: number): number {
  return typeof percentage === 'number' ? percentage : percentageAt(compileRamp(percentage), now);
}

/** The ramp so many ms later; or earlier, where they are negative. Paused, it stays so. */
export function shifted({ points, pausedAt }: Ramp, ms: number): RampSettings {
  return {
    points: points.map(({ at, percentage }) => ({ at: isoOf(timeOf({ at }) + ms), percentage })),
    pausedAt,
  };
}

/** An instant in stored form. */
export function isoOf(ms: number): string {
  const whole = Math.floor(ms);
  // biome-ignore lint/style/noRestrictedGlobals: the only way to write one; nothing of now is in it
  const text = new Date(whole).toISOString();
  const nanos = Math.round((ms - whole) * 1e6);
  return nanos === 0 ? text : text.replace('Z', `${String(nanos).padStart(6, '0')}Z`);
}

/**
 * The first instant (Unix ms, whole) from `from` on at which the ramp has `isIn` of its percentage,
 * where that is true of every percentage above one that it is true of; undefined where there is none.
 */
export function firstInstant(
  ramp: CompiledRamp,
  isIn: (percentage: number) => boolean,
): number | undefined {
  const { times, percentages, pausedAt } = ramp;
  const has = (at: number) => at <= pausedAt && isIn(percentageAt(ramp, at));
  for (const [index, time] of times.entries()) {
    if (has(time)) {
      if (index === 0 || !isIn(percentages[index] as number)) return Math.ceil(time);
      // Somewhere in the segment that leads here, or by its step.
      let [out, within] = [times[index - 1] as number, Math.ceil(time)];
      while (within - out > 1) {
        const middle = Math.floor((out + within) / 2);
        if (has(middle)) within = middle;
        else out = middle;
      }
      return within;
    }
    if (pausedAt < time) break;
  }
  return undefined;
}

function timeOf(point: { readonly at: string } | undefined): number {
  return instantOf(point?.at) as number;
}

/** A ramp by its ends. */
export interface RampPlan {
  /** Where it ends. Default 100. */
  to?: number;
  /** Where it begins. Default: where the feature is. */
  from?: number;
  /** How long it takes: `14d`, `36h`, or ms. Not with both `start` and `end`. */
  over?: string | number;
  /** Default now; or `end` less `over`. */
  start?: Instant;
  end?: Instant;
  /** In so many equal steps, the first at the start, instead of a line. */
  steps?: number;
}

const PLAN = new Set(['to', 'from', 'over', 'start', 'end', 'steps']);

/** The ramp of a plan, from `present` percent at `now` on where it says nothing else. INVALID_FEATURE. */
export function rampOf(plan: RampPlan, present: number, now: number): RampSettings {
  refuseUnknown(plan, PLAN, 'ramp');
  const { to = 100, from = present, over, start, end, steps } = plan;
  parsePercentage(to, 'ramp.to', true);
  parsePercentage(from, 'ramp.from', true);
  if (over === undefined && end === undefined) {
    throw refused('ramp.over', 'to say how long it takes, such as 14d, or `end` to be given', over);
  }
  if (over !== undefined && start !== undefined && end !== undefined) {
    throw refused('ramp.over', 'to be left out beside `start` and `end`', over);
  }
  const [startAt, endAt] = [given(start, 'ramp.start'), given(end, 'ramp.end')];
  const ms = over === undefined ? undefined : parseDuration(over, 'ramp.over');
  const first = startAt ?? (endAt !== undefined && ms !== undefined ? endAt - ms : now);
  const last = endAt ?? first + (ms as number);
  if (!(last > first)) throw refused('ramp.end', 'to be after the start', end);
  const points =
    steps === undefined
      ? [
          { at: isoOf(first), percentage: rounded(from) },
          { at: isoOf(last), percentage: rounded(to) },
        ]
      : stepsOf(first, last, from, to, steps);
  return { points };
}

function stepsOf(first: number, last: number, from: number, to: number, steps: number) {
  if (!Number.isSafeInteger(steps) || steps < 1 || steps > MOST_POINTS / 2) {
    throw refused('ramp.steps', `to be a whole number from 1 to ${MOST_POINTS / 2}`, steps);
  }
  const points: { at: string; percentage: number }[] = [];
  for (let step = 1; step <= steps; step++) {
    const at = isoOf(first + ((last - first) * (step - 1)) / Math.max(1, steps - 1));
    points.push({ at, percentage: rounded(from + ((to - from) * (step - 1)) / steps) });
    points.push({ at, percentage: rounded(from + ((to - from) * step) / steps) });
  }
  return points;
}

function given(instant: Instant | undefined, path: string): number | undefined {
  return instant === undefined ? undefined : instantOf(parseInstant(instant, path));
}

/** As many decimals as a percentage has. */
function rounded(percentage: number): number {
  return Math.round(percentage * 10_000) / 10_000;
}
