import SemverRange from 'semver/classes/range.js';
import type SemVer from 'semver/classes/semver.js';
import parseVersion from 'semver/functions/parse.js';
import type { Json, Operator } from './feature.js';
import { instantOf, parseInstant } from './instant.js';
import { list, refused } from './parse.js';
import { matcherOf, parsePattern } from './pattern.js';

/*
 * What can be asked of a subject's attribute. Each operator says how its value is stored, and makes
 * of it a test of the attribute: true, false, or undefined where the attribute is of a kind that
 * can't be compared with it, or is missing.
 */

/** True, false, or unknown. */
export type Answer = boolean | undefined;

type AttributeTest = (attribute: unknown) => Answer;

interface OperatorKind {
  /** The value in stored form. INVALID_FEATURE with `path`. */
  parse(value: unknown, path: string): Json | undefined;
  /** The value is in stored form. */
  test(value: Json | undefined): AttributeTest;
}

type Scalar = string | number | boolean;

/** A list with more is for a group. */
const MOST_VALUES = 10_000;

const LONGEST_VERSION = 256;

export const OPERATOR_KINDS: { readonly [Name in Operator]: OperatorKind } = {
  /** The same text, number or truth value. A bigint counts as its number. */
  equals: {
    parse: parseScalar,
    test: (value) => (attribute) => {
      const scalar = scalarOf(attribute);
      return scalar === undefined ? undefined : scalar === value;
    },
  },
  /** One of several. */
  in: {
    parse: (value, path) => {
      const values = list(value, path, parseScalar);
      if (values.length > MOST_VALUES) {
        throw refused(
          path,
          `to be at most ${MOST_VALUES} values; use a group for more`,
          values.length,
        );
      }
      return values;
    },
    test: (value) => {
      const values = new Set(value as readonly Json[]);
      return (attribute) => {
        const scalar = scalarOf(attribute);
        return scalar === undefined ? undefined : values.has(scalar);
      };
    },
  },
  lessThan: ordered((attribute, value) => attribute < value),
  atMost: ordered((attribute, value) => attribute <= value),
  moreThan: ordered((attribute, value) => attribute > value),
  atLeast: ordered((attribute, value) => attribute >= value),
  startsWith: textual((attribute, value) => attribute.startsWith(value)),
  endsWith: textual((attribute, value) => attribute.endsWith(value)),
  /** A part of a text, or one of a list. */
  contains: {
    parse: parseScalar,
    test: (value) => (attribute) => {
      if (Array.isArray(attribute)) return attribute.some((item) => scalarOf(item) === value);
      if (typeof attribute !== 'string' || typeof value !== 'string') return undefined;
      return attribute.includes(value);
    },
  },
  /** A regular expression of linear time: `{ source, flags }`. */
  matches: {
    parse: (value, path) => ({ ...parsePattern(value, path) }),
    test: (value) => {
      const matches = matcherOf(value as { source: string; flags: string });
      return (attribute) => (typeof attribute === 'string' ? matches(attribute) : undefined);
    },
  },
  /** It is there, whatever it is; takes no value. */
  exists: {
    parse: (value, path) => {
      if (value !== undefined) throw refused(path, 'to be absent: `exists` takes none', value);
      return undefined;
    },
    test: () => (attribute) => attribute !== undefined && attribute !== null,
  },
  before: dated((attribute, value) => attribute < value),
  after: dated((attribute, value) => attribute > value),
  /** A version in a range, as npm has them: `>=2.1 <3`. */
  satisfies: {
    parse: (value, path) => {
      if (typeof value !== 'string' || value.length > LONGEST_VERSION) {
        throw refused(path, 'to be a range of versions, such as ">=2.1 <3"', value);
      }
      rangeOf(value, path);
      return value;
    },
    test: (value) => {
      const range = rangeOf(value as string, 'value');
      return (attribute) => {
        if (typeof attribute !== 'string' || attribute.length > LONGEST_VERSION) return undefined;
        const version = versionOf(attribute);
        return version === undefined ? undefined : range.test(version);
      };
    },
  },
};

/**
 * What a subject has under that name; undefined of an id alone, and of what every object has.
 * Throws what reading it throws.
 */
export function attributeOf(subject: unknown, name: string): unknown {
  if (typeof subject !== 'object' || subject === null) return undefined;
  const value = (subject as Record<string, unknown>)[name];
  return typeof value === 'function' ? undefined : value;
}

function ordered(compare: (attribute: number, value: number) => boolean): OperatorKind {
  return {
    parse: (value, path) => {
      if (typeof value !== 'number' || !Number.isFinite(value)) {
        throw refused(path, 'to be a number', value);
      }
      return value + 0;
    },
    test: (value) => (attribute) => {
      const number = typeof attribute === 'bigint' ? Number(attribute) : attribute;
      if (typeof number !== 'number' || Number.isNaN(number)) return undefined;
      return compare(number, value as number);
    },
  };
}

function textual(compare: (attribute: string, value: string) => boolean): OperatorKind {
  return {
    parse: (value, path) => {
      if (typeof value !== 'string' || value === '') throw refused(path, 'to be some text', value);
      return value;
    },
    test: (value) => (attribute) =>
      typeof attribute === 'string' ? compare(attribute, value as string) : undefined,
  };
}

function dated(compare: (attribute: number, value: number) => boolean): OperatorKind {
  return {
    parse: (value, path) => parseInstant(value, path),
    test: (value) => {
      const instant = instantOf(value) as number;
      return (attribute) => {
        const at = instantOf(attribute);
        return at === undefined ? undefined : compare(at, instant);
      };
    },
  };
}

function parseScalar(value: unknown, path: string): Scalar {
  const scalar = scalarOf(value);
  if (scalar === undefined) throw refused(path, 'to be text, a number, true or false', value);
  return scalar;
}

function scalarOf(value: unknown): Scalar | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value + 0 : undefined;
    case 'bigint':
      return Number(value);
    default:
      return undefined;
  }
}

function rangeOf(value: string, path: string): SemverRange {
  try {
    return new SemverRange(value);
  } catch {
    throw refused(path, 'to be a range of versions, such as ">=2.1 <3"', value);
  }
}

function versionOf(text: string): SemVer | undefined {
  return parseVersion(text) ?? undefined;
}
