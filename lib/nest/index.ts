export type { HanoiModuleOptions } from './app-rollout.js';
export { type FeatureDecorators, featureDecorators } from './feature-decorators.js';
export { HanoiModule } from './module.js';
export {
  FeatureDecision,
  FeatureEnabled,
  FeatureSnapshot,
  FeatureValue,
  FeatureVariant,
} from './parameters.js';
export { RequireFeature, type RequireFeatureOptions } from './require-feature.js';
