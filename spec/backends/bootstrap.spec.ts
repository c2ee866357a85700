import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { FileBackend } from '../../lib/backends/file/index.js';
import { MemoryBackend } from '../../lib/backends/memory.js';
import { RedisBackend, RedisSetBackend } from '../../lib/backends/redis/index.js';
import { ReplicaBackend, type ReplicaBackendOptions } from '../../lib/backends/replica.js';
import { Rollout, type RolloutOptions } from '../../lib/rollout.js';
import { useRedis } from '../redis-server.js';
import { TcpProxy } from '../tcp-proxy.js';

const redis = useRedis();
const BOOTSTRAP = {
  features: {
    chat: { percentage: 100, variants: ['a'] },
    list: {},
    closed: { percentage: 'all' },
  },
  members: { list: ['ann'] },
};

describe.each([RedisBackend, RedisSetBackend])('with a bootstrap, a replica of a %p', (Backend) => {
  let proxy: TcpProxy;
  let writer: Rollout;
  let client: Redis;
  let closing: (() => unknown)[] = [];
  beforeEach(async () => {
    client = new Redis(redis.server.port);
    await client.flushall();
    writer = new Rollout(new Backend(client));
    await writer.addFeature('chat');
    await writer.addFeature('new', { percentage: 100 });
    proxy = await TcpProxy.start(redis.server.port);
    closing = [];
  });
  afterEach(async () => {
    for (const close of closing.reverse()) await close();
    await writer.close();
    client.disconnect();
    await proxy.stop();
  });

  function open(options: ReplicaBackendOptions = {}, others: RolloutOptions = {}) {
    const through = new Redis(proxy.port);
    through.on('error', () => {});
    const backend = new Backend(through, { timeoutMs: 50 });
    const rollout = new Rollout(
      new ReplicaBackend(backend, { pollMs: 50, bootstrap: BOOTSTRAP, ...options }),
      others,
    );
    closing.push(() => through.disconnect());
    closing.push(() => rollout.close());
    return rollout;
  }

  it('answers from it while the store is away, as STALE, and then from the store', async () => {
    await proxy.refuse();
    const rollout = open({}, { defaults: { chat: false, other: true } });
    const changes: unknown[] = [];
    rollout.on('change', (change) => changes.push(change));
    expect(await rollout.ready({ timeoutMs: 100 })).toMatchObject({
      state: 'starting',
      ageMs: Number.POSITIVE_INFINITY,
    });
    const ways = [
      (name: string, subject: string) => rollout.decideSync(name, subject),
      (name: string, subject: string) => rollout.decide(name, subject),
    ];
    for (const decide of ways) {
      expect(await decide('chat', 'ann')).toMatchObject({
        ...{ enabled: true, variant: 'a', reason: 'STALE', ageMs: Number.POSITIVE_INFINITY },
      });
      expect(await decide('list', 'ann')).toMatchObject({ enabled: true });
      expect(await decide('list', 'bob')).toMatchObject({ enabled: false });
      expect(await decide('closed', 'ann')).toMatchObject({
        ...{ enabled: false, code: 'CORRUPT_FEATURE' },
      });
    }
    expect(await rollout.isEnabled('other', 'ann')).toBe(true);
    const snapshot = await rollout.snapshot('ann');
    expect(snapshot.isEnabled('chat')).toBe(true);
    expect(snapshot.isEnabled('list')).toBe(true);
    expect(snapshot.isEnabled('other')).toBe(true);
    await proxy.accept();
    while (rollout.health().state !== 'ready') await delay(5);
    expect(rollout.decideSync('chat', 'ann')).toMatchObject({ enabled: false, reason: 'DEFAULT' });
    expect(rollout.isEnabledSync('new', 'ann')).toBe(true);
    expect(rollout.decideSync('list', 'ann').errorCode).toBe('FLAG_NOT_FOUND');
    expect(changes).toEqual([]);
  });

  it('is asked past it as soon as the store can answer', async () => {
    const rollout = open();
    expect((await rollout.snapshot('ann')).isEnabled('chat')).toBe(false);
    expect(await rollout.isEnabled('new', 'ann')).toBe(true);
  });

  it('takes nothing of it over, whatever revision and id it has', async () => {
    const { id, revision } = (await writer.get('chat')) as { id: string; revision: number };
    const head = { id, revision, document: 1, members: 0 };
    const bootstrap = { features: { chat: { id, revision, percentage: 100 } }, head };
    const rollout = open({ bootstrap });
    await rollout.ready();
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(false);
  });

  it('is closed with it', async () => {
    await proxy.refuse();
    const rollout = open();
    await rollout.close();
    expect(await rollout.decide('chat', 'ann')).toMatchObject({ enabled: false, code: 'CLOSED' });
  });
});

describe('a bootstrap', () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hanoi-bootstrap-'));
    path = join(folder, 'features.json');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** A replica of a store that never answers. */
  function open(bootstrap: string | object) {
    const source = new MemoryBackend();
    source.token = () => new Promise(() => {});
    source.loadAll = () => new Promise(() => {});
    return new Rollout(new ReplicaBackend(source, { bootstrap }));
  }

  it('can be the file of a FileBackend', async () => {
    const file = new Rollout(new FileBackend(path));
    await file.addFeature('chat', { percentage: 100 });
    await file.register('chat', 'ann');
    await file.close();
    const rollout = open(path);
    expect(rollout.isEnabledSync('chat', 'bob')).toBe(true);
    await rollout.close();
  });

  it('may begin with the mark of an editor', async () => {
    writeFileSync(path, '\uFEFF{ "features": { "chat": { "percentage": 100 } } }');
    const rollout = open(path);
    expect(rollout.isEnabledSync('chat', 'bob')).toBe(true);
    await rollout.close();
  });

  it.each([
    ['a file that is not there', () => path, /features.json can't be read: ENOENT\.$/],
    ['text that is not JSON', () => '{ "features": user-4711 }', /not JSON/],
    ['a list', () => [], /has to be an object, not a list\.$/],
    ['an object without features', () => ({}), /`features` is missing, and has to be an object/],
    ['a circle', circle, /has something that JSON has not/],
    ['a bigint', () => ({ features: {}, n: 1n }), /has something that JSON has not/],
    ['null', () => null, /it has to be an object, not null/],
    [
      'members who are no list',
      () => ({ features: { a: {} }, members: { a: 'user-4711' } }),
      /members.a/,
    ],
  ])('that is %s is refused, and not quoted', (_, make, why) => {
    let bootstrap = make() as string | object;
    if (typeof bootstrap === 'string' && bootstrap !== path) {
      writeFileSync(path, bootstrap);
      bootstrap = path;
    }
    let error: unknown;
    try {
      open(bootstrap);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringMatching(why) });
    expect(String(error)).not.toContain('4711');
  });
});

function circle(): object {
  const self: { features?: unknown } = {};
  self.features = self;
  return self;
}
