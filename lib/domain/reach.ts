import type { Feature, Ramp, Rule } from './feature.js';
import { isEveryone, isNobody } from './group.js';
import { instantOf } from './instant.js';
import { compileRamp, percentageAt } from './ramp.js';
import { onlyWeighted } from './variant.js';

/**
 * Whom a feature reaches by its document, from an instant on for as long as nobody changes it.
 * `everyone`: all get it, with the same variant or none. `members`: those who are registered, and
 * nobody else. `nobody`. `some`: others than these, or not for ever.
 */
export interface Reach {
  readonly kind: 'everyone' | 'members' | 'nobody' | 'some';
  /** Unix ms from which it is so: when a ramp came to its end, or a window. Minus infinity: always. */
  readonly since: number;
}

/**
 * At `at` (Unix ms). `endOf` says when an experiment is over; of one that is not there, minus
 * infinity.
 */
export function reachOf(feature: Feature, at: number, endOf: (name: string) => number): Reach {
  const { enabled, rules, experiments = [] } = feature;
  if (!enabled) return { kind: 'nobody', since: Number.NEGATIVE_INFINITY };
  const share = shareAt(feature.percentage, at);
  const ends = [
    share.since,
    ...rules.map(({ until }) => instantOf(until) ?? Number.POSITIVE_INFINITY),
    ...experiments.map(endOf),
  ].filter((each) => each <= at);
  const since = Math.max(Number.NEGATIVE_INFINITY, ...ends);
  const present = rules.filter(({ until }) => !((instantOf(until) ?? at + 1) <= at));
  if (!share.isFinal || experiments.some((each) => endOf(each) > at))
    return { kind: 'some', since };
  return { kind: kindOf(feature, share.percentage, present), since };
}

function kindOf(feature: Feature, percentage: number, rules: readonly Rule[]): Reach['kind'] {
  const { excluded, requires, patterns, groups, variants, defaultVariant } = feature;
  const byGroup = groups.some(isNobody) ? [] : groups;
  if (percentage >= 100 || byGroup.some(isEveryone)) {
    const only = onlyWeighted(variants);
    const isChoosing = variants.length > 0 && only === undefined;
    const isSame = ({ serve }: Rule) =>
      serve === 'on' ||
      (typeof serve === 'object' && 'variant' in serve && serve.variant === only?.name);
    const hasExceptions = excluded.length + requires.length > 0 || !rules.every(isSame);
    return isChoosing || hasExceptions ? 'some' : 'everyone';
  }
  const letsIn = ({ serve, percentage: share }: Rule) => serve !== 'off' && share !== 0;
  const hasGate = percentage > 0 || patterns.length + byGroup.length > 0;
  return hasGate || defaultVariant !== undefined || rules.some(letsIn) ? 'some' : 'members';
}

/** The percentage, whether it stays, and since when (Unix ms) it is that. */
function shareAt(
  percentage: number | Ramp,
  at: number,
): { percentage: number; isFinal: boolean; since: number } {
  if (typeof percentage === 'number') {
    return { percentage, isFinal: true, since: Number.NEGATIVE_INFINITY };
  }
  const ramp = compileRamp(percentage);
  const { times, percentages, pausedAt } = ramp;
  const present = percentageAt(ramp, at);
  const isFinal = pausedAt <= at || (times.at(-1) as number) <= at;
  // Back over the points that said the same already.
  let first = times.findLastIndex((time) => time <= Math.min(at, pausedAt));
  let since = first < 0 ? Number.NEGATIVE_INFINITY : (times[first] as number);
  if (percentages[first] !== present) since = Math.min(at, pausedAt);
  else for (; first >= 0 && percentages[first] === present; first--) since = times[first] as number;
  return { percentage: present, isFinal, since };
}
