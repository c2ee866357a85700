import { idOf } from '../domain/subject.js';
import { HanoiError, shown } from '../errors.js';
import { type Imported, type ImportedFeature, readRecords } from './imported.js';

/** A feature with pyrollout's fields: `[vars(feature) for feature in …]` in Python, as JSON. */
export interface PyrolloutFeature {
  readonly name: string;
  readonly groups?: readonly string[] | null;
  readonly users?: readonly (string | number)[] | null;
  readonly percentage?: number | null;
  readonly randomize?: boolean | null;
}

/** Ordinary names there, which have a meaning here. */
const RESERVED = ['all', 'none'];

/**
 * Reads features of pyrollout (0.3.5, on Python 2). Each user gets what it got, where ids are whole
 * numbers; for any other, pyrollout raises where it comes to the percentage, and here the id is in
 * none below 100. `5` and `'5'` are one user here, and two there. INVALID_ARGUMENT for what is no
 * list.
 */
export function readPyrollout(features: Iterable<PyrolloutFeature>): Imported {
  // As there, the last of one name counts.
  const byName = new Map<string, PyrolloutFeature>();
  for (const feature of listOf(features)) byName.set(String(feature?.name), feature);
  return readRecords(
    Array.from(byName.keys(), (name) => [name, name] as const),
    (name) => parse(byName.get(name)),
  );
}

function parse(feature: PyrolloutFeature | undefined): ImportedFeature {
  if (typeof feature?.name !== 'string') throw new Error('it has no name.');
  const { name, randomize } = feature;
  const groups = feature.groups ?? [];
  const users = feature.users ?? [];
  const percentage = feature.percentage ?? 0;
  if (!Array.isArray(groups)) throw new Error('its groups are not a list.');
  if (groups.includes('ALL') && groups.includes('NONE')) {
    throw new Error('its groups are both ALL and NONE.');
  }
  if (groups.some((group) => RESERVED.includes(group))) {
    throw new Error('one of its groups is called all or none, which here means ALL and NONE.');
  }
  if (!Array.isArray(users) || users.some((user) => idOf(user) === undefined)) {
    throw new Error('its users are not a list of ids.');
  }
  if (typeof percentage !== 'number') throw new Error('its percentage is not a number.');
  return {
    name,
    settings: {
      bucketing: randomize ? 'pyrollout-randomized' : 'pyrollout',
      // It compares whole numbers: 12.5 lets in 13 of 100. And it knows no bounds.
      percentage: Math.min(100, Math.max(0, Math.ceil(percentage))),
      groups,
    },
    members: [...new Set(users.map(String))],
  };
}

function listOf(features: unknown): Iterable<PyrolloutFeature> {
  if (typeof features === 'object' && features !== null && Symbol.iterator in features) {
    return features as Iterable<PyrolloutFeature>;
  }
  throw new HanoiError(
    'INVALID_ARGUMENT',
    `Expected a list of pyrollout's features, [{ name, groups, users, percentage, randomize }], got ${shown(features)}.`,
  );
}
