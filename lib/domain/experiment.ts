import { storedName } from '../stored-name.js';
import { chiSquareTail } from './chi-square.js';
import type { ConditionSettings } from './condition.js';
import type { Decision } from './decision.js';
import type { Condition, Feature, Json, Variant } from './feature.js';
import { type Instant, instantOf, parseInstant } from './instant.js';
import { list, parseBoolean, parseName, record, refused, refuseUnknown } from './parse.js';
import { createFeature, type FeatureSettings } from './validate.js';

/** What an arm gives of a feature: a variant by its name, on without one, or off. */
export type Given = string | boolean;

/** An A/B test as `addExperiment` takes it. */
export interface ExperimentSettings {
  /** It lives from this instant on (ISO 8601 with a zone, or a Date), until before that one. */
  from: Instant;
  until: Instant;
  /** Their proportions sum to 1, and each names the same features. */
  arms: Iterable<{
    name: string;
    proportion: number;
    features: { readonly [feature: string]: Given };
  }>;
  /** Who takes part; default everyone. */
  when?: ConditionSettings | undefined;
  /** The attribute by which subjects are dealt to arms, instead of the id. */
  subjectKey?: string | undefined;
  /** Who has used what their arm gives stays in it, whatever the proportions become. Default false. */
  sticky?: boolean;
  /** The team's own JSON. */
  data?: { readonly [key: string]: unknown };
}

/** An A/B test: its arms give variants of one or more features while it lives. */
export interface Experiment {
  readonly name: string;
  readonly id: string;
  readonly revision: number;
  readonly from: string;
  readonly until: string;
  readonly arms: readonly Arm[];
  readonly when: Condition;
  readonly subjectKey?: string;
  readonly sticky: boolean;
  readonly data: { readonly [key: string]: Json };
}

export interface Arm {
  readonly name: string;
  /** Of all that take part, from 0 to 1. */
  readonly proportion: number;
  readonly features: { readonly [feature: string]: Given };
}

const SETTINGS = new Set(['from', 'until', 'arms', 'when', 'subjectKey', 'sticky', 'data']);
const ARM_FIELDS = new Set(['name', 'proportion', 'features']);
const RULE = 'arms';

/** Proportions are given in decimals. */
const ROUNDING = 1e-9;

/**
 * The document of an experiment: a feature whose variants are its arms, with what they give as
 * values, and a rule that lets in who takes part while it lives. INVALID_FEATURE, with the `path`.
 */
export function createExperiment(name: string, id: string, settings: ExperimentSettings): Feature {
  parseName(name, 'name');
  return createFeature(storedName('experiment', name), id, settingsOf(settings));
}

/** The same as settings of its document. */
export function settingsOf(settings: ExperimentSettings): FeatureSettings {
  refuseUnknown(settings, SETTINGS, 'settings');
  const { when = { group: 'all' }, subjectKey, sticky = false, data } = settings;
  const arms = parseArms(settings.arms);
  const from = parseInstant(settings.from, 'from');
  const until = parseInstant(settings.until, 'until');
  return {
    variants: arms.map(({ name, proportion, features }) => ({
      name,
      weight: proportion,
      value: features,
    })),
    rules: [{ id: RULE, when, from, until, serve: 'on', sticky: parseBoolean(sticky, 'sticky') }],
    subjectKey,
    ...(data !== undefined && { data }),
  };
}

/** Of a document as `createExperiment` makes them. */
export function experimentOf(name: string, document: Feature): Experiment {
  const { id, revision, variants, rules, subjectKey, data } = document;
  const { when = { group: 'none' }, from = '', until = '', sticky = false } = rules[0] ?? {};
  return Object.freeze({
    ...{ name, id, revision, from, until, when, sticky, data },
    ...(subjectKey !== undefined && { subjectKey }),
    arms: Object.freeze(variants.map(armOf)),
  });
}

/** What the arm that was decided gives of the feature; undefined where it says nothing of it. */
export function givenBy(arm: Decision, feature: string): Json | undefined {
  const { value } = arm;
  const isList = typeof value === 'object' && value !== null && Object.hasOwn(value, feature);
  return isList ? (value as { readonly [feature: string]: Json })[feature] : undefined;
}

/** The features that it is about. */
export function featuresOf({ arms }: Pick<Experiment, 'arms'>): readonly string[] {
  return Object.keys(arms[0]?.features ?? {});
}

/** Whether there is an instant at which both live. */
export function overlap(one: Experiment, other: Experiment): boolean {
  const [from, until] = windowOf(one);
  const [otherFrom, otherUntil] = windowOf(other);
  return from < otherUntil && otherFrom < until;
}

/** Where it stands at that instant (Unix ms). */
export function stateAt(experiment: Experiment, now: number): 'planned' | 'live' | 'over' {
  const [from, until] = windowOf(experiment);
  return now < from ? 'planned' : now < until ? 'live' : 'over';
}

/** How the counts of the arms fit to their proportions. */
export interface SampleRatio {
  readonly chiSquare: number;
  /** How likely it is that counts differ so much, or more, by chance. */
  readonly pValue: number;
  /** Below 0.001: something other than chance decides who is counted. Do not trust the result. */
  readonly isMismatched: boolean;
}

/** With fewer expected in an arm, chi-square is no good approximation (Cochran 1954). */
const LEAST_EXPECTED = 5;
const SIGNIFICANCE = 0.001;

/** Pearson's chi-square test of goodness of fit. Undefined while there are too few, or one arm. */
export function sampleRatio(
  arms: readonly { readonly proportion: number; readonly uses: number }[],
): SampleRatio | undefined {
  const total = arms.reduce((sum, { uses }) => sum + uses, 0);
  const dealt = arms.filter(({ proportion, uses }) => proportion > 0 || uses > 0);
  if (dealt.length < 2) return undefined;
  const expected = dealt.map(({ proportion }) => proportion * total);
  // Somebody is in an arm that nobody is dealt: nothing but a change of proportions does that.
  if (expected.some((each) => each < LEAST_EXPECTED)) return undefined;
  const chiSquare = dealt.reduce(
    (sum, { uses }, at) => sum + (uses - (expected[at] as number)) ** 2 / (expected[at] as number),
    0,
  );
  const pValue = chiSquareTail(chiSquare, dealt.length - 1);
  return { chiSquare, pValue, isMismatched: pValue < SIGNIFICANCE };
}

function windowOf({ from, until }: Experiment): readonly [from: number, until: number] {
  return [instantOf(from) ?? Number.NaN, instantOf(until) ?? Number.NaN];
}

function parseArms(value: unknown): readonly Arm[] {
  const arms = list(value, 'arms', parseArm);
  const total = arms.reduce((sum, { proportion }) => sum + proportion, 0);
  if (Math.abs(total - 1) > ROUNDING) {
    throw refused('arms', 'to have proportions that sum to 1', total);
  }
  const features = featuresOf({ arms });
  if (features.length === 0) throw refused('arms[0].features', 'to name a feature', features);
  for (const [at, arm] of arms.entries()) {
    const own = new Set(Object.keys(arm.features));
    if (own.size !== features.length || features.some((each) => !own.has(each))) {
      throw refused(`arms[${at}].features`, 'to name the features of arms[0]', [...own]);
    }
  }
  return arms;
}

function parseArm(value: unknown, path: string): Arm {
  const given = record(value, path);
  refuseUnknown(given, ARM_FIELDS, path);
  const { proportion } = given;
  if (typeof proportion !== 'number' || !(proportion >= 0 && proportion <= 1)) {
    throw refused(`${path}.proportion`, 'to be a number from 0 to 1', proportion);
  }
  const features = Object.entries(record(given.features, `${path}.features`));
  for (const [feature, gives] of features) {
    parseName(feature, `${path}.features`);
    if (typeof gives === 'string' || typeof gives === 'boolean') continue;
    throw refused(`${path}.features.${feature}`, 'to be a variant, true or false', gives);
  }
  return {
    name: parseName(given.name, `${path}.name`),
    proportion,
    features: Object.fromEntries(features) as Arm['features'],
  };
}

function armOf({ name, weight, value }: Variant): Arm {
  return Object.freeze({ name, proportion: weight, features: (value ?? {}) as Arm['features'] });
}
