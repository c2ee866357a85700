// How many whole checks a second come from a Redis Cluster, with 1, 10, 100 and 1,000 in flight, next
// to a single server?
import { Cluster, Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../dist/esm/backends/redis/index.js';
import { Rollout } from '../dist/esm/index.js';
import { idsOf, median, table } from './measure.js';
import { RedisCluster, RedisServer } from './servers.js';

const MEMBERS = 10_000;
const CHECKS = { 1: 4_000, 10: 20_000, 100: 100_000, 1000: 200_000 };
const ROUNDS = 5;

const server = await RedisServer.start();
const cluster = await RedisCluster.start();
const clients = { server: new Redis(server.port), cluster: new Cluster(cluster.startupNodes) };
const members = idsOf(MEMBERS, 'user-');
const others = idsOf(MEMBERS, 'other-');
// One hit and one miss in turn.
const idAt = (n) => (n & 1 ? others : members)[(n >> 1) % MEMBERS];

const contenders = {};
for (const Backend of [RedisSetBackend, RedisBackend]) {
  for (const [where, client] of Object.entries(clients)) {
    const rollout = new Rollout(new Backend(client, { operationTimeoutMs: 30_000 }));
    await rollout.ready();
    if ((await rollout.get('list')) === undefined) {
      await rollout.addFeature('list');
      await rollout.register('list', members);
    }
    contenders[`${Backend.name}, ${where}`] = rollout;
  }
}

async function perSecond(rollout, inFlight, count) {
  let next = 0;
  let hits = 0;
  const worker = async () => {
    while (next < count) if (await rollout.isEnabled('list', idAt(next++))) hits++;
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: inFlight }, worker));
  const seconds = (performance.now() - start) / 1_000;
  if (hits !== count / 2) throw new Error(`Expected ${count / 2} hits, got ${hits}.`);
  return count / seconds;
}

const rows = [['in flight', ...Object.keys(contenders)]];
for (const [inFlight, count] of Object.entries(CHECKS)) {
  const rates = Object.keys(contenders).map(() => []);
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [at, rollout] of Object.values(contenders).entries()) {
      const rate = await perSecond(rollout, Number(inFlight), count);
      if (round > 0) rates[at].push(rate);
    }
  }
  const found = rates.map(median);
  rows.push([
    inFlight,
    ...found.map((rate, at) => {
      const single = found[at - (at % 2)];
      return `${Math.round(rate).toLocaleString('en')}${at % 2 ? ` (${(rate / single).toFixed(2)})` : ''}`;
    }),
  ]);
}
console.log('Checks a second (times the single server):\n');
console.log(table(rows));

for (const rollout of Object.values(contenders)) await rollout.close();
for (const client of Object.values(clients)) client.disconnect();
await server.stop();
await cluster.stop();
