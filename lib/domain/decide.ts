import type { HanoiError } from '../errors.js';
import { POPULATION, readName, storedName } from '../stored-name.js';
import type { Answer } from './attribute.js';
import { admits, crc32, type Share, shareOf, thresholdUnder } from './bucketing.js';
import type { ConditionSurroundings, InStored } from './condition.js';
import { type Decision, type Detail, failed, off, on, onWith, type Reason } from './decision.js';
import { givenBy } from './experiment.js';
import {
  type Bucketing,
  DEFAULT_SETTINGS,
  type Feature,
  type Json,
  type Prerequisite,
} from './feature.js';
import { isEveryone, isNobody, storedGroups } from './group.js';
import { type Matches, matcherOf } from './pattern.js';
import { isMet, MOST_DECISIONS } from './prerequisite.js';
import { type CompiledRamp, compileRamp, percentageAt } from './ramp.js';
import { type CompiledRule, compileRule, isOpen, ruled } from './rule.js';
import { type Identify, subjectId } from './subject.js';
import { type Choice, chosen, onlyWeighted, variantChoiceOf } from './variant.js';

/** What is kept beside a document and was looked up. Undefined is "not looked up", never "no". */
export interface Facts {
  isMember(id: string): boolean | undefined;
  /** The variant that is kept for the id, or its bucket; null where there is none. */
  assigned(id: string): string | null | undefined;
}

/** What a decision may know of the world around the feature. */
export interface Surroundings extends ConditionSurroundings {
  readonly identify: Identify;
  /** The time, in Unix ms. */
  readonly now: () => number;
}

/** The features of the same moment, and what else features refer to. */
export interface Others {
  get(name: string): { readonly compiled: CompiledFeature; readonly facts: Facts } | undefined;
}

const NO_OTHERS: Others = { get: () => undefined };

/** How many decisions may still be made for one. */
interface Budget {
  left: number;
}

/** The ready answers of one gate: without a variant, or one for each variant. */
interface Answers {
  readonly plain: Decision;
  readonly byVariant: readonly Decision[];
}

/** A feature made ready: everything that doesn't depend on the subject is computed and frozen. */
export interface CompiledFeature {
  readonly name: string;
  readonly enabled: boolean;
  readonly requires: readonly Prerequisite[] | undefined;
  /** What it can't be decided without, by the names under which it is stored. */
  readonly refers: readonly string[] | undefined;
  /** Whether it depends on what was assigned to the id. */
  readonly isAssigned: boolean;
  readonly subjectKey: string | undefined;
  readonly excluded: ReadonlySet<string> | undefined;
  readonly patterns: readonly Matches[] | undefined;
  readonly everyone: boolean;
  readonly groups: readonly string[] | undefined;
  /** The same, as they are stored. */
  readonly storedGroups: readonly string[];
  /** As they are stored. */
  readonly experiments: readonly string[] | undefined;
  /** Of a percentage over a population. */
  readonly buckets: ReadonlySet<string> | undefined;
  readonly share: Share;
  /** Where its percentage changes with time: the ramp, and the feature at 100%. */
  readonly ramp: (CompiledRamp & { readonly complete: CompiledFeature }) | undefined;
  readonly variants: Choice | undefined;
  readonly rules: readonly CompiledRule[] | undefined;
  readonly whenDisabled: Decision;
  readonly whenUnmet: Decision;
  readonly whenNoSubject: Decision;
  readonly whenNoId: Decision;
  /** For nobody in particular, while a rule serves off, or a part. */
  readonly whenNoOne: Decision;
  readonly whenExcluded: Decision;
  readonly whenMember: Answers;
  readonly whenPattern: Answers;
  readonly whenGroup: Answers;
  /** By what an arm of an experiment gives: a variant by its name, on or off. */
  readonly inArm: (experiment: string, gives: Json | undefined) => Decision | undefined;
  readonly whenPercentage: Answers;
  readonly whenUnknown: Decision;
  readonly otherwise: Decision;
}

/** Compiles a validated document. */
export function compile(feature: Feature): CompiledFeature {
  const { name, variants, percentage, groups, rules, offValue } = feature;
  const [kind] = readName(name);
  // What features refer to refers to no feature, so that no circle can be stored.
  const requires = kind === 'feature' ? feature.requires : [];
  const isRamp = typeof percentage === 'object';
  // Of a ramp, only how it chooses.
  const share = shareOf(isRamp ? 50 : percentage, feature.bucketing, name);
  const answers = (reason: Reason, detail: Detail): Answers => ({
    plain: on(name, reason, detail),
    byVariant: variants.map((variant) => onWith(feature, reason, detail, variant)),
  });
  const hasAll = share.kind === 'all';
  // Forgetting to say who asks must not let a part's feature out: only what everyone has is on.
  const anonymous = (detail: Detail): Decision => {
    if (!hasAll) return off(feature, 'DEFAULT', detail);
    return variants.length === 0
      ? on(name, 'STATIC', detail)
      : onWith(feature, 'STATIC', detail, onlyWeighted(variants));
  };
  const byGroup = groups.some(isNobody) ? [] : groups;
  const compiledRules = rules.map((rule) => compileRule(rule, feature, inStoredGroup));
  const experiments = (kind === 'feature' ? (feature.experiments ?? []) : []).map((each) =>
    storedName('experiment', each),
  );
  const isByPopulation = share.kind === 'population';
  const refers = new Set([
    ...requires.map((each) => each.feature),
    ...storedGroups(byGroup),
    ...compiledRules.flatMap((rule) => rule.groups),
    ...experiments,
    ...(isByPopulation ? [POPULATION] : []),
  ]);
  const fallback = variants.find((variant) => variant.name === feature.defaultVariant);
  return {
    name,
    enabled: feature.enabled,
    requires: requires.length > 0 ? requires : undefined,
    refers: refers.size > 0 ? [...refers] : undefined,
    isAssigned: kind === 'population' || compiledRules.some(({ kept }) => kept !== undefined),
    subjectKey: feature.subjectKey,
    excluded: feature.excluded.length > 0 ? new Set(feature.excluded) : undefined,
    patterns: feature.patterns.length > 0 ? feature.patterns.map(matcherOf) : undefined,
    everyone: byGroup.some(isEveryone),
    groups: byGroup.length > 0 ? byGroup : undefined,
    storedGroups: storedGroups(byGroup),
    experiments: experiments.length > 0 ? experiments : undefined,
    buckets: isByPopulation ? new Set(feature.buckets) : undefined,
    share,
    ramp: isRamp
      ? { ...compileRamp(percentage), complete: compile({ ...feature, percentage: 100 }) }
      : undefined,
    variants: variantChoiceOf(feature),
    rules: compiledRules.length > 0 ? compiledRules : undefined,
    whenDisabled: off(feature, 'DISABLED', 'kill switch'),
    whenUnmet: off(feature, 'DISABLED', 'requires'),
    whenNoSubject: anonymous('no subject'),
    whenNoId: anonymous('subject without id'),
    whenNoOne: off(feature, 'DEFAULT', 'no subject'),
    whenExcluded: off(feature, 'TARGETING_MATCH', 'excluded'),
    whenMember: answers('TARGETING_MATCH', 'member'),
    whenPattern: answers('TARGETING_MATCH', 'pattern'),
    whenGroup: answers('TARGETING_MATCH', 'group'),
    inArm: inArmOf(feature),
    whenPercentage: answers(hasAll ? 'STATIC' : 'SPLIT', 'percentage'),
    whenUnknown: failed(name, 'needs lookup', 'GENERAL', 'NEEDS_LOOKUP', { value: offValue }),
    otherwise: fallback
      ? onWith(feature, 'DEFAULT', 'default variant', fallback)
      : off(feature, 'DEFAULT', 'no gate'),
  };
}

/** The answers of a feature in the arms of experiments: each is made once. */
function inArmOf(feature: Feature): CompiledFeature['inArm'] {
  const { name, variants } = feature;
  const made = new Map<string, Map<Json | undefined, Decision | undefined>>();
  const make = (experiment: string, gives: Json | undefined) => {
    if (gives === false) return off(feature, 'SPLIT', 'experiment', { experiment });
    if (gives === true) return on(name, 'SPLIT', 'experiment', { experiment });
    const variant = variants.find((each) => each.name === gives);
    return variant && onWith(feature, 'SPLIT', 'experiment', variant, { experiment });
  };
  return (experiment, gives) => {
    const answers = made.get(experiment) ?? new Map<Json | undefined, Decision | undefined>();
    if (answers.size === 0) made.set(experiment, answers);
    if (!answers.has(gives)) answers.set(gives, make(experiment, gives));
    return answers.get(gives);
  };
}

/** A document that can't be read, or is lost, compiled: off for everyone, and saying so. */
export function compileUnreadable(name: string, { code }: HanoiError): CompiledFeature {
  return {
    ...compile({ ...DEFAULT_SETTINGS, name, id: '', revision: 0, enabled: false }),
    whenDisabled:
      code === 'STORE_UNAVAILABLE'
        ? failed(name, 'store unavailable', 'GENERAL', code)
        : failed(name, 'unreadable document', 'PARSE_ERROR', code),
  };
}

/**
 * Who gets what: the one decision, in the order that docs/guide.md gives. Answers for any subject,
 * throws for none, and allocates nothing but what the subject's own id needs.
 * `subject` undefined or null is no subject.
 */
export function decide(
  given: CompiledFeature,
  subject: unknown,
  facts: Facts,
  surroundings: Surroundings,
  others: Others = NO_OTHERS,
  budget: Budget | undefined = undefined,
): Decision {
  const feature = given.ramp === undefined ? given : presentOf(given, surroundings.now);
  if (!feature.enabled) return feature.whenDisabled;

  if (feature.requires !== undefined) {
    const kept = keptOff(feature, feature.requires, subject, surroundings, others, budget);
    if (kept !== undefined) return kept;
  }

  const id = idUnder(feature, subject, surroundings);
  if (id === undefined) {
    const { rules } = feature;
    if (rules?.some((rule) => rule.isPartial && isOpen(rule, surroundings.now))) {
      return feature.whenNoOne;
    }
    if (feature.experiments?.some((name) => isLive(others.get(name)?.compiled, surroundings))) {
      return feature.whenNoOne;
    }
    return subject === undefined || subject === null ? feature.whenNoSubject : feature.whenNoId;
  }

  if (feature.excluded?.has(id)) return feature.whenExcluded;

  if (feature.rules !== undefined) {
    const decision = ruled(
      feature.rules,
      subject,
      id,
      surroundings,
      others,
      inStoredGroup,
      facts,
      feature.whenUnknown,
    );
    if (decision !== undefined) return decision;
  }

  if (feature.experiments !== undefined) {
    const decision = tested(feature, feature.experiments, subject, surroundings, others);
    if (decision !== undefined) return decision;
  }

  const member = facts.isMember(id);
  if (member === true) return served(feature, feature.whenMember, id);
  let isKnown = member !== undefined;
  if (feature.patterns !== undefined && matchesAny(feature.patterns, id)) {
    return served(feature, feature.whenPattern, id);
  }
  if (feature.groups !== undefined) {
    const isIn = isInGroup(feature, subject, surroundings, others);
    if (isIn === true) return served(feature, feature.whenGroup, id);
    if (isIn === undefined) isKnown = false;
  }
  if (feature.share.kind !== 'none') {
    const idCrc = crc32(id);
    const isIn = isInShare(feature, idCrc, id, subject, surroundings, others);
    if (isIn === true) return pick(feature, feature.whenPercentage, idCrc);
    if (isIn === undefined) isKnown = false;
  }
  return isKnown ? feature.otherwise : feature.whenUnknown;
}

/** The feature as it is now: one whose ramp is at 100% is on for everyone. */
export function presentOf(feature: CompiledFeature, now: () => number): CompiledFeature {
  const { ramp } = feature;
  return ramp !== undefined && percentageAt(ramp, now()) >= 100 ? ramp.complete : feature;
}

/** Whether the id is in the percentage; undefined where that was not looked up. */
export function isInShare(
  { share, ramp, buckets }: CompiledFeature,
  idCrc: number,
  id: string,
  subject: unknown,
  surroundings: Surroundings,
  others: Others,
): Answer {
  if (ramp === undefined) {
    if (share.kind !== 'population') return admits(share, idCrc, id);
    return isInBuckets(buckets as ReadonlySet<string>, subject, surroundings, others);
  }
  const percentage = percentageAt(ramp, surroundings.now());
  return admits(share, idCrc, id, thresholdUnder(share.kind as Bucketing, percentage));
}

function isInBuckets(
  buckets: ReadonlySet<string>,
  subject: unknown,
  surroundings: Surroundings,
  others: Others,
): Answer {
  const population = others.get(POPULATION);
  // Who is not registered is in no bucket.
  if (population === undefined) return false;
  const id = lookupId(population.compiled, subject, surroundings);
  if (id === undefined) return false;
  const bucket = population.facts.assigned(id);
  return bucket === undefined ? undefined : bucket !== null && buckets.has(bucket);
}

/** What the first experiment gives that is live and in which the subject has an arm. */
export function tested(
  feature: CompiledFeature,
  experiments: readonly string[],
  subject: unknown,
  surroundings: Surroundings,
  others: Others,
): Decision | undefined {
  for (const name of experiments) {
    const experiment = others.get(name);
    if (experiment === undefined) continue;
    const { compiled, facts } = experiment;
    const arm = decide(compiled, subject, facts, surroundings, others);
    if (arm.code === 'NEEDS_LOOKUP') return feature.whenUnknown;
    if (arm.variant === undefined) continue;
    const gives = givenBy(arm, feature.name);
    const decision = feature.inArm(readName(name)[1], gives);
    if (decision !== undefined) return decision;
  }
  return undefined;
}

/** Whether an experiment deals arms now. */
function isLive(experiment: CompiledFeature | undefined, { now }: Surroundings): boolean {
  return experiment?.enabled === true && (experiment.rules ?? []).some((rule) => isOpen(rule, now));
}

/** What keeps the feature off, if one of its prerequisites does. */
function keptOff(
  feature: CompiledFeature,
  requires: readonly Prerequisite[],
  subject: unknown,
  surroundings: Surroundings,
  others: Others,
  budget: Budget = { left: MOST_DECISIONS },
): Decision | undefined {
  for (const prerequisite of requires) {
    const other = others.get(prerequisite.feature);
    // Circles can't be written; where one is stored all the same, it ends here.
    if (other === undefined || budget.left-- <= 0) return feature.whenUnmet;
    const { compiled, facts } = other;
    const decision = decide(compiled, subject, facts, surroundings, others, budget);
    if (decision.code === 'NEEDS_LOOKUP') return feature.whenUnknown;
    if (!isMet(prerequisite, decision)) return feature.whenUnmet;
  }
  return undefined;
}

/** The id by which this feature knows the subject; undefined where there is none to be read. */
export function idUnder(
  feature: CompiledFeature,
  subject: unknown,
  surroundings: Surroundings,
): string | undefined {
  try {
    return subjectId(subject, feature.subjectKey, surroundings.identify);
  } catch (cause) {
    surroundings.unreadableSubject(feature.name, cause);
    return undefined;
  }
}

/** The id that `decide` will ask the facts about; undefined where it will not ask. */
export function lookupId(
  feature: CompiledFeature,
  subject: unknown,
  surroundings: Surroundings,
): string | undefined {
  if (!feature.enabled) return undefined;
  const id = idUnder(feature, subject, surroundings);
  return id !== undefined && feature.excluded?.has(id) ? undefined : id;
}

function matchesAny(patterns: readonly Matches[], id: string): boolean {
  for (const matches of patterns) if (matches(id)) return true;
  return false;
}

/** Undefined where that was not looked up. */
function isInGroup(
  feature: CompiledFeature,
  subject: unknown,
  surroundings: Surroundings,
  others: Others,
): Answer {
  if (feature.everyone) return true;
  let answer: Answer = false;
  for (const group of feature.groups as readonly string[]) {
    if (surroundings.inGroup(group, subject) === true) return true;
  }
  for (const group of feature.storedGroups) {
    const isIn = inStoredGroup(group, subject, surroundings, others);
    if (isIn === true) return true;
    if (isIn === null) answer = undefined;
  }
  return answer;
}

export const inStoredGroup: InStored = (name, subject, surroundings, others) => {
  const group = (others as Others).get(name);
  if (group === undefined) return undefined;
  // It refers to nothing, so that no circle can be stored.
  const { compiled, facts } = group;
  const decision = decide(compiled, subject, facts, surroundings as Surroundings);
  if (decision.code === 'NEEDS_LOOKUP') return null;
  return decision.reason === 'ERROR' ? undefined : decision.enabled;
};

function served(feature: CompiledFeature, answers: Answers, id: string): Decision {
  return feature.variants === undefined ? answers.plain : pick(feature, answers, crc32(id));
}

function pick(feature: CompiledFeature, answers: Answers, idCrc: number): Decision {
  if (feature.variants === undefined) return answers.plain;
  return answers.byVariant[chosen(feature.variants, idCrc)] as Decision;
}
