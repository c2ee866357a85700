import type { Cluster, Redis } from 'ioredis';
import { type RedisBackendOptions, RedisStorage } from './storage.js';

/**
 * Features in Redis, with membership asked of the server at each check and never loaded. For
 * millions of members. It stores what `RedisBackend` stores: change from one to the other freely.
 */
export class RedisSetBackend extends RedisStorage {
  /** `redis` stays the app's own to close. INVALID_ARGUMENT. */
  constructor(redis: Redis | Cluster, options: RedisBackendOptions = {}) {
    super(redis, options, 'asked');
  }
}
