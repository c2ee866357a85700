export { failOnUndefined } from '../overrides.js';
export {
  type BackendContractOptions,
  backendContract,
  type ContractCase,
  type Deviation,
} from './contract/contract.js';
export {
  type Combination,
  type EveryCombinationOptions,
  everyCombination,
  type ValuesToCombine,
} from './every-combination.js';
export type { FeatureValue, FeatureValues } from './feature-values.js';
export { type ManualClock, manualClock } from './manual-clock.js';
export { type WithFeaturesOptions, withFeatures } from './with-features.js';
