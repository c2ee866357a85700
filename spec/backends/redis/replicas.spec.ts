import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import type { HanoiError } from '../../../lib/errors.js';
import { Rollout } from '../../../lib/rollout.js';
import { RedisServer } from '../../redis-server.js';
import { isInSync, untilFollowed } from '../../replication.js';
import { TcpProxy } from '../../tcp-proxy.js';
import { until } from '../../until.js';

let master: RedisServer;
let replica: RedisServer;
let client: Redis;
let onReplica: Redis;
beforeAll(async () => {
  const data = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];
  master = await RedisServer.start(data);
  replica = await RedisServer.start([...data, '--replicaof', '127.0.0.1', `${master.port}`]);
  await until(() => isInSync(replica));
  await untilFollowed(master, 1);
  client = new Redis(master.port);
  onReplica = new Redis(replica.port);
}, 60_000);
afterAll(async () => {
  client.disconnect();
  onReplica.disconnect();
  await master.stop();
  await replica.stop();
});
beforeEach(() => client.flushall());

const opened: Rollout[] = [];
afterEach(async () => {
  for (const rollout of opened.splice(0)) await rollout.close();
});
function open(Backend: typeof RedisBackend, options: object = {}): Rollout {
  const rollout = new Rollout(new Backend(client, { waitForReplicas: 1, ...options }));
  opened.push(rollout);
  return rollout;
}

describe.each([RedisBackend, RedisSetBackend])('a %p that waits for a replica', (Backend) => {
  it('has on the replica what it says is applied', async () => {
    const rollout = open(Backend);
    await rollout.addFeature('list');
    const { id } = (await rollout.get('list')) as { id: string };
    for (let n = 0; n < 200; n++) {
      await rollout.register('list', `user-${n}`);
      expect(await onReplica.sismember(`{hanoi}:users:${id}`, `user-${n}`)).toBe(1);
    }
    for (let n = 0; n < 20; n++) {
      await rollout.setPercentage('list', n);
      const document = await onReplica.hget('{hanoi}:features', 'list');
      expect(JSON.parse(document as string).percentage).toBe(n);
    }
    const many = Array.from({ length: 500 }, (_, n) => rollout.register('list', `more-${n}`));
    await Promise.all([...many, rollout.exclude('list', 'bob'), rollout.setPercentage('list', 7)]);
    expect(await onReplica.scard(`{hanoi}:users:${id}`)).toBe(700);
  });

  it('knows no outcome while the replica hangs, holds up no check, and can be asked again', async () => {
    const rollout = open(Backend, { operationTimeoutMs: 1_000 });
    await rollout.addFeature('list', { percentage: 100 });
    await rollout.register('list', 'ann');
    expect(await rollout.isEnabled('list', 'ann')).toBe(true);
    replica.signal('SIGSTOP');
    let errors: HanoiError[];
    try {
      const writes = ['bob', 'eve'].map((who) => rollout.register('list', who));
      const failing = Promise.all(
        [...writes, rollout.setPercentage('list', 50)].map((write) =>
          write.then(
            () => {
              throw new Error('No replica has it.');
            },
            (error) => error,
          ),
        ),
      );
      for (let check = 0; check < 40; check++) {
        const decision = await rollout.decide('list', 'ann');
        expect(decision).toMatchObject({ enabled: true, code: undefined });
        await delay(20);
      }
      errors = await failing;
    } finally {
      replica.signal('SIGCONT');
    }
    const unknown = { code: 'OUTCOME_UNKNOWN', cause: { code: 'STORE_TIMEOUT' } };
    expect(errors).toMatchObject([unknown, unknown, unknown]);
    const [bob, eve, share] = errors.map(({ requestId }) => ({ requestId: requestId as string }));
    // They were applied; repeated, they are not applied twice, and known to be where they should.
    expect(await rollout.register('list', 'bob', bob)).toBe(1);
    expect(await rollout.register('list', 'eve', eve)).toBe(1);
    expect((await rollout.setPercentage('list', 50, share)).percentage).toBe(50);
    expect((await rollout.history('list')).length).toBe(4);
    await rollout.register('list', 'kim');
    expect(await rollout.countMembers('list')).toBe(4);
  });

  it('is told at once what the store refuses', async () => {
    const rollout = open(Backend);
    await expect(rollout.register('nope', 'ann')).rejects.toMatchObject({
      code: 'FEATURE_NOT_FOUND',
    });
    await rollout.addFeature('list');
    await expect(rollout.addFeature('list')).rejects.toMatchObject({ code: 'FEATURE_EXISTS' });
  });

  it('knows no outcome where it is closed meanwhile', async () => {
    const rollout = open(Backend, { waitForReplicas: 2 });
    const write = rollout.addFeature('list').catch((error) => error);
    await delay(100);
    await rollout.close();
    expect(await write).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { code: 'CLOSED' } });
  });

  it('does so on a connection of its own alone', () => {
    expect(() => new Backend(client, { waitForReplicas: 1, reuse: true })).toThrow('`reuse`');
    expect(() => new Backend(client, { waitForReplicas: -1 })).toThrow('`waitForReplicas`');
  });
});

it.each([RedisBackend, RedisSetBackend])(
  'waits for a replica that is far with %p',
  async (Backend) => {
    const proxy = await TcpProxy.start(master.port);
    const far = await RedisServer.start(['--replicaof', '127.0.0.1', `${proxy.port}`]);
    try {
      await until(() => isInSync(far));
      await untilFollowed(master, 2);
      proxy.delayMs = 150;
      const rollout = open(Backend, { waitForReplicas: 2, operationTimeoutMs: 3_000 });
      await rollout.addFeature('chat');
      expect(await rollout.register('chat', 'ann')).toBe(1);
    } finally {
      await far.stop();
      await proxy.stop();
    }
  },
  20_000,
);
