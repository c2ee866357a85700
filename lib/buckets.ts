import type { Head, Source } from './backends/backend.js';
import type { Feature } from './domain/feature.js';
import { bucketsFor } from './domain/population.js';
import { withBuckets } from './domain/validate.js';
import { notFound } from './errors.js';
import { POPULATION } from './stored-name.js';

/**
 * The document with the buckets that its percentage takes of the population as it is now, where they
 * are still to be chosen; and the head of the population, where it was asked. `before` itself where
 * that says the same. FEATURE_NOT_FOUND where there is no population.
 */
export async function withBucketsChosen(
  source: Source,
  document: Feature,
  before: Feature | undefined,
): Promise<{ readonly document: Feature; readonly population?: Head | undefined }> {
  const { name, percentage, bucketing, buckets } = document;
  if (bucketing !== 'population' || buckets !== undefined || typeof percentage !== 'number') {
    return { document };
  }
  // Nobody and everybody are so without one.
  if (percentage === 0 || percentage === 100) {
    return { document: withBuckets(document, [], before) };
  }
  const stored = await source.load(POPULATION);
  if (stored === undefined) throw notFound(POPULATION);
  const { head, feature: population, problem } = stored;
  if (population === undefined) throw problem;
  const assigned = await source.assignedWeights(POPULATION);
  const weights = new Map(
    population.variants.map((bucket) => [bucket.name, assigned.get(bucket.name) ?? 0]),
  );
  const chosen = bucketsFor({ name, percentage, before: shareOf(before) }, weights);
  return { document: withBuckets(document, chosen, before), population: head };
}

function shareOf(before: Feature | undefined) {
  const { percentage, bucketing, buckets } = before ?? {};
  const isOne = bucketing === 'population' && typeof percentage === 'number';
  return isOne ? { percentage, buckets } : undefined;
}
