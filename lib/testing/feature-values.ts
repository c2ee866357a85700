import type { Feature } from '../domain/feature.js';
import { parseName } from '../domain/parse.js';
import { createFeature, type FeatureSettings } from '../domain/validate.js';
import { HanoiError, hasCode, invalid } from '../errors.js';
import type { AnyFeatures, FeatureMap, NameOf, VariantOf } from '../feature-map.js';
import type { Rollout } from '../rollout.js';

/** The feature map of an app: itself, or that of its `Rollout`'s type. */
export type FeaturesOf<App> =
  App extends Rollout<infer Features> ? Features : App extends FeatureMap ? App : never;

/**
 * What a test can say of a feature. `true` and `false`: on and off, whoever is asked about, also
 * nobody. A variant's name: on with that one, which is its value too. Settings: decided by as if the
 * feature had been added with them, without members and experiments.
 */
export type FeatureValue<Described = unknown> =
  | boolean
  | VariantOf<Described>
  | FeatureSettings<VariantOf<Described>>;

/** What a test says of some features, by name. */
export type FeatureValues<App = AnyFeatures> = {
  readonly [Name in NameOf<FeaturesOf<App>>]?: FeatureValue<FeaturesOf<App>[Name]>;
};

/** The document by which the feature is as was said. INVALID_ARGUMENT, INVALID_FEATURE. */
export function documentOf(name: string, value: unknown): Feature {
  try {
    return createFeature(parseName(name, 'name'), 'said by a test', settingsOf(name, value));
  } catch (cause) {
    if (!hasCode(cause, 'INVALID_FEATURE')) throw cause;
    const { code, path, message } = cause;
    // Of several features it would not be clear which one.
    throw new HanoiError(code, `Feature ${JSON.stringify(name)}: ${message}`, {
      feature: name,
      ...(path !== undefined && { path }),
      cause,
    });
  }
}

function settingsOf(name: string, value: unknown): FeatureSettings {
  if (typeof value === 'boolean') return value ? { percentage: 100 } : { enabled: false };
  if (typeof value === 'string') return { percentage: 100, variants: [value] };
  if (typeof value === 'object' && value !== null) return value;
  throw invalid(
    `true, false, a variant's name or settings for feature ${JSON.stringify(name)}`,
    value,
  );
}
