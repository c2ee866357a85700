// How many whole checks a second does each Redis backend answer, with 1, 10, 100 and 1,000 in
// flight, next to raw ioredis SISMEMBER on the same server, auto-pipelined beyond one at a time?
import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../dist/esm/backends/redis/index.js';
import { Rollout } from '../dist/esm/index.js';
import { idsOf, median, table } from './measure.js';
import { RedisServer } from './servers.js';

const MEMBERS = 10_000;
const CHECKS = { 1: 4_000, 10: 20_000, 100: 100_000, 1000: 300_000 };
const ROUNDS = 7;

const server = await RedisServer.start();
const redis = new Redis(server.port);
const pipelining = new Redis(server.port, { enableAutoPipelining: true });
const members = idsOf(MEMBERS, 'user-');
const others = idsOf(MEMBERS, 'other-');
await redis.sadd('raw', members);

const rollouts = {
  RedisSetBackend: new Rollout(new RedisSetBackend(redis)),
  RedisBackend: new Rollout(new RedisBackend(redis)),
};
const { RedisSetBackend: first } = rollouts;
await first.addFeature('list');
await first.register('list', members);
// One hit and one miss in turn.
const idAt = (n) => (n & 1 ? others : members)[(n >> 1) % MEMBERS];

const contenders = {
  'raw SISMEMBER': (inFlight) => {
    const client = inFlight === 1 ? redis : pipelining;
    return async (n) => (await client.sismember('raw', idAt(n))) === 1;
  },
  ...Object.fromEntries(
    Object.entries(rollouts).map(([name, rollout]) => [
      name,
      () => (n) => rollout.isEnabled('list', idAt(n)),
    ]),
  ),
};

async function perSecond(ask, inFlight, count) {
  let next = 0;
  let hits = 0;
  const worker = async () => {
    while (next < count) if (await ask(next++)) hits++;
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: inFlight }, worker));
  const seconds = (performance.now() - start) / 1_000;
  if (hits !== count / 2) throw new Error(`Expected ${count / 2} hits, got ${hits}.`);
  return count / seconds;
}

const rows = [['in flight', ...Object.keys(contenders)]];
for (const [inFlight, count] of Object.entries(CHECKS)) {
  const times = Object.keys(contenders).map(() => []);
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [at, make] of Object.values(contenders).entries()) {
      const rate = await perSecond(make(Number(inFlight)), Number(inFlight), count);
      if (round > 0) times[at].push(rate);
    }
  }
  const [raw, ...ours] = times.map(median);
  rows.push([
    inFlight,
    Math.round(raw).toLocaleString('en'),
    ...ours.map((rate) => `${Math.round(rate).toLocaleString('en')} (${(rate / raw).toFixed(2)})`),
  ]);
}
console.log('Checks a second (times raw):\n');
console.log(table(rows));

for (const rollout of Object.values(rollouts)) await rollout.close();
redis.disconnect();
pipelining.disconnect();
await server.stop();
