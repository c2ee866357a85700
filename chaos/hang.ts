import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Source } from '../lib/backends/backend.js';
import { RedisBackend, RedisSetBackend } from '../lib/backends/redis/index.js';
import { ReplicaBackend } from '../lib/backends/replica.js';
import { Rollout } from '../lib/rollout.js';
import { furnish, Site } from '../spec/faults.js';
import type { Row } from './row.js';

const PER_SECOND = 5_000;

/** What 5,000 checks a second cost the process while the server hangs for so long. */
export async function hang(seconds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const kind of ['RedisBackend', 'RedisSetBackend', 'reuse', 'replica'] as const) {
    const site = await Site.open();
    const client = site.clientOf(site.server.port);
    const backend: Source =
      kind === 'RedisSetBackend'
        ? new RedisSetBackend(client)
        : new RedisBackend(client, { reuse: kind === 'reuse' });
    const rollout = new Rollout(kind === 'replica' ? new ReplicaBackend(backend) : backend);
    await furnish(rollout);
    await rollout.ready();
    let answered = 0;
    let thrown = 0;
    let slowestMs = 0;
    const load = async (ms: number) => {
      const beganAt = performance.now();
      let asked = 0;
      while (performance.now() - beganAt < ms) {
        const due = ((performance.now() - beganAt) / 1_000) * PER_SECOND;
        for (; asked < due; asked++) {
          const askedAt = performance.now();
          rollout.decide(asked % 2 === 0 ? 'on' : 'list', `user-${asked}`).then(
            () => {
              answered++;
              slowestMs = Math.max(slowestMs, performance.now() - askedAt);
            },
            () => {
              thrown++;
            },
          );
        }
        await delay(2);
      }
      return asked;
    };
    await load(3_000);
    globalThis.gc?.();
    const heapBefore = process.memoryUsage().heapUsed;
    answered = 0;
    slowestMs = 0;
    const loop = monitorEventLoopDelay({ resolution: 5 });
    loop.enable();
    site.server.signal('SIGSTOP');
    const asked = await load(seconds * 1_000);
    loop.disable();
    await delay(300);
    globalThis.gc?.();
    const heapMb = (process.memoryUsage().heapUsed - heapBefore) / 2 ** 20;
    const loopMs = loop.percentile(99) / 1e6;
    const closeAt = performance.now();
    await rollout.close();
    const closedMs = performance.now() - closeAt;
    client.disconnect();
    site.server.signal('SIGCONT');
    await site.close();
    rows.push({
      ok: thrown === 0 && answered === asked && heapMb <= 5 && loopMs <= 50 && closedMs <= 2_500,
      ...{ backend: kind, seconds, asked, answered, thrown },
      slowestMs: Math.round(slowestMs),
      heapGrowthMb: Number(heapMb.toFixed(1)),
      loopP99Ms: Number(loopMs.toFixed(1)),
      closedMs: Number(closedMs.toFixed(1)),
    });
  }
  return rows;
}
