// What does one Redis node hold, and what does each operation take of its one core: how many a
// second does it serve at most?
import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../dist/esm/backends/redis/index.js';
import { Rollout } from '../dist/esm/index.js';
import { idsOf, table } from './measure.js';
import { RedisServer } from './servers.js';

const quick = process.argv.includes('--quick');
const server = await RedisServer.start();
const redis = new Redis(server.port);
const info = async (section, field) =>
  Number(new RegExp(`^${field}:([\\d.]+)`, 'm').exec(await redis.info(section))?.[1]);
const usedMb = async () => (await info('memory', 'used_memory')) / 2 ** 20;
const coreSeconds = async () =>
  (await info('cpu', 'used_cpu_user_main_thread')) +
  (await info('cpu', 'used_cpu_sys_main_thread'));

const writer = new Rollout(new RedisSetBackend(redis));
const held = [['what', 'MB', 'bytes each']];
async function holds(what, count, write) {
  const before = await usedMb();
  await write();
  const mb = (await usedMb()) - before;
  held.push([what, mb.toFixed(1), Math.round((mb * 2 ** 20) / count)]);
}

const FEATURES = quick ? 1_000 : 10_000;
const MEMBERS = quick ? 100_000 : 1_000_000;
const CHANGES = quick ? 1_000 : 10_000;
const names = Array.from({ length: FEATURES }, (_, n) => `team-${n % 20}.feature-${n}`);
await holds(
  `${FEATURES.toLocaleString('en')} features, each with one change in its history`,
  FEATURES,
  async () => {
    for (let from = 0; from < FEATURES; from += 200) {
      await Promise.all(
        names.slice(from, from + 200).map((name, n) =>
          writer.addFeature(name, {
            percentage: (from + n) % 101,
            excluded: ['eve', 'mallory'],
            groups: ['staff'],
            data: {
              owner: `team-${n % 20}`,
              description: 'What this feature is for, in a sentence.',
            },
          }),
        ),
      );
    }
  },
);
const [first, second, third] = names;
await holds(`${MEMBERS.toLocaleString('en')} members of one feature, user-123456`, MEMBERS, () =>
  writer.register(first, idsOf(MEMBERS, 'user-')),
);
await holds(
  `${CHANGES.toLocaleString('en')} more changes of one feature, of which some hundred are kept`,
  CHANGES,
  async () => {
    for (let n = 0; n < CHANGES; n++) await writer.setPercentage(second, (n % 100) + 0.5);
  },
);

const served = [['operation', 'µs of the core', 'a second at most']];
async function serves(what, count, run) {
  // Connected, its scripts loaded, and what it holds held.
  await run(0);
  const before = await coreSeconds();
  for (let n = 1; n <= count; n++) await run(n);
  const us = ((await coreSeconds()) - before) * 1e6;
  return (per) => {
    const each = us / count / per;
    served.push([
      what,
      each.toFixed(each < 10 ? 1 : 0),
      Math.round(1e6 / each).toLocaleString('en'),
    ]);
  };
}
const scale = quick ? 0.1 : 1;
const many = (n) => Array.from({ length: 100 }, (_, at) => `user-${(n * 100 + at) * 7919}`);
const set = new RedisSetBackend(redis);
for (const [name, backend] of Object.entries({
  RedisSetBackend: set,
  RedisBackend: new RedisBackend(redis),
})) {
  const rollout = new Rollout(backend);
  (
    await serves(`check with ${name}, one at a time`, 20_000 * scale, (n) =>
      rollout.isEnabled(third, `user-${n}`),
    )
  )(1);
  (
    await serves(`check with ${name}, 100 in a turn`, 1_000 * scale, (n) =>
      Promise.all(many(n).map((id) => rollout.isEnabled(first, id))),
    )
  )(100);
  await rollout.close();
}
(
  await serves('registration, one at a time', 5_000 * scale, (n) =>
    writer.register(third, `one-${n}`),
  )
)(1);
(
  await serves('registration, 100 in a turn', 200 * scale, (n) =>
    Promise.all(many(n).map((id) => writer.register(third, id))),
  )
)(100);
(
  await serves('change of a percentage', 2_000 * scale, (n) => writer.setPercentage(third, n % 100))
)(1);
const probe = new RedisBackend(redis);
(await serves('poll of a replica, nothing new', 10_000 * scale, () => probe.token()))(1);
let known = await probe.loadAll();
let percentage = 0;
const changes = await serves(
  'change of a percentage, taken over by one replica',
  1_000 * scale,
  async () => {
    await writer.setPercentage(third, ++percentage % 100);
    known = await probe.loadAll(known);
  },
);
changes(1);
(
  await serves(
    `start of a replica, ${FEATURES.toLocaleString('en')} features`,
    quick ? 3 : 10,
    () => probe.loadAll(),
  )
)(1);

console.log(`${table(held)}\n\n${table(served)}`);
await probe.close();
await writer.close();
redis.disconnect();
await server.stop();
