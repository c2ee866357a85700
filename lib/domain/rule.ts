import { admits, crc32, type Share, shareOf, thresholdOf } from './bucketing.js';
import {
  type CompiledCondition,
  type ConditionSettings,
  type ConditionSurroundings,
  compileCondition,
  groupsIn,
  type InStored,
  parseCondition,
} from './condition.js';
import { type Decision, off, on, onWith } from './decision.js';
import type { Feature, Rule, Serve, Variant } from './feature.js';
import { type Instant, instantOf, parseInstant } from './instant.js';
import {
  list,
  parseBoolean,
  parseJson,
  parseName,
  parseWeight,
  record,
  refused,
  refuseUnknown,
} from './parse.js';
import {
  type CompiledRamp,
  compileRamp,
  parseShare,
  percentageAt,
  type RampSettings,
} from './ramp.js';
import { type Choice, choiceOf, chosen, variantChoiceOf } from './variant.js';

/** A rule as `addFeature` and `update` take it. */
export interface RuleSettings<VariantName extends string = string> {
  id: string;
  description?: string;
  when: ConditionSettings;
  from?: Instant;
  until?: Instant;
  percentage?: number | RampSettings;
  serve:
    | 'on'
    | 'off'
    | { variant: VariantName }
    | { split: Iterable<readonly [variant: VariantName, weight: number]> };
  /** Who has used a variant (`use`, `create`) keeps it, whatever the weights become. Default false. */
  sticky?: boolean;
}

const FIELDS = new Set([
  'id',
  'description',
  'when',
  'from',
  'until',
  'percentage',
  'serve',
  'sticky',
]);

/** Each is tried in turn by a check. */
const MOST_RULES = 100;

/** `strict`: they come from a caller, so a field that a rule doesn't have is a mistake. */
export function parseRules(
  value: unknown,
  variants: readonly Variant[],
  strict: boolean,
): readonly Rule[] {
  const rules = list(value, 'rules', (item, path) => parseRule(item, path, variants, strict));
  if (rules.length > MOST_RULES) {
    throw refused('rules', `to be at most ${MOST_RULES}`, rules.length);
  }
  const ids = new Set<string>();
  for (const [at, { id }] of rules.entries()) {
    if (ids.has(id)) throw refused(`rules[${at}].id`, 'to be unique', id);
    ids.add(id);
  }
  return rules;
}

function parseRule(
  value: unknown,
  path: string,
  variants: readonly Variant[],
  strict: boolean,
): Rule {
  const given = record(value, path);
  if (strict) refuseUnknown(given, FIELDS, path);
  const { description, from, until, percentage, sticky } = given;
  if (description !== undefined && typeof description !== 'string') {
    throw refused(`${path}.description`, 'to be text', description);
  }
  const unknown = Object.entries(given).filter(([field]) => !FIELDS.has(field));
  const rule = Object.freeze({
    ...Object.fromEntries(unknown.map(([key, v]) => [key, parseJson(v, `${path}.${key}`)])),
    id: parseName(given.id, `${path}.id`),
    ...(description !== undefined && { description }),
    when: parseCondition(given.when, `${path}.when`),
    ...(from !== undefined && { from: parseInstant(from, `${path}.from`) }),
    ...(until !== undefined && { until: parseInstant(until, `${path}.until`) }),
    ...(percentage !== undefined && {
      percentage: parseShare(percentage, `${path}.percentage`),
    }),
    serve: parseServe(given.serve, `${path}.serve`, variants),
    ...(sticky !== undefined && { sticky: parseBoolean(sticky, `${path}.sticky`) }),
  });
  if (from !== undefined && until !== undefined) {
    if ((instantOf(rule.until) as number) <= (instantOf(rule.from) as number)) {
      throw refused(`${path}.until`, 'to be after `from`', until);
    }
  }
  return rule;
}

function parseServe(value: unknown, path: string, variants: readonly Variant[]): Serve {
  if (value === 'on' || value === 'off') return value;
  const given = (value ?? {}) as { variant?: unknown; split?: unknown };
  if (given.variant !== undefined && given.split === undefined) {
    refuseUnknown(given, new Set(['variant']), path);
    return Object.freeze({ variant: parseVariantName(given.variant, `${path}.variant`, variants) });
  }
  if (given.split === undefined || given.variant !== undefined) {
    throw refused(
      path,
      "to be 'on', 'off', { variant } or { split: [[variant, weight], …] }",
      value,
    );
  }
  refuseUnknown(given, new Set(['split']), path);
  const split = list(given.split, `${path}.split`, (item, at) => {
    const [variant, weight] = list(item, at, (part) => part);
    return Object.freeze([
      parseVariantName(variant, `${at}[0]`, variants),
      parseWeight(weight, `${at}[1]`),
    ] as const);
  });
  if (!split.some(([, weight]) => weight > 0)) {
    throw refused(`${path}.split`, 'to have a total weight above 0', split);
  }
  return Object.freeze({ split });
}

function parseVariantName(value: unknown, path: string, variants: readonly Variant[]): string {
  if (variants.some(({ name }) => name === value)) return value as string;
  throw refused(path, 'to be the name of one of `variants`', value);
}

/** A rule made ready. */
export interface CompiledRule {
  readonly rule: Rule;
  readonly condition: CompiledCondition;
  /** Unix ms; minus and plus infinity where it has no such end. */
  readonly from: number;
  readonly until: number;
  readonly share: Share;
  /** Where its percentage changes with time. */
  readonly ramp: CompiledRamp | undefined;
  /** Where it can't be computed whether it holds, it does: only then nobody gets in by mistake. */
  readonly closes: boolean;
  /** Not everyone is on by it: without a subject it can't be told. */
  readonly isPartial: boolean;
  /** Undefined where it serves one answer alone. */
  readonly choice: Choice | undefined;
  readonly answers: readonly Decision[];
  /** Where it is sticky: the place of each variant among its answers. */
  readonly kept: ReadonlyMap<string, number> | undefined;
  /** Whom its condition asks about, of stored groups. */
  readonly groups: readonly string[];
}

export function compileRule(rule: Rule, feature: Feature, inStored: InStored): CompiledRule {
  const { name, variants } = feature;
  const { id, serve, percentage = 100, sticky = false } = rule;
  const isRamp = typeof percentage === 'object';
  const isShared = isRamp || percentage < 100;
  const split = typeof serve === 'object' && 'split' in serve ? serve.split : undefined;
  const reason = isShared || split !== undefined ? 'SPLIT' : 'TARGETING_MATCH';
  const withVariant = (wanted: string) =>
    onWith(
      feature,
      reason,
      'rule',
      variants.find((variant) => variant.name === wanted),
      { rule: id },
    );
  let choice: Choice | undefined;
  let answers: Decision[];
  if (serve === 'off') answers = [off(feature, reason, 'rule', { rule: id })];
  else if (split !== undefined) {
    choice = choiceOf(
      split.map(([, weight]) => ({ weight })),
      `${name}/split/${id}`,
    );
    answers = split.map(([variant]) => withVariant(variant));
  } else if (serve === 'on') {
    choice = variantChoiceOf(feature);
    answers = choice
      ? variants.map((each) => withVariant(each.name))
      : [on(name, reason, 'rule', { rule: id })];
  } else answers = [withVariant((serve as { variant: string }).variant)];
  return {
    rule,
    condition: compileCondition(rule.when, name, inStored),
    from: instantOf(rule.from) ?? Number.NEGATIVE_INFINITY,
    until: instantOf(rule.until) ?? Number.POSITIVE_INFINITY,
    // Of a ramp, only how it chooses.
    share: shareOf(isRamp ? 50 : percentage, 'independent', `${name}/rule/${id}`),
    ramp: isRamp ? compileRamp(percentage) : undefined,
    closes: serve === 'off',
    isPartial: serve === 'off' || isShared || split !== undefined,
    choice,
    answers,
    kept: sticky
      ? new Map(answers.map(({ variant = '' }, at) => [variant, at] as const))
      : undefined,
    groups: groupsIn(rule.when),
  };
}

/** Whether a rule with a window is in it; `now` is asked only where there is one. */
export function isOpen({ from, until }: CompiledRule, now: () => number): boolean {
  if (from === Number.NEGATIVE_INFINITY && until === Number.POSITIVE_INFINITY) return true;
  const at = now();
  return from <= at && at < until;
}

/** Whether the id is in the rule's percentage. */
export function isWithin(
  { share, ramp }: CompiledRule,
  idCrc: number,
  id: string,
  now: () => number,
): boolean {
  if (ramp === undefined) return admits(share, idCrc, id);
  return admits(share, idCrc, id, thresholdOf(percentageAt(ramp, now())));
}

/**
 * What the first rule that holds serves; undefined where none does. `unknown` where that depends on
 * something that was not looked up.
 */
export function ruled(
  rules: readonly CompiledRule[],
  subject: unknown,
  id: string,
  surroundings: ConditionSurroundings & { now(): number },
  others: object,
  inStored: InStored,
  facts: { assigned(id: string): string | null | undefined },
  unknown: Decision,
): Decision | undefined {
  for (const rule of rules) {
    if (!isOpen(rule, surroundings.now)) continue;
    const holds = rule.condition.test(subject, id, surroundings, others);
    if (holds === undefined) {
      for (const group of rule.groups) {
        if (inStored(group, subject, surroundings, others) === null) return unknown;
      }
    }
    if (holds === true || (holds === undefined && rule.closes)) {
      const { share, choice, answers, kept } = rule;
      if (share.kind === 'all' && choice === undefined) return answers[0];
      const idCrc = crc32(id);
      if (!isWithin(rule, idCrc, id, surroundings.now)) continue;
      if (choice === undefined) return answers[0];
      if (kept !== undefined) {
        const variant = facts.assigned(id);
        if (variant === undefined) return unknown;
        const at = variant === null ? undefined : kept.get(variant);
        if (at !== undefined) return answers[at];
      }
      return answers[chosen(choice, idCrc)];
    }
  }
  return undefined;
}
