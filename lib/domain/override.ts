import type { Rule } from './feature.js';
import type { RuleSettings } from './rule.js';

/** What the ids of the rules begin with that are overrides. */
const PREFIX = 'override/';

/**
 * The rules with this override for a group, before all that is no override: behind those that were
 * there before it, or in the place of the group's own.
 */
export function rulesWithOverride(
  rules: readonly Rule[],
  group: string,
  serve: RuleSettings['serve'],
): RuleSettings[] {
  const override = { id: PREFIX + group, when: { group }, serve };
  const isThere = rules.some(({ id }) => id === override.id);
  if (isThere) return rules.map((rule) => (rule.id === override.id ? override : rule));
  const overrides = rules.filter(isOverride);
  return [...overrides, override, ...rules.filter((rule) => !isOverride(rule))];
}

export function rulesWithoutOverride(rules: readonly Rule[], group: string): readonly Rule[] {
  return rules.filter(({ id }) => id !== PREFIX + group);
}

function isOverride({ id }: Rule): boolean {
  return id.startsWith(PREFIX);
}
