import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { FileBackend } from '../lib/backends/file/index.js';
import { HttpSource } from '../lib/backends/http-source/index.js';
import { RedisBackend } from '../lib/backends/redis/index.js';
import { type Bucket, copyFeatures, MemoryBackend, ReplicaBackend, Rollout } from '../lib/index.js';
import { POPULATION } from '../lib/stored-name.js';
import { useBuilt } from './built.js';
import { BACKENDS, useEveryBackend } from './every-backend.js';
import { answerWith, HttpServer } from './http-server.js';
import { seeded } from './property.js';

jest.setTimeout(60_000);

const every = useEveryBackend();
const built = useBuilt();

const sumOf = (buckets: readonly Bucket[]) => buckets.reduce((sum, { weight }) => sum + weight, 0);

async function subjectsOf({ population }: Rollout) {
  const all = new Map<string, { bucket: string; weight: number }>();
  for await (const { id, ...what } of population.subjects()) all.set(id, what);
  return all;
}

/** That what each bucket weighs is what its subjects weigh, and each is there once. */
async function expectExact(rollout: Rollout, weights: ReadonlyMap<string, number>): Promise<void> {
  const sums = new Map((await rollout.population.buckets()).map(({ name }) => [name, 0]));
  const all = await subjectsOf(rollout);
  for (const { bucket, weight } of all.values()) {
    sums.set(bucket, (sums.get(bucket) as number) + weight);
  }
  expect(new Map(Array.from(all, ([id, { weight }]) => [id, weight]))).toEqual(weights);
  expect(await rollout.population.count()).toBe(weights.size);
  const buckets = await rollout.population.buckets();
  expect(new Map(buckets.map(({ name, weight }) => [name, weight]))).toEqual(sums);
}

/** Who is in, of these. */
async function inside(rollout: Rollout, feature: string, ids: Iterable<string>) {
  const found = new Set<string>();
  await Promise.all(
    Array.from(ids, async (id) => (await rollout.isEnabled(feature, id)) && found.add(id)),
  );
  return found;
}

const random = seeded(5);
const weighted = (count: number, prefix = 'user-') =>
  new Map(
    Array.from({ length: count }, (_, n) => [`${prefix}${n}`, 1 + Math.floor(10 * random())]),
  );

describe.each(BACKENDS)('a population on a %s', (kind) => {
  let rollout: Rollout;
  let place: string;
  beforeEach(() => {
    ({ rollout, place } = every.open(kind));
  });

  it('is nobody before there are buckets, and says so to whoever registers', async () => {
    const { population } = rollout;
    expect(await population.buckets()).toEqual([]);
    expect([await population.weight(), await population.count()]).toEqual([0, 0]);
    expect(await population.bucketOf('ann')).toBeUndefined();
    expect((await subjectsOf(rollout)).size).toBe(0);
    for (const call of [
      () => population.register('ann'),
      () => population.register(['ann']),
      () => population.unregister('ann'),
      () => rollout.addFeature('chat', { bucketing: 'population', percentage: 30 }),
    ]) {
      await expect(call()).rejects.toMatchObject({
        code: 'FEATURE_NOT_FOUND',
        message: expect.stringContaining('rollout.population.increaseBuckets('),
      });
    }
    expect(await rollout.features()).toEqual([]);
  });

  it('allots each to the lightest bucket, who keeps it with another weight', async () => {
    const { population } = rollout;
    expect(await population.increaseBuckets(3)).toBe(3);
    expect(await population.register('ann', { weight: 5 })).toBe(1);
    expect(await population.register({ id: 'bob' })).toBe(1);
    expect(await population.register(42, { weight: 0.5 })).toBe(1);
    expect(await population.register('dan')).toBe(1);
    expect(await population.buckets()).toEqual([
      { name: '0', weight: 5 },
      { name: '1', weight: 1 },
      { name: '2', weight: 1.5 },
    ]);
    expect(await population.register('ann', { weight: 0.25 })).toBe(0);
    expect(await population.bucketOf('ann')).toBe('0');
    expect(await population.bucketOf({ id: '42' })).toBe('2');
    expect(await population.bucketOf('eve')).toBeUndefined();
    expect(await population.bucketOf({ name: 'nobody' })).toBeUndefined();
    expect(await population.weight()).toBe(2.75);
    await expectExact(rollout, new Map(Object.entries({ ann: 0.25, bob: 1, 42: 0.5, dan: 1 })));

    // New ones are the lightest.
    expect(await population.increaseBuckets(2)).toBe(5);
    expect(await population.register(['eve', 'fay'])).toBe(2);
    expect([await population.bucketOf('eve'), await population.bucketOf('fay')]).toEqual([
      '3',
      '4',
    ]);
    expect(await population.bucketOf('ann')).toBe('0');
  });

  it('takes many from anywhere, each 1,000 heaviest first, and lets them go again', async () => {
    const { population } = rollout;
    await population.increaseBuckets(10);
    const weights = weighted(2_500);
    const progress: unknown[] = [];
    const onProgress = (each: unknown) => progress.push(each);
    expect(await population.register(weights, { onProgress })).toBe(2_500);
    expect(progress).toEqual([
      { done: 1_000, changed: 1_000 },
      { done: 2_000, changed: 2_000 },
      { done: 2_500, changed: 2_500 },
    ]);
    await expectExact(rollout, weights);
    // By the heaviest first the last ones, of weight 1, even out what is left.
    const sums = (await population.buckets()).map(({ weight }) => weight);
    expect(Math.max(...sums) - Math.min(...sums)).toBeLessThanOrEqual(1);

    const before = await subjectsOf(rollout);
    async function* more() {
      yield ['user-0', 50] as const;
      yield { id: 'new' };
      yield ['new', 3] as const;
    }
    expect(await population.register(more(), { weight: 7 })).toBe(1);
    weights.set('user-0', 50).set('new', 3);
    await expectExact(rollout, weights);
    const after = await subjectsOf(rollout);
    for (const [id, { bucket }] of before) expect(after.get(id)?.bucket).toBe(bucket);

    const leaving = [...weights.keys()].slice(0, 1_500);
    progress.length = 0;
    const left = await population.unregister([...leaving, 'stranger', 'user-0'], { onProgress });
    expect(left).toBe(1_500);
    expect(progress).toEqual([
      { done: 1_000, changed: 1_000 },
      { done: 1_502, changed: 1_500 },
    ]);
    for (const id of leaving) weights.delete(id);
    await expectExact(rollout, weights);
    expect(await population.bucketOf('user-0')).toBeUndefined();
  });

  it('goes by the attribute that was said first', async () => {
    const { population } = rollout;
    await population.increaseBuckets(2, { subjectKey: 'account' });
    await population.register([[{ id: 1, account: 'acme' }, 3], { id: 2, account: 'globex' }]);
    expect(await population.bucketOf({ id: 9, account: 'acme' })).toBe('0');
    expect(await population.bucketOf('acme')).toBeUndefined();
    // Who is registered can be said by the attribute alone, as members are.
    expect(await population.register([['acme', 3]])).toBe(0);
    await expect(population.register({ id: 1 })).rejects.toMatchObject({ path: 'subject' });
    await expect(population.increaseBuckets(1, { subjectKey: 'team' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(await population.increaseBuckets(1, { subjectKey: 'account' })).toBe(3);
    await rollout.addFeature('chat', { bucketing: 'population', percentage: 75 });
    expect(await rollout.isEnabled('chat', { id: 9, account: 'acme' })).toBe(true);
    expect(await rollout.isEnabled('chat', { id: 9, account: 'globex' })).toBe(false);
    expect(await rollout.isEnabled('chat', 'acme')).toBe(false);
  });

  it('lets in what comes nearest the percentage by weight, and drops nobody while it rises', async () => {
    const { population } = rollout;
    const weights = weighted(300);
    const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
    await population.increaseBuckets(20);
    await population.register(weights);
    await rollout.addFeature('chat', { bucketing: 'population', variants: ['a', 'b'] });
    expect((await inside(rollout, 'chat', weights.keys())).size).toBe(0);
    let last = new Set<string>();
    for (const percentage of [10, 30, 33, 80]) {
      await rollout.setPercentage('chat', percentage);
      const now = await inside(rollout, 'chat', weights.keys());
      for (const id of last) expect(now).toContain(id);
      const weight = [...now].reduce((sum, id) => sum + (weights.get(id) as number), 0);
      expect(Math.abs(weight / total - percentage / 100)).toBeLessThan(0.02);
      last = now;
    }
    expect(await rollout.isEnabled('chat', 'stranger')).toBe(false);
    await rollout.activate('chat');
    expect(await inside(rollout, 'chat', ['stranger', ...weights.keys()])).toHaveProperty(
      'size',
      weights.size + 1,
    );
    await rollout.setPercentage('chat', 80);
    const lowered = await inside(rollout, 'chat', weights.keys());
    expect(lowered.size).toBeGreaterThan(200);
    await rollout.setPercentage('chat', 20);
    const fewer = await inside(rollout, 'chat', weights.keys());
    for (const id of fewer) expect(lowered).toContain(id);
    await rollout.deactivate('chat');
    expect((await inside(rollout, 'chat', weights.keys())).size).toBe(0);

    await rollout.setPercentage('chat', 40);
    const ids = [...weights.keys()];
    const again = await inside(rollout, 'chat', ids);
    expect(again.size).toBeGreaterThan(80);
    for (const id of ids.slice(0, 20)) {
      const flags = await rollout.snapshot(id);
      expect(flags.isEnabled('chat')).toBe(again.has(id));
      expect((await rollout.explain('chat', id))?.decision.enabled).toBe(again.has(id));
    }
    if (kind === 'MemoryBackend' || kind === 'FileBackend') return;
    // A copy elsewhere comes to the same.
    const elsewhere = await every.replicaOf(place);
    expect(await inside(elsewhere, 'chat', ids)).toEqual(again);
    expect(ids.filter((id) => elsewhere.isEnabledSync('chat', id))).toEqual(
      ids.filter((id) => again.has(id)),
    );
    await rollout.setPercentage('chat', 60);
    const more = await inside(rollout, 'chat', ids);
    const isThere = async () => (await inside(elsewhere, 'chat', ids)).size === more.size;
    while (!(await isThere())) await new Promise(setImmediate);
    expect(await inside(elsewhere, 'chat', ids)).toEqual(more);
  });

  it('moves nobody by another setting, and only by the percentage, said again', async () => {
    const { population } = rollout;
    await population.increaseBuckets(10);
    await population.register(Array.from({ length: 100 }, (_, n) => n));
    const { buckets, revision } = await rollout.addFeature('chat', {
      bucketing: 'population',
      percentage: 50,
    });
    expect(buckets).toHaveLength(5);
    // Nothing is written that says the same.
    expect((await rollout.setPercentage('chat', 50)).revision).toBe(revision);
    await population.increaseBuckets(10);
    await population.register(Array.from({ length: 100 }, (_, n) => `late-${n}`));
    for (const change of [
      () => rollout.disable('chat'),
      () => rollout.enable('chat'),
      () => rollout.update('chat', { data: { owner: 'us' } }),
    ]) {
      expect((await change()).buckets).toEqual(buckets);
    }
    const more = (await rollout.setPercentage('chat', 50)).buckets;
    expect(more).toHaveLength(10);
    expect(more).toEqual(expect.arrayContaining(buckets as string[]));
    const other = await rollout.update('chat', { bucketing: 'independent' });
    expect('buckets' in other).toBe(false);
    expect((await rollout.update('chat', { bucketing: 'population' })).buckets).toHaveLength(10);
    await expect(rollout.ramp('chat', { over: '1d' })).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
    });
  });

  it('shows as itself, and not as a feature', async () => {
    const heard: object[] = [];
    rollout.on('change', ({ of, name, kind: what }) => heard.push([of, name, what]));
    await rollout.addFeature('chat');
    await rollout.population.increaseBuckets(2);
    await rollout.population.register('ann');
    expect((await rollout.features()).map(({ name }) => name)).toEqual(['chat']);
    expect(Object.keys((await rollout.snapshot('ann')).toJSON())).toEqual(['chat']);
    expect(await rollout.groups()).toEqual([]);
    const told = ['feature', 'chat', 'created'];
    while (heard.length < (kind === 'ReplicaBackend' ? 1 : 2)) await new Promise(setImmediate);
    expect(heard).toContainEqual(['population', 'all', 'created']);
    if (kind === 'MemoryBackend') expect(heard[0]).toEqual(told);
    await expect(rollout.addFeature(POPULATION)).rejects.toMatchObject({ path: 'name' });
  });
});

describe('many at once', () => {
  it.each(BACKENDS)('on a %s end with exact weights', async (kind) => {
    const { rollout } = every.open(kind);
    const { population } = rollout;
    const grown = await Promise.all([1, 2, 3].map((count) => population.increaseBuckets(count)));
    expect(Math.max(...grown)).toBe(6);
    expect((await population.buckets()).map(({ name }) => name)).toEqual([...'012345']);
    const weights = weighted(60);
    const each = Array.from(weights, ([id, weight]) => population.register(id, { weight }));
    const twice = Array.from(weights, ([id, weight]) => population.register([[id, weight]]));
    await population.increaseBuckets(1);
    const added = await Promise.all([...each, ...twice]);
    expect(added.reduce((sum, one) => sum + one, 0)).toBe(60);
    await expectExact(rollout, weights);
  });

  it.each(['RedisBackend', 'RedisSetBackend'] as const)(
    'processes on a %s end with exact weights, each in one bucket',
    async (kind) => {
      const { rollout, place } = every.open(kind);
      await rollout.population.increaseBuckets(5);
      const work = (p: number) => `
        import { Rollout } from ${built.at('index.js')};
        import { ${kind} } from ${built.at('backends/redis/index.js')};
        import { Redis } from 'ioredis';
        const redis = new Redis({ port: ${every.redis.server.port} });
        const rollout = new Rollout(new ${kind}(redis, { namespace: '${place}' }));
        const { population } = rollout;
        let added = 0;
        const count = (n) => { added += n; };
        // Those of the last batch are registered by all of them.
        const ids = (from, prefix = 'p${p}-') =>
          Array.from({ length: 500 }, (_, n) => [prefix + (from + n), 1 + ((from + n) % 9)]);
        for (let from = 0; from < 2_000; from += 500) {
          const one = Array.from({ length: 50 }, (_, n) =>
            population.register('single-${p}-' + from + '-' + n, { weight: 2 }).then(count));
          await Promise.all([population.register(ids(from)).then(count), ...one]);
          if (from === 500) await population.increaseBuckets(1);
          await population.unregister(ids(from).slice(0, 100).map(([id]) => id));
        }
        await population.register(ids(0, 'shared-')).then(count);
        console.log(added);
        await rollout.close();
        redis.disconnect();`;
      const printed = await Promise.all([0, 1, 2].map((p) => built.run(work(p))));
      const weights = new Map<string, number>();
      for (let p = 0; p < 3; p++) {
        for (let n = 0; n < 2_000; n++) {
          if (n % 500 >= 100) weights.set(`p${p}-${n}`, 1 + (n % 9));
        }
        for (let n = 0; n < 200; n++) {
          weights.set(`single-${p}-${500 * Math.floor(n / 50)}-${n % 50}`, 2);
        }
      }
      for (let n = 0; n < 500; n++) weights.set(`shared-${n}`, 1 + (n % 9));
      const added = printed.reduce((sum, each) => sum + Number(each), 0);
      expect(added).toBe(3 * (2_000 + 200) + 500);
      expect((await rollout.population.buckets()).length).toBe(8);
      await expectExact(rollout, weights);
    },
  );

  it('are asked again by a replica, once somebody was let go', async () => {
    const { rollout, place } = every.open('RedisSetBackend');
    await rollout.population.increaseBuckets(2);
    await rollout.population.register('ann');
    const replica = await every.replicaOf(place);
    await replica.ready();
    expect(await replica.population.bucketOf('ann')).toBe('0');
    await rollout.population.unregister('ann');
    await rollout.population.register('bob');
    await rollout.population.register('ann');
    expect(await rollout.population.bucketOf('ann')).toBe('1');
    while ((await replica.population.bucketOf('ann')) !== '1') await delay(10);
  });

  it('know of buckets that another process has added', async () => {
    const { rollout, place } = every.open('RedisBackend');
    await rollout.population.increaseBuckets(1);
    const elsewhere = await every.replicaOf(place);
    await elsewhere.population.register('ann', { weight: 9 });
    await rollout.population.increaseBuckets(1);
    await elsewhere.population.register('bob');
    expect(await rollout.population.bucketOf('bob')).toBe('1');
  });

  it('are those of a population that another process has begun anew', async () => {
    const { rollout, place } = every.open('RedisBackend');
    await rollout.population.increaseBuckets(1);
    const elsewhere = await every.replicaOf(place);
    await elsewhere.population.register(['ann']);
    await rollout.rollback({ of: 'population', name: 'all' }, 1, { members: 'none' });
    expect(await elsewhere.population.register(['ann', 'bob'])).toBe(2);
    expect(await rollout.population.count()).toBe(2);
  });

  it('percentages are chosen by the buckets that are there when they are written', async () => {
    const { backend, rollout } = every.open('RedisBackend');
    await rollout.population.increaseBuckets(4);
    await rollout.population.register(Array.from({ length: 80 }, (_, n) => n));
    await rollout.addFeature('chat', { bucketing: 'population' });
    const { assignedWeights } = backend;
    let times = 0;
    backend.assignedWeights = async (name) => {
      const weights = await assignedWeights.call(backend, name);
      // Right after they were read, there are others.
      if (times++ === 0) {
        await rollout.population.increaseBuckets(4);
        await rollout.population.register(Array.from({ length: 80 }, (_, n) => `late-${n}`));
      }
      return weights;
    };
    const { buckets } = await rollout.setPercentage('chat', 50);
    expect(times).toBe(2);
    expect(buckets).toHaveLength(4);
    expect(await rollout.population.weight()).toBe(160);
  });
});

describe('a file that holds a population and groups', () => {
  const ids = Array.from({ length: 60 }, (_, n) => `user-${n}`);
  const names = ['heavy', 'open'];
  const answers = (rollout: Rollout) =>
    Promise.all(ids.flatMap((id) => names.map((name) => rollout.isEnabled(name, id))));

  let folder: string;
  let path: string;
  let expected: boolean[];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'hanoi-population-'));
    path = join(folder, 'features.json');
    const rollout = new Rollout(new FileBackend(path));
    await rollout.population.increaseBuckets(5);
    await rollout.population.register(ids.slice(0, 50).map((id, n) => [id, 1 + n / 4] as const));
    await rollout.addToGroup('friends', ids.slice(40));
    await rollout.addFeature('heavy', { bucketing: 'population', percentage: 40 });
    await rollout.addFeature('open', { groups: ['friends'] });
    expected = await answers(rollout);
    expect(expected.filter(Boolean).length).toBeGreaterThan(30);
    await rollout.close();
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const expectSame = async (rollout: Rollout) => {
    try {
      await rollout.ready();
      expect(await answers(rollout)).toEqual(expected);
      expect(names.flatMap((name) => ids.map((id) => rollout.isEnabledSync(name, id)))).toEqual(
        names.flatMap((_, at) => expected.filter((__, place) => place % 2 === at)),
      );
      const flags = await rollout.snapshot('user-41');
      expect(Object.keys(flags.toJSON())).toEqual(names);
    } finally {
      await rollout.close();
    }
  };

  it('is the same to whoever opens it', async () => {
    const rollout = new Rollout(new FileBackend(path));
    expect(await rollout.population.count()).toBe(50);
    expect(await rollout.population.weight()).toBe(50 + 49 * 12.5 * 0.5);
    expect(await rollout.groups()).toEqual([{ name: 'friends' }]);
    await expectSame(rollout);
  });

  it('is the same at a URL, also copied from there', async () => {
    const server = await HttpServer.start(answerWith(readFileSync(path, 'utf8'), '"1"'));
    try {
      const source = new HttpSource(server.url);
      const there = new Rollout(source);
      await there.ready();
      await expect(there.population.register('new')).rejects.toMatchObject({ code: 'READ_ONLY' });
      const target = new MemoryBackend();
      await copyFeatures(source, target);
      await expectSame(there);
      await expectSame(new Rollout(target));
    } finally {
      await server.stop();
    }
  });

  it('is the same where it is what a replica begins with', async () => {
    const away = new Redis({ port: 1, retryStrategy: () => 50 });
    away.on('error', () => {});
    const replica = new ReplicaBackend(new RedisBackend(away), { bootstrap: path });
    const rollout = new Rollout(replica);
    try {
      expect(names.flatMap((name) => ids.map((id) => rollout.isEnabledSync(name, id)))).toEqual(
        names.flatMap((_, at) => expected.filter((__, place) => place % 2 === at)),
      );
      expect((await rollout.decide('heavy', 'user-0')).reason).toBe('STALE');
    } finally {
      await rollout.close();
      away.disconnect();
    }
  });
});

describe('200,000 subjects', () => {
  it('are spread over buckets within 1% of each other, and chosen to the last bucket', async () => {
    const { rollout } = every.open('MemoryBackend');
    const { population } = rollout;
    await population.increaseBuckets(100);
    const draw = seeded(9);
    function* all() {
      for (let n = 0; n < 200_000; n++) yield [`user-${n}`, 1 + Math.floor(100 * draw())] as const;
    }
    expect(await population.register(all())).toBe(200_000);
    const buckets = await population.buckets();
    const weights = buckets.map(({ weight }) => weight);
    expect(Math.max(...weights) / Math.min(...weights)).toBeLessThan(1.01);
    const { buckets: taken = [] } = await rollout.addFeature('chat', {
      bucketing: 'population',
      percentage: 25,
    });
    const share = sumOf(buckets.filter(({ name }) => taken.includes(name))) / sumOf(buckets);
    expect(Math.abs(share - 0.25)).toBeLessThan(1e-5);
  });
});

describe('bad input', () => {
  let rollout: Rollout;
  beforeEach(async () => {
    ({ rollout } = every.open('MemoryBackend'));
    await rollout.population.increaseBuckets(999);
  });

  it.each([0, -1, 1.5, Number.NaN, '3', 2])('refuses %p more buckets', async (count) => {
    const wrong = rollout.population.increaseBuckets(count as number);
    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect((await rollout.population.buckets()).length).toBe(999);
    expect(await rollout.population.increaseBuckets(1)).toBe(1_000);
  });

  it.each([
    [['ann', ''], 'subjects[1]'],
    [['ann', null], 'subjects[1]'],
    [['ann', ['bob', -1]], 'subjects[1][1]'],
    [['ann', ['bob', Number.NaN]], 'subjects[1][1]'],
    [['ann', ['bob', '3']], 'subjects[1][1]'],
    [['ann', ['bob', 2e9]], 'subjects[1][1]'],
    [[['ann']], 'subjects[0]'],
    [[['ann', 1, 2]], 'subjects[0]'],
    [[[null, 1]], 'subjects[0]'],
    ['', 'subject'],
    [{ id: null }, 'subject'],
  ])('refuses to register %j, and says where', async (who, path) => {
    const wrong = rollout.population.register(who as never);
    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_FEATURE', path });
    expect(await rollout.population.count()).toBe(0);
  });

  it('refuses weights and options that are none', async () => {
    const { population } = rollout;
    for (const weight of [-1, 1e-7, 1e10, '1', null] as number[]) {
      await expect(population.register('ann', { weight })).rejects.toMatchObject({
        path: 'weight',
      });
    }
    for (const call of [
      () => population.register('ann', { wieght: 1 } as object),
      () => population.unregister('ann', { weight: 1 } as object),
      () => population.increaseBuckets(1, { key: 'id' } as object),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
  });
});
