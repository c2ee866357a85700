import { setTimeout as delay } from 'node:timers/promises';
import { RedisBackend } from '../lib/backends/redis/index.js';
import { ReplicaBackend } from '../lib/backends/replica.js';
import { Rollout } from '../lib/rollout.js';
import { Site } from '../spec/faults.js';
import type { Row } from './row.js';

/** What 1,000 rollouts leave behind that were opened and closed: handles, timers, listeners. */
export async function cycles(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const state of ['answering', 'hung'] as const) {
    const site = await Site.open();
    const client = site.clientOf(site.server.port);
    await client.ping();
    const listeners = () =>
      client.eventNames().reduce((sum, name) => sum + client.listenerCount(name), 0);
    const before = { resources: resources(), listeners: listeners() };
    if (state === 'hung') site.server.signal('SIGSTOP');
    let slowestMs = 0;
    const count = state === 'hung' ? 100 : 1_000;
    for (let n = 0; n < count; n++) {
      const backend = new RedisBackend(client, { reuse: n % 4 === 0 });
      const rollout = new Rollout(n % 2 === 0 ? new ReplicaBackend(backend) : backend);
      rollout.on('change', () => {});
      // Closed in every state: at once, underway, and ready.
      if (n % 3 === 1) await delay(1);
      if (n % 3 === 2 && state === 'answering') await rollout.ready();
      void rollout.isEnabled('chat', 'ann');
      const beganAt = performance.now();
      await rollout.close();
      slowestMs = Math.max(slowestMs, performance.now() - beganAt);
    }
    await delay(1_500);
    const left = {
      resources: resources() - before.resources,
      listeners: listeners() - before.listeners,
    };
    client.disconnect();
    site.server.signal('SIGCONT');
    await site.close();
    rows.push({
      ok: left.resources <= 0 && left.listeners === 0 && slowestMs <= 2_500,
      ...{ server: state, cycles: count, resourcesLeft: left.resources },
      ...{ listenersLeft: left.listeners, slowestCloseMs: Number(slowestMs.toFixed(1)) },
    });
  }
  return rows;
}

/** What keeps the process alive: sockets, timers and the like. */
function resources(): number {
  return process.getActiveResourcesInfo().length;
}
