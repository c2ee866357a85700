export { RedisBackend } from './redis.js';
export { RedisSetBackend } from './redis-set.js';
export type { RedisBackendOptions } from './storage.js';
