import { setTimeout as delay } from 'node:timers/promises';
import { RedisBackend } from '../lib/backends/redis/index.js';
import { ReplicaBackend } from '../lib/backends/replica.js';
import { Rollout } from '../lib/rollout.js';
import { FAULTS, Site } from '../spec/faults.js';
import { seeded } from '../spec/property.js';
import type { Row } from './row.js';

/** A counter in Redis, and when each of its values was surely over. */
interface Truth {
  latest: number;
  readonly overAt: Map<number, number>;
}

/**
 * Whether a replica is ever older than it says, while faults come and go at random: samples of a
 * counter that somebody else raises, each held against when its value was over.
 */
export async function replica(minutes: number, seed: number): Promise<Row[]> {
  const random = seeded(seed);
  // Where the data is lost, there is no truth to compare with.
  const faults = FAULTS.filter(({ losesData }) => !losesData);
  const site = await Site.open();
  const client = site.clientOf();
  const direct = site.clientOf(site.server.port, { retryStrategy: () => 20 });
  const writer = new Rollout(new RedisBackend(direct, { operationTimeoutMs: 500 }));
  const rollout = new Rollout(new ReplicaBackend(new RedisBackend(client)));
  const truth: Truth = { latest: 0, overAt: new Map() };
  const variants = (value: number) => [{ name: 'v', value }];
  await writer.addFeature('counter', { percentage: 100, variants: variants(0) });
  await rollout.ready();
  while (rollout.decideSync('counter', 'ann').value !== 0) await delay(1);

  let isOver: boolean = false;
  const writing = (async () => {
    for (let next = 1; !isOver; next++) {
      const value = next;
      try {
        await writer.update('counter', { variants: variants(value) });
        truth.overAt.set(truth.latest, performance.now());
        truth.latest = value;
      } catch {
        // Whether it was written or not: the next one is another number.
        const stored = await writer.decide('counter', 'ann').catch(() => undefined);
        if (stored?.reason === 'STATIC' && stored.value === value) {
          truth.overAt.set(truth.latest, performance.now());
          truth.latest = value;
        }
      }
      await delay(5 + random() * 40);
    }
  })();

  let samples = 0;
  let tooOld = 0;
  let worstMs = 0;
  let stale = 0;
  const sampling = (async () => {
    while (!isOver) {
      const { value, reason } = rollout.decideSync('counter', 'ann');
      const { ageMs } = rollout.health();
      const overAt = truth.overAt.get(value as number);
      const trueMs = overAt === undefined ? 0 : performance.now() - overAt;
      samples++;
      if (reason === 'STALE') stale++;
      if (trueMs > ageMs + 100) tooOld++;
      worstMs = Math.max(worstMs, trueMs);
      await delay(2);
    }
  })();

  let count = 0;
  let slowestMs = 0;
  let slowest = '';
  let never = 0;
  const end = performance.now() + minutes * 60_000;
  while (performance.now() < end) {
    const fault = faults[Math.floor(random() * faults.length)] as (typeof faults)[number];
    await fault.begin(site);
    await delay(200 + random() * 2_800);
    await fault.heal?.(site);
    const healedAt = performance.now();
    // It has converged when it shows what was the latest at that time, or later.
    await delay(50);
    const goal = truth.latest;
    for (;;) {
      const shown = rollout.decideSync('counter', 'ann');
      if ((shown.value as number) >= goal && shown.reason !== 'STALE') break;
      if (performance.now() - healedAt > 10_000) {
        never++;
        console.error(fault.name, shown, { goal, latest: truth.latest }, rollout.health());
        break;
      }
      await delay(1);
    }
    const tookMs = performance.now() - healedAt;
    if (tookMs > slowestMs) [slowestMs, slowest] = [tookMs, fault.name];
    count++;
    await delay(random() * 500);
  }
  isOver = true;
  await Promise.all([writing, sampling]);
  await rollout.close();
  await writer.close();
  client.disconnect();
  direct.disconnect();
  await site.close();
  return [
    {
      ok: tooOld === 0 && never === 0 && slowestMs <= 3_000,
      ...{ seed, minutes, faults: count, writes: truth.latest, samples, stale, tooOld },
      worstTrueAgeMs: Math.round(worstMs),
      slowestToConvergeMs: Math.round(slowestMs),
      slowest,
      neverConverged: never,
    },
  ];
}
