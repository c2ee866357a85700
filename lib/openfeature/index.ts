export type { ProvidedRollout } from './provided-rollout.js';
export { HanoiProvider, type HanoiProviderOptions } from './provider.js';
