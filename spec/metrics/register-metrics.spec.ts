import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Counter, type OpenMetricsContentType, Registry } from 'prom-client';
import { RedisBackend } from '../../lib/backends/redis/index.js';
import { MemoryBackend, ReplicaBackend, Rollout } from '../../lib/index.js';
import { type MetricsOptions, registerMetrics } from '../../lib/metrics/index.js';
import type { Observer } from '../../lib/observers.js';
import { RedisServer } from '../redis-server.js';
import { exposed } from './exposition.js';

let server: RedisServer;
let client: Redis;

beforeAll(async () => {
  server = await RedisServer.start();
  client = new Redis(server.url);
});

afterAll(async () => {
  client.disconnect();
  await server.stop();
});

async function observed(options?: MetricsOptions) {
  const rollout = new Rollout();
  const registry = new Registry();
  const unregister = registerMetrics(rollout, registry, options);
  return { rollout, registry, unregister };
}

/** Each series of a metric, in the order of its labels' values, and what it is at. */
async function samplesOf(registry: Registry, name: string) {
  const samples = exposed(await registry.metrics()).get(name)?.samples ?? [];
  return samples.map(({ labels, value }) => [Object.values(labels).join(' | '), value]).sort();
}

async function firstOf(registry: Registry, name: string) {
  return exposed(await registry.metrics()).get(name)?.samples[0]?.value;
}

describe('given a rollout whose metrics are registered', () => {
  it('counts decisions by feature, variant, on or off, and reason', async () => {
    const { rollout, registry } = await observed();
    await rollout.addFeature('chat', { percentage: 20, variants: ['a "quoted" \\ name'] });
    await rollout.register('chat', 'ann');
    for (let n = 0; n < 3; n++) await rollout.isEnabled('chat', 'ann');
    // CRC-32 puts '3' at 11% and '1' at 83%.
    rollout.isEnabledSync('chat', '3');
    rollout.isEnabledSync('chat', '1');
    const expected = [
      ['chat |  | false | DEFAULT', 1],
      ['chat | a "quoted" \\ name | true | SPLIT', 1],
      ['chat | a "quoted" \\ name | true | TARGETING_MATCH', 3],
    ];
    expect(await samplesOf(registry, 'hanoi_decisions_total')).toEqual(expected);
    // Reading changes nothing, and counting goes on.
    await rollout.isEnabled('chat', '1');
    expect((await samplesOf(registry, 'hanoi_decisions_total'))[0]).toEqual([
      'chat |  | false | DEFAULT',
      2,
    ]);
  });

  it('makes one series of all features that there are not', async () => {
    const { rollout, registry } = await observed();
    await rollout.addFeature('chat');
    await rollout.isEnabled('chat', 'ann');
    for (let n = 0; n < 1_000; n++) await rollout.isEnabled(`guess-${n}`, 'ann');
    await rollout.remove('chat');
    await rollout.isEnabled('chat', 'ann');
    expect(await samplesOf(registry, 'hanoi_decisions_total')).toEqual([
      ['(unknown) |  | false | ERROR', 1_000],
      ['chat |  | false | DEFAULT', 1],
      ['chat |  | false | ERROR', 1],
    ]);
  });

  it('makes no more series than it may, and counts all the same', async () => {
    const { rollout, registry } = await observed({ maxSeries: 3 });
    for (let n = 0; n < 10; n++) {
      await rollout.addFeature(`f-${n}`, { percentage: 100, variants: ['a', 'b'] });
      await rollout.isEnabled(`f-${n}`, 'ann');
    }
    await rollout.isEnabled('f-0', 'ann');
    const samples = await samplesOf(registry, 'hanoi_decisions_total');
    expect(samples).toHaveLength(4);
    expect(samples[0]).toEqual(['(other) |  | true | STATIC', 7]);
    expect(samples.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(11);
  });

  it('makes 10,000 series, unless it is told otherwise', async () => {
    const names = Array.from({ length: 10_005 }, (_, n) => `f-${n}`);
    const features = Object.fromEntries(names.map((name) => [name, { percentage: 100 }]));
    const rollout = new Rollout(new MemoryBackend({ contents: JSON.stringify({ features }) }));
    const registry = new Registry();
    registerMetrics(rollout, registry);
    for (const name of names) await rollout.isEnabled(name, 'ann');
    const samples = await samplesOf(registry, 'hanoi_decisions_total');
    expect(samples).toHaveLength(10_001);
    expect(samples[0]).toEqual(['(other) |  | true | STATIC', 5]);
  });

  it.each([
    [10, { timeEvery: 10 }],
    [100, {}],
  ])('times one decision in %i where the options are %j', async (every, options) => {
    const { rollout, registry } = await observed(options);
    await rollout.addFeature('chat', { percentage: 20 });
    for (let n = 0; n < 1_000 * every; n++) rollout.isEnabledSync('chat', `${n}`);
    const metric = exposed(await registry.metrics()).get('hanoi_decision_duration_seconds');
    const byName = new Map(metric?.samples.map(({ name, value }) => [name, value]));
    const count = byName.get('hanoi_decision_duration_seconds_count') ?? 0;
    // The gaps are random: 1,000 with a standard deviation of 18.
    expect(count).toBeGreaterThan(800);
    expect(count).toBeLessThan(1_200);
    const sum = byName.get('hanoi_decision_duration_seconds_sum') ?? 0;
    expect(sum).toBeGreaterThan(0);
    expect(sum / count).toBeLessThan(0.001);
    expect(metric?.samples.every(({ labels }) => labels.lookup === 'false')).toBe(true);
  });

  it('times them at random, so that no check that comes in a circle is always the one', () => {
    let observer: Partial<Observer> = {};
    const observe = (given: Observer) => {
      observer = given;
      return () => {};
    };
    registerMetrics({ observe, health: () => new Rollout().health() }, new Registry(), {
      timeEvery: 3,
    });
    const gaps = new Set<number>();
    for (let n = 0, last = 0; n < 10_000; n++) {
      if (!observer.isTimed?.()) continue;
      gaps.add(n - last);
      last = n;
    }
    // The first of all is timed at once.
    gaps.delete(0);
    expect([...gaps].sort()).toEqual([1, 2, 3, 4, 5]);
  });

  it('times each where it is told to, and tells those apart that asked a store', async () => {
    const backend = new RedisBackend(client, { namespace: 'timed' });
    const rollout = new Rollout(backend);
    try {
      const registry = new Registry();
      registerMetrics(rollout, registry, { timeEvery: 1 });
      await rollout.addFeature('chat', { percentage: 20 });
      for (let n = 0; n < 20; n++) await rollout.isEnabled('chat', `${n}`);
      const { samples = [] } =
        exposed(await registry.metrics()).get('hanoi_decision_duration_seconds') ?? {};
      const counts = samples.filter(({ name }) => name.endsWith('_count'));
      expect(counts.map(({ labels, value }) => [labels, value])).toEqual([
        [{ lookup: 'true' }, 20],
      ]);
      // No round trip takes less than 10 µs.
      const at10us = samples.find(({ labels }) => labels.le === '0.00001');
      expect(at10us?.value).toBe(0);
    } finally {
      await rollout.close();
    }
  });

  it('counts writes by kind and outcome, and errors by code', async () => {
    const { rollout, registry } = await observed();
    await rollout.addFeature('chat', { groups: ['odd'] });
    await rollout.register('chat', ['ann', 'bob']);
    await rollout.addFeature('chat').catch(() => {});
    rollout.defineGroup('odd', () => {
      throw new Error('no');
    });
    for (const id of ['1', '2']) await rollout.isEnabled('chat', id);
    expect(await samplesOf(registry, 'hanoi_writes_total')).toEqual([
      ['created | FEATURE_EXISTS', 1],
      ['created | applied', 1],
      ['members | applied', 1],
    ]);
    expect(await samplesOf(registry, 'hanoi_errors_total')).toEqual([['GROUP_FAILED', 2]]);
  });

  it('is what the text format and its conventions want, also as OpenMetrics', async () => {
    const rollout = new Rollout();
    const registry = new Registry();
    const open = new Registry<OpenMetricsContentType>();
    open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    registerMetrics(rollout, registry, { timeEvery: 1 });
    registerMetrics(rollout, open, { timeEvery: 1 });
    await rollout.addFeature('chat "\\ \u{1f600}', { percentage: 100 });
    await rollout.isEnabled('chat "\\ \u{1f600}', 'ann');
    await rollout.isEnabled('none', 'ann');
    expect([...exposed(await registry.metrics())].map(([name, { type }]) => [name, type])).toEqual([
      ['hanoi_decisions_total', 'counter'],
      ['hanoi_decision_duration_seconds', 'histogram'],
      ['hanoi_errors_total', 'counter'],
      ['hanoi_writes_total', 'counter'],
      ['hanoi_store_up', 'gauge'],
      ['hanoi_replica_age_seconds', 'gauge'],
      ['hanoi_replica_revision', 'gauge'],
    ]);
    const text = await open.metrics();
    expect(text).toContain('# TYPE hanoi_decisions counter\nhanoi_decisions_total{');
    expect(text).toMatch(/\n# EOF\n$/);
    await rollout.close();
    expect(await open.metrics()).not.toContain('hanoi_');
  });
});

describe('given a store that does not answer', () => {
  it('counts errors for each check, and under its name only what was decided before', async () => {
    const backend = new RedisBackend(client, { namespace: 'outage' });
    const rollout = new Rollout(backend, { defaults: { first: 'a' } });
    try {
      const registry = new Registry();
      registerMetrics(rollout, registry);
      await rollout.addFeature('seen', { percentage: 100 });
      await rollout.isEnabled('seen', 'ann');
      server.signal('SIGSTOP');
      await Promise.all(
        ['seen', 'first', ...Array.from({ length: 50 }, (_, n) => `guess-${n}`)].map((name) =>
          rollout.isEnabled(name, 'ann'),
        ),
      );
      expect(await samplesOf(registry, 'hanoi_decisions_total')).toEqual([
        ['(unknown) |  | false | ERROR', 50],
        ['(unknown) |  | true | ERROR', 1],
        ['seen |  | true | STALE', 1],
        ['seen |  | true | STATIC', 1],
      ]);
      const errors = await samplesOf(registry, 'hanoi_errors_total');
      expect(errors.every(([code]) => String(code).startsWith('STORE_'))).toBe(true);
      const count = errors.reduce((sum, [, value]) => sum + Number(value), 0);
      // One for each check that was left without an answer, and those of the store itself.
      expect(count).toBeGreaterThanOrEqual(51);
    } finally {
      server.signal('SIGCONT');
      await rollout.close();
    }
  });
});

describe('given a replica of a store', () => {
  it('tells how old it is, whether the store answers, and which revision it has', async () => {
    const [one, two] = [1, 2].map(() => {
      const backend = new RedisBackend(client, { namespace: 'replica' });
      return new Rollout(new ReplicaBackend(backend, { pollMs: 50 }));
    }) as [Rollout, Rollout];
    try {
      const [first, second] = [new Registry(), new Registry()];
      registerMetrics(one, first);
      registerMetrics(two, second);
      const revisions = () =>
        Promise.all([first, second].map((each) => firstOf(each, 'hanoi_replica_revision')));
      await one.addFeature('chat', { percentage: 100 });
      await Promise.all([one.ready(), two.ready()]);
      await settled(async () => {
        const [a, b] = await revisions();
        return a !== undefined && a === b;
      });
      const [before] = await revisions();
      await one.setPercentage('chat', 50);
      await settled(async () => {
        const [a, b] = await revisions();
        return a !== before && a === b;
      });
      expect(await firstOf(first, 'hanoi_store_up')).toBe(1);
      expect(await firstOf(first, 'hanoi_replica_age_seconds')).toBeLessThan(1);

      server.signal('SIGSTOP');
      await settled(async () => (await firstOf(first, 'hanoi_store_up')) === 0);
      await settled(async () => ((await firstOf(first, 'hanoi_replica_age_seconds')) ?? 0) > 0.5);
      const codes = (await samplesOf(first, 'hanoi_errors_total')).map(([code]) => code);
      expect(codes).toEqual([expect.stringMatching(/^STORE_/)]);
      server.signal('SIGCONT');
      await settled(async () => (await firstOf(first, 'hanoi_store_up')) === 1);
    } finally {
      server.signal('SIGCONT');
      await Promise.all([one.close(), two.close()]);
    }
  });

  it('has no revision, and an endless age, before it has read anything', async () => {
    const rollout = new Rollout(new ReplicaBackend(new MemoryBackend()));
    try {
      const registry = new Registry();
      registerMetrics(rollout, registry);
      // Of one moment: a replica of what is in memory has read it soon.
      const metrics = exposed(await registry.metrics());
      const at = (name: string) => metrics.get(name)?.samples.map(({ value }) => value);
      expect(at('hanoi_replica_age_seconds')).toEqual([Infinity]);
      expect(at('hanoi_replica_revision')).toEqual([]);
      expect(at('hanoi_store_up')).toEqual([0]);
    } finally {
      await rollout.close();
    }
  });
});

describe('given a registry', () => {
  it('refuses a second rollout under the same names, whole, and takes it under others', async () => {
    const { rollout, registry } = await observed();
    const other = new Rollout();
    const again = () => registerMetrics(other, registry);
    expect(again).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        message: expect.stringMatching(
          /`prefix`.*"hanoi_decisions_total"|`prefix`.*hanoi_decisions_total/,
        ),
      }),
    );
    registerMetrics(other, registry, { prefix: 'billing_hanoi_' });
    await rollout.isEnabled('chat', 'ann');
    for (let n = 0; n < 2; n++) await other.isEnabled('chat', 'ann');
    expect(await firstOf(registry, 'hanoi_decisions_total')).toBe(1);
    expect(await firstOf(registry, 'billing_hanoi_decisions_total')).toBe(2);
    await other.close();
    expect([...exposed(await registry.metrics()).keys()]).toEqual(
      expect.arrayContaining(['hanoi_decisions_total']),
    );
    expect(await registry.metrics()).not.toContain('billing_');
  });

  it('is as it was where one of the names is taken', async () => {
    const registry = new Registry();
    const taken = new Counter({ name: 'hanoi_writes_total', help: 'Mine.', registers: [registry] });
    const rollout = new Rollout();
    expect(() => registerMetrics(rollout, registry)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    await rollout.close();
    expect(registry.getMetricsAsArray()).toEqual([taken]);
  });

  it.each(['unregister', 'close'] as const)('is without them after %s', async (way) => {
    const { rollout, registry, unregister } = await observed();
    const mine = new Counter({ name: 'mine_total', help: 'Mine.', registers: [registry] });
    if (way === 'close') await rollout.close();
    else unregister();
    expect(registry.getMetricsAsArray()).toEqual([mine]);
    unregister();
    // Free for the next.
    registerMetrics(new Rollout(), registry);
    unregister();
    expect(registry.getMetricsAsArray()).toHaveLength(8);
  });

  it.each([
    [{ prefix: '' }],
    [{ prefix: 'a b' }],
    [{ prefix: 7 }],
    [{ timeEvery: 0 }],
    [{ timeEvery: 1.5 }],
    [{ maxSeries: -1 }],
    [{ maxseries: 1 }],
  ])('is left alone where the options are %j', async (options) => {
    const registry = new Registry();
    expect(() => registerMetrics(new Rollout(), registry, options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    expect(registry.getMetricsAsArray()).toEqual([]);
  });

  it.each([
    [undefined, new Registry()],
    [new Rollout(), undefined],
    [new Rollout(), {}],
  ])('and a rollout are what it takes: %#', (rollout, registry) => {
    expect(() => registerMetrics(rollout as never, registry as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

async function settled(isSo: () => Promise<boolean>): Promise<void> {
  for (let n = 0; n < 500; n++) {
    if (await isSo()) return;
    await delay(20);
  }
  throw new Error('it did not come to be so within 10 s');
}
