/** Any value that JSON can hold. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/**
 * How a percentage chooses its subjects. `modulo` and `independent` go by the id, `population` by
 * the bucket to which a subject was allotted when it was registered; the others repeat another system's choice to the bit, so that nobody is dealt again by moving in.
 */
export type Bucketing = (typeof BUCKETINGS)[number];

export const BUCKETINGS = [
  'modulo',
  'independent',
  'rollout-gem',
  'rollout-gem-randomized',
  'population',
  'hanoi',
  'slowroll',
  'pyrollout',
  'pyrollout-randomized',
] as const;

/** A regular expression over the id, in JavaScript's syntax. */
export interface Pattern {
  readonly source: string;
  /** Any of `imsu`, in that order. */
  readonly flags: string;
}

/** A named form of a feature. */
export interface Variant {
  readonly name: string;
  /** Share of the variants' total weight, from 0. */
  readonly weight: number;
  /** What `value()` answers for this variant; without it, the variant's name. */
  readonly value?: Json;
}

/** What can be asked of an attribute. */
export type Operator = (typeof OPERATORS)[number];

export const OPERATORS = [
  'equals',
  'in',
  'lessThan',
  'atMost',
  'moreThan',
  'atLeast',
  'startsWith',
  'endsWith',
  'contains',
  'matches',
  'exists',
  'before',
  'after',
  'satisfies',
] as const;

/** Who a rule is for. What can't be computed is unknown, and so is its `not`. */
export type Condition =
  | { readonly all: readonly Condition[] }
  | { readonly any: readonly Condition[] }
  | { readonly not: Condition }
  /** By id. */
  | { readonly users: readonly string[] }
  | { readonly matches: Pattern }
  | { readonly group: string }
  /** The segment's answer is one of these. */
  | { readonly segment: string; readonly in: readonly string[] }
  | { readonly attribute: string; readonly op: Operator; readonly value?: Json };

/** A percentage that changes with time: linear between the points, and 0 before the first. */
export interface Ramp {
  /** In order. Two at the same instant are a step. */
  readonly points: readonly { readonly at: string; readonly percentage: number }[];
  /** From then on it stays where it was. */
  readonly pausedAt?: string;
}

/** A condition with what it serves. Rules come before the gates, and the first that holds answers. */
export interface Rule {
  /** Unique in its feature. A percentage and a split choose by it: another id deals anew. */
  readonly id: string;
  readonly description?: string;
  readonly when: Condition;
  /** The rule lives from this instant on (ISO 8601 with a zone), and until before that one. */
  readonly from?: string;
  readonly until?: string;
  /** Share of those that match, 0-100; the rest go on to the next rule. */
  readonly percentage?: number | Ramp;
  readonly serve: Serve;
  /** Who has used a variant keeps it, whatever the weights become. */
  readonly sticky?: boolean;
}

/** `on`: with a variant by weight, where the feature has some. */
export type Serve =
  | 'on'
  | 'off'
  | { readonly variant: string }
  | { readonly split: readonly (readonly [variant: string, weight: number])[] };

/** Another feature that has to be on, and where variants are named, with one of them. */
export interface Prerequisite {
  readonly feature: string;
  readonly variants?: readonly string[];
}

/** A feature's whole definition as it is stored: one JSON document, frozen once read. */
export interface Feature {
  /** 1-200 characters, well-formed Unicode, no control characters. */
  readonly name: string;
  /**
   * Random. What is kept beside the document (members and the like) hangs on it: a feature that
   * is created again, or whose members are emptied at once, gets a new one and so starts clean.
   */
  readonly id: string;
  /** Counts the writes of this document, from 1. */
  readonly revision: number;
  /** The kill switch: false is off for everyone, and everything else is kept. */
  readonly enabled: boolean;
  /** 0-100, with up to four decimals (the rollout gem's bucketings take any); or as it goes with time. */
  readonly percentage: number | Ramp;
  readonly bucketing: Bucketing;
  /** Bucket and list by this attribute of the subject instead of by its id. */
  readonly subjectKey?: string;
  /** Ids kept out, whatever else says yes. */
  readonly excluded: readonly string[];
  readonly patterns: readonly Pattern[];
  /** Groups let in. `all` (or `ALL`) is everyone; `none` (or `NONE`) is nobody by group. */
  readonly groups: readonly string[];
  readonly variants: readonly Variant[];
  /** The variant for those that no gate lets in; they are then on. */
  readonly defaultVariant?: string;
  /** What `value()` answers where the feature is off. */
  readonly offValue?: Json;
  /** What has to be on for the subject too, or this is off. */
  readonly requires: readonly Prerequisite[];
  /** They come before the gates; the first that holds answers. */
  readonly rules: readonly Rule[];
  /** Of a percentage over a population: the buckets that are let in, chosen when it is written. */
  readonly buckets?: readonly string[];
  /** The experiments that may name this feature, by name: those that are there and live decide. */
  readonly experiments?: readonly string[];
  /** The team's own: description, owner, tags. */
  readonly data: { readonly [key: string]: Json };
}

/** What a feature is where nothing else was said: off for everyone, because nobody is let in. */
export const DEFAULT_SETTINGS: Omit<Feature, 'name' | 'id' | 'revision'> = Object.freeze({
  enabled: true,
  percentage: 0,
  bucketing: 'modulo',
  excluded: Object.freeze([]),
  patterns: Object.freeze([]),
  groups: Object.freeze([]),
  variants: Object.freeze([]),
  requires: Object.freeze([]),
  rules: Object.freeze([]),
  data: Object.freeze({}),
});
