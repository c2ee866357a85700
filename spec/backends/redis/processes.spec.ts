import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { Rollout } from '../../../lib/rollout.js';
import { useBuilt } from '../../built.js';
import { RedisServer, useRedis } from '../../redis-server.js';
import { until } from '../../until.js';

jest.setTimeout(60_000);

const redis = useRedis();
const built = useBuilt();

/** Runs the module's text in a process that has `rollout`, on a backend of that name. */
function run(backend: string, port: number, text: string): Promise<string> {
  return built.run(`
    import { Rollout } from ${built.at('index.js')};
    import { ${backend} } from ${built.at('backends/redis/index.js')};
    import { Redis } from 'ioredis';
    const redis = new Redis({ port: ${port}, retryStrategy: () => 20 });
    redis.on('error', () => {});
    const rollout = new Rollout(new ${backend}(redis, { historyLength: 10_000 }));
    ${text}
    await rollout.close();
    redis.disconnect();`);
}

describe.each([RedisBackend, RedisSetBackend])('several processes on a %p', (Backend) => {
  let client: Redis;
  let backend: RedisBackend | RedisSetBackend;
  let rollout: Rollout;
  beforeEach(async () => {
    client = new Redis(redis.server.port);
    await client.flushall();
    backend = new Backend(client, { historyLength: 10_000 });
    rollout = new Rollout(backend);
  });
  afterEach(async () => {
    await rollout.close();
    client.disconnect();
  });

  it('lose none of their registrations and updates, and count each', async () => {
    await rollout.addFeature('list');
    await rollout.addFeature('counter', { data: { n: 0 } });
    const writers = Array.from({ length: 4 }, (_, p) =>
      run(
        Backend.name,
        redis.server.port,
        `for (let n = 0; n < 100; n++) {
           const many = Array.from({ length: 5 }, (_, k) => rollout.register('list', 'user-${p}-' + n + '-' + k));
           await Promise.all(many);
           if (n % 5 === 0) await rollout.update('counter', ({ data }) => ({ data: { n: data.n + 1 } }));
         }`,
      ),
    );
    await Promise.all(writers);
    expect(await rollout.countMembers('list')).toBe(2_000);
    expect((await rollout.get('counter'))?.data).toEqual({ n: 80 });
    const [, members] = ((await backend.token())?.members ?? '').split(':');
    expect(members).toBe('2000');
    const [, documents] = ((await backend.token())?.documents ?? '').split(':');
    expect(documents).toBe('82');
    const logged = (await rollout.history('list', { limit: 10_000 })).flatMap(({ added }) => added);
    expect(new Set(logged).size).toBe(2_000);
    expect(logged).toHaveLength(2_000);
  });

  it('create a feature once', async () => {
    const create = `
      const codes = await Promise.all(Array.from({ length: 20 }, (_, n) =>
        rollout.addFeature('feature-' + n).then(() => 'created', (error) => error.code)));
      console.log(codes.join());`;
    const outputs = await Promise.all(
      [1, 2, 3].map(() => run(Backend.name, redis.server.port, create)),
    );
    const codes = outputs.join(',').replaceAll('\n', '').split(',');
    expect(codes.filter((code) => code === 'created')).toHaveLength(20);
    expect(codes.filter((code) => code === 'FEATURE_EXISTS')).toHaveLength(40);
  });

  it('bring no member back by registering while another deletes and creates', async () => {
    await rollout.addFeature('list');
    const registering = run(
      Backend.name,
      redis.server.port,
      `for (let n = 0; n < 400; n++) {
         await rollout.register('list', 'user-' + n).catch((error) => {
           if (error.code !== 'FEATURE_NOT_FOUND') throw error;
         });
       }`,
    );
    let isOver: boolean = false;
    const ended = registering.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      await rollout.remove('list');
      const created = await rollout.addFeature('list');
      const count = await rollout.countMembers('list');
      const since = await rollout.history('list', { limit: 1_000, kind: 'members' });
      const own = since.filter(({ head }) => head.id === created.id);
      expect(count).toBeLessThanOrEqual(own.length);
    }
    await ended;
  });

  it('live on without a single listener when the server dies and comes back', async () => {
    const server = await RedisServer.start(['--appendonly', 'yes']);
    const { port } = server;
    const own = new Redis(port);
    const writer = new Rollout(new Backend(own));
    await writer.addFeature('chat', { percentage: 100 });
    const living = run(
      Backend.name,
      port,
      `rollout.on('change', () => {});
       let wasFresh = false;
       let wasStale = false;
       let wasBack = false;
       for (const end = Date.now() + 20_000; !wasBack && Date.now() < end; ) {
         const answers = await Promise.all([
           rollout.decide('chat', 'ann'),
           rollout.snapshot('ann').then((flags) => flags.isEnabled('chat')),
           rollout.register('chat', wasFresh ? 'fresh' : 'new').then(() => true, () => false),
         ]);
         wasFresh ||= answers[0].reason === 'STATIC';
         wasStale ||= wasFresh && answers[0].enabled && answers[0].reason === 'STALE';
         wasBack ||= wasStale && answers[0].reason === 'STATIC';
         await new Promise((resolve) => setTimeout(resolve, 20));
       }
       console.log(wasFresh, wasStale, wasBack);`,
    );
    await until(async () => (await writer.countMembers('chat')) === 2);
    await writer.close();
    own.disconnect();
    await server.kill();
    await new Promise((resolve) => setTimeout(resolve, 500));
    await server.restart();
    expect(await living).toBe('true true true\n');
    await server.stop();
  });
});
