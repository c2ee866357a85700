import { createHash } from 'node:crypto';
import type { Decision } from '../../domain/decision.js';
import { DIGEST_BYTES, digestOf, type Evaluation, evaluationOf } from './evaluation.js';

/** Every feature evaluated for one subject, by key. */
export class FlagSet {
  private readonly evaluations: readonly Evaluation[];

  constructor(decisions: Iterable<Decision>) {
    // Processes hold them in different orders, and all should give one ETag.
    this.evaluations = Array.from(decisions).sort(byFeature).map(evaluationOf);
  }

  /**
   * Names what is told, and `more` that goes with it: the same as long as every answer is, whatever
   * has changed and what time it is. It is made of digests that are kept, so that a 304 needs no text.
   */
  etag(more: string): string {
    const { evaluations } = this;
    const bytes = new Uint8Array(evaluations.length * DIGEST_BYTES);
    for (let at = 0; at < evaluations.length; at++) {
      bytes.set(digestOf(evaluations[at] as Evaluation), at * DIGEST_BYTES);
    }
    const digest = createHash('sha256').update(bytes).update(more).digest('base64url');
    return `W/"${digest.slice(0, 27)}"`;
  }

  json(more: string): string {
    return `{"flags":[${this.evaluations.map(({ json }) => json).join(',')}]${more}}`;
  }
}

function byFeature({ feature: one }: Decision, { feature: other }: Decision): number {
  return one < other ? -1 : 1;
}
