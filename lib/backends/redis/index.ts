export { RedisBackend } from './redis.js';
export { RedisSetBackend } from './redis-set.js';
export { RolloutGemSource, type RolloutGemSourceOptions } from './rollout-gem-source.js';
export type { RedisBackendOptions } from './storage.js';
