import { Redis } from 'ioredis';
import type { Backend } from '../lib/backends/backend.js';
import { RedisBackend, RedisSetBackend } from '../lib/backends/redis/index.js';
import type { Feature } from '../lib/domain/feature.js';
import {
  type FeatureSettings,
  MemoryBackend,
  type Preview,
  ReplicaBackend,
  Rollout,
} from '../lib/index.js';
import { seeded } from './property.js';
import { useMonitoredRedis } from './redis-monitor.js';

const redis = useMonitoredRedis();
beforeEach(async () => {
  await redis.client.flushall();
});

const BACKENDS: [string, () => Backend, number][] = [
  ['memory', () => new MemoryBackend(), 30],
  ['Redis', () => new RedisBackend(redis.client), 8],
  ['Redis sets', () => new RedisSetBackend(redis.client), 8],
  ['a replica', () => new ReplicaBackend(new RedisBackend(redis.client)), 8],
  ['a replica of sets', () => new ReplicaBackend(new RedisSetBackend(redis.client)), 8],
];

const subjects = Array.from({ length: 1_200 }, (_, n) => ({
  id: `user-${n}`,
  account: `account-${n % 50}`,
  plan: n % 3 === 0 ? 'pro' : 'free',
  groups: n % 7 === 0 ? ['staff'] : [],
}));

/** A change of some settings, of any kind. */
function anySettings(random: () => number): FeatureSettings {
  const any = (most: number) => Math.floor(random() * most);
  const all: FeatureSettings[] = [
    { percentage: any(101) },
    { enabled: any(2) === 0 },
    { groups: any(2) === 0 ? ['staff'] : [] },
    { patterns: any(2) === 0 ? [/1$/] : [] },
    { excluded: [`user-${any(30)}`] },
    { subjectKey: any(2) === 0 ? 'account' : undefined },
    { requires: any(2) === 0 ? ['base'] : [{ feature: 'base', variants: ['foo'] }] },
    { requires: [] },
    {
      variants: ['red', { name: 'blue', weight: 1 + any(5) }],
      rules: [
        {
          id: 'pro',
          when: { attribute: 'plan', op: 'equals', value: 'pro' },
          percentage: any(101),
          serve: any(2) === 0 ? { variant: 'red' } : 'off',
        },
      ],
    },
    { bucketing: any(2) === 0 ? 'independent' : 'modulo' },
  ];
  return Object.assign({}, ...Array.from({ length: 1 + any(3) }, () => all[any(all.length)]));
}

/** What a preview has to say, by asking before and after. */
async function told(
  rollout: Rollout,
  change: () => Promise<unknown>,
): Promise<Omit<Preview, 'ids'>> {
  const ask = () => Promise.all(subjects.map((subject) => rollout.decide('chat', subject)));
  const before = await ask();
  await change();
  const after = await ask();
  const counts = { gains: 0, loses: 0, changes: 0, stays: 0, unknown: 0 };
  for (const [at, was] of before.entries()) {
    const is = after[at] as typeof was;
    if (was.enabled !== is.enabled) counts[is.enabled ? 'gains' : 'loses']++;
    else if (is.enabled && was.variant !== is.variant) counts.changes++;
    else counts.stays++;
  }
  return counts;
}

describe.each(BACKENDS)('a preview on %s', (_, open, rounds) => {
  let rollout: Rollout;
  beforeEach(async () => {
    rollout = new Rollout(open());
    await rollout.ready();
    await rollout.addFeature('deep', { percentage: 80 });
    await rollout.addFeature('base', {
      ...{ percentage: 70, variants: ['foo', 'bar'], requires: ['deep'] },
    });
  });
  afterEach(() => rollout.close());

  it('says what becomes of everybody, as it then does', async () => {
    const start = Math.floor(Math.random() * 2 ** 31);
    await rollout.addFeature('chat', { percentage: 50 });
    await rollout.register('chat', ['user-1', 'user-2', 'account-3', 'account-4']);
    for (let round = 0; round < rounds; round++) {
      const seed = start + round;
      const settings = anySettings(seeded(seed));
      const before = await rollout.get('chat');
      const { ids, ...counts } = await rollout.preview('chat', settings, subjects);
      expect(await rollout.get('chat')).toEqual(before);
      const actual = await told(rollout, () => rollout.update('chat', settings));
      expect({ seed, ...counts }).toEqual({ seed, ...actual });
      expect(ids.gains).toHaveLength(Math.min(100, counts.gains));
    }
  }, 60_000);

  it('says it of a rollback, with the members that come back', async () => {
    await rollout.addFeature('chat', { percentage: 10 });
    await rollout.register('chat', ['user-1', 'user-2', 'user-3', 'user-4']);
    await rollout.unregister('chat', 'user-4');
    const old = await rollout.get('chat');
    await rollout.deactivate('chat');
    await rollout.register('chat', ['user-2', 'user-5']);
    const { ids, ...counts } = await rollout.preview('chat', old as Feature, subjects);
    expect(ids.gains).toContain('user-1');
    expect(ids.gains).not.toContain('user-4');
    expect(ids.loses).toEqual(['user-5']);
    expect(counts).toEqual(await told(rollout, () => rollout.rollback('chat', 1)));
    const last = (await rollout.get('chat')) as Feature;
    await rollout.remove('chat');
    const back = await rollout.preview('chat', last, subjects);
    expect(back).toMatchObject({ loses: 0, changes: 0, unknown: 0 });
    expect(await told(rollout, () => rollout.restore('chat'))).toMatchObject({ gains: back.gains });
  });

  it('names whoever comes first, as many as are asked for', async () => {
    await rollout.addFeature('chat', { subjectKey: 'account' });
    const { gains, ids } = await rollout.preview('chat', { percentage: 100 }, subjects, { ids: 3 });
    expect(gains).toBe(1_200);
    expect(ids).toEqual({
      ...{ gains: ['account-0', 'account-1', 'account-2'], loses: [], changes: [] },
    });
  });

  it('counts those who have no id, and names them not', async () => {
    await rollout.addFeature('chat');
    const who = [undefined, null, {}, 'ann', 7, Number.NaN];
    const { gains, ids } = await rollout.preview('chat', { percentage: 100 }, who as string[]);
    expect(gains).toBe(6);
    expect(ids.gains).toEqual(['ann', '7']);
    const half = await rollout.preview('chat', { percentage: 99 }, who as string[]);
    expect(half.gains + half.stays).toBe(6);
    expect(half.gains).toBeLessThanOrEqual(2);
  });
});

describe('a preview', () => {
  let rollout: Rollout;
  let now = 0;
  beforeEach(async () => {
    now = Date.parse('2026-01-01T00:00:00Z');
    rollout = new Rollout(undefined, { now: () => now });
    await rollout.addFeature('chat');
  });
  afterEach(() => rollout.close());

  it('is of the present instant of a ramp', async () => {
    await rollout.ramp('chat', { over: '10d' });
    now += 5 * 86_400_000;
    const { gains, loses, stays } = await rollout.preview('chat', { percentage: 75 }, subjects);
    expect(loses).toBe(0);
    expect(gains / subjects.length).toBeGreaterThan(0.2);
    expect(gains / subjects.length).toBeLessThan(0.3);
    expect(gains + stays).toBe(1_200);
    expect(await rollout.preview('chat', { percentage: 50 }, subjects)).toMatchObject({
      stays: 1_200,
    });
  });

  it('asks a function, and the groups and segments that are defined', async () => {
    rollout.defineSegment('country', ({ id }: { id: string }) => (/1$/.test(id) ? 'US' : 'CA'));
    const { gains } = await rollout.preview(
      'chat',
      ({ rules }) => ({
        rules: [...rules, { id: 'us', when: { segment: 'country', in: ['US'] }, serve: 'on' }],
      }),
      subjects,
    );
    expect(gains).toBe(120);
  });

  it('tells who got another variant', async () => {
    await rollout.update('chat', { percentage: 100, variants: ['red', 'blue'] });
    const { changes, gains, loses, ids } = await rollout.preview(
      'chat',
      { variants: ['red', { name: 'blue', weight: 3 }] },
      subjects,
      { ids: 10_000 },
    );
    expect([gains, loses]).toEqual([0, 0]);
    expect(changes).toBe(ids.changes.length);
    for (const id of ids.changes) expect(await rollout.variant('chat', id)).toBe('red');
    expect(changes / subjects.length).toBeCloseTo(0.25, 1);
  });

  it('reads a stream as it comes, and no further than it is', async () => {
    let open = 0;
    let most = 0;
    async function* stream() {
      for (let n = 0; n < 20_000; n++) {
        open++;
        most = Math.max(most, open);
        yield {
          get id() {
            return `user-${n}`;
          },
          get groups() {
            open = 0;
            return [];
          },
        };
      }
    }
    await rollout.update('chat', { groups: ['staff'] });
    const { gains, loses, stays } = await rollout.preview('chat', { percentage: 50 }, stream());
    expect(gains + loses + stays).toBe(20_000);
    // The next are only taken once those before were decided.
    expect(most).toBeLessThanOrEqual(500);
  });

  it('says of whom it can not tell, where the history is too short', async () => {
    const short = new Rollout(new MemoryBackend({ historyLength: 2 }));
    const old = await short.addFeature('chat', { percentage: 10 });
    for (let n = 0; n < 9; n++) await short.register('chat', `user-${n}`);
    await short.deactivate('chat');
    const { gains, unknown, loses } = await short.preview('chat', old, subjects);
    expect(loses).toBe(0);
    expect(gains + unknown).toBe(1_200);
    expect(gains).toBe((await short.preview('chat', { percentage: 10 }, subjects)).gains);
    await short.close();
  });

  it.each<[string, () => Promise<unknown>, string]>([
    ['of no feature', () => rollout.preview('nope', {}, ['ann']), 'FEATURE_NOT_FOUND'],
    [
      'by settings that are none',
      () => rollout.preview('chat', { percentage: 101 }, []),
      'INVALID_FEATURE',
    ],
    [
      'by an unknown setting',
      () => rollout.preview('chat', { percent: 1 } as object, []),
      'INVALID_FEATURE',
    ],
    [
      'by requiring a feature that is not there, as the write is',
      () => rollout.preview('chat', { requires: ['nope'] }, ['ann']),
      'INVALID_FEATURE',
    ],
    ['for one subject', () => rollout.preview('chat', {}, 'ann'), 'INVALID_ARGUMENT'],
    ['for none', () => rollout.preview('chat', {}, undefined as never), 'INVALID_ARGUMENT'],
    ['by no change', () => rollout.preview('chat', undefined as never, []), 'INVALID_FEATURE'],
    [
      'with other options',
      () => rollout.preview('chat', {}, [], { id: 1 } as object),
      'INVALID_ARGUMENT',
    ],
    [
      'with fewer than no ids',
      () => rollout.preview('chat', {}, [], { ids: -1 }),
      'INVALID_ARGUMENT',
    ],
  ])('is refused %s', async (_, ask, code) => {
    await expect(ask()).rejects.toMatchObject({ code });
  });

  it('is refused for a document of another feature', async () => {
    const other = await rollout.addFeature('other');
    await expect(rollout.preview('chat', other, [])).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('ends where the feature is replaced meanwhile', async () => {
    async function* stream() {
      for (let n = 0; n < 2_000; n++) {
        if (n === 1_000) await rollout.deactivate('chat');
        yield `user-${n}`;
      }
    }
    await expect(rollout.preview('chat', { percentage: 5 }, stream())).rejects.toMatchObject({
      code: 'CONFLICT',
    });
  });
});

it('a preview rejects where the store does not answer, rather than guess', async () => {
  const client = new Redis({ port: 1 });
  client.on('error', () => {});
  const rollout = new Rollout(new RedisBackend(client, { timeoutMs: 50, operationTimeoutMs: 50 }));
  await expect(rollout.preview('chat', {}, ['ann'])).rejects.toMatchObject({
    code: expect.stringMatching(/^STORE_/),
  });
  await rollout.close();
  client.disconnect();
});

it('a preview asks for some hundred subjects at once', async () => {
  const client = new Redis({ port: redis.client.options.port as number });
  const rollout = new Rollout(new RedisSetBackend(client));
  await rollout.addFeature('chat');
  await rollout.register('chat', 'user-1');
  await rollout.preview('chat', { percentage: 5 }, subjects.slice(0, 1));
  const commands = await redis.sent(() => rollout.preview('chat', { percentage: 5 }, subjects));
  // One for the document, and two for each 500: the head, and who of them is a member.
  expect(commands.length).toBeLessThanOrEqual(7);
  await rollout.close();
  client.disconnect();
});
