import type { Cluster, Redis } from 'ioredis';
import { type RedisBackendOptions, RedisStorage } from './storage.js';

/**
 * Features in Redis, with the members of those that are asked about held in this process and
 * fetched again when they have changed: a check reads one head. For thousands of members.
 */
export class RedisBackend extends RedisStorage {
  /** `redis` stays the app's own to close. INVALID_ARGUMENT. */
  constructor(redis: Redis | Cluster, options: RedisBackendOptions = {}) {
    super(redis, options, 'held');
  }
}
