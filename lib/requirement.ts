import type { Decision } from './domain/decision.js';
import type { Subject } from './domain/subject.js';
import { HanoiError, invalid } from './errors.js';

/** A `Rollout` that has features of these names, of whichever copy of the package. */
export interface Deciding<Name extends string = string> {
  decide(name: Name, subject?: Subject | null): Promise<Decision>;
}

export interface RequirementOptions {
  /** Of a single feature: the variant that has to be served, or those of which one has to. */
  readonly variant?: string | readonly string[] | undefined;
}

/**
 * What has to be on for a subject to come through. It gives the decision that keeps the subject out,
 * the first in the order of the features, or undefined for who comes through. The decisions are asked
 * for at once, so that they share a round trip.
 */
export type Requirement = (
  decide: (feature: string) => Promise<Decision>,
) => Promise<Decision | undefined>;

/** INVALID_ARGUMENT. */
export function requirementOf(
  features: string | readonly string[],
  { variant }: RequirementOptions,
): Requirement {
  const names = listOf(features, 'the name of a feature, or several');
  const variants =
    variant === undefined ? undefined : listOf(variant, '`variant` to be a name, or several');
  if (variants !== undefined && names.length > 1) {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      'Expected a single feature where a `variant` is required. Put one guard after the other.',
    );
  }
  const isMet = ({ enabled, variant: served }: Decision): boolean =>
    enabled && (variants === undefined || (served !== undefined && variants.includes(served)));
  return async (decide) => {
    const decisions = await Promise.all(names.map((name) => decide(name)));
    return decisions.find((decision) => !isMet(decision));
  };
}

function listOf(names: string | readonly string[], expected: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(names) ? [...names] : [names];
  const isFit = list.length > 0 && list.every((name) => typeof name === 'string' && name !== '');
  if (!isFit) throw invalid(expected, names);
  return list as readonly string[];
}
