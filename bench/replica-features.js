// What do 10,000 features cost a replica: to load, in memory, and with each change?
import { Redis } from 'ioredis';
import { RedisBackend } from '../dist/esm/backends/redis/index.js';
import { ReplicaBackend, Rollout } from '../dist/esm/index.js';
import { median, table } from './measure.js';
import { RedisServer } from './servers.js';

const quick = process.argv.includes('--quick');
const server = await RedisServer.start();
const redis = new Redis(server.port);
const heapMb = () => {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed / 2 ** 20;
};
const rows = [
  [
    'features',
    's to load',
    'longest turn, ms',
    'MB',
    'KB a feature',
    'ms until a change shows',
    'ms a snapshot',
  ],
];
for (const count of quick ? [100, 1_000] : [100, 1_000, 10_000]) {
  await redis.flushall();
  const writer = new Rollout(new RedisBackend(redis));
  const names = Array.from({ length: count }, (_, n) => `team-${n % 20}.feature-${n}`);
  for (let from = 0; from < count; from += 200) {
    await Promise.all(
      names.slice(from, from + 200).map((name, n) =>
        writer.addFeature(name, {
          percentage: (from + n) % 101,
          excluded: ['eve', 'mallory'],
          groups: ['staff'],
          ...((from + n) % 3 === 0 && { patterns: [/@example\.com$/] }),
          ...((from + n) % 5 === 0 && { variants: ['control', 'treatment'] }),
          data: {
            owner: `team-${n % 20}`,
            description: 'What this feature is for, in a sentence.',
          },
        }),
      ),
    );
  }
  const before = heapMb();
  let longestMs = 0;
  let last = performance.now();
  const watching = setInterval(() => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - last);
    last = now;
  }, 1);
  const beganAt = performance.now();
  const rollout = new Rollout(new ReplicaBackend(new RedisBackend(redis)));
  const { state } = await rollout.ready({ timeoutMs: 60_000 });
  const seconds = (performance.now() - beganAt) / 1_000;
  if (state !== 'ready') throw new Error(`It is ${state}.`);
  await new Promise((resolve) => setTimeout(resolve, 20));
  clearInterval(watching);
  const mb = heapMb() - before;
  const name = names[count >> 1];
  const shown = [];
  for (let n = 0; n < 21; n++) {
    const percentage = n % 2 === 0 ? 100 : 0;
    const seen = new Promise((resolve) => rollout.on('change', resolve));
    const sentAt = performance.now();
    await writer.setPercentage(name, percentage);
    await seen;
    shown.push(performance.now() - sentAt);
    if (rollout.isEnabledSync(name, 'ann') !== (percentage === 100)) throw new Error('Not shown.');
  }
  const taken = [];
  for (let n = 0; n < 21; n++) {
    const at = performance.now();
    await rollout.snapshot(`user-${n}`);
    taken.push(performance.now() - at);
  }
  rows.push([
    count.toLocaleString('en'),
    seconds.toFixed(3),
    longestMs.toFixed(0),
    mb.toFixed(1),
    ((mb * 1_024) / count).toFixed(1),
    median(shown).toFixed(1),
    median(taken).toFixed(1),
  ]);
  await rollout.close();
  await writer.close();
}
console.log(table(rows));
redis.disconnect();
await server.stop();
