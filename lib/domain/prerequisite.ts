import type { Decision } from './decision.js';
import type { Prerequisite } from './feature.js';
import { distinct, list, parseName, record, refused, refuseUnknown } from './parse.js';

/** Each is decided in turn by a check. */
const MOST_PREREQUISITES = 10;

/** How many prerequisites of prerequisites one decision goes through; then it is closed. */
export const MOST_DECISIONS = 100;

/** INVALID_FEATURE. */
export function parsePrerequisites(value: unknown, self: unknown): readonly Prerequisite[] {
  const all = list(value, 'requires', (item, path) => parsePrerequisite(item, path, self));
  if (all.length > MOST_PREREQUISITES) {
    throw refused('requires', `to be at most ${MOST_PREREQUISITES}`, all.length);
  }
  const names = new Set<string>();
  for (const [at, { feature }] of all.entries()) {
    if (names.has(feature)) throw refused(`requires[${at}].feature`, 'to be unique', feature);
    names.add(feature);
  }
  return all;
}

function parsePrerequisite(value: unknown, path: string, self: unknown): Prerequisite {
  const given = typeof value === 'string' ? { feature: value } : record(value, path);
  refuseUnknown(given, new Set(['feature', 'variants']), path);
  const { feature, variants } = given as { feature?: unknown; variants?: unknown };
  const name = parseName(feature, `${path}.feature`);
  if (name === self) throw refused(`${path}.feature`, 'to be another feature', name);
  if (variants === undefined) return Object.freeze({ feature: name });
  const names = distinct(list(variants, `${path}.variants`, parseName));
  if (names.length === 0) throw refused(`${path}.variants`, 'to name at least one', variants);
  return Object.freeze({ feature: name, variants: names });
}

/** Whether the other feature's decision is what is required. */
export function isMet({ variants }: Prerequisite, { enabled, variant }: Decision): boolean {
  return (
    enabled && (variants === undefined || (variant !== undefined && variants.includes(variant)))
  );
}

/** How many documents one decision may go by: more than those can name that pass the validator. */
const MOST_REFERRED = 10_000;

/** The feature with all that it refers to, and those refer to, as far as they are known there. */
export function referredBy(
  name: string,
  known: {
    get(name: string): { readonly compiled: { readonly refers: Refers } } | undefined;
  },
): readonly string[] {
  const names = new Set([name]);
  for (const each of names) {
    for (const other of known.get(each)?.compiled.refers ?? []) {
      if (names.size < MOST_REFERRED) names.add(other);
    }
  }
  return [...names];
}

type Refers = readonly string[] | undefined;
