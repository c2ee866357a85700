import { Cluster, Redis } from 'ioredis';
import { RedisBackend } from '../lib/backends/redis/index.js';
import { Rollout } from '../lib/rollout.js';
import { type Course, failOver, furnish, KEY, quiet, type Site } from '../spec/failover.js';
import { RedisCluster } from '../spec/redis-cluster.js';
import { SentinelTrio } from '../spec/redis-sentinel.js';
import type { RedisServer } from '../spec/redis-server.js';
import type { Row } from './row.js';

/** How soon checks come from the store again, and writes are acknowledged. */
const BACK_MS = 6_000;

/**
 * So many failovers on a cluster, and through Sentinel, half of them by SIGKILL and half by SIGSTOP
 * of the master, with checks and registrations all the while. Where writes wait for a replica, none
 * that was acknowledged may be lost; else that is counted, and no failure: replication is
 * asynchronous.
 */
export async function failover(count = 20): Promise<Row[]> {
  const rows: Row[] = [];
  for (const waitForReplicas of [0, 1]) {
    rows.push(
      ...(await on('cluster', await clusterSite(1 + waitForReplicas), count, waitForReplicas)),
    );
    rows.push(...(await on('Sentinel', await sentinelSite(), count, waitForReplicas)));
  }
  return rows;
}

type Place = Site & { stop(): Promise<void> };

/** Who waits for one replica needs a second one, for when that has become the master. */
export async function clusterSite(replicas: number): Promise<Place> {
  const cluster = await RedisCluster.start({ replicas });
  return {
    connect: () => quiet(new Cluster(cluster.startupNodes)),
    master: async () => (await cluster.ownersOf(KEY)).owners[0] as RedisServer,
    settle: () => cluster.settle(),
    stop: () => cluster.stop(),
  };
}

export async function sentinelSite(): Promise<Place> {
  const trio = await SentinelTrio.start();
  return {
    connect: () => quiet(new Redis(trio.clientOptions)),
    master: () => trio.master(),
    settle: () => trio.settle(),
    stop: () => trio.stop(),
  };
}

async function on(
  place: string,
  site: Place,
  count: number,
  waitForReplicas: number,
): Promise<Row[]> {
  const courses: Course[] = [];
  const client = site.connect();
  const rollout = new Rollout(new RedisBackend(client, { waitForReplicas }));
  try {
    await rollout.ready();
    await furnish(rollout);
    await rollout.decide('on', 'ann');
    for (let n = 0; n < count; n++) {
      const signal = n % 2 === 0 ? 'SIGKILL' : 'SIGSTOP';
      courses.push(await failOver(site, rollout, signal, `${n}`));
    }
  } finally {
    await rollout.close();
    client.disconnect();
    await site.stop();
  }
  return (['SIGKILL', 'SIGSTOP'] as const).map((signal) =>
    rowOf(
      place,
      signal,
      waitForReplicas,
      courses.filter((course) => course.signal === signal),
    ),
  );
}

function rowOf(
  place: string,
  signal: string,
  waitForReplicas: number,
  courses: readonly Course[],
): Row {
  const sum = (count: (course: Course) => number) =>
    courses.reduce((total, course) => total + count(course), 0);
  const most = (value: (course: Course) => number) =>
    Math.round(courses.reduce((worst, course) => Math.max(worst, value(course)), 0));
  const row = {
    checks: sum(({ checks }) => checks),
    rejected: sum(({ rejected }) => rejected),
    wrong: sum(({ wrong }) => wrong),
    over300Ms: sum(({ slow }) => slow),
    checksBackMs: most(({ checksBackMs }) => checksBackMs),
    writesBackMs: most(({ writesBackMs }) => writesBackMs ?? Number.POSITIVE_INFINITY),
    acknowledged: sum(({ acknowledged }) => acknowledged),
    thenAbsent: sum(({ lost }) => lost.length),
    notApplied: sum(({ notApplied }) => notApplied),
    thenPresent: sum(({ ghosts }) => ghosts.length),
    unknown: sum(({ unknown }) => unknown),
  };
  const isFit =
    row.rejected === 0 &&
    row.wrong === 0 &&
    row.over300Ms === 0 &&
    row.checksBackMs <= BACK_MS &&
    row.writesBackMs <= BACK_MS &&
    (waitForReplicas === 0 || row.thenAbsent === 0) &&
    row.thenPresent === 0;
  return { ok: isFit, on: place, by: signal, waitForReplicas, failovers: courses.length, ...row };
}
