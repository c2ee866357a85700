import { setTimeout as delay } from 'node:timers/promises';
import { Cluster as Cluster5 } from 'ioredis';
import { Cluster as Cluster6 } from 'ioredis-6';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import type { HanoiError } from '../../../lib/errors.js';
import { Rollout } from '../../../lib/rollout.js';
import { expectToWorkAt } from '../../cli/shell.js';
import { compare, failOver, furnish, KEY, Load, quiet, type Site } from '../../failover.js';
import { RedisCluster } from '../../redis-cluster.js';
import type { RedisServer } from '../../redis-server.js';
import { ask } from '../../replication.js';
import { backendContract } from '../contract.js';
import { makeEveryCall } from './every-call.js';

/** With what is up to it on one master, and what is after it on another, nothing can be read. */
const HEADS = '{hanoi}:heads';

const BACKENDS = [RedisBackend, RedisSetBackend];

let cluster: RedisCluster;
beforeAll(async () => {
  cluster = await RedisCluster.start();
}, 60_000);
afterAll(() => cluster.stop());

/** What each spec has opened, closed after it whatever happens. */
const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

let namespaces = 0;
/** Each in another slot, and so on another master. */
const namespace = () => `spec-${namespaces++}`;

const CLIENTS: [string, () => Cluster5][] = [
  ['ioredis 5', () => new Cluster5(cluster.startupNodes)],
  ['ioredis 6', () => new Cluster6(cluster.startupNodes) as unknown as Cluster5],
];

it('is where the command line works', async () => {
  const nodes = cluster.startupNodes.map(({ host, port }) => `${host}:${port}`).join(',');
  await expectToWorkAt(`redis://${nodes}?cluster=true&namespace=${namespace()}`);
});

describe.each(CLIENTS)('on three masters with replicas, with %s', (name, connect) => {
  let client: Cluster5;
  beforeAll(() => {
    client = quiet(connect());
  });
  afterAll(() => client.disconnect());

  // Each backend with each client on one server is held to it elsewhere.
  const Backend = name === 'ioredis 5' ? RedisBackend : RedisSetBackend;
  backendContract(Backend.name, {
    open: async () => new Backend(client, { namespace: namespace() }),
  });

  it.each(BACKENDS)('makes every call of the API with %p', async (Backend) => {
    const own = { namespace: namespace() };
    await makeEveryCall(() => new Backend(client, own));
  });
});

describe('on three masters with replicas', () => {
  let client: Cluster5;
  let rollout: Rollout;
  const site: Site = {
    connect: () => quiet(new Cluster5(cluster.startupNodes)),
    master: async () => (await cluster.ownersOf(KEY)).owners[0] as RedisServer,
    settle: () => cluster.settle(),
  };

  beforeEach(async () => {
    // Told of no other node than the one that is to fail.
    const { port } = await site.master();
    client = quiet(new Cluster5([{ host: '127.0.0.1', port }]));
    opened.push(() => client.disconnect());
    rollout = new Rollout(new RedisBackend(client));
    opened.push(() => rollout.close());
    await rollout.ready();
    if ((await rollout.get('on')) === undefined) await furnish(rollout);
    await rollout.decide('on', 'ann');
  });

  it('answers and writes while the slot moves to another master', async () => {
    const load = new Load(rollout, 'move');
    const before = (await cluster.ownersOf(KEY)).owners[0] as RedisServer;
    try {
      await delay(300);
      await cluster.reshard(HEADS, () => delay(1_000));
      await load.isBack(performance.now());
    } finally {
      await load.end();
    }
    expect((await cluster.ownersOf(KEY)).owners[0]).not.toBe(before);
    expect(load).toMatchObject({ rejected: 0, wrong: 0 });
    expect(load.checks).toBeGreaterThan(250);
    expect(load.slowestMs).toBeLessThan(1_000);
    expect(await compare(site, load)).toEqual({ lost: [], ghosts: [] });
    await cluster.settle();
  }, 20_000);

  it.each(['SIGKILL', 'SIGSTOP'] as const)(
    'answers all the while and writes again after %s of the master',
    async (signal) => {
      const course = await failOver(site, rollout, signal, signal);
      // What was acknowledged can go with the master: `waitForReplicas` is for that.
      expect(course).toMatchObject({ rejected: 0, wrong: 0, ghosts: [] });
      expect(course.checks).toBeGreaterThan(500);
      // The deadline is 250 ms; this allows for a machine that is busy.
      expect(course.slowestMs).toBeLessThan(1_000);
      expect(course.checksBackMs).toBeLessThan(6_000);
      expect(course.writesBackMs).toBeLessThan(6_000);
    },
    40_000,
  );

  it('hears of changes again when the node hangs that the subscriber sits on', async () => {
    const heard = new Set<string>();
    const { rollout, node } = await subscribedBesideTheMaster(heard);
    const hears = async (name: string) => {
      for (; !heard.has(name); await delay(20)) {
        const there = await rollout.get(name).catch(refusedForNow);
        if (there === undefined) await rollout.addFeature(name).catch(refusedForNow);
        else await rollout.remove(name).catch(refusedForNow);
      }
    };
    await hears('first');
    const at = performance.now();
    node.signal('SIGSTOP');
    try {
      await hears('second');
      expect(performance.now() - at).toBeLessThan(5_000);
    } finally {
      node.signal('SIGCONT');
    }
    await cluster.settle();
  }, 30_000);

  /** Nodes that miss another one may refuse for a moment, or send elsewhere; the next attempt tells. */
  function refusedForNow(error: HanoiError): undefined {
    if (!/^(STORE_|FEATURE_|NOT_APPLIED|OUTCOME_UNKNOWN|CONFLICT)/.test(error.code)) throw error;
  }

  /** The subscriber takes any node; this goes on until it is not the one that takes the writes. */
  async function subscribedBesideTheMaster(heard: Set<string>) {
    const { owners } = await cluster.ownersOf(KEY);
    for (;;) {
      const rollout = new Rollout(new RedisBackend(client));
      rollout.on('change', ({ name }) => heard.add(name));
      for (let node: RedisServer | undefined; node === undefined; await delay(10)) {
        for (const each of cluster.nodes) {
          const [, count] = (await ask(each, 'PUBSUB', 'NUMSUB', '{hanoi}:changes')) as unknown[];
          if (Number(count) > 0) node = each;
        }
        if (node === owners[0]) break;
        if (node === undefined) continue;
        opened.push(() => rollout.close());
        return { rollout, node };
      }
      await rollout.close();
    }
  }
});
