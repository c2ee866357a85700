import type { Feature, Ramp } from '../domain/feature.js';
import { instantOf } from '../domain/instant.js';
import type { Leftover } from '../domain/leftover.js';
import { presentPercentage } from '../domain/ramp.js';
import { printable } from './printable.js';

/** The percentage at that instant (Unix ms). */
export function percentageOf({ percentage }: Pick<Feature, 'percentage'>, now: number): number {
  return Math.round(presentPercentage(percentage, now) * 10_000) / 10_000;
}

/** Where a ramp stands. */
export function rampStateOf(
  ramp: Ramp,
  now: number,
): 'planned' | 'running' | 'paused' | 'finished' {
  if (ramp.pausedAt !== undefined && (instantOf(ramp.pausedAt) as number) <= now) return 'paused';
  const [first, last] = [ramp.points[0], ramp.points.at(-1)].map((each) => instantOf(each?.at));
  if (now < (first as number)) return 'planned';
  return now < (last as number) ? 'running' : 'finished';
}

/** Who gets a feature beside its percentage, in a few printable words each. */
export function audienceOf(feature: Feature, members: number, now: number): string[] {
  const { percentage, patterns, groups, rules, excluded, requires, variants } = feature;
  const { experiments = [], subjectKey, defaultVariant } = feature;
  const words: string[] = [];
  if (typeof percentage === 'object') words.push(rampWords(percentage, now));
  if (members > 0)
    words.push(`${members.toLocaleString('en')} ${members === 1 ? 'member' : 'members'}`);
  if (groups.length > 0) words.push(`${counted(groups, 'group')} ${listed(groups)}`);
  if (patterns.length > 0) {
    words.push(
      `${counted(patterns, 'pattern')} ${listed(patterns.map(({ source, flags }) => `/${source}/${flags}`))}`,
    );
  }
  if (rules.length > 0) words.push(`${rules.length} ${counted(rules, 'rule')}`);
  if (experiments.length > 0)
    words.push(`${counted(experiments, 'experiment')} ${listed(experiments)}`);
  if (excluded.length > 0) words.push(`but ${excluded.length} excluded`);
  if (requires.length > 0) words.push(`requires ${listed(requires.map((each) => each.feature))}`);
  if (subjectKey !== undefined) words.push(`by ${printable(subjectKey)}`);
  if (variants.length > 0) words.push(variantsOf(feature));
  if (defaultVariant !== undefined) words.push(`others ${printable(defaultVariant)}`);
  return words;
}

/** A part of the whole, from 0 to 1: `12.5%`. */
export function shareOf(part: number): string {
  return `${Math.round(part * 1000) / 10}%`;
}

/** `foo 75% · bar 25%`. */
function variantsOf({ variants }: Pick<Feature, 'variants'>): string {
  const total = variants.reduce((sum, { weight }) => sum + weight, 0);
  return variants
    .map(({ name, weight }) => `${printable(name)} ${shareOf(total === 0 ? 0 : weight / total)}`)
    .join(' · ');
}

function rampWords(ramp: Ramp, now: number): string {
  const last = ramp.points.at(-1);
  const state = rampStateOf(ramp, now);
  if (state === 'finished') return `ramp finished ${dayOf(instantOf(last?.at) as number)}`;
  const to = `ramp to ${last?.percentage}% until ${dayOf(instantOf(last?.at) as number)}`;
  if (state === 'planned') {
    return `${to}, from ${dayOf(instantOf(ramp.points[0]?.at) as number)} on`;
  }
  return state === 'paused' ? `${to}, paused` : to;
}

/** What is left over of it, in words: `on for everyone since 2026-10-02`. */
export function leftoverWords({ why, since, isExact }: Leftover): string {
  const day = dayOf(since);
  if (why === 'expired') return `expired ${day}`;
  const what = why === 'everyone' ? 'on for everyone' : 'nobody gets it';
  return `${what} since ${isExact ? '' : 'before '}${day}`;
}

/** `2026-11-30`, in UTC. */
export function dayOf(ms: number): string {
  return Number.isFinite(ms) && Math.abs(ms) < 8.64e15
    ? new Date(ms).toISOString().slice(0, 10)
    : '?';
}

/** `2026-11-30 09:00:00Z`. */
export function timeOf(ms: number): string {
  return new Date(ms)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}

function counted(items: readonly unknown[], word: string): string {
  return items.length === 1 ? word : `${word}s`;
}

function listed(names: readonly string[]): string {
  const [first, second, third, ...others] = names.map(printable);
  const shown = [first, second, third].filter((each) => each !== undefined).join(', ');
  return others.length === 0 ? shown : `${shown} and ${others.length} more`;
}
