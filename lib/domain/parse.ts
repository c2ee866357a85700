import { HanoiError, shown } from '../errors.js';
import { isOfFeature, readName } from '../stored-name.js';
import type { Json } from './feature.js';
import { idOf } from './subject.js';

const LONGEST_NAME = 200;
const DEEPEST_JSON = 32;

/** A name of a feature, group or variant: 1-200 characters, well-formed, no control characters. */
export function parseName(value: unknown, path: string): string {
  if (
    typeof value !== 'string' ||
    value === '' ||
    !value.isWellFormed() ||
    /\p{Cc}/u.test(value) ||
    (value.length > LONGEST_NAME && [...value].length > LONGEST_NAME)
  ) {
    throw refused(path, 'to be 1-200 characters without control characters', value);
  }
  return value;
}

/** The name of a stored document: of a feature, or of what features refer to. */
export function parseStoredName(value: unknown): string {
  if (typeof value === 'string' && !isOfFeature(value)) parseName(readName(value)[1], 'name');
  else parseName(value, 'name');
  return value as string;
}

/** An id as it is stored. INVALID_FEATURE where it can't be one. */
export function parseId(value: unknown, path: string): string {
  const id = idOf(value);
  if (id === undefined) {
    // Not what it is: no message holds an id.
    const got = value === '' ? 'an empty string' : value === null ? 'null' : typeof value;
    throw new HanoiError(
      'INVALID_FEATURE',
      `Expected \`${path}\` to have an id: a well-formed, non-empty string, a number or a bigint, got ${got}.`,
      { path },
    );
  }
  return id;
}

export function parseBoolean(value: unknown, path: string): boolean {
  if (typeof value !== 'boolean') throw refused(path, 'to be true or false', value);
  return value;
}

/** A frozen copy of a JSON value. INVALID_FEATURE on anything that JSON would lose or change. */
export function parseJson(value: unknown, path: string, depth = 0): Json {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value + 0;
  if (depth === DEEPEST_JSON) {
    throw refused(path, `to nest at most ${DEEPEST_JSON} levels`, typeof value);
  }
  if (Array.isArray(value)) {
    // Array.from, because map keeps holes.
    return Object.freeze(
      Array.from(value, (item, at) => parseJson(item, `${path}[${at}]`, depth + 1)),
    );
  }
  if (isRecord(value)) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    return Object.freeze(
      // Defines each key, where assigning would call the setter of `__proto__`.
      Object.fromEntries(
        entries.map(([key, item]) => [key, parseJson(item, `${path}.${key}`, depth + 1)]),
      ),
    );
  }
  throw refused(path, 'to be a JSON value', value);
}

export function list<Item>(
  value: unknown,
  path: string,
  parse: (item: unknown, path: string) => Item,
): readonly Item[] {
  const iterable = typeof value === 'object' && value !== null && Symbol.iterator in value;
  if (!iterable) throw refused(path, 'to be a list', value);
  return Object.freeze(
    Array.from(value as Iterable<unknown>, (item, at) => parse(item, `${path}[${at}]`)),
  );
}

export function distinct(values: readonly string[]): readonly string[] {
  return Object.freeze([...new Set(values)]);
}

export function record(value: unknown, path: string): { readonly [key: string]: unknown } {
  if (!isRecord(value)) throw refused(path, 'to be an object', value);
  return value;
}

/** A plain object of any realm. */
function isRecord(value: unknown): value is Record<string, unknown> {
  if (Object.prototype.toString.call(value) !== '[object Object]') return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

export function refuseUnknown(given: object, known: ReadonlySet<string>, path: string): void {
  for (const field of Object.keys(record(given, path))) {
    if (known.has(field)) continue;
    throw new HanoiError(
      'INVALID_FEATURE',
      `Unknown field ${JSON.stringify(field)} in \`${path}\`. Known are ${[...known].join(', ')}.`,
      { path },
    );
  }
}

export function refused(path: string, expected: string, got: unknown): HanoiError {
  return new HanoiError('INVALID_FEATURE', `Expected \`${path}\` ${expected}, got ${shown(got)}.`, {
    path,
  });
}

/** 0-100, with at most four decimals unless `isExact`: positions are millionths. */
export function parsePercentage(value: unknown, path: string, isExact: boolean = false): number {
  if (typeof value !== 'number' || !(value >= 0 && value <= 100)) {
    throw refused(path, 'to be a number from 0 to 100', value);
  }
  if (!isExact && Math.round(value * 10_000) / 10_000 !== value) {
    throw refused(path, 'to have at most four decimals, such as 33.3333', value);
  }
  return value + 0; // -0 would not survive JSON
}

export function parseWeight(value: unknown, path: string): number {
  if (typeof value !== 'number' || !(value === 0 || (value >= 1e-6 && value <= 1e9))) {
    throw refused(path, 'to be 0, or a number from 0.000001 to 1,000,000,000', value);
  }
  return value + 0;
}
