import type { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../../lib/backends/redis/index.js';
import { ReplicaBackend } from '../../lib/backends/replica.js';
import { Rollout } from '../../lib/rollout.js';
import { FAULTS, furnish, type Patient, Site, suffer } from '../faults.js';

const OPTIONS = { operationTimeoutMs: 1_000 };
/** What would turn everything on, if an outage were taken for "no such feature". */
const OPEN = { unknownFeature: true };

describe.each(FAULTS)('while it is $name', (fault) => {
  let site: Site;
  let client: Redis;
  let patients: Patient[];

  beforeAll(async () => {
    site = await Site.open();
    client = site.clientOf();
    const furnisher = new Rollout(new RedisBackend(client));
    await furnish(furnisher);
    await furnisher.close();
    const open = (
      name: string,
      backend: ConstructorParameters<typeof Rollout>[0],
      isSync = false,
    ) => ({
      name,
      rollout: new Rollout(backend, OPEN),
      isSync,
    });
    patients = [
      open('RedisBackend', new RedisBackend(client, OPTIONS)),
      open('RedisSetBackend', new RedisSetBackend(client, OPTIONS)),
      open("on the app's connection", new RedisBackend(client, { ...OPTIONS, reuse: true })),
      open('a replica', new ReplicaBackend(new RedisBackend(client, OPTIONS)), true),
      open('a replica of sets', new ReplicaBackend(new RedisSetBackend(client, OPTIONS))),
    ];
    for (const { rollout } of patients) {
      rollout.on('change', () => {});
      expect(await rollout.ready()).toMatchObject({ state: 'ready' });
      for (const name of ['on', 'list', 'shut']) await rollout.decide(name, 'ann');
    }
  });
  afterAll(async () => {
    for (const { rollout } of patients) await rollout.close();
    client.disconnect();
    await site.close();
  });

  it('answers every check, none wrongly, and sees changes again soon after', async () => {
    const courses = await suffer(site, fault, patients);
    for (const course of courses) {
      expect(course).toMatchObject({ checks: 500, thrown: 0, wrong: 0 });
      // The deadline is 250 ms; this allows for a machine that is busy.
      expect(course.slowestMs).toBeLessThan(1_000);
      const isReplica = course.patient.includes('replica');
      if (isReplica) expect(course).toMatchObject({ failed: 0 });
      // What only the app's own client could end, stays until it does; and while a server loads, it
      // looks again by the server's own estimate.
      const isStuck =
        course.patient.includes('app') && /half-open|black hole|LOADING/.test(fault.name);
      if (!isStuck) expect(course.healedMs).toBeLessThan(5_000);
    }
  }, 30_000);
});
