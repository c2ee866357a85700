import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../../lib/backends/redis/index.js';
import { importInto, readHanoi, readRedis, readRolloutGem } from '../../lib/import/index.js';
import { Rollout } from '../../lib/index.js';
import hanoi from '../fixtures/hanoi.json' with { type: 'json' };
import gem from '../fixtures/rollout-gem.json' with { type: 'json' };
import { useRedis } from '../redis-server.js';
import { storedData } from './stored-data.js';

const redis = useRedis();
let client: Redis;
beforeAll(() => {
  client = new Redis(redis.server.port);
});
afterAll(() => client.disconnect());
beforeEach(() => client.flushall());

/** Puts a fixture's database into Redis, and keys of others beside it. */
async function fill(stored: object, before = ''): Promise<void> {
  const entries = Object.entries(stored as Record<string, { type: string; value: unknown }>);
  for (const [key, { type, value }] of entries) {
    if (type === 'string') await client.set(before + key, value as string);
    else if (type === 'set') await client.sadd(before + key, ...(value as string[]));
    else await client.zadd(before + key, 1, 'an entry of its log');
  }
  await client.set('another', 'key');
  await client.set('feature', 'no feature');
}

describe.each([RedisBackend, RedisSetBackend])('moving into a %p', (Backend) => {
  let rollout: Rollout;
  beforeEach(() => {
    rollout = new Rollout(new Backend(client, { namespace: 'moved' }));
  });
  afterEach(() => rollout.close());

  const letIn = async (name: string, subjects: readonly string[]) => {
    const answers = await Promise.all(subjects.map((subject) => rollout.isEnabled(name, subject)));
    return new Set(subjects.filter((_, at) => answers[at]));
  };

  it.each(gem.cases.map((each) => [JSON.stringify(each.options), each] as const))(
    'from a live database of the gem with options %s keeps every answer',
    async (_, { options, redis: stored, subjects, expect: expected }) => {
      await fill(stored);
      const found = readRolloutGem(await readRedis(client, 'rollout-gem'), {
        randomizePercentage: 'randomize_percentage' in options,
      });
      expect(found.problems).toEqual([]);
      const before = await client.keys('*');
      const report = await importInto(rollout, found, { dryRun: true });
      expect(new Set(report.imported)).toEqual(new Set(Object.keys(expected)));
      expect(await client.keys('{moved}*')).toEqual([]);

      rollout.defineGroup('staff', (id: string) => id.endsWith('3'));
      rollout.defineGroup('beta_testers', (id: string) => id.endsWith('7'));
      expect(await importInto(rollout, found)).toEqual(report);
      for (const [name, { active }] of Object.entries(expected)) {
        expect(await letIn(name, subjects)).toEqual(new Set(active));
      }
      for (const subject of subjects.slice(0, 20)) {
        const flags = await rollout.snapshot(subject);
        for (const [name, { active }] of Object.entries(expected)) {
          expect(flags.isEnabled(name)).toBe((active as string[]).includes(subject));
        }
      }
      expect(await client.keys('*')).toEqual(expect.arrayContaining(before));
    },
  );

  it.each(hanoi.cases.map((each) => [each.backend, each] as const))(
    'from a live database that %s of hanoi wrote keeps every answer',
    async (_, { redis: stored, subjects, expect: recorded }) => {
      await fill(stored);
      await importInto(rollout, readHanoi(await readRedis(client, 'hanoi')));
      const { _no_subject: _without, ...expected } = recorded as Record<string, unknown>;
      for (const [name, answers] of Object.entries(expected)) {
        const { enabled, variant } = answers as {
          enabled: string[];
          variant?: Record<string, string>;
        };
        expect(await letIn(name, subjects)).toEqual(new Set(enabled));
        for (const [subject, served] of Object.entries(variant ?? {})) {
          expect((await rollout.variant(name, subject)) ?? '').toBe(served ?? '');
        }
      }
    },
  );
});

describe('reading another system’s data from Redis', () => {
  const [first] = gem.cases;
  const stored = first?.redis ?? {};

  it('leaves out a namespace, and the prefix of the client', async () => {
    await fill(stored, 'app:na*me:');
    const prefixed = new Redis(redis.server.port, { keyPrefix: 'app:' });
    const data = await readRedis(prefixed, 'rollout-gem', { namespace: 'na*me' });
    prefixed.disconnect();
    expect(Object.fromEntries(data)).toEqual(storedData(stored));
    expect((await readRedis(client, 'rollout-gem')).size).toBe(0);
    expect((await readRedis(client, 'rollout-gem', { namespace: 'app:naXme' })).size).toBe(0);
  });

  it('reads in pages, and tells how far it is', async () => {
    const pipeline = client.pipeline();
    for (let n = 0; n < 2_500; n++) pipeline.set(`feature:f${n}`, '1|||{}');
    for (let n = 0; n < 5_000; n++) pipeline.sadd('h:users:big', `user-${n}`);
    pipeline.set('h:big', '1|0||');
    await pipeline.exec();
    const seen: number[] = [];
    const data = await readRedis(client, 'rollout-gem', {
      onProgress: ({ keys }) => seen.push(keys),
    });
    expect(data.size).toBe(2_500);
    expect(seen.length).toBeGreaterThan(1);
    expect(seen.at(-1)).toBe(2_500);
    const [big] = readHanoi(await readRedis(client, 'hanoi')).features;
    expect(new Set(big?.members).size).toBe(5_000);
  });

  it('refuses a system that it does not know', async () => {
    await expect(readRedis(client, 'flipper' as 'hanoi')).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
