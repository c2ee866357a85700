import type { Redis } from 'ioredis';
import type { Source } from '../lib/backends/backend.js';
import { RedisBackend, RedisSetBackend } from '../lib/backends/redis/index.js';
import { ReplicaBackend } from '../lib/backends/replica.js';
import { Rollout } from '../lib/rollout.js';
import { FAULTS, furnish, type Patient, Site, suffer } from '../spec/faults.js';
import type { Row } from './row.js';

const OPTIONS = { operationTimeoutMs: 1_000 };

/** Every fault, against every backend: the table of what came of it. */
export async function faults(): Promise<Row[]> {
  const rows: Row[] = [];
  for (const fault of FAULTS) {
    const site = await Site.open();
    const client = site.clientOf();
    const furnisher = new Rollout(new RedisBackend(client));
    await furnish(furnisher);
    await furnisher.close();
    const patients = patientsOn(client);
    for (const { rollout } of patients) {
      await rollout.ready();
      for (const name of ['on', 'list', 'shut']) await rollout.decide(name, 'ann');
    }
    for (const course of await suffer(site, fault, patients)) {
      const { slowestMs, healedMs, patient, thrown, wrong } = course;
      const isApp = patient.includes('app');
      // What only the app's own client could end, stays until it does.
      const isStuck = isApp && /half-open|black hole/.test(fault.name);
      rows.push({
        ...course,
        slowestMs: Number(slowestMs.toFixed(1)),
        healedMs: healedMs === undefined ? 'never' : Math.round(healedMs),
        ok:
          thrown === 0 &&
          wrong === 0 &&
          slowestMs <= (patient === 'a replica' ? 1 : 300) &&
          (isStuck || (healedMs !== undefined && healedMs <= 2_500)),
      });
    }
    for (const { rollout } of patients) await rollout.close();
    client.disconnect();
    await site.close();
  }
  return rows;
}

function patientsOn(client: Redis): Patient[] {
  const open = (name: string, backend: Source, isSync = false): Patient => ({
    name,
    rollout: new Rollout(backend, { unknownFeature: true }),
    isSync,
  });
  return [
    open('RedisBackend', new RedisBackend(client, OPTIONS)),
    open('RedisSetBackend', new RedisSetBackend(client, OPTIONS)),
    open("on the app's connection", new RedisBackend(client, { ...OPTIONS, reuse: true })),
    open('a replica', new ReplicaBackend(new RedisBackend(client, OPTIONS)), true),
    open('a replica of sets', new ReplicaBackend(new RedisSetBackend(client, OPTIONS))),
  ];
}
