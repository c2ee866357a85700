import { patternsIn } from './condition.js';
import {
  BUCKETINGS,
  type Bucketing,
  DEFAULT_SETTINGS,
  type Feature,
  type Json,
  type Pattern,
  type Variant,
} from './feature.js';
import { isEveryone, isNobody } from './group.js';
import {
  distinct,
  list,
  parseBoolean,
  parseId,
  parseJson,
  parseName,
  parseStoredName,
  parseWeight,
  record,
  refused,
  refuseUnknown,
} from './parse.js';
import { parsePattern, refuseSlow } from './pattern.js';
import { parsePrerequisites } from './prerequisite.js';
import { parseShare, type RampSettings } from './ramp.js';
import { parseRules, type RuleSettings } from './rule.js';

/**
 * What `addFeature` and `update` take: the document's settings, with shorthands.
 * An update keeps what is not named; undefined takes back `subjectKey`, `defaultVariant`, `offValue`.
 */
export interface FeatureSettings<VariantName extends string = string> {
  /** The kill switch. Default true. */
  enabled?: boolean;
  /** 0-100 with up to four decimals, or a ramp. Default 0. */
  percentage?: number | RampSettings;
  /** Default 'modulo'. */
  bucketing?: Bucketing;
  /** The attribute to bucket and list by instead of the id. */
  subjectKey?: string | undefined;
  /** Ids kept out. */
  excluded?: Iterable<string | number | bigint>;
  patterns?: Iterable<RegExp | { source: string; flags?: string }>;
  groups?: Iterable<string>;
  /** A name alone has weight 1. */
  variants?: Iterable<VariantName | { name: VariantName; weight?: number; value?: unknown }>;
  /** The name of one of `variants`. */
  defaultVariant?: VariantName | undefined;
  /** Any JSON value, null too. */
  offValue?: unknown;
  /** Features that have to be on too, for the same subject: a name, or with the variants that count. */
  requires?: Iterable<string | { feature: string; variants?: Iterable<string> }>;
  /** In the order in which they are asked. */
  rules?: Iterable<RuleSettings<VariantName>>;
  /** The team's own JSON; replaced whole. */
  data?: { readonly [key: string]: unknown };
}

const SETTINGS = new Set([
  'enabled',
  'percentage',
  'bucketing',
  'subjectKey',
  'excluded',
  'patterns',
  'groups',
  'variants',
  'defaultVariant',
  'offValue',
  'requires',
  'rules',
  'data',
]);

const VARIANT_FIELDS = new Set(['name', 'weight', 'value']);

/** Fields of the document beside its settings: what is here writes them itself. */
const OWN = new Set(['name', 'id', 'revision', 'buckets', 'experiments']);

/** Each is tried in turn by a check, and compiled at the first. */
const MOST_PATTERNS = 1_000;

/** A feature of these settings, at revision 1. INVALID_FEATURE, with the `path` of what is refused. */
export function createFeature(name: string, id: string, settings: FeatureSettings): Feature {
  refuseUnknown(settings, SETTINGS, 'settings');
  return parse({ ...DEFAULT_SETTINGS, ...settings, name, id, revision: 1 }, true);
}

/**
 * The feature with some settings replaced, at the next revision; fields of a newer version stay.
 * The same object where nothing would change. Where its share is said, also the same one again, of a
 * population, its buckets are still to be chosen. INVALID_FEATURE, with the `path` of what is refused.
 */
export function amendFeature(feature: Feature, settings: FeatureSettings): Feature {
  refuseUnknown(settings, SETTINGS, 'settings');
  const isShareSaid = settings.percentage !== undefined || settings.bucketing !== undefined;
  const amended = parse(
    {
      ...{ ...feature, ...settings, revision: feature.revision + 1 },
      ...(isShareSaid && { buckets: undefined }),
    },
    settings.variants !== undefined,
  );
  return unlessSame(feature, amended);
}

/** The document with these buckets; `before`, where that says the same. */
export function withBuckets(
  document: Feature,
  buckets: readonly string[],
  before: Feature | undefined,
): Feature {
  const chosen = parse({ ...document, buckets }, false);
  return before === undefined ? chosen : unlessSame(before, chosen);
}

function unlessSame(before: Feature, after: Feature): Feature {
  const { revision } = before;
  const isSame = JSON.stringify({ ...after, revision }) === JSON.stringify(before);
  return isSame ? before : after;
}

/**
 * The one validator: a frozen copy of a document from anywhere, in stored form.
 * Fields that this version doesn't know are kept as they are. INVALID_FEATURE, with the `path`.
 */
export function parseFeature(document: unknown): Feature {
  return parse(document, false);
}

/** `strict`: the variants come from a caller, so a field that they don't have is a mistake. */
function parse(document: unknown, strict: boolean): Feature {
  const given = record(document, 'feature');
  const unknown: [string, Json][] = [];
  for (const [field, value] of Object.entries(given)) {
    if (SETTINGS.has(field) || OWN.has(field) || value === undefined) continue;
    unknown.push([field, parseJson(value, field)]);
  }
  const bucketing = parseBucketing(given.bucketing);
  const variants = parseVariants(given.variants, bucketing, strict);
  const patterns = parsePatterns(given.patterns);
  // Absent from documents of before there were any.
  const rules = parseRules(given.rules ?? [], variants, strict);
  refuseSlow(patterns, 'patterns');
  refuseSlow([...patterns, ...rules.flatMap(({ when }) => patternsIn(when))], 'rules');
  const { subjectKey, defaultVariant, offValue, buckets, experiments } = given;
  return Object.freeze({
    ...Object.fromEntries(unknown),
    name: parseStoredName(given.name),
    id: parseName(given.id, 'id'),
    revision: parseRevision(given.revision),
    enabled: parseBoolean(given.enabled, 'enabled'),
    percentage: parsePercentageOf(bucketing, given.percentage),
    bucketing,
    ...(subjectKey !== undefined && { subjectKey: parseName(subjectKey, 'subjectKey') }),
    excluded: distinct(list(given.excluded, 'excluded', parseId)),
    patterns,
    groups: parseGroups(given.groups),
    variants,
    ...(defaultVariant !== undefined && {
      defaultVariant: parseDefaultVariant(defaultVariant, variants),
    }),
    ...(offValue !== undefined && { offValue: parseJson(offValue, 'offValue') }),
    requires: parsePrerequisites(given.requires ?? [], given.name),
    rules,
    ...parseBuckets(bucketing, buckets),
    ...(experiments !== undefined && {
      experiments: distinct(list(experiments, 'experiments', parseName)),
    }),
    data: parseJson(record(given.data, 'data'), 'data') as Feature['data'],
  });
}

function parseRevision(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 1) {
    throw refused('revision', 'to be a whole number from 1', value);
  }
  return value as number;
}

function parseBuckets(bucketing: Bucketing, value: unknown): Pick<Feature, 'buckets'> {
  if (value === undefined) return {};
  const buckets = distinct(list(value, 'buckets', parseName));
  if (bucketing === 'population') return { buckets };
  if (buckets.length > 0) throw refused('buckets', 'to be of the bucketing population', value);
  return {};
}

function parsePercentageOf(bucketing: Bucketing, value: unknown): Feature['percentage'] {
  const isExact = /^(rollout-gem|slowroll)/.test(bucketing);
  const percentage = parseShare(value, 'percentage', isExact);
  if (bucketing === 'population' && typeof percentage === 'object') {
    // Its buckets are chosen by who is registered at the write.
    throw refused('percentage', 'to be a number where the bucketing is population', value);
  }
  return percentage;
}

function parseBucketing(value: unknown): Bucketing {
  if (!BUCKETINGS.includes(value as Bucketing)) {
    throw refused('bucketing', `to be one of ${BUCKETINGS.join(', ')}`, value);
  }
  return value as Bucketing;
}

function parseVariants(value: unknown, bucketing: Bucketing, strict: boolean): readonly Variant[] {
  const variants = list(value, 'variants', (item, path) => parseVariant(item, path, strict));
  const total = variants.reduce((sum, variant) => sum + variant.weight, 0);
  if (variants.length > 0 && total === 0) {
    throw refused('variants', 'to have a total weight above 0', total);
  }
  const names = new Set<string>();
  for (const [at, variant] of variants.entries()) {
    const path = `variants[${at}]`;
    if (names.has(variant.name)) throw refused(`${path}.name`, 'to be unique', variant.name);
    names.add(variant.name);
    if (bucketing === 'hanoi' && variant.weight !== variants[0]?.weight) {
      throw refused(
        `${path}.weight`,
        "to equal the others' under bucketing 'hanoi', which has no weights (change the bucketing)",
        variant.weight,
      );
    }
  }
  return variants;
}

function parseVariant(value: unknown, path: string, strict: boolean): Variant {
  if (typeof value === 'string') return Object.freeze({ name: parseName(value, path), weight: 1 });
  const given = record(value, path);
  const weight = parseWeight(given.weight === undefined ? 1 : given.weight, `${path}.weight`);
  if (strict) refuseUnknown(given, VARIANT_FIELDS, path);
  const unknown = Object.entries(given).filter(([key]) => !VARIANT_FIELDS.has(key));
  return Object.freeze({
    ...Object.fromEntries(unknown.map(([key, v]) => [key, parseJson(v, `${path}.${key}`)])),
    name: parseName(given.name, `${path}.name`),
    weight,
    ...(given.value !== undefined && { value: parseJson(given.value, `${path}.value`) }),
  });
}

function parseDefaultVariant(value: unknown, variants: readonly Variant[]): string {
  if (!variants.some((variant) => variant.name === value)) {
    throw refused('defaultVariant', 'to be the name of one of `variants`', value);
  }
  return value as string;
}

function parsePatterns(value: unknown): readonly Pattern[] {
  const patterns = list(value, 'patterns', parsePattern);
  if (patterns.length > MOST_PATTERNS) {
    throw refused('patterns', `to be at most ${MOST_PATTERNS}`, patterns.length);
  }
  const seen = new Set<string>();
  return Object.freeze(
    patterns.filter(({ source, flags }) => {
      const text = `${flags}/${source}`;
      return !seen.has(text) && seen.add(text);
    }),
  );
}

function parseGroups(value: unknown): readonly string[] {
  const groups = distinct(list(value, 'groups', parseName));
  if (groups.some(isEveryone) && groups.some(isNobody)) {
    throw refused('groups', 'to name everyone or nobody, not both', groups);
  }
  return groups;
}
