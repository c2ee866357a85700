// How fast are a million weighted subjects registered, how even are the buckets, and what does it
// take to choose the buckets of a percentage?
import { Redis } from 'ioredis';
import { RedisSetBackend } from '../dist/esm/backends/redis/index.js';
import { bucketsFor } from '../dist/esm/domain/population.js';
import { MemoryBackend, Rollout } from '../dist/esm/index.js';
import { median, table } from './measure.js';
import { RedisServer } from './servers.js';

const SUBJECTS = process.argv.includes('--quick') ? 100_000 : 1_000_000;
const AT_ONCE = 1_000;
const SHARES = [1, 10, 33.3333, 50, 90];

const server = await RedisServer.start();
const redis = new Redis(server.port);
const backends = {
  memory: () => new MemoryBackend(),
  Redis: () => new RedisSetBackend(redis),
};

/** Ids with weights of 1 to 100, the same in each run. */
function* subjects() {
  let state = 1;
  for (let n = 0; n < SUBJECTS; n++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    yield [`user-${n}`, 1 + Math.floor((state / 2 ** 32) * 100)];
  }
}

/** The least there is to it: a field with bucket and weight for each, so many HSETs in a pipeline. */
async function bare() {
  await redis.flushall();
  const start = performance.now();
  let pipeline = redis.pipeline();
  for (const [id, weight] of subjects()) {
    pipeline.hset('bare', id, `${weight % 100}\n${weight}`);
    if (pipeline.length < AT_ONCE) continue;
    await pipeline.exec();
    pipeline = redis.pipeline();
  }
  await pipeline.exec();
  return (performance.now() - start) / 1_000;
}

async function registered(backend, buckets) {
  await redis.flushall();
  const rollout = new Rollout(backends[backend]());
  const { population } = rollout;
  await population.increaseBuckets(buckets);
  const start = performance.now();
  const added = await population.register(subjects());
  const seconds = (performance.now() - start) / 1_000;
  if (added !== SUBJECTS) throw new Error(`Expected ${SUBJECTS} new ones, got ${added}.`);
  const weights = (await population.buckets()).map(({ weight }) => weight);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const apart = Math.max(...weights) / Math.min(...weights) - 1;

  await rollout.addFeature('share', { bucketing: 'population' });
  const times = [];
  let choosing = 0;
  let off = 0;
  for (const percentage of SHARES) {
    await rollout.setPercentage('share', 0);
    const asked = performance.now();
    const { buckets: taken } = await rollout.setPercentage('share', percentage);
    times.push(performance.now() - asked);
    const share = taken.reduce((sum, bucket) => sum + weights[bucket], 0) / total;
    off = Math.max(off, Math.abs(100 * share - percentage));
    choosing = Math.max(choosing, choice(weights, percentage));
  }
  await rollout.close();
  return { seconds, apart, off, choosing, setting: median(times) };
}

/** Ms for the choice alone: the median of five features. */
function choice(weights, percentage) {
  const byName = new Map(weights.map((weight, at) => [String(at), weight]));
  const times = Array.from({ length: 5 }, (_, n) => {
    const start = performance.now();
    bucketsFor({ name: `feature-${n}`, percentage, before: undefined }, byName);
    return performance.now() - start;
  });
  return median(times);
}

const rows = [
  [
    'on',
    'buckets',
    'registered/s',
    'to bare HSETs',
    'heaviest over lightest bucket',
    'ms to set a percentage',
    'of that to choose, at most',
    'points off at most',
  ],
];
try {
  // The machine changes while this runs: in between, and the median.
  const bares = [await bare()];
  const found = [];
  for (const backend of Object.keys(backends)) {
    for (const buckets of [10, 100, 1_000]) {
      found.push({ backend, buckets, ...(await registered(backend, buckets)) });
    }
    bares.push(await bare());
  }
  const least = median(bares);
  rows.push(['bare HSETs, 1,000 a pipeline', '-', rate(least), '1.00', '-', '-', '-', '-']);
  for (const { backend, buckets, seconds, apart, setting, choosing, off } of found) {
    rows.push([
      backend,
      buckets.toLocaleString('en'),
      rate(seconds),
      (least / seconds).toFixed(2),
      `${(100 * apart).toFixed(4)}%`,
      setting.toFixed(1),
      choosing.toFixed(1),
      off.toFixed(4),
    ]);
  }
} finally {
  redis.disconnect();
  await server.stop();
}
console.log(table(rows));

function rate(seconds) {
  return Math.round(SUBJECTS / seconds).toLocaleString('en');
}
