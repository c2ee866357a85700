import { Redis } from 'ioredis';
import type { Backend } from '../lib/backends/backend.js';
import { RedisBackend, RedisSetBackend } from '../lib/backends/redis/index.js';
import { createFeature } from '../lib/domain/validate.js';
import { MemoryBackend, ReplicaBackend, Rollout } from '../lib/index.js';
import { useMonitoredRedis } from './redis-monitor.js';

const redis = useMonitoredRedis();
let memory: MemoryBackend;
beforeEach(async () => {
  await redis.client.flushall();
  memory = new MemoryBackend();
});

const BACKENDS: [string, () => Backend][] = [
  ['memory', () => memory],
  ['Redis', () => new RedisBackend(redis.client)],
  ['Redis sets', () => new RedisSetBackend(redis.client)],
  ['a replica', () => new ReplicaBackend(new RedisBackend(redis.client))],
  ['a replica of sets', () => new ReplicaBackend(new RedisSetBackend(redis.client))],
];

describe.each(BACKENDS)('prerequisites on %s', (kind, open) => {
  let rollout: Rollout;
  beforeEach(async () => {
    rollout = new Rollout(open());
    await rollout.ready();
    await rollout.addFeature('base', { variants: ['foo', 'bar'] });
    await rollout.addFeature('top', { percentage: 100, requires: ['base'] });
  });
  afterEach(() => rollout.close());

  it('have to be on for the same subject', async () => {
    const unmet = { enabled: false, reason: 'DISABLED', detail: 'requires' };
    expect(await rollout.decide('top', 'ann')).toMatchObject(unmet);
    await rollout.register('base', 'ann');
    expect(await rollout.isEnabled('top', 'ann')).toBe(true);
    expect(await rollout.decide('top', 'bob')).toMatchObject(unmet);
    expect(await rollout.decide('top', undefined)).toMatchObject(unmet);
    expect((await rollout.snapshot('ann')).isEnabled('top')).toBe(true);
    expect((await rollout.snapshot('bob')).isEnabled('top')).toBe(false);
    await rollout.disable('base');
    expect(await rollout.decide('top', 'ann')).toMatchObject(unmet);
    await rollout.remove('base');
    expect(await rollout.decide('top', 'ann')).toMatchObject(unmet);
  });

  it('may have to have a variant', async () => {
    await rollout.addFeature('foos', {
      percentage: 100,
      requires: [{ feature: 'base', variants: ['foo'] }],
    });
    await rollout.setPercentage('base', 100);
    for (let n = 0; n < 20; n++) {
      const { variant } = await rollout.decide('base', n);
      expect(await rollout.isEnabled('foos', n)).toBe(variant === 'foo');
    }
    await rollout.update('base', { defaultVariant: 'foo', percentage: 0 });
    expect(await rollout.isEnabled('foos', 1)).toBe(true);
  });

  it('have prerequisites themselves', async () => {
    await rollout.addFeature('peak', { percentage: 100, requires: ['top'] });
    expect(await rollout.isEnabled('peak', 'ann')).toBe(false);
    await rollout.register('base', 'ann');
    expect(await rollout.isEnabled('peak', 'ann')).toBe(true);
    const told = await rollout.explain('peak', 'bob');
    expect(told?.steps.find(({ step }) => step === 'requires')).toMatchObject({
      ...{ outcome: 'answers', why: 'Feature "top" is off (requires).' },
    });
  });

  it('follow as they change', async () => {
    await rollout.register('base', 'ann');
    expect(await rollout.isEnabled('top', 'ann')).toBe(true);
    await rollout.addFeature('other');
    await rollout.update('top', { requires: ['base', 'other'] });
    expect(await rollout.isEnabled('top', 'ann')).toBe(false);
    await rollout.update('top', { requires: ['base'] });
    expect(await rollout.isEnabled('top', 'ann')).toBe(true);
    await rollout.update('top', { requires: [] });
    expect(await rollout.isEnabled('top', 'bob')).toBe(true);
  });

  it.each([
    ['requires[0].feature', ['nobody']],
    ['requires[0].feature', ['top']],
    ['requires[0].feature', ['']],
    ['requires[1].feature', ['base', 'base']],
    ['requires[0].variants[1]', [{ feature: 'base', variants: ['foo', 'baz'] }]],
    ['requires[0].variants', [{ feature: 'base', variants: [] }]],
    ['requires[0]', [{ feature: 'base', variant: 'foo' }]],
    ['requires', Array.from({ length: 11 }, (_, n) => `f${n}`)],
  ])('are refused for %s', async (path, requires) => {
    await expect(rollout.update('top', { requires: requires as string[] })).rejects.toMatchObject({
      ...{ code: 'INVALID_FEATURE', path },
    });
  });

  it('are no circle', async () => {
    await rollout.addFeature('peak', { requires: ['top'] });
    const circle = rollout.update('base', { requires: ['peak'] });
    await expect(circle).rejects.toMatchObject({
      ...{ code: 'INVALID_FEATURE', path: 'requires[0].feature' },
    });
    await rollout.remove('base');
    const again = rollout.addFeature('base', { requires: ['peak'] });
    await expect(again).rejects.toMatchObject({ code: 'INVALID_FEATURE' });
  });

  it('are no circle of two writers either', async () => {
    const other = new Rollout(open());
    await other.ready();
    try {
      for (let round = 0; round < 10; round++) {
        const [a, b] = [`a${round}`, `b${round}`];
        await rollout.addFeature(a);
        await rollout.addFeature(b);
        const outcomes = await Promise.allSettled([
          rollout.update(a, { requires: [b] }),
          other.update(b, { requires: [a] }),
        ]);
        const refused = outcomes.filter(({ status }) => status === 'rejected');
        expect(refused).toMatchObject([{ reason: { code: 'INVALID_FEATURE' } }]);
      }
    } finally {
      // On memory both are of one backend.
      if (kind !== 'memory') await other.close();
    }
  });
});

it('a circle that is stored all the same is off, and ends', async () => {
  const rollout = new Rollout(memory);
  const names = Array.from({ length: 10 }, (_, n) => `f${n}`);
  for (const name of names) {
    const requires = names.filter((each) => each !== name).slice(0, 9);
    const document = createFeature(name, `id-${name}`, { percentage: 100, requires });
    await memory.write({ name, expect: 'absent', document });
  }
  expect(rollout.decideSync('f0', 'ann')).toMatchObject({ enabled: false, detail: 'requires' });
  await rollout.close();
});

it('takes one round trip more the first time, and then one', async () => {
  const client = new Redis({ port: redis.client.options.port as number });
  const rollout = new Rollout(new RedisBackend(client));
  await rollout.addFeature('base', { percentage: 100 });
  await rollout.addFeature('top', { percentage: 100, requires: ['base'] });
  await rollout.isEnabled('top', 'ann');
  await rollout.isEnabled('top', 'ann');
  const commands = await redis.sent(() => rollout.isEnabled('top', 'ann'));
  expect(commands).toHaveLength(1);
  await rollout.close();
  client.disconnect();
});

describe('an explanation', () => {
  it('is none of a feature that there is not', async () => {
    const rollout = new Rollout(memory);
    expect(await rollout.explain('nope', 'ann')).toBeUndefined();
    await rollout.close();
  });

  it('rejects where the store does not answer, rather than guess', async () => {
    const client = new Redis({ port: 1 });
    client.on('error', () => {});
    const rollout = new Rollout(new RedisBackend(client, { timeoutMs: 50 }));
    await expect(rollout.explain('chat', 'ann')).rejects.toMatchObject({
      code: expect.stringMatching(/^STORE_/),
    });
    await rollout.close();
    client.disconnect();
  });
});
