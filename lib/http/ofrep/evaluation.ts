import { createHash } from 'node:crypto';
import { type Decision, plainValueOf } from '../../domain/decision.js';

/** A decision as the protocol tells it. */
export interface Evaluation {
  /** Of an answer about this feature alone. */
  readonly status: 200 | 404 | 500;
  readonly json: string;
}

/** What is said of a failure, and no more: the rest is in the rollout's events. */
export const FAILURES = {
  FLAG_NOT_FOUND: 'There is no feature of this name.',
  PARSE_ERROR: 'What is stored of the feature can not be read.',
  GENERAL: 'The feature could not be evaluated.',
} as const;

/** The reasons that the protocol has a word for. */
const SHARED: ReadonlySet<string> = new Set(['STATIC', 'TARGETING_MATCH', 'SPLIT', 'DISABLED']);

// A feature has a handful of decisions, which are the same objects at each check.
const told = new WeakMap<Decision, Evaluation>();
const digests = new WeakMap<Evaluation, Uint8Array>();

/**
 * Says the value, the variant and the reason, and of what led to them nothing: neither the rule, nor
 * the experiment, nor the gate. Where the value is left out, the caller's own default holds.
 */
export function evaluationOf(decision: Decision): Evaluation {
  let evaluation = told.get(decision);
  if (evaluation === undefined) {
    evaluation = tell(decision);
    told.set(decision, evaluation);
  }
  return evaluation;
}

export const DIGEST_BYTES = 16;

/** Of the JSON; the same for the same. */
export function digestOf(evaluation: Evaluation): Uint8Array {
  let digest = digests.get(evaluation);
  if (digest === undefined) {
    digest = createHash('sha256').update(evaluation.json).digest().subarray(0, DIGEST_BYTES);
    digests.set(evaluation, digest);
  }
  return digest;
}

function tell(decision: Decision): Evaluation {
  const { feature: key, variant, reason, enabled, errorCode } = decision;
  if (errorCode !== undefined) {
    const json = JSON.stringify({ key, errorCode, errorDetails: FAILURES[errorCode] });
    return { status: errorCode === 'FLAG_NOT_FOUND' ? 404 : 500, json };
  }
  const value = plainValueOf(decision);
  const isShared = SHARED.has(reason);
  const json = JSON.stringify({
    key,
    ...(value !== undefined && { value }),
    reason: isShared ? reason : 'UNKNOWN',
    ...(variant !== undefined && { variant }),
    // DEFAULT and STALE are OpenFeature's words too, but the protocol does not take them.
    metadata: isShared ? { enabled } : { enabled, reason },
  });
  return { status: 200, json };
}
