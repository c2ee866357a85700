import { compile, decide, type Facts, type Surroundings } from '../../domain/decide.js';
import type { Feature } from '../../domain/feature.js';

/** Ids of a sample: enough for a tenth of a percent to show. */
export const SAMPLE = 10_000;

/** How a change comes out, by what is dealt alone. */
export interface Dealt {
  readonly gains: number;
  readonly loses: number;
  readonly changes: number;
  readonly stays: number;
}

/** What lets made-up ids in or keeps them out for another reason than how they are dealt. */
const BARE = {
  enabled: true,
  rules: [],
  requires: [],
  excluded: [],
  patterns: [],
  groups: [],
  experiments: [],
} satisfies Partial<Feature>;

const NOBODY: Facts = { isMember: () => false, assigned: () => null };

/**
 * Deals the same made-up ids by the percentage and the variants before a change and after it. They
 * have no attributes, so what asks for those is left out: it would say the same of all of them.
 */
export function dealtSample(before: Feature, after: Feature, now: number): Dealt {
  const surroundings: Surroundings = {
    identify: (subject) => (subject as { id?: unknown }).id,
    now: () => now,
    inGroup: () => undefined,
    segmentOf: () => undefined,
    unreadableSubject: () => {},
  };
  const [old, next] = [before, after].map((feature) => compile({ ...feature, ...BARE })) as [
    ReturnType<typeof compile>,
    ReturnType<typeof compile>,
  ];
  const subjectOf = ({ subjectKey }: Feature, id: string) =>
    subjectKey === undefined ? id : { id, [subjectKey]: id };
  const dealt = { gains: 0, loses: 0, changes: 0, stays: 0 };
  for (let at = 1; at <= SAMPLE; at++) {
    const id = `sample-${at}`;
    const was = decide(old, subjectOf(before, id), NOBODY, surroundings);
    const is = decide(next, subjectOf(after, id), NOBODY, surroundings);
    if (was.enabled !== is.enabled) dealt[is.enabled ? 'gains' : 'loses']++;
    else if (is.enabled && was.variant !== is.variant) dealt.changes++;
    else dealt.stays++;
  }
  return dealt;
}
