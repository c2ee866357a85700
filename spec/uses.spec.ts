import type { Redis } from 'ioredis';
import { Redis as Client } from 'ioredis';
import type { Backend, Write } from '../lib/backends/backend.js';
import { RedisBackend, RedisSetBackend } from '../lib/backends/redis/index.js';
import {
  type Exposure,
  type Feature,
  MemoryBackend,
  ReplicaBackend,
  Rollout,
} from '../lib/index.js';
import { useMonitoredRedis } from './redis-monitor.js';

const redis = useMonitoredRedis();
beforeEach(() => redis.client.flushall());

const STICKY = {
  variants: ['a', 'b'],
  rules: [
    {
      id: 'r',
      when: { group: 'all' },
      serve: {
        split: [
          ['a', 1],
          ['b', 1],
        ],
      },
      sticky: true,
    },
  ],
} as const;
const weighing = (a: number, b: number) => ({
  rules: [
    {
      ...STICKY.rules[0],
      serve: {
        split: [
          ['a', a],
          ['b', b],
        ] as const,
      },
    },
  ],
});
const ids = Array.from({ length: 200 }, (_, n) => `user-${n}`);

const BACKENDS: [string, () => Backend][] = [
  ['MemoryBackend', () => new MemoryBackend()],
  ['RedisBackend', () => new RedisBackend(redis.client)],
  ['RedisSetBackend', () => new RedisSetBackend(redis.client)],
  ['a replica of RedisBackend', () => new ReplicaBackend(new RedisBackend(redis.client))],
];

describe.each(BACKENDS)('a use, on %s', (_, open) => {
  let backend: Backend;
  let rollout: Rollout;
  beforeEach(async () => {
    backend = open();
    rollout = new Rollout(backend);
    await rollout.ready();
  });
  afterEach(() => rollout.close());

  it('keeps the variant of a sticky rule, whatever the weights become; a check keeps nothing', async () => {
    await rollout.addFeature('chat', { ...STICKY, ...weighing(1, 0) });
    const used = ids.slice(0, 50);
    for (const id of used) expect((await rollout.use('chat', id)).variant).toBe('a');
    for (const id of ids) expect(await rollout.variant('chat', id)).toBe('a');
    await rollout.update('chat', weighing(0, 1));
    for (const [at, id] of ids.entries()) {
      expect([id, await rollout.variant('chat', id)]).toEqual([id, at < 50 ? 'a' : 'b']);
    }
    expect((await rollout.snapshot('user-7')).variant('chat')).toBe('a');
    expect((await rollout.snapshot('user-70')).variant('chat')).toBe('b');
    expect(await rollout.runAs('user-7', () => rollout.variant('chat'), { pinned: true })).toBe(
      'a',
    );
    expect(Object.fromEntries(await backend.assignedWeights('chat'))).toEqual({ a: 50 });
  });

  it('gives both of two that meet what the first has kept', async () => {
    await rollout.addFeature('chat', { ...STICKY, ...weighing(1, 0) });
    const other = new Rollout(backend instanceof MemoryBackend ? backend : open());
    await other.ready();
    await other.isEnabled('chat', 'ann');
    const meeting = ids.map(async (id) => {
      const both = await Promise.all([rollout.use('chat', id), other.use('chat', id)]);
      return both.map(({ variant }) => variant);
    });
    for (const [one, another] of await Promise.all(meeting)) expect(one).toBe(another);
    expect((await backend.assignedWeights('chat')).get('a')).toBe(200);
    if (!(backend instanceof MemoryBackend)) await other.close();
  });

  it('counts each first use once, however often and by however many it comes', async () => {
    await rollout.addFeature('chat', STICKY);
    const rounds = Array.from({ length: 5 }, () => ids.map((id) => rollout.use('chat', id)));
    const decisions = await Promise.all(rounds.flat());
    const counts = { a: 0, b: 0 };
    for (const { variant } of decisions.slice(0, 200)) counts[variant as 'a' | 'b']++;
    expect(Object.fromEntries(await backend.assignedWeights('chat'))).toEqual(counts);
  });

  it('keeps nothing where no rule says so, or none has decided', async () => {
    await rollout.addFeature('chat', { percentage: 100, variants: ['a', 'b'] });
    await rollout.addFeature('other', {
      percentage: 100,
      variants: ['a'],
      rules: [{ id: 'r', when: { users: ['ann'] }, serve: 'on', sticky: true }],
    });
    for (const id of ids) await rollout.use('chat', id);
    for (const id of ids) await rollout.use('other', id);
    expect((await backend.assignedWeights('chat')).size).toBe(0);
    expect((await backend.assignedWeights('other')).size).toBe(0);
    await rollout.use('other', 'ann');
    expect((await backend.assignedWeights('other')).get('a')).toBe(1);
  });

  it('is told once for each subject and what it got', async () => {
    await rollout.addFeature('chat', { ...STICKY, ...weighing(1, 0) });
    await rollout.addFeature('off');
    const heard: Exposure[] = [];
    rollout.on('exposure', (exposure) => heard.push(exposure));
    await rollout.isEnabled('chat', 'ann');
    await rollout.use('chat', 'ann');
    await rollout.use('chat', 'ann');
    await rollout.use('chat', { id: 'bob' });
    await rollout.use('off', 'ann');
    await rollout.use('nothing', 'ann');
    await rollout.use('chat', undefined);
    expect(heard).toMatchObject([
      { feature: 'chat', subject: 'ann', variant: 'a', enabled: true, rule: 'r', reason: 'SPLIT' },
      { feature: 'chat', subject: 'bob', variant: 'a' },
      { feature: 'off', subject: 'ann', variant: undefined, enabled: false },
    ]);
    expect(Math.abs((heard[0] as Exposure).at - Date.now())).toBeLessThan(5_000);
  });

  it('can be told afterwards, of a variant that was decided elsewhere', async () => {
    await rollout.addFeature('chat', { ...STICKY, ...weighing(1, 0) });
    const heard: Exposure[] = [];
    rollout.on('exposure', (exposure) => heard.push(exposure));
    await rollout.used('chat', 'b', 'ann');
    expect(await rollout.variant('chat', 'ann')).toBe('b');
    expect(heard).toMatchObject([{ subject: 'ann', variant: 'b', enabled: true }]);
    await rollout.used('chat', 'a', 'ann');
    expect(await rollout.variant('chat', 'ann')).toBe('b');
    await expect(rollout.used('chat', 5 as never, 'ann')).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('keeps nothing of what the rule can not give, and nothing else in its place', async () => {
    await rollout.addFeature('chat', { ...STICKY, ...weighing(1, 0) });
    const [, bob, eve] = await Promise.all([
      rollout.used('chat', 'a\nb' as never, 'ann'),
      rollout.use('chat', 'bob'),
      rollout.use('chat', 'eve'),
    ]);
    await rollout.used('chat', 'c' as never, 'ann');
    expect([bob.variant, eve.variant]).toEqual(['a', 'a']);
    expect(Object.fromEntries(await backend.assignedWeights('chat'))).toEqual({ a: 2 });
    await rollout.use('chat', 'ann');
    await rollout.update('chat', weighing(0, 1));
    for (const id of ['ann', 'bob', 'eve']) {
      expect((await rollout.use('chat', id)).variant).toBe('a');
    }
  });

  it('serves what the rule can give, where the kept variant is no longer one', async () => {
    await rollout.addFeature('chat', { ...STICKY, ...weighing(1, 0) });
    await rollout.use('chat', 'ann');
    await rollout.update('chat', { variants: ['b', 'c'], rules: [] });
    await rollout.update('chat', {
      rules: [{ id: 'r', when: { group: 'all' }, serve: 'on', sticky: true }],
    });
    expect(await rollout.variant('chat', 'ann')).toMatch(/^[bc]$/);
  });

  it('is kept again where the store has lost what was kept', async () => {
    await rollout.addFeature('chat', { ...STICKY, ...weighing(1, 0) });
    await rollout.use('chat', 'ann');
    const { id, revision } = await rollout.update('chat', weighing(0, 1));
    const document = { ...(await rollout.get('chat')), revision: revision + 1 } as Feature;
    const lost = { name: 'chat', expect: { id, revision }, document, release: ['ann'] };
    await backend.write(lost);
    expect((await rollout.use('chat', 'ann')).variant).toBe('b');
    expect(Object.fromEntries(await backend.assignedWeights('chat'))).toEqual({ b: 1 });
  });

  it('starts anew where the feature does', async () => {
    await rollout.addFeature('chat', { ...STICKY, ...weighing(1, 0) });
    await rollout.use('chat', 'ann');
    await rollout.remove('chat');
    await rollout.addFeature('chat', { ...STICKY, ...weighing(0, 1) });
    expect((await rollout.use('chat', 'ann')).variant).toBe('b');
  });
});

it('closes a sticky feature to a check that can not look up, and says so', async () => {
  const rollout = new Rollout(new ReplicaBackend(new RedisBackend(redis.client)));
  await rollout.ready();
  await rollout.addFeature('chat', STICKY);
  const codes: string[] = [];
  rollout.on('error', ({ code }) => codes.push(code));
  expect(rollout.decideSync('chat', 'ann')).toMatchObject({ enabled: false, code: 'NEEDS_LOOKUP' });
  expect(codes).toEqual(['NEEDS_LOOKUP']);
  const { variant } = await rollout.use('chat', 'ann');
  await rollout.isEnabled('chat', 'ann');
  // From then on it is known here.
  expect(rollout.decideSync('chat', 'ann').variant).toBe(variant);
  await rollout.close();
});

describe('a use in an outage', () => {
  class Failing extends MemoryBackend {
    mode: 'fine' | 'refuse' | 'hang' = 'fine';
    override async write(write: Write) {
      if (this.mode === 'hang') await new Promise(() => {});
      if (this.mode === 'refuse') throw new Error('It is full.');
      return super.write(write);
    }
  }

  it.each(['refuse', 'hang'] as const)('goes on where the store does %s', async (mode) => {
    const backend = new Failing();
    const rollout = new Rollout(backend);
    await rollout.addFeature('chat', STICKY);
    backend.mode = mode;
    const reported: unknown[] = [];
    rollout.on('error', (error) => reported.push(error));
    const decision = await rollout.use('chat', 'ann');
    expect(decision).toBe(await rollout.decide('chat', 'ann'));
    if (mode === 'refuse') expect(reported).toMatchObject([{ code: 'NOT_MARKED' }]);
    backend.mode = 'fine';
    // What was not kept is kept by the next use.
    if (mode === 'refuse') await rollout.use('chat', 'ann');
    expect((await backend.assignedWeights('chat')).size).toBe(mode === 'refuse' ? 1 : 0);
  });

  it('answers as a check does where nothing answers', async () => {
    const dead = new Client(1, { lazyConnect: true, retryStrategy: () => null });
    dead.on('error', () => {});
    const rollout = new Rollout(new RedisBackend(dead as Redis));
    expect(await rollout.use('chat', 'ann')).toMatchObject({ enabled: false, reason: 'ERROR' });
    await rollout.close();
    dead.disconnect();
  });
});
