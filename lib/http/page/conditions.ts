import type { Condition, Pattern, Ramp, Rule, Serve } from '../../domain/feature.js';
import { listOf, percentOf } from './wording.js';

/** How an operator reads between an attribute and a value. */
const OPERATORS: { readonly [op: string]: string } = {
  equals: 'is',
  in: 'is one of',
  lessThan: 'is less than',
  atMost: 'is at most',
  moreThan: 'is more than',
  atLeast: 'is at least',
  startsWith: 'starts with',
  endsWith: 'ends with',
  contains: 'contains',
  matches: 'matches',
  exists: 'is there',
  before: 'is before',
  after: 'is after',
  satisfies: 'satisfies',
};

/** Who a rule is for, in words. */
export function conditionText(condition: Condition, isInner: boolean = false): string {
  if ('all' in condition) return joined(condition.all, 'and', 'everyone', isInner);
  if ('any' in condition) return joined(condition.any, 'or', 'nobody', isInner);
  if ('not' in condition) return `not (${conditionText(condition.not)})`;
  if ('users' in condition) return `the id is one of ${listOf(condition.users)}`;
  if ('matches' in condition) return `the id matches ${patternText(condition.matches)}`;
  if ('group' in condition) {
    return condition.group === 'all' ? 'everyone' : `in the group ${condition.group}`;
  }
  if ('segment' in condition) return `${condition.segment} is ${listOf(condition.in)}`;
  if ('attribute' in condition) {
    const { attribute, op, value } = condition;
    const what = value === undefined ? '' : ` ${JSON.stringify(value)}`;
    return `${attribute} ${OPERATORS[op] ?? op}${what}`;
  }
  return 'something that this version does not know';
}

function joined(
  conditions: readonly Condition[],
  word: string,
  none: string,
  isInner: boolean,
): string {
  if (conditions.length === 0) return none;
  const text = conditions.map((each) => conditionText(each, true)).join(` ${word} `);
  return isInner && conditions.length > 1 ? `(${text})` : text;
}

export function patternText({ source, flags = '' }: Partial<Pattern>): string {
  return `/${source}/${flags}`;
}

/** What a rule serves, in words. */
export function serveText(serve: Serve): string {
  if (serve === 'on' || serve === 'off') return serve;
  if ('variant' in serve) return `the variant ${serve.variant}`;
  const total = serve.split.reduce((sum, [, weight]) => sum + weight, 0);
  return serve.split
    .map(([variant, weight]) => `${variant} ${percentOf((100 * weight) / total, 1)}`)
    .join(', ');
}

/** Whether a rule is an override of a group: those stand by themselves. */
export function overriddenBy({ id }: Pick<Rule, 'id'>): string | undefined {
  return id.startsWith('override/') ? id.slice('override/'.length) : undefined;
}

export function shareText(share: number | Ramp): string {
  if (typeof share === 'number') return percentOf(share);
  const [first, last] = [share.points[0], share.points.at(-1)];
  return `${percentOf(first?.percentage ?? 0)} to ${percentOf(last?.percentage ?? 0)} with time`;
}
