import type { Decision } from './domain/decision.js';

/** That a subject has used what it was given, for the team's analytics. */
export interface Exposure
  extends Pick<
    Decision,
    'feature' | 'enabled' | 'variant' | 'value' | 'reason' | 'detail' | 'rule' | 'experiment'
  > {
  /** The id by which the feature knows the subject. */
  readonly subject: string;
  /** Of an experiment: the one that gave the variant. Who was dealt anew since is counted in the first. */
  readonly arm: string | undefined;
  /** Unix ms, by the rollout's clock. */
  readonly at: number;
}
