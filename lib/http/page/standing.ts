import type { Feature } from '../../domain/feature.js';
import { isEveryone, isNobody } from '../../domain/group.js';
import { instantOf } from '../../domain/instant.js';
import { compileRamp, percentageAt } from '../../domain/ramp.js';
import { percentOf } from './wording.js';

/** What a list can be narrowed to. */
export const STATES = {
  everyone: 'On for everyone',
  some: 'On for some',
  ramping: 'On its way up or down',
  nobody: 'Nobody by percentage or rule',
  off: 'Turned off',
} as const;

export type State = keyof typeof STATES;

/** How a feature stands at an instant, as far as its document says. */
export interface Standing {
  readonly state: State;
  /** By percentage, now. */
  readonly percentage: number;
  /** In a few words. */
  readonly text: string;
}

export function standingOf(feature: Feature, now: number): Standing {
  const { enabled, percentage: share, groups, patterns, defaultVariant } = feature;
  const rules = feature.rules.filter(({ until }) => (instantOf(until) ?? now + 1) > now);
  const isRamp = typeof share !== 'number';
  const ramp = isRamp ? compileRamp(share) : undefined;
  const percentage = ramp ? percentageAt(ramp, now) : (share as number);
  if (!enabled) return { state: 'off', percentage, text: 'Off for everyone' };
  const isGoing = ramp !== undefined && now < Math.min(ramp.times.at(-1) as number, ramp.pausedAt);
  if (isGoing) {
    const to = ramp.percentages.at(-1) as number;
    return {
      state: 'ramping',
      percentage,
      text: `${percentOf(percentage, 1)} → ${percentOf(to, 1)}`,
    };
  }
  const byGroup = groups.some(isNobody) ? [] : groups;
  const isAll = percentage >= 100 || byGroup.some(isEveryone);
  const narrowing = feature.excluded.length + feature.requires.length;
  const closes = rules.some(({ serve }) => serve === 'off');
  const paused = ramp !== undefined && ramp.pausedAt <= now ? ', paused' : '';
  if (isAll && narrowing === 0 && !closes) {
    return { state: 'everyone', percentage: 100, text: `Everyone${paused}` };
  }
  if (isAll) {
    const but = closes ? 'rules say no' : feature.excluded.length > 0 ? 'excluded' : 'required';
    const text = {
      'rules say no': 'Everyone but by rule',
      excluded: 'Everyone but the excluded',
      required: 'Everyone with what it requires',
    }[but] as string;
    return { state: 'some', percentage: 100, text: text + paused };
  }
  if (percentage > 0) {
    const others = defaultVariant === undefined ? '' : ', the others by default';
    return { state: 'some', percentage, text: percentOf(percentage, 2) + paused + others };
  }
  const letsIn = rules.some((rule) => rule.serve !== 'off' && rule.percentage !== 0);
  const gates = [
    ...(letsIn ? ['rules'] : []),
    ...(byGroup.length > 0 ? ['groups'] : []),
    ...(patterns.length > 0 ? ['patterns'] : []),
    ...(defaultVariant !== undefined ? ['default variant'] : []),
  ];
  if (gates.length > 0) return { state: 'some', percentage: 0, text: `By ${gates.join(', ')}` };
  return { state: 'nobody', percentage: 0, text: `0%${paused}` };
}
