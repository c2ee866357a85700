import { currentSubject, runAs } from '../current-user.js';
import { record } from '../domain/parse.js';
import { invalid, refuseUnknownOptions } from '../errors.js';
import type { AnyFeatures, FeatureMap } from '../feature-map.js';
import { currentOverrides, runOverridden } from '../overrides.js';
import { documentOf, type FeatureValues } from './feature-values.js';

export interface WithFeaturesOptions {
  /**
   * Whether a check of a feature that neither the test nor the store defines fails: it rejects, or
   * throws where it is synchronous, with FEATURE_NOT_FOUND. Where it doesn't, it answers as in
   * production. Default: as in the call around, and true in the outermost.
   */
  failOnUndefined?: boolean;
}

/**
 * Calls `fn`, and for it and all that it starts (awaits, timers, callbacks) every `Rollout` of the
 * process answers for these features as is said here, on any backend; for others, as ever. A backend
 * is asked for no more than what settings refer to: groups, and features that are not said here.
 * Calls that overlap don't meet. In a call within another both hold, and of one feature the inner.
 * What was pinned around (`runAs`) holds no more, since it may depend on what is said here.
 *
 * What checks answer is redirected, and nothing else: writes go to the store, and reads of documents,
 * members and history come from it. Uses of what is said here are told, and not kept.
 *
 * With the type of the app's `Rollout`, or its feature map, names and variants are checked:
 * `withFeatures<typeof rollout>(…)`. INVALID_ARGUMENT, INVALID_FEATURE.
 */
export function withFeatures<Result>(
  features: FeatureValues,
  fn: () => Result,
  options?: WithFeaturesOptions,
): Result;
export function withFeatures<App extends FeatureMap = AnyFeatures>(
  features: FeatureValues<App>,
  fn: () => Promise<unknown>,
  options?: WithFeaturesOptions,
): Promise<unknown>;
export function withFeatures<App extends FeatureMap = AnyFeatures>(
  features: FeatureValues<App>,
  fn: () => unknown,
  options?: WithFeaturesOptions,
): unknown;
export function withFeatures(
  features: FeatureValues,
  fn: () => unknown,
  options: WithFeaturesOptions = {},
): unknown {
  if (typeof fn !== 'function') throw invalid('a function to call', fn);
  refuseUnknownOptions(options, ['failOnUndefined']);
  const failOnUndefined = failsUnder(options);
  const all = new Map(currentOverrides()?.features);
  for (const [name, value] of Object.entries(record(features, 'features'))) {
    all.set(name, documentOf(name, value));
  }
  const overrides = { features: all, failOnUndefined };
  // Within runAs nothing is pinned, until somebody pins anew.
  return runOverridden(overrides, () => runAs(currentSubject(), fn));
}

/** What the option says, or else is said around. INVALID_ARGUMENT. */
export function failsUnder(options: WithFeaturesOptions): boolean {
  const { failOnUndefined = currentOverrides()?.failOnUndefined ?? true } = options;
  if (typeof failOnUndefined === 'boolean') return failOnUndefined;
  throw invalid('`failOnUndefined` to be true or false', failOnUndefined);
}
