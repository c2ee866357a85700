// How long does the benchmark of hanoi (Python) take on each Redis backend, one call at a time and
// with 1,000 in flight: add a feature, register 10,000 users one by one, and check 20,000 times?
import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../dist/esm/backends/redis/index.js';
import { Rollout } from '../dist/esm/index.js';
import { median, table } from './measure.js';
import { RedisServer } from './servers.js';

const USERS = 10_000;
const RUNS = 3;

/** hanoi 0.0.4 on its Redis backends, Python 3.11, on the 2-core machine of 2026-11: seconds. */
const RECORDED = { RedisSetBackend: 5.2, RedisBackend: 14 };

const server = await RedisServer.start();
const redis = new Redis(server.port);

async function once(Backend, inFlight) {
  await redis.flushall();
  const rollout = new Rollout(new Backend(redis));
  const start = performance.now();
  await rollout.addFeature('FOO');
  await each(inFlight, USERS, (n) => rollout.register('FOO', `USER-${n}`));
  const registered = performance.now();
  let hits = 0;
  await each(inFlight, 2 * USERS, async (n) => {
    if (await rollout.isEnabled('FOO', n & 1 ? 'USER-a' : `USER-${n >> 1}`)) hits++;
  });
  const end = performance.now();
  if (hits !== USERS) throw new Error(`Expected ${USERS} hits, got ${hits}.`);
  await rollout.close();
  return { all: (end - start) / 1_000, registering: (registered - start) / 1_000 };
}

async function each(inFlight, count, task) {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
}

const rows = [['backend', 'in flight', 'seconds', 'of that registering', 'to Python hanoi’s']];
for (const Backend of [RedisSetBackend, RedisBackend]) {
  const recorded = RECORDED[Backend.name];
  for (const inFlight of [1, 1_000]) {
    const runs = [];
    for (let run = 0; run < RUNS; run++) runs.push(await once(Backend, inFlight));
    const seconds = median(runs.map(({ all }) => all));
    const registering = median(runs.map((run) => run.registering));
    const ratio = `${(recorded / seconds).toFixed(1)}x of ${recorded} s`;
    rows.push([Backend.name, inFlight, seconds.toFixed(3), registering.toFixed(3), ratio]);
  }
}
console.log(table(rows));
redis.disconnect();
await server.stop();
