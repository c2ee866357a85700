import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Source } from '../../lib/backends/backend.js';
import { FileBackend } from '../../lib/backends/file/index.js';
import { HttpSource } from '../../lib/backends/http-source/index.js';
import { MemoryBackend } from '../../lib/backends/memory.js';
import {
  RedisBackend,
  type RedisBackendOptions,
  RedisSetBackend,
} from '../../lib/backends/redis/index.js';
import { ReplicaBackend, type ReplicaBackendOptions } from '../../lib/backends/replica.js';
import type { HanoiError } from '../../lib/errors.js';
import { Rollout, type RolloutOptions } from '../../lib/rollout.js';
import { RedisServer, useRedis } from '../redis-server.js';
import { TcpProxy } from '../tcp-proxy.js';
import { until } from '../until.js';
import { backendContract } from './contract.js';

const redis = useRedis();
let client: Redis;
beforeAll(() => {
  client = new Redis(redis.server.port);
});
afterAll(() => client.disconnect());
beforeEach(() => client.flushall());

const loaded = async (replica: ReplicaBackend) => {
  await replica.ready(5_000);
  return replica;
};

backendContract('ReplicaBackend of a MemoryBackend', {
  open: () => loaded(new ReplicaBackend(new MemoryBackend())),
});
backendContract('ReplicaBackend that has not loaded yet', {
  open: async () => new ReplicaBackend(new MemoryBackend()),
});
for (const Backend of [RedisBackend, RedisSetBackend]) {
  backendContract(`ReplicaBackend of a ${Backend.name}`, {
    open: () => loaded(new ReplicaBackend(new Backend(client))),
  });
}

describe('a replica of what a person edits', () => {
  let folder: string;
  let path: string;
  let rollout: Rollout;
  let file: Rollout;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hanoi-replica-'));
    path = join(folder, 'features.json');
  });
  afterEach(async () => {
    await rollout.close();
    await file.close();
    rmSync(folder, { recursive: true });
  });
  const open = async () => {
    const backend = new FileBackend(path, { pollMs: 20 });
    file = new Rollout(backend);
    rollout = new Rollout(
      new ReplicaBackend(new FileBackend(path, { pollMs: 20 }), { pollMs: 20 }),
    );
    await rollout.ready();
  };

  it('takes members over that were edited by hand, however many there are', async () => {
    const ids = Array.from({ length: 300 }, (_, n) => `user-${n}`);
    await open();
    await file.addFeature('list');
    await file.register('list', [...ids, 'bob']);
    await until(() => rollout.isEnabledSync('list', 'bob'));
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace('      "bob"', '      "eve"'));
    await until(() => rollout.isEnabledSync('list', 'eve'));
    expect(rollout.isEnabledSync('list', 'bob')).toBe(false);
  });

  it('tells two files apart that went different ways from one', async () => {
    await open();
    await file.addFeature('chat');
    const before = readFileSync(path, 'utf8');
    await file.setPercentage('chat', 100);
    await until(() => rollout.isEnabledSync('chat', 'ann'));
    const [one, other] = [`${path}.one`, `${path}.other`];
    writeFileSync(other, before);
    const away = new Rollout(new FileBackend(other));
    await away.disable('chat');
    await away.close();
    renameSync(path, one);
    renameSync(other, path);
    await until(() => !file.isEnabledSync('chat', 'ann'));
    await until(() => !rollout.isEnabledSync('chat', 'ann'));
    expect(rollout.decideSync('chat', 'ann').reason).toBe('DISABLED');
  });
});

it('is as old as what it is a replica of', async () => {
  const source = new HttpSource(async () => ({ body: { features: { chat: {} } } }), {
    pollMs: 60_000,
  });
  await source.ready(1_000);
  await delay(100);
  const rollout = new Rollout(new ReplicaBackend(source, { pollMs: 10, maxStaleMs: 150 }));
  const events: string[] = [];
  for (const kind of ['stale', 'recovered'] as const) rollout.on(kind, () => events.push(kind));
  await rollout.ready();
  expect(rollout.health().ageMs).toBeGreaterThanOrEqual(100);
  await until(() => rollout.health().state === 'stale');
  await delay(100);
  expect(events).toEqual(['stale']);
  await source.refresh();
  await until(() => events.length === 2);
  expect(events).toEqual(['stale', 'recovered']);
  await rollout.close();
});

const ANN = 'ann';

describe.each([RedisBackend, RedisSetBackend])('a replica of a %p', (Backend) => {
  const isSet = Backend === RedisSetBackend;
  let writer: Rollout;
  let rollout: Rollout;
  let monitor: Redis;
  let seen: string[][] = [];
  let opened: (() => unknown)[] = [];

  const open = (options: ReplicaBackendOptions = {}, others: RolloutOptions = {}) => {
    const replica = new ReplicaBackend(new Backend(client), options);
    const opening = new Rollout(replica, others);
    opened.push(() => opening.close());
    return opening;
  };
  /** Names of the commands that were sent meanwhile, without the polls. */
  const sent = async (run: () => unknown) => {
    const isQuiet = () => seen.every(([name]) => name === 'ping');
    do {
      seen = [];
      await delay(50);
    } while (!isQuiet());
    await client.ping('before');
    await until(() => seen.some((args) => args[1] === 'before'));
    seen = [];
    await run();
    await client.ping('after');
    await until(() => seen.some((args) => args[1] === 'after'));
    return seen.map(([name]) => name).filter((name) => name !== 'ping');
  };

  beforeAll(async () => {
    monitor = await client.monitor();
    monitor.on('monitor', (_: string, args: string[]) => {
      seen.push([args[0]?.toLowerCase() as string, ...args.slice(1)]);
    });
  });
  afterAll(() => monitor.disconnect());

  beforeEach(async () => {
    opened = [];
    writer = new Rollout(new Backend(client));
    await writer.addFeature('share', { percentage: 20 });
    await writer.addFeature('list');
    await writer.register('list', [ANN, 'bob']);
    rollout = open({ pollMs: 60_000 });
    await rollout.ready();
    // So late a poll comes from nothing but the subscription, which then is there.
    await writer.addFeature('last');
    await until(() => rollout.decideSync('last', ANN).reason !== 'ERROR');
  });
  afterEach(async () => {
    for (const close of opened) await close();
    await writer.close();
  });

  it('answers without I/O', async () => {
    await rollout.isEnabled('list', ANN);
    const commands = await sent(async () => {
      for (let n = 0; n < 1_000; n++) {
        rollout.isEnabledSync('share', `user-${n}`);
        await rollout.decide('share', `user-${n}`);
        expect(rollout.isEnabledSync('list', ANN)).toBe(true);
        expect(await rollout.isEnabled('nope', ANN)).toBe(false);
      }
    });
    expect(commands).toEqual([]);
  });

  it('sees what others change, and tells of it', async () => {
    const kinds: string[] = [];
    rollout.on('change', ({ kind, name }) => kinds.push(`${kind} ${name}`));
    await writer.setPercentage('share', 100);
    await until(() => rollout.isEnabledSync('share', 'eve'));
    await writer.register('share', 'eve');
    await until(() => kinds.length === 2);
    await writer.remove('share');
    await until(() => rollout.decideSync('share', 'eve').errorCode === 'FLAG_NOT_FOUND');
    await writer.addFeature('share', { percentage: 100 });
    await until(() => rollout.isEnabledSync('share', 'eve'));
    await writer.deactivate('list');
    await until(() => kinds.length === 5);
    expect(await rollout.isEnabled('list', ANN)).toBe(false);
    expect(kinds).toEqual([
      ...['updated share', 'members share', 'removed share', 'created share', 'updated list'],
    ]);
  });

  it('sees them without being told, at the next poll', async () => {
    const own = new Redis(redis.server.port, {
      username: 'deaf',
      password: 'any',
      lazyConnect: true,
    });
    own.on('error', () => {});
    await client.call('ACL', 'SETUSER', 'deaf', 'on', 'nopass', '~*', 'resetchannels', '+@all');
    const deaf = new Rollout(new ReplicaBackend(new Backend(own), { pollMs: 50 }));
    opened.push(
      () => deaf.close(),
      () => own.disconnect(),
    );
    await deaf.ready();
    await writer.setPercentage('share', 100);
    await until(() => deaf.isEnabledSync('share', 'eve'));
    expect(deaf.health()).toMatchObject({ state: 'ready', error: undefined });
  });

  it('shows what is written through it once that has resolved', async () => {
    for (let n = 0; n < 20; n++) {
      await rollout.register('list', `user-${n}`);
      expect(await rollout.isEnabled('list', `user-${n}`)).toBe(true);
      await rollout.setPercentage('share', n % 2 === 0 ? 100 : 0);
      expect(rollout.isEnabledSync('share', 'eve')).toBe(n % 2 === 0);
    }
  });

  it('asks for members that it does not hold, once, until they change', async () => {
    if (!isSet) await writer.register('list', many(50_001));
    const small = open({ pollMs: 60_000, membershipsHeld: 10 });
    await small.ready();
    expect(small.decideSync('list', ANN)).toMatchObject({ enabled: false, code: 'NEEDS_LOOKUP' });
    const both = () => Promise.all([small.isEnabled('list', ANN), small.isEnabled('list', 'eve')]);
    expect(await both()).toEqual([true, false]);
    expect(await sent(both)).toEqual([]);
    expect(small.isEnabledSync('list', ANN)).toBe(true);
    expect(small.decideSync('list', 'eve')).toMatchObject({ enabled: false, code: undefined });
    await writer.register('list', 'eve');
    await until(() => small.decideSync('list', ANN).code === 'NEEDS_LOOKUP');
    expect(await both()).toEqual([true, true]);
    // Only the last are remembered.
    for (let n = 0; n < 20; n++) await small.isEnabled('list', `other-${n}`);
    expect(small.decideSync('list', ANN).code).toBe('NEEDS_LOOKUP');
    expect(small.decideSync('list', 'other-19').code).toBeUndefined();
  });

  it('takes a snapshot of its copy, or of the store where it has to ask', async () => {
    const flags = await rollout.snapshot(ANN);
    expect(flags.decide('list').detail).toBe('member');
    expect(await sent(() => rollout.snapshot(ANN))).toEqual([]);
  });

  it('tells of a document that can not be read, once', async () => {
    await client.hset('{hanoi}:features', 'share', '{"half":');
    const late = open();
    const problems: unknown[] = [];
    late.on('corrupt', (problem) => problems.push(problem));
    await late.ready();
    for (const percentage of [1, 2]) await late.setPercentage('list', percentage);
    expect(late.decideSync('share', ANN)).toMatchObject({ code: 'CORRUPT_FEATURE' });
    expect(problems).toMatchObject([{ code: 'CORRUPT_FEATURE', feature: 'share' }]);
  });
});

describe('a replica whose server is away', () => {
  let server: RedisServer;
  let own: Redis;
  let opened: (() => unknown)[] = [];
  const open = (options: ReplicaBackendOptions = {}, others: RolloutOptions = {}) => {
    const rollout = new Rollout(
      new ReplicaBackend(new RedisBackend(own), { pollMs: 50, maxStaleMs: 1_000, ...options }),
      others,
    );
    opened.push(() => rollout.close());
    return rollout;
  };
  const eventsOf = (rollout: Rollout) => {
    const events: string[] = [];
    for (const name of ['degraded', 'recovered', 'stale', 'dataLoss'] as const) {
      rollout.on(name, (health) => events.push(`${name} ${health.error ?? ''}`.trim()));
    }
    return events;
  };

  beforeEach(async () => {
    server = await RedisServer.start();
    own = new Redis(server.port);
    own.on('error', () => {});
    opened = [() => own.disconnect()];
    const writer = new Rollout(new RedisBackend(own));
    await writer.addFeature('chat', { percentage: 100 });
    await writer.close();
  });
  afterEach(async () => {
    for (const close of opened.reverse()) await close();
    await server.stop();
  });

  it('goes on with its copy, says how old it is, and comes back', async () => {
    const rollout = open();
    const events = eventsOf(rollout);
    await rollout.ready();
    expect(rollout.decideSync('chat', ANN)).toMatchObject({ reason: 'STATIC', ageMs: undefined });
    server.signal('SIGSTOP');
    await until(() => rollout.health().state === 'degraded');
    expect(rollout.decideSync('chat', ANN)).toMatchObject({ enabled: true, reason: 'STATIC' });
    await until(() => rollout.health().state === 'stale');
    const { ageMs, ...decision } = rollout.decideSync('chat', ANN);
    const code = expect.stringMatching(/^STORE_(TIMEOUT|UNAVAILABLE)$/);
    expect(decision).toMatchObject({ enabled: true, reason: 'STALE', code });
    expect(ageMs).toBeGreaterThanOrEqual(1_000);
    expect(rollout.health().ageMs).toBeGreaterThanOrEqual(ageMs as number);
    server.signal('SIGCONT');
    await until(() => rollout.health().state === 'ready');
    expect(rollout.decideSync('chat', ANN).reason).toBe('STATIC');
    expect(events.map((event) => event.split(' ')[0])).toEqual(['degraded', 'stale', 'recovered']);
  });

  it('takes an emptied store for a loss, until something is written there', async () => {
    const rollout = open();
    const events = eventsOf(rollout);
    await rollout.ready();
    await own.flushall();
    await until(() => rollout.health().state === 'stale');
    expect(rollout.decideSync('chat', ANN)).toMatchObject({
      enabled: true,
      reason: 'STALE',
      code: 'STORE_UNAVAILABLE',
    });
    expect(events.filter((event) => event.startsWith('dataLoss'))).toHaveLength(1);
    await rollout.addFeature('other');
    // Another store: what it lacks was lost with the one before, and nobody has removed it.
    expect(rollout.decideSync('chat', ANN)).toMatchObject({
      enabled: false,
      errorCode: 'GENERAL',
      code: 'STORE_UNAVAILABLE',
    });
    expect(rollout.decideSync('never', ANN).errorCode).toBe('FLAG_NOT_FOUND');
    expect(rollout.health()).toMatchObject({ state: 'ready', error: undefined });
    expect(events.filter((event) => event.startsWith('dataLoss'))).toHaveLength(1);
    await rollout.addFeature('chat', { percentage: 100 });
    expect(rollout.decideSync('chat', ANN).reason).toBe('STATIC');
    await rollout.remove('chat');
    expect(rollout.decideSync('chat', ANN).errorCode).toBe('FLAG_NOT_FOUND');
  });

  it('starts without it, answers by the defaults, and goes on trying', async () => {
    await server.kill();
    const errors: HanoiError[] = [];
    const rollout = open({}, { unknownFeature: true, defaults: { chat: true, look: 'dark' } });
    rollout.on('error', (error) => errors.push(error));
    expect(await rollout.ready({ timeoutMs: 100 })).toMatchObject({
      state: 'starting',
      ageMs: Number.POSITIVE_INFINITY,
      error: 'STORE_UNAVAILABLE',
    });
    const failed = { reason: 'ERROR', code: 'STORE_UNAVAILABLE' };
    const sync = async (name: string) => rollout.decideSync(name, ANN);
    const awaited = (name: string) => rollout.decide(name, ANN);
    for (const ask of [sync, awaited]) {
      expect(await ask('chat')).toMatchObject({ enabled: true, ...failed });
      expect(await ask('look')).toMatchObject({ enabled: true, variant: 'dark', ...failed });
      expect(await ask('nope')).toMatchObject({ enabled: false, ...failed });
    }
    expect(await rollout.value('look', 'light', ANN)).toBe('dark');
    const flags = await rollout.snapshot(ANN);
    expect([flags.isEnabled('chat'), flags.isEnabled('nope')]).toEqual([true, false]);
    expect(errors.length).toBeGreaterThan(0);
    await server.restart();
    await until(() => rollout.health().state === 'ready');
    expect(rollout.decideSync('chat', ANN).errorCode).toBe('FLAG_NOT_FOUND');
  });
});

describe('a replica of what only reads', () => {
  it('refuses to write', async () => {
    const backend = new MemoryBackend();
    const reading = new Proxy(backend, { has: (_, key) => key !== 'write' });
    const rollout = new Rollout(new ReplicaBackend(reading));
    await rollout.ready();
    await expect(rollout.addFeature('x')).rejects.toMatchObject({ code: 'READ_ONLY' });
    await rollout.close();
  });
});

describe('the options of a replica', () => {
  it.each([{ pollMs: 0 }, { maxStaleMs: 1.5 }, { membershipsHeld: -1 }, { poll: 5 }])(
    'are refused: %j',
    (options) => {
      const backend = new MemoryBackend();
      expect(() => new ReplicaBackend(backend, options as object)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    },
  );

  it('are not the backend', () => {
    expect(() => new ReplicaBackend({} as Source)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

async function* many(count: number) {
  for (let n = 0; n < count; n++) yield `member-${n}`;
}

describe('a replica over lists that are not held, while the store hangs', () => {
  it('answers by its own copy, which is newer than what the store said last', async () => {
    const server = await RedisServer.start();
    const own = new Redis(server.port);
    own.on('error', () => {});
    const writer = new Rollout(new RedisSetBackend(own));
    const rollout = new Rollout(new ReplicaBackend(new RedisSetBackend(own, { timeoutMs: 50 })));
    try {
      await writer.addFeature('on', { percentage: 100 });
      await writer.addFeature('half', { percentage: 50 });
      await writer.addFeature('vip');
      for (const name of ['half', 'vip']) await writer.register(name, ANN);
      await rollout.ready();
      await rollout.snapshot(ANN);
      await writer.disable('on');
      await writer.setPercentage('half', 0);
      await writer.addFeature('new', { percentage: 100 });
      await until(() => rollout.decideSync('new', 'zed').enabled);
      server.signal('SIGSTOP');
      const snapshot = await rollout.snapshot('zed');
      expect(snapshot.decide('on').reason).toBe('DISABLED');
      expect(snapshot.isEnabled('new')).toBe(true);
      expect(snapshot.decide('vip')).toMatchObject({ enabled: false, code: 'STORE_TIMEOUT' });
      await rollout.runAs('zoe', () => expect(rollout.isEnabledSync('new')).toBe(true), {
        pinned: true,
      });
      for (let n = 0; n < 20; n++) {
        expect(await rollout.decide('half', `user-${n}`)).toMatchObject({
          enabled: false,
          code: expect.stringMatching(/^STORE_/),
        });
      }
    } finally {
      server.signal('SIGCONT');
      await rollout.close();
      await writer.close();
      own.disconnect();
      await server.stop();
    }
  });
});

/** Has a writer beside the server, and a replica behind a link that can be made slow, with 'kill' for all. */
async function behindLink(
  options: RedisBackendOptions,
  run: (writer: Rollout, replica: () => Promise<Rollout>, link: TcpProxy) => Promise<void>,
): Promise<void> {
  const server = await RedisServer.start();
  const link = await TcpProxy.start(server.port);
  const direct = new Redis(server.port);
  const through = new Redis(link.port);
  through.on('error', () => {});
  const writer = new Rollout(new RedisBackend(direct));
  let rollout: Rollout | undefined;
  const replica = async () => {
    const source = new RedisBackend(through, options);
    rollout = new Rollout(new ReplicaBackend(source, { pollMs: 100 }));
    await rollout.ready();
    await until(() => rollout?.isEnabledSync('kill', ANN));
    return rollout;
  };
  try {
    await writer.addFeature('kill', { percentage: 100 });
    await run(writer, replica, link);
  } finally {
    await rollout?.close();
    await writer.close();
    through.disconnect();
    direct.disconnect();
    await link.stop();
    await server.stop();
  }
}

it('catches up by the longer way where the logs take too long to be read', () =>
  behindLink({}, async (writer, replica, link) => {
    const settings = (n: number) => ({ percentage: n / 100, data: { text: 'x'.repeat(50_000) } });
    await writer.addFeature('long', settings(0));
    const rollout = await replica();
    link.bytesPerMs = 2_000;
    await link.refuse();
    for (let n = 1; n <= 40; n++) await writer.update('long', settings(n));
    await writer.disable('kill');
    await link.accept();
    await until(() => !rollout.isEnabledSync('kill', ANN));
  }));

it(
  'goes back to the logs where the longer way takes too long too',
  () =>
    behindLink({ operationTimeoutMs: 500 }, async (writer, replica, link) => {
      const names = Array.from({ length: 3_000 }, (_, n) => `feature-${n}`);
      await Promise.all(names.map((name) => writer.addFeature(name)));
      const rollout = await replica();
      // For a moment, not even the logs come through.
      link.bytesPerMs = 1;
      await writer.setPercentage('kill', 50);
      await until(() => rollout.health().state === 'degraded');
      // All heads take more than a second; the logs, some ms.
      link.bytesPerMs = 300;
      await writer.disable('kill');
      await until(() => rollout.decideSync('kill', ANN).reason === 'DISABLED', 30_000);
    }),
  40_000,
);

it('tells of what happens in the name of nobody, whoever asked for a look', async () => {
  const source = new MemoryBackend();
  const rollout = new Rollout(new ReplicaBackend(source, { pollMs: 10 }));
  // As where a channel is forbidden: only the poll finds out.
  source.subscribe = () => () => {};
  await rollout.addFeature('chat');
  await rollout.runAs(ANN, () => rollout.setPercentage('chat', 1), { pinned: true });
  const current: unknown[] = [];
  rollout.on('change', () => current.push(rollout.currentSubject()));
  const writer = new Rollout(source);
  await rollout.runAs(ANN, () => rollout.setPercentage('chat', 2));
  current.length = 0;
  await writer.setPercentage('chat', 3);
  await until(() => current.length > 0);
  expect(current).toEqual([undefined]);
  await rollout.close();
});

it('says that it has recovered also where something has changed meanwhile', async () => {
  const server = await RedisServer.start();
  const client = new Redis(server.port);
  const writer = new Rollout(new RedisBackend(client));
  await writer.addFeature('chat');
  const options = { pollMs: 20, maxStaleMs: 100 };
  const rollout = new Rollout(new ReplicaBackend(new RedisBackend(client), options));
  try {
    await rollout.ready();
    const events: string[] = [];
    for (const kind of ['degraded', 'stale', 'recovered'] as const) {
      rollout.on(kind, () => events.push(kind));
    }
    const stale = () => events.filter((kind) => kind === 'stale').length;
    for (let n = 1; stale() < 3; n++) {
      const before = stale();
      const written = writer.setPercentage('chat', n % 100);
      await delay(1);
      // Busy with something else: the copy gets old, and nobody has failed.
      const end = performance.now() + 200;
      while (performance.now() < end);
      await written;
      await delay(20);
      if (stale() > before) await until(() => events.at(-1) === 'recovered');
    }
  } finally {
    await rollout.close();
    await writer.close();
    client.disconnect();
    await server.stop();
  }
});
