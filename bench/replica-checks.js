// What does a check on a replica cost, next to the same check on memory?
import { Redis } from 'ioredis';
import { RedisBackend } from '../dist/esm/backends/redis/index.js';
import { ReplicaBackend, Rollout } from '../dist/esm/index.js';
import { idsOf, measure, ns, table } from './measure.js';
import { RedisServer } from './servers.js';

const MASK = 4095;
const server = await RedisServer.start();
const redis = new Redis(server.port);
const hit = idsOf(MASK + 1, 'user-');
const miss = idsOf(MASK + 1, 'other-');
const rollouts = {
  memory: new Rollout(),
  replica: new Rollout(new ReplicaBackend(new RedisBackend(redis))),
};
for (const rollout of Object.values(rollouts)) {
  await rollout.addFeature('share', { percentage: 20 });
  await rollout.addFeature('list');
  await rollout.register('list', idsOf(10_000, 'user-'));
  await rollout.addFeature('variant', { percentage: 100, variants: ['a', 'b', 'c'] });
  await rollout.addFeature('pattern');
  await rollout.register('pattern', /01$/);
  if (!rollout.isEnabledSync('list', hit[5]) || rollout.isEnabledSync('list', miss[5])) {
    throw new Error('The list is not the one that was written.');
  }
}

const ROWS = [
  ['percentage', (rollout) => (n) => rollout.isEnabledSync('share', hit[n & MASK])],
  ['list of 10,000, hit', (rollout) => (n) => rollout.isEnabledSync('list', hit[n & MASK])],
  ['list of 10,000, miss', (rollout) => (n) => rollout.isEnabledSync('list', miss[n & MASK])],
  ['variant of 3', (rollout) => (n) => rollout.decideSync('variant', hit[n & MASK]).variant],
  ['pattern', (rollout) => (n) => rollout.isEnabledSync('pattern', miss[n & MASK])],
  ['percentage, awaited', (rollout) => (n) => rollout.isEnabled('share', hit[n & MASK]), true],
];
const rows = [['', 'memory', 'replica']];
for (const [name, make, awaited = false] of ROWS) {
  const contenders = Object.fromEntries(
    Object.entries(rollouts).map(([backend, rollout]) => [backend, make(rollout)]),
  );
  const { memory, replica } = await measure(contenders, { awaited });
  rows.push([name, ns(memory), `${ns(replica)} (${(replica / memory).toFixed(2)})`]);
}
console.log('ns a check (times memory):\n');
console.log(table(rows));

for (const rollout of Object.values(rollouts)) await rollout.close();
redis.disconnect();
await server.stop();
