import { setTimeout as delay } from 'node:timers/promises';
import { RedisBackend } from '../lib/backends/redis/index.js';
import { WRITE } from '../lib/backends/redis/scripts.js';
import type { HanoiError } from '../lib/errors.js';
import { Rollout } from '../lib/rollout.js';
import { Site } from '../spec/faults.js';
import { seeded } from '../spec/property.js';
import type { Row } from './row.js';

/** What becomes of 1,000 writes whose replies are cut at random, each repeated until it is known. */
export async function cutReplies(seed: number): Promise<Row[]> {
  const random = seeded(seed);
  const site = await Site.open();
  const client = site.clientOf();
  // So short that many give up while the reply is out.
  const rollout = new Rollout(
    new RedisBackend(client, { operationTimeoutMs: 150, historyLength: 10_000 }),
  );
  await rollout.ready();
  await rollout.addFeature('list');
  site.proxy.loses = (request) => request.includes(WRITE.sha) && random() < 0.3;
  let unknown = 0;
  let added = 0;
  const register = async (id: string) => {
    let requestId: string | undefined;
    for (;;) {
      try {
        return await rollout.register('list', id, requestId === undefined ? {} : { requestId });
      } catch (error) {
        const { code } = error as HanoiError;
        if (code !== 'OUTCOME_UNKNOWN' && code !== 'NOT_APPLIED') throw error;
        if (code === 'OUTCOME_UNKNOWN') {
          unknown++;
          ({ requestId } = error as HanoiError);
        }
        await delay(5);
      }
    }
  };
  for (let n = 0; n < 1_000; n++) added += await register(`user-${n}`);
  site.proxy.loses = () => false;
  const history = await rollout.history('list', { limit: 10_000, kind: 'members' });
  const times = new Map<string, number>();
  for (const id of history.flatMap((change) => change.added)) {
    times.set(id, (times.get(id) ?? 0) + 1);
  }
  const count = await rollout.countMembers('list');
  const once = [...times.values()].filter((each) => each === 1).length;
  await rollout.close();
  client.disconnect();
  const { lost } = site.proxy;
  await site.close();
  return [
    {
      ok: count === 1_000 && once === 1_000 && added === 1_000,
      ...{ seed, writes: 1_000, repliesCut: lost, saidUnknown: unknown },
      ...{ saidAdded: added, members: count, inTheHistoryOnce: once },
    },
  ];
}

/** Writes that were given up while the server hung: does one land later, over a newer one? */
export async function ghosts(): Promise<Row[]> {
  const site = await Site.open();
  const client = site.clientOf(site.server.port);
  const rollout = new Rollout(new RedisBackend(client, { operationTimeoutMs: 100 }));
  const other = new Rollout(new RedisBackend(client));
  await rollout.ready();
  await rollout.addFeature('list');
  let attempts = 0;
  let landed = 0;
  while (attempts < 200) {
    site.server.signal('SIGSTOP');
    const ids = Array.from({ length: 20 }, (_, n) => `user-${attempts + n}`);
    const outcomes = await Promise.allSettled(
      ids.map((id) => rollout.register('list', id, { note: id })),
    );
    await delay(50);
    site.server.signal('SIGCONT');
    // Whatever was on its way has come when this has.
    await other.ready();
    await delay(100);
    for (const [at, { status }] of outcomes.entries()) {
      if (status === 'fulfilled') continue;
      attempts++;
      if ((await other.decide('list', ids[at] as string)).enabled) landed++;
    }
  }
  await rollout.close();
  await other.close();
  client.disconnect();
  await site.close();
  return [{ ok: landed === 0, givenUp: attempts, landed }];
}
