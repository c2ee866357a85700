import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { ReplicaBackend } from '../../../lib/backends/replica.js';
import { Rollout } from '../../../lib/rollout.js';
import { users } from '../../readme.js';
import { useRedis } from '../../redis-server.js';

const redis = useRedis();
let admin: Redis;
beforeAll(() => {
  admin = new Redis(redis.server.port);
});
afterAll(() => admin.disconnect());
beforeEach(async () => {
  await admin.flushall();
  for (const [command, ...args] of users()) {
    // What an older server does not know is not there to be allowed.
    const known = args.filter((arg) => arg !== '+client|setinfo');
    await admin.call(command as string, ...known);
  }
});

describe.each([RedisBackend, RedisSetBackend])('a %p with the docs’ permissions', (Backend) => {
  const opened: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of opened.splice(0).reverse()) await close();
  });
  const rolloutOf = (username: string) => {
    const client = new Redis({ port: redis.server.port, username, password: 'secret' });
    const rollout = new Rollout(new Backend(client));
    opened.push(
      () => client.disconnect(),
      () => rollout.close(),
    );
    return rollout;
  };

  it('writes as the writer', async () => {
    const rollout = rolloutOf('writer');
    const heard = new Promise((resolve) => rollout.on('change', resolve));
    await rollout.addFeature('chat', { percentage: 5 });
    await heard;
    await admin.script('FLUSH');
    await rollout.register('chat', ['ann', 'bob']);
    await rollout.unregister('chat', 'bob');
    await rollout.deactivate('chat');
    await rollout.remove('chat');
    await rollout.addFeature('chat', {}, { actor: 'me' });
    expect(await rollout.history('chat', { limit: 10 })).toHaveLength(6);
    expect((await rollout.decide('chat', 'ann')).reason).toBe('DEFAULT');
  });

  it.each(['set', 'hset', 'hdel', 'sadd', 'srem', 'xadd', 'xdel', 'persist', 'pexpire', 'publish'])(
    'writes nothing, rather than a half, where the writer lacks %s',
    async (command) => {
      await admin.call('ACL', 'SETUSER', 'writer', `-${command}`);
      const rollout = rolloutOf('writer');
      await expect(rollout.addFeature('chat')).rejects.toMatchObject({
        code: 'NOT_APPLIED',
        cause: { code: 'STORE_DENIED' },
      });
      expect(await admin.keys('*')).toEqual([]);
    },
  );

  it('asks as the reader, and writes nothing', async () => {
    await rolloutOf('writer').addFeature('chat', { percentage: 5 });
    await rolloutOf('writer').register('chat', 'ann');
    await rolloutOf('writer').population.increaseBuckets(2);
    await rolloutOf('writer').population.register('ann', { weight: 2 });
    await rolloutOf('writer').addToGroup('friends', 'ann');
    const rollout = rolloutOf('reader');
    const heard = new Promise((resolve) => rollout.on('change', resolve));
    await admin.script('FLUSH');
    expect((await rollout.decide('chat', 'ann')).detail).toBe('member');
    expect((await rollout.snapshot('ann')).decide('chat').detail).toBe('member');
    expect((await rollout.features()).length).toBe(1);
    expect(await rollout.countMembers('chat')).toBe(1);
    expect(await rollout.history('chat')).toHaveLength(2);
    for await (const id of rollout.members('chat')) expect(id).toBe('ann');
    expect(await rollout.population.count()).toBe(1);
    expect(await rollout.population.weight()).toBe(2);
    expect(await rollout.population.bucketOf('ann')).toBe('0');
    for await (const { id } of rollout.population.subjects()) expect(id).toBe('ann');
    expect(await rollout.countGroup('friends')).toBe(1);
    for (const write of [
      () => rollout.population.register('eve'),
      () => rollout.addToGroup('friends', 'eve'),
      () => rollout.setPercentage('chat', 100),
      () => rollout.register('chat', 'eve'),
      () => rollout.remove('chat'),
    ]) {
      await expect(write()).rejects.toMatchObject({
        code: 'NOT_APPLIED',
        cause: { code: 'STORE_DENIED' },
      });
    }
    await rolloutOf('writer').setPercentage('chat', 100);
    await heard;
    expect(await rollout.isEnabled('chat', 'eve')).toBe(true);
    await admin.set('other', 'key');
    const direct = new Redis({ port: redis.server.port, username: 'reader', password: 'secret' });
    opened.push(() => direct.disconnect());
    await expect(direct.get('other')).rejects.toThrow('NOPERM');
  });

  it('keeps a replica as the reader', async () => {
    const writer = rolloutOf('writer');
    await writer.addFeature('chat');
    await writer.register(
      'chat',
      Array.from({ length: 300 }, (_, n) => `user-${n}`),
    );
    const client = new Redis({ port: redis.server.port, username: 'reader', password: 'secret' });
    const replica = new Rollout(new ReplicaBackend(new Backend(client)));
    opened.push(
      () => client.disconnect(),
      () => replica.close(),
    );
    const troubles: unknown[] = [];
    replica.on('error', (error) => troubles.push(error));
    replica.on('degraded', (health) => troubles.push(health));
    expect(await replica.ready()).toMatchObject({ state: 'ready', error: undefined });
    for (let n = 0; n < 20; n++) {
      await writer.setPercentage('chat', n / 10_000);
      await writer.register('chat', `more-${n}`);
      while (!(await replica.isEnabled('chat', `more-${n}`))) await delay(5);
    }
    await writer.remove('chat');
    while ((await replica.decide('chat', 'x')).errorCode !== 'FLAG_NOT_FOUND') await delay(5);
    expect(troubles).toEqual([]);
  });

  it('waits for replicas as the writer', async () => {
    const client = new Redis({ port: redis.server.port, username: 'writer', password: 'secret' });
    const options = { waitForReplicas: 1, operationTimeoutMs: 300 };
    const rollout = new Rollout(new Backend(client, options));
    opened.push(
      () => client.disconnect(),
      () => rollout.close(),
    );
    // There is none; but it may ask.
    await expect(rollout.addFeature('chat')).rejects.toMatchObject({
      code: 'OUTCOME_UNKNOWN',
      cause: { code: 'STORE_TIMEOUT' },
    });
  });

  it('goes to no other database where SELECT is not allowed', async () => {
    const options = { port: redis.server.port, username: 'writer', password: 'secret', db: 1 };
    const client = new Redis(options);
    client.on('error', () => {});
    const rollout = new Rollout(new Backend(client, { operationTimeoutMs: 1_000 }));
    opened.push(
      () => client.disconnect(),
      () => rollout.close(),
    );
    await expect(rollout.addFeature('chat')).rejects.toMatchObject({
      code: 'NOT_APPLIED',
      cause: { code: 'STORE_DENIED', message: expect.stringContaining('NOPERM') },
    });
    expect(await rolloutOf('writer').get('chat')).toBeUndefined();
    await admin.call('ACL', 'SETUSER', 'writer', '+select');
    try {
      await rollout.addFeature('chat');
      expect(await rolloutOf('writer').get('chat')).toBeUndefined();
    } finally {
      await admin.call('ACL', 'SETUSER', 'writer', '-select');
    }
  });
});
