import { readName } from '../stored-name.js';
import type { Answer } from './attribute.js';
import { crc32 } from './bucketing.js';
import type { CompiledCondition } from './condition.js';
import {
  type CompiledFeature,
  decide,
  type Facts,
  idUnder,
  inStoredGroup,
  isInShare,
  type Others,
  presentOf,
  type Surroundings,
  tested,
} from './decide.js';
import type { Decision } from './decision.js';
import type { Condition } from './feature.js';
import { isMet } from './prerequisite.js';
import { type CompiledRule, isOpen, isWithin } from './rule.js';

/** How one step of a decision came out. */
export interface ExplainedStep {
  /** `kill switch`, `requires`, `subject`, `excluded`, `rule`, `experiment`, `member`, `pattern`, `group`, `percentage` or `otherwise`. */
  readonly step: string;
  /** The rule's id, of a rule. */
  readonly rule?: string;
  /** `answers`: this step decided. `passes`: it did not apply. `not reached`: one before it decided. */
  readonly outcome: 'answers' | 'passes' | 'not reached';
  readonly why: string;
  /** Of a rule that was asked: how its conditions came out. */
  readonly when?: ExplainedCondition;
}

export interface ExplainedCondition {
  readonly condition: Condition;
  readonly holds: boolean | 'unknown';
  readonly parts: readonly ExplainedCondition[];
}

/** A decision, and why every step before it did not answer. */
export interface Explanation {
  readonly decision: Decision;
  readonly steps: readonly ExplainedStep[];
}

/** Undefined where the step does not answer; why, in either case. */
type Told = readonly [answers: boolean, why: string, when?: ExplainedCondition];

interface Step {
  readonly step: string;
  readonly rule?: string;
  readonly ask: () => Told;
}

/** The same decision as `decide`, and how each of its steps came out. */
export function explain(
  given: CompiledFeature,
  subject: unknown,
  facts: Facts,
  surroundings: Surroundings,
  others: Others,
): Explanation {
  const feature = presentOf(given, surroundings.now);
  const decision = decide(feature, subject, facts, surroundings, others);
  let isAnswered = false;
  const steps = stepsOf(feature, subject, facts, surroundings, others).map(
    ({ ask, ...step }): ExplainedStep => {
      if (isAnswered) return { ...step, outcome: 'not reached', why: 'A step before it answered.' };
      const [answers, why, when] = ask();
      isAnswered = answers;
      return { ...step, outcome: answers ? 'answers' : 'passes', why, ...(when && { when }) };
    },
  );
  return { decision, steps };
}

function stepsOf(
  feature: CompiledFeature,
  subject: unknown,
  facts: Facts,
  surroundings: Surroundings,
  others: Others,
): Step[] {
  const {
    requires = [],
    enabled,
    excluded,
    rules = [],
    patterns = [],
    experiments = [],
    everyone,
    groups = [],
    storedGroups,
    share,
  } = feature;
  const found = enabled ? idUnder(feature, subject, surroundings) : undefined;
  const id = found as string;
  return [
    {
      step: 'kill switch',
      ask: () => {
        if (enabled) return [false, 'The feature is enabled.'];
        const { code } = feature.whenDisabled;
        return [
          true,
          code ? `Its document can not be read (${code}).` : 'The feature is disabled.',
        ];
      },
    },
    {
      step: 'requires',
      ask: () => {
        for (const prerequisite of requires) {
          const other = others.get(prerequisite.feature);
          const name = JSON.stringify(prerequisite.feature);
          if (other === undefined) return [true, `There is no feature ${name}.`];
          const decision = decide(other.compiled, subject, other.facts, surroundings, others);
          if (!isMet(prerequisite, decision)) {
            const { enabled: isOn, variant, detail } = decision;
            const what = isOn
              ? `on, with ${variant ? `variant ${JSON.stringify(variant)}` : 'no variant'}`
              : 'off';
            return [true, `Feature ${name} is ${what} (${detail}).`];
          }
        }
        return [false, requires.length === 0 ? 'There are none.' : 'All are met.'];
      },
    },
    {
      step: 'subject',
      ask: () => {
        if (found !== undefined) return [false, 'The subject has an id.'];
        const isNone = subject === undefined || subject === null;
        return [true, isNone ? 'There is no subject.' : 'The subject has no id that can be read.'];
      },
    },
    {
      step: 'excluded',
      ask: () =>
        excluded?.has(id) ? [true, 'The id is excluded.'] : [false, 'The id is not excluded.'],
    },
    ...rules.map(
      (rule): Step => ({
        step: 'rule',
        rule: rule.rule.id,
        ask: () => ruleTold(rule, subject, id, facts, surroundings, others),
      }),
    ),
    ...experiments.map(
      (stored): Step => ({
        step: 'experiment',
        ask: () => {
          const [, name] = readName(stored);
          const experiment = others.get(stored);
          const title = `Experiment ${JSON.stringify(name)}`;
          if (experiment === undefined) return [false, `${title} does not exist.`];
          const { compiled, facts: kept } = experiment;
          const arm = decide(compiled, subject, kept, surroundings, others);
          if (arm.code === 'NEEDS_LOOKUP') return [true, `${title}: the arm is not known here.`];
          if (arm.variant === undefined) {
            return [false, `${title} gives the subject no arm (${arm.detail}).`];
          }
          const which = `${title} has the subject in arm ${JSON.stringify(arm.variant)}`;
          return tested(feature, [stored], subject, surroundings, others) === undefined
            ? [false, `${which}, which gives nothing that this feature has.`]
            : [true, `${which}.`];
        },
      }),
    ),
    {
      step: 'member',
      ask: () => {
        const isMember = facts.isMember(id);
        if (isMember === undefined) return [false, 'Whether it is a member is not known here.'];
        return [isMember, isMember ? 'The id is a member.' : 'The id is no member.'];
      },
    },
    {
      step: 'pattern',
      ask: () => {
        const matching = patterns.findIndex((matches) => matches(id));
        if (matching !== -1) return [true, `The id matches patterns[${matching}].`];
        return [false, patterns.length === 0 ? 'There are none.' : 'The id matches none.'];
      },
    },
    {
      step: 'group',
      ask: () => {
        if (everyone) return [true, 'Everyone is let in by group.'];
        const group = groups.find((each) => surroundings.inGroup(each, subject) === true);
        if (group !== undefined) return [true, `The subject is in group ${JSON.stringify(group)}.`];
        const stored = storedGroups.find(
          (each) => inStoredGroup(each, subject, surroundings, others) === true,
        );
        if (stored !== undefined) {
          const [, name] = readName(stored);
          return [true, `The subject is in the stored group ${JSON.stringify(name)}.`];
        }
        return [false, groups.length === 0 ? 'There are none.' : 'The subject is in none of them.'];
      },
    },
    {
      step: 'percentage',
      ask: () => {
        if (share.kind === 'none') return [false, 'It is 0.'];
        if (share.kind === 'all') return [true, 'It is 100.'];
        const isIn = isInShare(feature, crc32(id), id, subject, surroundings, others);
        if (isIn === undefined) return [false, 'Whether the id is within it is not known here.'];
        return [isIn, isIn ? 'The id is within it.' : 'The id is not within it.'];
      },
    },
    {
      step: 'otherwise',
      ask: () => [true, 'Nothing before it has answered.'],
    },
  ];
}

function ruleTold(
  rule: CompiledRule,
  subject: unknown,
  id: string,
  facts: Facts,
  surroundings: Surroundings,
  others: Others,
): Told {
  if (!isOpen(rule, surroundings.now)) return [false, 'It is not within its window.'];
  const when = conditionTold(rule.condition, subject, id, surroundings, others);
  if (when.holds === false) return [false, 'Its condition does not hold.', when];
  const isOpenQuestion =
    when.holds === 'unknown' &&
    rule.groups.some((each) => inStoredGroup(each, subject, surroundings, others) === null);
  if (isOpenQuestion) return [true, 'Whether its condition holds is not known here.', when];
  if (when.holds === 'unknown' && !rule.closes) {
    return [false, 'Whether its condition holds can not be told.', when];
  }
  if (!isWithin(rule, crc32(id), id, surroundings.now))
    return [false, 'The id is not within its percentage.', when];
  const kept = rule.kept === undefined ? null : facts.assigned(id);
  if (kept === undefined) return [true, 'Which variant is kept is not known here.', when];
  if (kept !== null && rule.kept?.has(kept)) {
    return [true, `Its condition holds, and ${JSON.stringify(kept)} is kept.`, when];
  }
  if (when.holds === true) return [true, 'Its condition holds.', when];
  return [true, 'Whether its condition holds can not be told, and it serves off.', when];
}

function conditionTold(
  { condition, parts, test }: CompiledCondition,
  subject: unknown,
  id: string,
  surroundings: Surroundings,
  others: Others,
): ExplainedCondition {
  const answer: Answer = test(subject, id, surroundings, others);
  return {
    condition,
    holds: answer ?? 'unknown',
    parts: parts.map((part) => conditionTold(part, subject, id, surroundings, others)),
  };
}
