import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { WRITE } from '../../../lib/backends/redis/scripts.js';
import { createFeature } from '../../../lib/domain/validate.js';
import type { HanoiError } from '../../../lib/errors.js';
import { Rollout } from '../../../lib/rollout.js';
import { RedisServer } from '../../redis-server.js';
import { TcpProxy } from '../../tcp-proxy.js';
import { until } from '../../until.js';

const BACKENDS = [RedisBackend, RedisSetBackend];
const OPTIONS = { timeoutMs: 250, operationTimeoutMs: 600 };

/** What each spec has opened, closed after it whatever happens. */
const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function startServer(options: readonly string[] = [], port?: number): Promise<RedisServer> {
  const server = await RedisServer.start(options, port);
  opened.push(() => server.stop());
  return server;
}

function clientOf(port: number, options: object = {}): Redis {
  const client = new Redis({ port, lazyConnect: true, ...options });
  client.on('error', () => {});
  opened.push(() => client.disconnect());
  return client;
}

function rolloutOn(
  Backend: typeof RedisBackend | typeof RedisSetBackend,
  client: Redis,
  options: object = {},
): Rollout {
  const rollout = new Rollout(new Backend(client, { ...OPTIONS, ...options }), {
    // What would turn everything on, if an outage were taken for "no such feature".
    unknownFeature: true,
  });
  opened.push(() => rollout.close());
  return rollout;
}

describe.each(
  BACKENDS.flatMap((Backend) => [false, true].map((reuse) => [Backend, reuse] as const)),
)('given a %p with reuse %p', (Backend, reuse) => {
  async function setUp(options?: readonly string[]) {
    const server = await startServer(options);
    const client = clientOf(server.port);
    const rollout = rolloutOn(Backend, client, { reuse, historyLength: 1_000 });
    await rollout.addFeature('chat', { percentage: 100 });
    await rollout.register('chat', 'ann');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
    return { server, client, rollout };
  }

  it('answers by what it knew last when the server is killed, and again when it is back', async () => {
    const { server, rollout } = await setUp();
    await rollout.snapshot('ann');
    const inFlight = Array.from({ length: 50 }, () => rollout.decide('chat', 'ann'));
    server.signal('SIGKILL');
    for (const { enabled } of await Promise.all(inFlight)) expect(enabled).toBe(true);
    await until(async () => (await rollout.decide('chat', 'ann')).reason === 'STALE');
    expect(await rollout.decide('chat', 'ann')).toMatchObject({
      enabled: true,
      reason: 'STALE',
      ageMs: expect.any(Number),
      code: expect.stringMatching(/^STORE_(UNAVAILABLE|TIMEOUT)$/),
    });
    const flags = await rollout.snapshot('ann');
    expect(flags.decide('chat')).toMatchObject({ enabled: true, reason: 'STALE' });
    for (const decision of [await rollout.decide('nope', 'ann'), flags.decide('nope')]) {
      expect(decision).toMatchObject({ enabled: false, reason: 'ERROR', errorCode: 'GENERAL' });
    }
    await expect(rollout.setPercentage('chat', 1)).rejects.toMatchObject({
      code: 'NOT_APPLIED',
    });
    await expect(rollout.register('chat', 'bob')).rejects.toMatchObject({
      code: expect.stringMatching(/^(NOT_APPLIED|OUTCOME_UNKNOWN)$/),
      feature: 'chat',
    });

    // Empty, so what was there is lost: that is no "no such feature".
    const losses: unknown[] = [];
    rollout.on('dataLoss', (health) => losses.push(health));
    await startServer([], server.port);
    const lost = expect.objectContaining({ message: expect.stringContaining('emptied') });
    const isLost = ({ message }: Error) => message.includes('emptied');
    await until(() => rollout.features().then(() => false, isLost));
    await expect(rollout.get('chat')).rejects.toEqual(lost);
    for (const write of [rollout.register('chat', 'bob'), rollout.setPercentage('chat', 1)]) {
      await expect(write).rejects.toMatchObject({ code: 'NOT_APPLIED', cause: lost });
    }
    expect(await rollout.decide('chat', 'ann')).toMatchObject({
      enabled: true,
      reason: 'STALE',
      code: 'STORE_UNAVAILABLE',
    });
    expect((await rollout.snapshot('ann')).decide('chat').reason).toBe('STALE');
    expect(losses).toHaveLength(1);
    await rollout.addFeature('chat');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
    await rollout.register('chat', 'bob');
    expect(await rollout.isEnabled('chat', 'bob')).toBe(true);
    expect(losses).toHaveLength(1);
  });

  it('answers in time when the server hangs, by what it knew, and right when it goes on', async () => {
    const { server, rollout } = await setUp();
    await rollout.addFeature('list');
    await rollout.register('list', ['ann', 'bob']);
    expect(await rollout.isEnabled('list', 'ann')).toBe(true);
    // Until the members are held, where they are.
    await delay(50);
    server.signal('SIGSTOP');
    const decisions = await Promise.all(
      ['chat', 'list', 'nope'].flatMap((name) =>
        Array.from({ length: 100 }, () => rollout.decide(name, 'ann')),
      ),
    );
    const known = { enabled: true, reason: 'STALE', code: 'STORE_TIMEOUT' };
    const unknown = { enabled: false, reason: 'ERROR', code: 'STORE_TIMEOUT' };
    for (const decision of decisions.slice(0, 100)) expect(decision).toMatchObject(known);
    for (const decision of decisions.slice(100, 200)) {
      expect(decision).toMatchObject(Backend === RedisBackend ? known : unknown);
    }
    for (const decision of decisions.slice(200)) expect(decision).toMatchObject(unknown);
    server.signal('SIGCONT');
    await until(async () => (await rollout.decide('list', 'ann')).detail === 'member');
  });

  it('applies nothing any more that was given up while the server hung', async () => {
    const { server, rollout } = await setUp();
    server.signal('SIGSTOP');
    const error: HanoiError = await rollout.register('chat', 'bob').then(
      () => {
        throw new Error('It was applied by a server that hung.');
      },
      (cause) => cause,
    );
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', feature: 'chat' });
    expect(error.requestId).toEqual(expect.any(String));
    server.signal('SIGCONT');
    await until(async () => (await rollout.decide('chat', 'ann')).reason !== 'STALE');
    await delay(100);
    expect(await rollout.countMembers('chat')).toBe(1);
    expect(await rollout.register('chat', 'bob')).toBe(1);
  });

  it('goes on when the server has forgotten its scripts', async () => {
    const { client, rollout } = await setUp();
    const writes = Array.from({ length: 200 }, async (_, n) => {
      if (n % 20 === 0) await client.script('FLUSH');
      return rollout.register('chat', `user-${n}`, { note: `${n % 50}` });
    });
    expect(await Promise.all(writes)).toEqual(writes.map(() => 1));
    expect(await rollout.countMembers('chat')).toBe(201);
    const history = await rollout.history('chat', { limit: 1_000 });
    expect(history.flatMap(({ added }) => added)).toHaveLength(201);
    expect(history.length).toBeGreaterThan(50);
  });

  it('tells each of many writes in one turn what became of it', async () => {
    const { server, rollout } = await setUp();
    const ids = ['bob', 'ann', 'bob', 'eve'];
    const register = (requests: (string | undefined)[]) =>
      Promise.all(
        ids.map((id, at) => {
          const requestId = requests[at];
          return rollout.register('chat', id, requestId === undefined ? {} : { requestId }).then(
            (added) => ({ added, code: undefined, requestId: undefined }),
            (error: HanoiError) => ({ added: undefined, ...error, code: error.code }),
          );
        }),
      );
    server.signal('SIGSTOP');
    const lost = await register([]);
    expect(lost.map(({ code }) => code)).toEqual(ids.map(() => 'OUTCOME_UNKNOWN'));
    const requests = lost.map(({ requestId }) => requestId);
    expect(new Set(requests).size).toBe(4);
    server.signal('SIGCONT');
    await until(async () => (await rollout.decide('chat', 'ann')).reason !== 'STALE');
    await delay(100);
    // None was applied, and each can be repeated by itself, more than once.
    for (let time = 0; time < 2; time++) {
      expect((await register(requests)).map(({ added }) => added)).toEqual([1, 0, 0, 1]);
    }
    expect(await rollout.countMembers('chat')).toBe(3);
    await rollout.unregister('chat', ids);
    expect(await register([])).toMatchObject([1, 1, 0, 1].map((added) => ({ added })));
  });

  it('finds out what became of a write whose reply was cut', async () => {
    const server = await startServer();
    const proxy = await TcpProxy.start(server.port);
    opened.push(() => proxy.stop());
    let isCutting: boolean = false;
    proxy.loses = (request) => {
      const isWrite = request.includes(WRITE.sha) || request.includes(WRITE.lua.slice(0, 100));
      if (!isCutting || !isWrite) return false;
      isCutting = false;
      return true;
    };
    const rollout = rolloutOn(Backend, clientOf(proxy.port), { reuse, operationTimeoutMs: 5_000 });
    await rollout.addFeature('chat');
    for (let n = 0; n < 5; n++) {
      isCutting = true;
      const added = ['user', 'user', 'other'].map((id) => rollout.register('chat', `${id}-${n}`));
      expect(await Promise.all(added)).toEqual([1, 0, 1]);
      isCutting = true;
      expect((await rollout.setPercentage('chat', n + 1)).percentage).toBe(n + 1);
    }
    expect(proxy.lost).toBe(10);
    expect(await rollout.countMembers('chat')).toBe(10);
    expect(await rollout.history('chat')).toHaveLength(11);
    expect((await rollout.get('chat'))?.revision).toBe(6);
  });
});

describe.each(BACKENDS)('given a %p', (Backend) => {
  it('says by code that the password is wrong, and nowhere which', async () => {
    const server = await startServer(['--requirepass', 'right-secret']);
    const rollout = rolloutOn(Backend, clientOf(server.port, { password: 'wrong-secret' }));
    const errors: HanoiError[] = [];
    rollout.on('error', (error) => errors.push(error));
    await until(async () => (await rollout.decide('chat', 'ann')).code === 'STORE_DENIED');
    await expect(rollout.register('chat', 'ann')).rejects.toMatchObject({
      code: 'NOT_APPLIED',
      cause: { code: 'STORE_DENIED' },
    });
    await expect(rollout.features()).rejects.toMatchObject({ code: 'STORE_DENIED' });
    expect(errors).not.toEqual([]);
    for (const error of errors) expect(everythingIn(error)).not.toMatch(/secret/);
  });

  it('says by code that the user may not, and keeps what was asked to itself', async () => {
    const server = await startServer();
    const admin = clientOf(server.port);
    const mine = rolloutOn(Backend, admin);
    await mine.addFeature('chat', { percentage: 100 });
    await mine.register('chat', 'secret-id');
    await admin.call(
      'ACL',
      'SETUSER',
      'denied',
      'on',
      '>pass',
      '~*',
      '&*',
      '+@all',
      '-smismember',
      '-smembers',
      '-evalsha',
      '-eval',
    );
    const rollout = rolloutOn(
      Backend,
      clientOf(server.port, { username: 'denied', password: 'pass' }),
    );
    const errors: unknown[] = [];
    rollout.on('error', (error) => errors.push(error));
    expect(await rollout.decide('chat', 'secret-id')).toMatchObject({
      enabled: false,
      code: 'STORE_DENIED',
    });
    await rollout.register('chat', 'secret-id').catch((error) => errors.push(error));
    expect(errors).toMatchObject([{ code: 'STORE_DENIED' }, { code: 'NOT_APPLIED' }]);
    for (const error of errors) expect(everythingIn(error)).not.toMatch(/secret-id|pass\b/);
  });

  it('applies nothing on a server that is out of memory, says so, and answers checks', async () => {
    const server = await startServer();
    const rollout = rolloutOn(Backend, clientOf(server.port));
    await rollout.addFeature('chat');
    await clientOf(server.port).config('SET', 'maxmemory', '1');
    await expect(rollout.register('chat', 'ann')).rejects.toMatchObject({
      code: 'NOT_APPLIED',
      message: expect.stringContaining('OOM'),
    });
    expect(await rollout.decide('chat', 'ann')).toMatchObject({ reason: 'DEFAULT' });
    expect((await rollout.snapshot('ann')).decide('chat')).toMatchObject({ reason: 'DEFAULT' });
  });

  it('rejects what is underway when it is closed', async () => {
    const server = await startServer();
    const backend = new Backend(clientOf(server.port), OPTIONS);
    const rollout = new Rollout(backend);
    await rollout.addFeature('chat', { percentage: 100 });
    server.signal('SIGSTOP');
    const check = rollout.decide('chat', 'ann');
    const write = rollout.register('chat', 'ann');
    const read = rollout.features();
    await delay(20);
    await rollout.close();
    expect(await check).toMatchObject({ enabled: false, code: 'CLOSED' });
    await expect(write).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    await expect(read).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('rejects with CLOSED what was told in the turn in which it is closed', async () => {
    const server = await startServer();
    for (const reuse of [false, true]) {
      const rollout = new Rollout(new Backend(clientOf(server.port), { reuse }));
      await rollout.addFeature(`chat-${reuse}`);
      const write = rollout.register(`chat-${reuse}`, 'ann').catch(({ code }) => code);
      const check = rollout.decide(`chat-${reuse}`, 'ann');
      await rollout.close();
      expect(await write).toBe('CLOSED');
      expect(await check).toMatchObject({ enabled: false, code: 'CLOSED' });
    }
  });

  it('leaves the app its client when it is closed', async () => {
    const server = await startServer();
    const client = clientOf(server.port);
    for (const reuse of [false, true]) {
      const rollout = new Rollout(new Backend(client, { reuse }));
      await rollout.addFeature(`chat-${reuse}`);
      rollout.on('change', () => {});
      await rollout.close();
      expect(await client.ping()).toBe('PONG');
    }
    expect(client.listenerCount('ready')).toBe(0);
    expect(client.listenerCount('close')).toBe(0);
    expect(client.listenerCount('end')).toBe(0);
  });

  it.each(['decide', 'snapshot'] as const)(
    'takes what another store lacks for lost, not for unknown, to the %s that notices',
    async (first) => {
      const server = await startServer();
      const client = clientOf(server.port);
      const rollout = new Rollout(new Backend(client, OPTIONS), {
        unknownFeature: true,
        defaults: { kept: true },
      });
      opened.push(() => rollout.close());
      const losses: unknown[] = [];
      rollout.on('dataLoss', (health) => losses.push(health));
      rollout.on('error', () => {});
      for (const name of ['secret', 'kept', 'both']) await rollout.addFeature(name);
      await rollout.remove('kept');
      await rollout.addFeature('kept');
      await rollout.snapshot('ann');
      await client.flushall();
      const other = rolloutOn(Backend, client);
      await other.addFeature('both', { percentage: 100 });
      if (first === 'decide') {
        expect(await rollout.decide('secret', 'ann')).toMatchObject({
          ...{ enabled: false, code: 'STORE_UNAVAILABLE' },
        });
      }
      const lost = { enabled: false, errorCode: 'GENERAL', code: 'STORE_UNAVAILABLE' };
      for (let check = 0; check < 3; check++) {
        const flags = await rollout.snapshot('ann');
        expect(flags.decide('secret')).toMatchObject(lost);
        expect(await rollout.decide('secret', 'ann')).toMatchObject(lost);
        expect(await rollout.decide('kept', 'ann')).toMatchObject({ ...lost, enabled: true });
        expect(await rollout.decide('both', 'ann')).toMatchObject({ reason: 'STATIC' });
        expect(await rollout.decide('never', 'ann')).toMatchObject({ errorCode: 'FLAG_NOT_FOUND' });
        expect(new Set(Object.keys(flags.toJSON()))).toEqual(new Set(['both', 'kept', 'secret']));
      }
      expect(losses).toHaveLength(1);
      await other.addFeature('secret', { percentage: 100 });
      expect((await rollout.decide('secret', 'ann')).reason).toBe('STATIC');
      await other.remove('secret');
      expect((await rollout.decide('secret', 'ann')).errorCode).toBe('FLAG_NOT_FOUND');
      expect((await rollout.snapshot('ann')).decide('secret').errorCode).toBe('FLAG_NOT_FOUND');
    },
  );

  it('waits for a long reply on a slow link, rather than ending it', async () => {
    const server = await startServer();
    const proxy = await TcpProxy.start(server.port);
    opened.push(() => proxy.stop());
    const writer = rolloutOn(Backend, clientOf(server.port));
    for (let n = 0; n < 20; n++) {
      await writer.addFeature(`f-${n}`, { data: { text: 'x'.repeat(100_000) } });
    }
    const rollout = rolloutOn(Backend, clientOf(proxy.port), {
      timeoutMs: 100,
      operationTimeoutMs: 20_000,
    });
    rollout.on('error', () => {});
    expect((await rollout.decide('f-0', 'ann')).reason).toBe('DEFAULT');
    const connections = async () =>
      Number(
        /total_connections_received:(\d+)/.exec(await clientOf(server.port).info('stats'))?.[1],
      );
    const before = await connections();
    proxy.bytesPerMs = 1_000;
    const features = rollout.features();
    const reasons = new Set<string>();
    let isOver: boolean = false;
    void features.finally(() => {
      isOver = true;
    });
    while (!isOver) {
      reasons.add((await rollout.decide('f-0', 'ann')).reason);
      await delay(20);
    }
    expect((await features).length).toBe(20);
    expect(reasons).toContain('STALE');
    // Two of them to ask.
    expect((await connections()) - before).toBe(1);
  });

  it('repeats many registrations by one id, without doing them twice', async () => {
    const server = await startServer();
    const proxy = await TcpProxy.start(server.port);
    opened.push(() => proxy.stop());
    const other = rolloutOn(Backend, clientOf(server.port));
    await other.addFeature('chat');
    const rollout = rolloutOn(Backend, clientOf(proxy.port), { operationTimeoutMs: 800 });
    await rollout.register('chat', 'zoe');
    for (const given of [undefined, 'mine']) {
      const ids = Array.from({ length: 2_500 }, (_, n) => `${given}-${n}`);
      // The second thousand is applied, and nothing is heard of it or after it.
      proxy.loses = (request) => {
        if (!request.includes(`${given}-1500\r`)) return false;
        const { lost } = proxy;
        void (async () => {
          while (proxy.lost === lost) await nextTurn();
          await proxy.refuse();
        })();
        return true;
      };
      const options = given === undefined ? {} : { requestId: given };
      const error = await rollout.register('chat', ids, options).catch((cause) => cause);
      expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', requestId: given ?? error.requestId });
      proxy.loses = () => false;
      await proxy.accept();
      await until(async () => (await rollout.decide('chat', 'zoe')).reason !== 'STALE');
      // Somebody takes one out again: to repeat the rest must not bring it back.
      await other.unregister('chat', [`${given}-3`, `${given}-1503`]);
      const { requestId } = error;
      for (let time = 0; time < 2; time++) {
        expect(await rollout.register('chat', ids, { requestId })).toBe(2_500);
        for (const n of [3, 1_503]) {
          expect((await other.decide('chat', `${given}-${n}`)).enabled).toBe(false);
        }
        expect((await other.decide('chat', `${given}-2400`)).enabled).toBe(true);
      }
    }
  });

  it('refuses a write that comes too late', async () => {
    const server = await startServer();
    const admin = clientOf(server.port);
    const backend = new Backend(clientOf(server.port), OPTIONS);
    opened.push(() => backend.close());
    const document = createFeature('chat', 'id', {});
    await backend.write({ name: 'chat', expect: 'absent', document });
    // Writes wait in the server, and are run when their time is over.
    await admin.call('CLIENT', 'PAUSE', '900', 'WRITE');
    const write = { name: 'chat', expect: 'present', add: ['ann'], requestId: 'r1' } as const;
    await expect(backend.write(write)).rejects.toMatchObject({ code: 'OUTCOME_UNKNOWN' });
    await delay(600);
    expect(await backend.countMembers('chat')).toBe(0);
    expect(await backend.write(write)).toMatchObject({ added: 1 });
  });
});

/** All that a logger could print of it. */
function everythingIn(error: unknown): string {
  const parts: string[] = [];
  for (let at = error; at instanceof Error; at = at.cause) {
    parts.push(at.message, at.stack ?? '', JSON.stringify(at, Object.getOwnPropertyNames(at)));
  }
  return parts.join('\n');
}

describe.each([RedisBackend, RedisSetBackend])('behind an address that moves, a %p', (Backend) => {
  it('leaves a server that became a replica, and writes to the new master', async () => {
    const [one, other] = [await RedisServer.start(), await RedisServer.start()];
    const proxy = await TcpProxy.start(one.port);
    const [oneself, another] = [new Redis(one.port), new Redis(other.port)];
    const client = new Redis(proxy.port, {
      reconnectOnError: (error) => (error.message.startsWith('READONLY') ? 2 : false),
    });
    client.on('error', () => {});
    const rollout = new Rollout(new Backend(client));
    try {
      await rollout.addFeature('chat');
      proxy.to = other.port;
      await oneself.call('REPLICAOF', '127.0.0.1', String(other.port));
      await rollout.addFeature('list');
      await rollout.register('list', 'ann');
      expect(await another.hkeys('{hanoi}:features')).toEqual(['list']);
    } finally {
      await rollout.close();
      for (const each of [client, oneself, another]) each.disconnect();
      await proxy.stop();
      await one.stop();
      await other.stop();
    }
  });
});
