import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import type { Feature } from '../../../lib/domain/feature.js';
import type { HanoiError } from '../../../lib/errors.js';
import { Rollout } from '../../../lib/rollout.js';
import { useRedis } from '../../redis-server.js';

const redis = useRedis();
let client: Redis;
beforeAll(() => {
  client = new Redis(redis.server.port);
});
afterAll(() => client.disconnect());
beforeEach(() => client.flushall());

const FEATURES = '{hanoi}:features';
const HEADS = '{hanoi}:heads';

describe.each([RedisBackend, RedisSetBackend])('given what a %p finds in Redis', (Backend) => {
  const opened: Rollout[] = [];
  const open = (options: object = {}) => {
    const rollout = new Rollout(new Backend(client, options), { unknownFeature: true });
    opened.push(rollout);
    return rollout;
  };
  afterEach(async () => {
    for (const rollout of opened.splice(0)) await rollout.close();
  });

  /** A feature for everyone, with a member, and another beside it. */
  async function setUp() {
    const rollout = open();
    await rollout.addFeature('chat', { percentage: 100 });
    await rollout.register('chat', 'ann');
    await rollout.addFeature('other', { percentage: 100 });
    const { id } = (await rollout.get('chat')) as { id: string };
    return { rollout, id };
  }

  const stored = (over: object) => JSON.stringify({ ...JSON.parse(chat), ...over });
  let chat = '';

  it.each<[what: string, (id: string) => Promise<unknown>]>([
    ['a document that is not JSON', () => client.hset(FEATURES, 'chat', '{"name":"chat",')],
    ['a document that is a list', () => client.hset(FEATURES, 'chat', '[]')],
    ['a document that is empty', () => client.hset(FEATURES, 'chat', '')],
    [
      'a percentage of a wrong type',
      () => client.hset(FEATURES, 'chat', stored({ percentage: 'all' })),
    ],
    [
      'rules, which this version does not know',
      () => client.hset(FEATURES, 'chat', stored({ rules: [{}] })),
    ],
    [
      'the bucketing of a newer version',
      () => client.hset(FEATURES, 'chat', stored({ bucketing: 'astral' })),
    ],
    [
      'a document of another feature',
      () => client.hset(FEATURES, 'chat', stored({ name: 'other' })),
    ],
    ['a document of another id', () => client.hset(FEATURES, 'chat', stored({ id: 'x' }))],
    [
      'a document of 10 MB',
      () => client.hset(FEATURES, 'chat', stored({ data: { x: 'x'.repeat(1e7) } })),
    ],
    ['a head without a document', () => client.hdel(FEATURES, 'chat')],
    ['a document without a head', () => client.hdel(HEADS, 'chat')],
    ['a head that is none', () => client.hset(HEADS, 'chat', 'nonsense')],
  ])('%s closes that feature, says so, and stays as it is', async (_, spoil) => {
    const { id } = await setUp();
    chat = (await client.hget(FEATURES, 'chat')) as string;
    await spoil(id);
    const before = [await client.hget(FEATURES, 'chat'), await client.hget(HEADS, 'chat')];

    const rollout = open();
    const errors: HanoiError[] = [];
    rollout.on('error', (error) => errors.push(error));
    const closed = { enabled: false, reason: 'ERROR', code: 'CORRUPT_FEATURE' };
    for (let check = 0; check < 2; check++) {
      expect(await rollout.decide('chat', 'ann')).toMatchObject(closed);
      const flags = await rollout.snapshot('ann');
      expect(flags.decide('chat')).toMatchObject(closed);
      expect(flags.isEnabled('other')).toBe(true);
    }
    expect(await rollout.isEnabled('other', 'ann')).toBe(true);
    expect((await rollout.features()).map(({ name }) => name)).toEqual(['other']);
    expect(errors).toMatchObject([{ code: 'CORRUPT_FEATURE', feature: 'chat' }]);
    expect(await rollout.unreadable()).toMatchObject([
      { of: 'feature', name: 'chat', problem: { code: 'CORRUPT_FEATURE' } },
    ]);
    for (const write of [
      () => rollout.get('chat'),
      () => rollout.setPercentage('chat', 1),
      () => rollout.disable('chat'),
    ]) {
      await expect(write()).rejects.toMatchObject({ code: 'CORRUPT_FEATURE', feature: 'chat' });
    }
    await expect(rollout.addFeature('chat')).rejects.toMatchObject({ code: 'FEATURE_EXISTS' });
    expect([await client.hget(FEATURES, 'chat'), await client.hget(HEADS, 'chat')]).toEqual(before);

    // The way out.
    await rollout.remove('chat');
    await rollout.addFeature('chat', { percentage: 100 });
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
    expect((await rollout.snapshot('ann')).isEnabled('chat')).toBe(true);
  });

  it('rolls a document that can not be read back, with its members', async () => {
    const { rollout } = await setUp();
    await rollout.setPercentage('chat', 40);
    await client.hset(FEATURES, 'chat', '{');
    const [{ state } = { state: undefined }] = await rollout.unreadable();
    expect(state?.revision).toBe(2);
    const back = await rollout.rollback('chat', 1, { expect: state as NonNullable<typeof state> });
    expect(back).toMatchObject({ percentage: 100, revision: 3 });
    expect(await rollout.countMembers('chat')).toBe(1);
    expect(await rollout.unreadable()).toEqual([]);
    expect(await open().isEnabled('chat', 'bea')).toBe(true);
  });

  it.each([
    ['is cut', (text: string) => text.replace('"secret-id"', 'secret-id')],
    ['has an empty id', (text: string) => text.replace('"secret-id"', '"secret-id",""')],
    ['has a wrong id', (text: string) => text.replace('"secret-id"', '{"secret-id":1}')],
  ])('shows no id of a document that %s', async (_, spoil) => {
    const { rollout } = await setUp();
    await rollout.exclude('chat', 'secret-id');
    const text = (await client.hget(FEATURES, 'chat')) as string;
    expect(spoil(text)).not.toBe(text);
    await client.hset(FEATURES, 'chat', spoil(text));
    const other = open();
    const errors: HanoiError[] = [];
    other.on('error', (error) => errors.push(error));
    other.on('corrupt', (error) => errors.push(error));
    await other.decide('chat', 'ann');
    await other.get('chat').catch((error) => errors.push(error));
    expect(errors.length).toBeGreaterThanOrEqual(2);
    for (let error of errors as unknown[]) {
      for (; error instanceof Error; error = error.cause) {
        expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain('secret');
      }
    }
  });

  it('a long document without a head is not fetched again by every check', async () => {
    await setUp();
    await client.hdel(HEADS, 'chat');
    await client.hset(FEATURES, 'chat', 'x'.repeat(1_500_000));
    const rollout = open();
    expect((await rollout.decide('chat', 'ann')).code).toBe('CORRUPT_FEATURE');
    await rollout.snapshot('ann');
    const sentBytes = async () =>
      Number(/total_net_output_bytes:(\d+)/.exec(await client.info('stats'))?.[1]);
    const before = await sentBytes();
    for (let check = 0; check < 20; check++) {
      expect((await rollout.decide('chat', 'ann')).code).toBe('CORRUPT_FEATURE');
      expect((await rollout.snapshot('ann')).decide('chat').code).toBe('CORRUPT_FEATURE');
    }
    expect((await sentBytes()) - before).toBeLessThan(200_000);
    await client.hdel(FEATURES, 'chat');
    expect((await rollout.decide('chat', 'ann')).code).toBe('FEATURE_NOT_FOUND');
  });

  it('patterns in thousands close their feature', async () => {
    const { rollout } = await setUp();
    chat = (await client.hget(FEATURES, 'chat')) as string;
    const patterns = Array.from({ length: 1_001 }, (_, at) => ({ source: `^${at}-` }));
    await client.hset(FEATURES, 'chat', stored({ patterns }));
    await rollout.addFeature('new', { patterns: patterns.slice(1) });
    await expect(rollout.addFeature('more', { patterns })).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
      path: 'patterns',
    });
    expect((await open().decide('chat', 'ann')).code).toBe('CORRUPT_FEATURE');
  });

  it('a document with fields of a newer version is read, and keeps them', async () => {
    const { rollout } = await setUp();
    chat = (await client.hget(FEATURES, 'chat')) as string;
    await client.hset(FEATURES, 'chat', stored({ later: { is: [1] } }));
    const other = open();
    expect(await other.isEnabled('chat', 'ann')).toBe(true);
    await other.setPercentage('chat', 1);
    expect(JSON.parse((await client.hget(FEATURES, 'chat')) as string)).toMatchObject({
      later: { is: [1] },
      percentage: 1,
    });
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
  });

  it('members of another type close their feature alone', async () => {
    const { rollout, id } = await setUp();
    await client.set(`{hanoi}:users:${id}`, 'nonsense');
    const other = open();
    for (const each of [rollout, other]) {
      expect(await each.decide('chat', 'eve')).toMatchObject(
        // Who holds the members already need not ask for them.
        each === rollout && Backend === RedisBackend ? {} : { code: 'CORRUPT_FEATURE' },
      );
      expect(await each.isEnabled('other', 'eve')).toBe(true);
    }
    const flags = await other.snapshot('eve');
    expect(flags.decide('chat')).toMatchObject({ enabled: false, code: 'CORRUPT_FEATURE' });
    expect(flags.isEnabled('other')).toBe(true);
    await expect(other.register('chat', 'eve')).rejects.toMatchObject({ code: 'NOT_APPLIED' });
    await other.remove('chat');
    await other.addFeature('chat', { percentage: 100 });
    expect(await rollout.isEnabled('chat', 'eve')).toBe(true);
  });

  it.each([
    FEATURES,
    HEADS,
    '{hanoi}:token',
    '{hanoi}:history:documents:chat',
    '{hanoi}:log:documents',
    '{hanoi}:history:members:chat',
    '{hanoi}:log:members',
  ])(
    '%s of another type refuses the writes it is part of, and nothing is half-written',
    async (key) => {
      const { rollout } = await setUp();
      await client.del(key);
      await client.call(key.endsWith('token') ? 'RPUSH' : 'SET', key, 'nonsense');
      const dump = async () => {
        const all: Record<string, unknown> = {};
        for (const each of (await client.keys('*')).sort()) {
          if (!each.includes('request')) all[each] = await client.dumpBuffer(each);
        }
        return all;
      };
      const writes = [
        () => rollout.addFeature('new'),
        () => rollout.register('chat', 'eve'),
        () => rollout.remove('chat'),
      ];
      let refusals = 0;
      for (const write of writes) {
        const before = await dump();
        const code = await write().then(
          () => undefined,
          (error: HanoiError) => error.code,
        );
        if (code === undefined) continue;
        refusals++;
        expect(code).toMatch(/^(NOT_APPLIED|FEATURE_NOT_FOUND|CORRUPT_FEATURE)$/);
        expect(await dump()).toEqual(before);
      }
      expect(refusals).toBeGreaterThan(0);
    },
  );

  it('foreign entries in the streams are passed over', async () => {
    const { rollout } = await setUp();
    for (const key of ['{hanoi}:history:documents:chat', '{hanoi}:log:documents']) {
      await client.xadd(key, '*', 'who', 'knows');
      await client.xadd(key, '*', 'kind', 'created', 'name', 'chat', 'head', 'none');
      await client.xadd(key, '*', 'kind', 'nothing', 'name', 'chat', 'head', 'a:1:1:0');
    }
    await rollout.setPercentage('chat', 1);
    await client.xadd('{hanoi}:history:documents:chat', '*', 'who', 'knows');
    const kinds = async (limit: number) =>
      (await rollout.history('chat', { limit, kind: 'documents' })).map(({ kind }) => kind);
    expect(await kinds(10)).toEqual(['updated', 'created']);
    expect(await kinds(1)).toEqual(['updated']);
    expect(await kinds(2)).toEqual(['updated', 'created']);
  });

  it('an entry ahead of the clock holds up no write, and each change has one id', async () => {
    const { rollout } = await setUp();
    await client.xadd('{hanoi}:history:documents:chat', '99999999999999-7', 'who', 'knows');
    await rollout.setPercentage('chat', 1);
    await client.xadd('{hanoi}:log:documents', '99999999999999-9', 'who', 'knows');
    await rollout.setPercentage('chat', 2);
    const ids = async (key: string) => (await client.xrevrange(key, '+', '-')).map(([id]) => id);
    const log = await ids('{hanoi}:log:documents');
    const history = await ids('{hanoi}:history:documents:chat');
    expect(history.slice(0, 2)).toEqual(['99999999999999-10', '99999999999999-8']);
    expect(log).toEqual(expect.arrayContaining(history.slice(0, 2)));
    const changes = await rollout.history('chat', { limit: 2 });
    expect(changes.map(({ after }) => after?.percentage)).toEqual([2, 1]);
    expect(Math.abs((changes[0]?.at ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  it('a stream that takes no more entries refuses the write whole', async () => {
    const { rollout } = await setUp();
    await client.xadd(
      '{hanoi}:history:documents:chat',
      '18446744073709551615-18446744073709551615',
      'who',
      'knows',
    );
    const log = await client.xlen('{hanoi}:log:documents');
    await expect(rollout.setPercentage('chat', 1)).rejects.toMatchObject({ code: 'NOT_APPLIED' });
    expect(await client.xlen('{hanoi}:log:documents')).toBe(log);
    expect((await rollout.get('chat'))?.percentage).toBe(100);
  });

  it('namespaces keep apart', async () => {
    const one = open({ namespace: 'one' });
    const two = open({ namespace: 'one:features' });
    await one.addFeature('chat', { percentage: 100 });
    await two.addFeature('chat', { percentage: 0 });
    await one.register('chat', 'ann');
    expect(await two.isEnabled('chat', 'ann')).toBe(false);
    expect(await two.history('chat')).toHaveLength(1);
    for (const key of await client.keys('*')) expect(key).toMatch(/^\{one(:features)?\}:/);
  });

  it.each(['', '{x}', 'a}b', 'a{', 'x'.repeat(101), 'a\nb', 7, null])(
    'refuses the namespace %j',
    (namespace) => {
      expect(() => open({ namespace })).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    },
  );

  it.each([
    { timeoutMs: 0 },
    { operationTimeoutMs: Number.NaN },
    { historyLength: -1 },
    { reuse: 'yes' },
    { nameSpace: 'x' },
  ])('refuses the options %j', (options) => {
    expect(() => open(options)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('refuses what is no client', () => {
    expect(() => new Backend({} as Redis)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it('puts the prefix of the app’s client before every key and channel', async () => {
    const prefixed = new Redis(redis.server.port, { keyPrefix: 'app:' });
    for (const reuse of [false, true]) {
      const rollout = new Rollout(new Backend(prefixed, { reuse, namespace: `n${reuse}` }));
      opened.push(rollout);
      const heard = new Promise((resolve) => rollout.on('change', resolve));
      await rollout.addFeature('chat');
      await heard;
      await rollout.register('chat', 'ann');
      expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
      expect((await rollout.snapshot('ann')).isEnabled('chat')).toBe(true);
    }
    for (const key of await client.keys('*')) expect(key).toMatch(/^app:\{n(true|false)\}:/);
    prefixed.disconnect();
  });

  it('sets members aside for a time, and not for ever', async () => {
    const { rollout, id } = await setUp();
    expect(await client.pttl(`{hanoi}:users:${id}`)).toBe(-1);
    await rollout.remove('chat');
    const ms = await client.pttl(`{hanoi}:users:${id}`);
    expect(ms).toBeGreaterThan(6 * 24 * 3_600_000);
    expect(ms).toBeLessThanOrEqual(7 * 24 * 3_600_000);
    const [removal] = await rollout.history('chat', { limit: 1 });
    const backend = new Backend(client);
    const document = { ...(removal?.before as Feature), revision: 9 };
    await backend.write({ name: 'chat', expect: 'absent', document });
    await backend.close();
    expect(await client.pttl(`{hanoi}:users:${id}`)).toBe(-1);
    for (const key of await client.keys('{hanoi}:request:*')) {
      expect(await client.pttl(key)).toBeGreaterThan(0);
      expect(await client.pttl(key)).toBeLessThanOrEqual(600_000);
    }
  });
});
