import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { Rollout } from '../../../lib/rollout.js';
import { RedisServer, useRedis } from '../../redis-server.js';
import { TcpProxy } from '../../tcp-proxy.js';

const redis = useRedis();
const BACKENDS = [RedisBackend, RedisSetBackend];

let client: Redis;
beforeAll(() => {
  client = new Redis(redis.server.port);
});
afterAll(() => client.disconnect());
beforeEach(() => client.flushall());

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

function clientWith(options: object): Redis {
  const app = new Redis({ port: redis.server.port, ...options });
  opened.push(() => app.disconnect());
  return app;
}

function open(Backend: typeof RedisBackend | typeof RedisSetBackend, app: Redis, options = {}) {
  const rollout = new Rollout(new Backend(app, { operationTimeoutMs: 1_500, ...options }));
  opened.push(() => rollout.close());
  return rollout;
}

const CLIENTS: [string, object][] = [
  ['nothing else', {}],
  ['autopipelining', { enableAutoPipelining: true }],
  ['numbers as text', { stringNumbers: true }],
  ['a prefix', { keyPrefix: 'app:' }],
  ['a prefix with braces', { keyPrefix: 'a{b}c:' }],
  ['another database', { db: 3 }],
  ['a late connection', { lazyConnect: true }],
  ['reads alone, as of a replica', { readOnly: true }],
  ['no look at whether the server is ready', { enableReadyCheck: false }],
  ['friendly stacks', { showFriendlyErrorStack: true }],
  ['a deadline of its own', { commandTimeout: 1_000 }],
  ['no queue while offline', { enableOfflineQueue: false }],
  ['no retries', { retryStrategy: null }],
  ['retries for ever', { maxRetriesPerRequest: null }],
  ['a reconnection at any refusal', { reconnectOnError: () => true }],
  ['a reconnection and another try at any refusal', { reconnectOnError: () => 2 }],
];

describe.each(
  BACKENDS.flatMap((Backend) => [false, true].map((reuse) => [Backend, reuse] as const)),
)('a %p with reuse %p', (Backend, reuse) => {
  it.each(CLIENTS)('does all of it on a client with %s', async (_, options) => {
    const app = clientWith(options);
    if (app.status === 'wait') await app.connect();
    else await new Promise((resolve) => app.once('ready', resolve));
    await client.script('FLUSH');
    const rollout = open(Backend, app, { reuse });
    await rollout.addFeature('chat');
    expect(await rollout.register('chat', 'ann')).toBe(1);
    expect(await rollout.register('chat', ['ann', 'bob', 'eve'])).toBe(2);
    // What is held is fetched after the first: asked and held, it is one answer.
    for (let check = 0; check < 3; check++) {
      expect((await rollout.decide('chat', 'ann')).detail).toBe('member');
      expect((await rollout.decide('chat', 'kim')).detail).toBe('no gate');
      const flags = await rollout.snapshot('bob');
      expect(flags.decide('chat').detail).toBe('member');
    }
    expect((await rollout.snapshot('3')).isEnabled('chat')).toBe(false);
    expect(await rollout.countMembers('chat')).toBe(3);
    const history = await rollout.history('chat');
    expect(history.map(({ kind, memberCount }) => [kind, memberCount])).toEqual([
      ['members', 3],
      ['members', 1],
      ['created', 0],
    ]);
    expect(await rollout.unregister('chat', 'ann')).toBe(1);
    expect((await rollout.decide('chat', 'ann')).enabled).toBe(false);
  });
});

it.each(BACKENDS)('lets in nobody for how many members there are with %p', async (Backend) => {
  const writer = open(RedisSetBackend, client);
  await writer.addFeature('big');
  await writer.register(
    'big',
    Array.from({ length: 50_001 }, (_, at) => `user-${at}`),
  );
  for (const reuse of [false, true]) {
    const rollout = open(Backend, clientWith({ stringNumbers: true }), { reuse });
    for (const id of ['5', '50001', '0']) {
      for (let check = 0; check < 2; check++) {
        expect((await rollout.decide('big', id)).detail).toBe('no gate');
      }
    }
    expect(await rollout.isEnabled('big', 'user-7')).toBe(true);
  }
});

it.each(BACKENDS)(
  'knows no outcome while the app’s client is in a MULTI, with %p',
  async (Backend) => {
    const app = clientWith({});
    const rollout = open(Backend, app, { reuse: true });
    rollout.on('error', () => {});
    await rollout.addFeature('chat', { percentage: 100 });
    await rollout.register('chat', 'ann');
    expect(await rollout.isEnabled('chat', 'kim')).toBe(true);
    await app.multi({ pipeline: false });
    expect(await rollout.decide('chat', 'kim')).toMatchObject({
      enabled: true,
      code: 'STORE_BUSY',
    });
    expect(await rollout.decide('nope', 'kim')).toMatchObject({
      enabled: false,
      errorCode: 'GENERAL',
    });
    const error = await rollout.register('chat', 'late').catch((cause) => cause);
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', cause: { code: 'STORE_BUSY' } });
    await app.exec();
    // It was queued, and applied.
    expect(await rollout.register('chat', 'late', { requestId: error.requestId })).toBe(1);
    expect(await rollout.countMembers('chat')).toBe(2);
    expect(await rollout.register('chat', 'more')).toBe(1);
  },
);

it('keeps deadlines of its own beside a client with a short one', async () => {
  const server = await RedisServer.start();
  const proxy = await TcpProxy.start(server.port);
  const app = new Redis(proxy.port, { commandTimeout: 40 });
  app.on('error', () => {});
  const rollout = new Rollout(new RedisBackend(app));
  try {
    await rollout.addFeature('chat', { percentage: 100 });
    proxy.delayMs = 40;
    expect(await rollout.decide('chat', 'ann')).toMatchObject({ reason: 'STATIC' });
    expect(await rollout.register('chat', 'ann')).toBe(1);
  } finally {
    await rollout.close();
    app.disconnect();
    await proxy.stop();
    await server.stop();
  }
});
