// What does a check cost on each Redis backend with 10 to 1,000,000 members: in time, and in memory
// of this process and of the server?
import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../dist/esm/backends/redis/index.js';
import { Rollout } from '../dist/esm/index.js';
import { median, table } from './measure.js';
import { RedisServer } from './servers.js';

const COUNTS = [10, 1_000, 100_000, 1_000_000];
const CHECKS = 2_000;
const TOGETHER = 100;

const server = await RedisServer.start();
const redis = new Redis(server.port);
const rows = [
  [
    'backend',
    'members',
    'µs a check, one at a time',
    'µs a check, 100 at once',
    'ms the first',
    'MB here',
    'MB in Redis',
  ],
];
for (const Backend of [RedisSetBackend, RedisBackend]) {
  for (const count of COUNTS) {
    await redis.flushall();
    const empty = await used();
    const writer = new Rollout(new RedisSetBackend(redis, { historyLength: 0 }));
    await writer.addFeature('list');
    await writer.register('list', ids(count));
    await writer.close();
    const inRedis = (await used()) - empty;
    const rollout = new Rollout(new Backend(redis, { timeoutMs: 10_000 }));
    await rollout.isEnabled('other', 'user-0');
    const before = heap();
    const start = performance.now();
    await rollout.isEnabled('list', 'user-0');
    const first = performance.now() - start;
    const single = [];
    const together = [];
    for (let n = 0; n < CHECKS; n++) {
      const asked = performance.now();
      if (!(await rollout.isEnabled('list', `user-${n % count}`))) throw new Error('A miss.');
      single.push(performance.now() - asked);
    }
    for (let round = 0; round < CHECKS / TOGETHER; round++) {
      const asked = performance.now();
      await Promise.all(
        Array.from({ length: TOGETHER }, (_, n) => rollout.isEnabled('list', `user-${n % count}`)),
      );
      together.push((performance.now() - asked) / TOGETHER);
    }
    rows.push([
      Backend.name,
      count.toLocaleString('en'),
      (median(single) * 1_000).toFixed(0),
      (median(together) * 1_000).toFixed(2),
      first.toFixed(1),
      ((heap() - before) / 1e6).toFixed(1),
      (inRedis / 1e6).toFixed(1),
    ]);
    await rollout.close();
  }
}
console.log(table(rows));
redis.disconnect();
await server.stop();

function* ids(count) {
  for (let n = 0; n < count; n++) yield `user-${n}`;
}

async function used() {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))[1]);
}

/** Bytes in use after a collection; needs --expose-gc. */
function heap() {
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
