export { type RedisDataOptions, type RedisReader, readRedis } from './from-redis.js';
export { readHanoi } from './hanoi.js';
export {
  type Imported,
  type ImportedFeature,
  type ImportOptions,
  type ImportReport,
  importInto,
  type StoredData,
} from './imported.js';
export { type PyrolloutFeature, readPyrollout } from './pyrollout.js';
export { type RolloutGemOptions, readRolloutGem } from './rollout-gem.js';
export { readSlowroll, type SlowrollConfig } from './slowroll.js';
