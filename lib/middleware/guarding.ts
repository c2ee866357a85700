import type { Decision } from '../domain/decision.js';
import { invalid, refuseUnknownOptions } from '../errors.js';
import { type Deciding, type RequirementOptions, requirementOf } from '../requirement.js';
import { askedBy, type SubjectOf } from './subject-of.js';

/** What every guard of requests can be told; `Args` is what its framework hands to a handler. */
export interface RequestGuardOptions<Args extends readonly unknown[], Result = unknown>
  extends RequirementOptions {
  /** Who asks, by the request or its context. Default: the current subject, as the middleware sets it. */
  readonly subjectOf?: SubjectOf<Args[0]> | undefined;
  /** Called with what the framework hands to a handler, instead of refusing. */
  readonly otherwise?: ((...args: Args) => Result) | undefined;
}

/** Gives the decision that keeps a request out, or undefined. Rejects with what `subjectOf` throws. */
export type Refusal<Request> = (request: Request) => Promise<Decision | undefined>;

/** INVALID_ARGUMENT for what would fail at the first request. */
export function refusalOf<Args extends readonly unknown[], Name extends string>(
  rollout: Deciding<Name>,
  features: Name | readonly Name[],
  options: RequestGuardOptions<Args>,
): Refusal<Args[0]> {
  if (typeof (rollout as Partial<Deciding> | null)?.decide !== 'function') {
    throw invalid('a Rollout as the first argument', rollout);
  }
  refuseUnknownOptions(options, ['variant', 'subjectOf', 'otherwise']);
  const { subjectOf, otherwise } = options;
  for (const [option, fn] of Object.entries({ subjectOf, otherwise })) {
    if (fn !== undefined && typeof fn !== 'function') {
      throw invalid(`\`${option}\` to be a function`, fn);
    }
  }
  const requirement = requirementOf(features, options);
  return async (request) => {
    if (subjectOf === undefined) return requirement((name) => rollout.decide(name as Name));
    const subject = await askedBy(subjectOf, request);
    return requirement((name) => rollout.decide(name as Name, subject));
  };
}
