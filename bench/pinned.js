// What does a request with one revision of all features cost, with 100, 1,000 and 10,000 of them,
// one request at a time, on memory and on Redis?
import { Redis } from 'ioredis';
import { RedisBackend } from '../dist/esm/backends/redis/index.js';
import { MemoryBackend, Rollout } from '../dist/esm/index.js';
import { median, table } from './measure.js';
import { RedisServer } from './servers.js';

const REQUESTS = { 100: 2_000, 1000: 300, 10000: 30 };
const ROUNDS = 7;
const AT_ONCE = 500;

const server = await RedisServer.start();
const redis = new Redis(server.port);
const backends = {
  memory: () => new MemoryBackend(),
  // The first snapshot reads all definitions, which is not what is asked here.
  RedisBackend: (namespace) => new RedisBackend(redis, { namespace, timeoutMs: 5_000 }),
};

/** Ms a request, and of that ms of this process's CPU. */
async function costOf(rollout, requests) {
  let on = 0;
  const start = performance.now();
  const cpu = process.cpuUsage();
  for (let n = 0; n < requests; n++) {
    await rollout.runAs(`user-${n}`, () => (on += Number(rollout.isEnabledSync('feature-7'))), {
      pinned: true,
    });
  }
  const { user, system } = process.cpuUsage(cpu);
  if (on === 0 || on === requests) throw new Error(`Expected half of them, got ${on}.`);
  return [performance.now() - start, (user + system) / 1_000].map((ms) => ms / requests);
}

const rows = [['features', 'backend', 'ms a request', 'of that CPU here']];
try {
  for (const [count, requests] of Object.entries(REQUESTS)) {
    for (const [name, make] of Object.entries(backends)) {
      const rollout = new Rollout(make(`of-${count}`));
      for (let first = 0; first < count; first += AT_ONCE) {
        const length = Math.min(AT_ONCE, count - first);
        await Promise.all(
          Array.from({ length }, (_, n) =>
            rollout.addFeature(`feature-${first + n}`, { percentage: 50 }),
          ),
        );
      }
      await costOf(rollout, requests);
      const rounds = [];
      for (let round = 0; round < ROUNDS; round++) rounds.push(await costOf(rollout, requests));
      const [wall, cpu] = [0, 1].map((part) => median(rounds.map((round) => round[part])));
      rows.push([count, name, wall.toFixed(3), cpu.toFixed(3)]);
      await rollout.close();
    }
  }
} finally {
  redis.disconnect();
  await server.stop();
}
console.log(table(rows));
