import type { Backend } from '../lib/backends/backend.js';
import { RedisBackend, RedisSetBackend } from '../lib/backends/redis/index.js';
import {
  type ExperimentSettings,
  type Exposure,
  type Feature,
  type HanoiError,
  MemoryBackend,
  ReplicaBackend,
  Rollout,
} from '../lib/index.js';
import { chiSquare } from './property.js';
import { useMonitoredRedis } from './redis-monitor.js';

const redis = useMonitoredRedis();
beforeEach(() => redis.client.flushall());

const DAY = 24 * 60 * 60 * 1000;
const START = Date.parse('2024-04-01T00:00:00Z');
const END = Date.parse('2024-04-12T00:00:00Z');

const TEST: ExperimentSettings = {
  from: '2024-04-01T00:00:00Z',
  until: '2024-04-12T00:00:00Z',
  arms: [
    { name: 'control', proportion: 0.8, features: { sorting: false, paging: 'short' } },
    { name: 'tested', proportion: 0.2, features: { sorting: 'quick', paging: 'long' } },
  ],
};
const ids = Array.from({ length: 2_000 }, (_, n) => `user-${n}`);

const BACKENDS: [string, () => Backend][] = [
  ['MemoryBackend', () => new MemoryBackend()],
  ['RedisBackend', () => new RedisBackend(redis.client)],
  ['RedisSetBackend', () => new RedisSetBackend(redis.client)],
  ['a replica of RedisBackend', () => new ReplicaBackend(new RedisBackend(redis.client))],
];

describe.each(BACKENDS)('an experiment, on %s', (_, open) => {
  let backend: Backend;
  let rollout: Rollout;
  let now = START + DAY;

  beforeEach(async () => {
    now = START + DAY;
    backend = open();
    rollout = new Rollout(backend, { now: () => now });
    await rollout.ready();
    await rollout.addFeature('sorting', {
      variants: ['bubble', 'quick'],
      defaultVariant: 'bubble',
    });
    await rollout.addFeature('paging', { variants: ['short', 'long'], percentage: 100 });
  });
  afterEach(() => rollout.close());

  const variants = (feature: string, who: readonly string[] = ids) =>
    Promise.all(who.map((id) => rollout.variant(feature, id)));

  it('gives everybody one arm, for all of its features, while it lives', async () => {
    const before = await variants('paging');
    await rollout.addExperiment('test', TEST);
    const [sorting, paging] = [await variants('sorting'), await variants('paging')];
    for (const at of ids.keys()) {
      expect([sorting[at], paging[at]]).toEqual(
        sorting[at] === undefined ? [undefined, 'short'] : ['quick', 'long'],
      );
    }
    const tested = sorting.filter((each) => each === 'quick').length;
    expect(chiSquare([2_000 - tested, tested], [1_600, 400])).toBeLessThan(10.8);
    const at = sorting.indexOf('quick');
    expect(await rollout.decide('sorting', ids[at])).toMatchObject({
      ...{ enabled: true, variant: 'quick', reason: 'SPLIT', detail: 'experiment' },
      experiment: 'test',
    });
    expect((await rollout.snapshot(ids[at])).variant('paging')).toBe('long');
    for (now of [START - 1, END]) {
      expect(await variants('paging')).toEqual(before);
      expect(await rollout.variant('sorting', 'ann')).toBe('bubble');
    }
    for (now of [START, END - 1]) expect(await variants('paging')).toEqual(paging);
  });

  it('yields to the kill switch, prerequisites, exclusion and rules, and goes before gates', async () => {
    await rollout.addFeature('base', { percentage: 100 });
    await rollout.addExperiment('test', { ...TEST, arms: allIn('quick', 'long') });
    expect(await rollout.variant('sorting', 'ann')).toBe('quick');
    await rollout.register('sorting', 'ann');
    expect((await rollout.decide('sorting', 'ann')).detail).toBe('experiment');
    await rollout.update('sorting', {
      rules: [{ id: 'override', when: { users: ['ann'] }, serve: { variant: 'bubble' } }],
    });
    expect(await variants('sorting', ['ann', 'bob'])).toEqual(['bubble', 'quick']);
    await rollout.exclude('sorting', 'bob');
    expect((await rollout.decide('sorting', 'bob')).detail).toBe('excluded');
    await rollout.update('sorting', { requires: ['base'] });
    await rollout.disable('base');
    expect((await rollout.decide('sorting', 'cid')).detail).toBe('requires');
    await rollout.disable('sorting');
    expect((await rollout.decide('sorting', 'cid')).detail).toBe('kill switch');
  });

  it('keeps arms stable under whatever else changes', async () => {
    await rollout.addExperiment('test', TEST);
    const before = await variants('paging');
    await rollout.update('paging', { percentage: 3, bucketing: 'independent', data: { n: 1 } });
    await rollout.register('paging', ids.slice(0, 100));
    await rollout.addFeature('another', { variants: ['x', 'y'] });
    await rollout.addExperiment('unrelated', {
      ...TEST,
      arms: [{ name: 'all', proportion: 1, features: { another: 'x' } }],
    });
    await rollout.updateExperiment('test', { until: '2024-05-01T00:00:00Z' });
    expect(await variants('paging')).toEqual(before);
    // Nobody changes the arm who needn't, where a proportion grows.
    await rollout.updateExperiment('test', {
      arms: [
        { name: 'control', proportion: 0.6, features: { sorting: false, paging: 'short' } },
        { name: 'tested', proportion: 0.4, features: { sorting: 'quick', paging: 'long' } },
      ],
    });
    const after = await variants('paging');
    for (const [at, arm] of before.entries()) if (arm === 'long') expect(after[at]).toBe('long');
  });

  it('is about those of its condition, and bucketed by its own key', async () => {
    await rollout.addExperiment('test', {
      ...TEST,
      arms: allIn('quick', 'long'),
      when: { attribute: 'country', op: 'equals', value: 'CA' },
    });
    expect(await rollout.variant('sorting', { id: 1, country: 'CA' })).toBe('quick');
    expect(await rollout.variant('sorting', { id: 1, country: 'US' })).toBe('bubble');
    expect(await rollout.variant('sorting', 1)).toBe('bubble');
    await rollout.updateExperiment('test', { ...TEST, when: undefined, subjectKey: 'team' });
    for (let team = 0; team < 20; team++) {
      const answers = await Promise.all(
        ids.slice(0, 10).map((id) => rollout.variant('paging', { id, team })),
      );
      expect(new Set(answers).size).toBe(1);
    }
    // Who has no team is not in it.
    expect((await rollout.decide('paging', 'ann')).detail).toBe('percentage');
  });

  it('keeps whoever used an arm in it, where it is sticky', async () => {
    await rollout.addExperiment('test', { ...TEST, sticky: true, arms: allIn('quick', 'long') });
    const used = ids.slice(0, 30);
    for (const id of used) expect((await rollout.use('sorting', id)).variant).toBe('quick');
    await rollout.updateExperiment('test', {
      arms: [
        { name: 'all', proportion: 0, features: { sorting: 'quick', paging: 'long' } },
        { name: 'none', proportion: 1, features: { sorting: 'bubble', paging: 'short' } },
      ],
    });
    expect(new Set(await variants('sorting', used))).toEqual(new Set(['quick']));
    expect(new Set(await variants('paging', used))).toEqual(new Set(['long']));
    expect(new Set(await variants('paging', ids.slice(30, 60)))).toEqual(new Set(['short']));
  });

  it('counts who has used an arm, each once, whichever of its features they use', async () => {
    await rollout.addExperiment('test', TEST);
    const exposures: (string | undefined)[] = [];
    rollout.on('exposure', ({ experiment, arm }) => exposures.push(`${experiment}/${arm}`));
    const some = ids.slice(0, 300);
    await Promise.all(some.map((id) => rollout.use('sorting', id)));
    await Promise.all(some.map((id) => rollout.use('paging', id)));
    await Promise.all(some.map((id) => rollout.use('paging', id)));
    const sorting = await variants('sorting', some);
    const tested = sorting.filter((each) => each === 'quick').length;
    const report = await rollout.experiment('test');
    expect(report).toMatchObject({
      state: 'live',
      arms: [
        { name: 'control', uses: 300 - tested },
        { name: 'tested', uses: tested },
      ],
      sampleRatio: { isMismatched: false },
      missing: [],
    });
    expect(exposures).toHaveLength(600);
    expect(exposures.filter((each) => each === 'test/tested')).toHaveLength(2 * tested);
  });

  it('tells of the arm that gave what was used, also to who is counted in another one', async () => {
    await rollout.addExperiment('test', { ...TEST, arms: allIn('quick', 'long') });
    const heard: Exposure[] = [];
    rollout.on('exposure', (exposure) => heard.push(exposure));
    await rollout.use('paging', 'ann');
    const arms = [
      { name: 'all', proportion: 0, features: { sorting: 'quick', paging: 'long' } },
      { name: 'others', proportion: 1, features: { sorting: 'bubble', paging: 'short' } },
    ];
    await rollout.updateExperiment('test', { arms });
    expect((await rollout.use('paging', 'ann')).variant).toBe('short');
    expect(heard.map(({ arm, variant }) => [arm, variant])).toEqual([
      ['all', 'long'],
      ['others', 'short'],
    ]);
    expect((await rollout.experiment('test'))?.arms.map(({ uses }) => uses)).toEqual([1, 0]);
    await rollout.updateExperiment('test', { sticky: true });
    expect((await rollout.use('paging', 'ann')).variant).toBe('long');
    expect(heard).toHaveLength(2);
  });

  it('counts who is pinned in the arm that gave what is pinned', async () => {
    await rollout.addExperiment('test', { ...TEST, arms: allIn('quick', 'long') });
    const heard: Exposure[] = [];
    rollout.on('exposure', (exposure) => heard.push(exposure));
    const arms = [
      { name: 'all', proportion: 0, features: { sorting: 'quick', paging: 'long' } },
      { name: 'others', proportion: 1, features: { sorting: 'bubble', paging: 'short' } },
    ];
    await rollout.runAs(
      'ann',
      async () => {
        await rollout.updateExperiment('test', { arms });
        expect((await rollout.use('paging')).variant).toBe('long');
      },
      { pinned: true },
    );
    expect(heard).toMatchObject([{ variant: 'long', arm: 'all' }]);
    expect((await rollout.experiment('test'))?.arms.map(({ uses }) => uses)).toEqual([1, 0]);
  });

  it('flags a sample that does not fit to the proportions', async () => {
    await rollout.addExperiment('test', TEST);
    const sorting = await variants('sorting');
    // A broken page: one in two of the tested never comes back to use it.
    const came = ids.filter((id, at) => sorting[at] !== 'quick' || Number(id.slice(5)) % 2 === 0);
    await Promise.all(came.map((id) => rollout.use('sorting', id)));
    const { sampleRatio } = (await rollout.experiment('test')) ?? {};
    expect(sampleRatio?.isMismatched).toBe(true);
    expect(sampleRatio?.pValue).toBeLessThan(0.001);
  });

  it('is refused where another one lives on a feature at the same time', async () => {
    await rollout.addExperiment('test', TEST);
    const other = {
      ...TEST,
      arms: [{ name: 'all', proportion: 1, features: { paging: 'short' } }],
    };
    const refusal = { code: 'INVALID_FEATURE', path: 'arms[0].features.paging' };
    await expect(rollout.addExperiment('other', other)).rejects.toMatchObject(refusal);
    await expect(
      rollout.addExperiment('other', {
        ...other,
        from: '2024-03-01T00:00:00Z',
        until: '2024-04-01T00:00:01Z',
      }),
    ).rejects.toMatchObject(refusal);
    expect((await rollout.get('paging'))?.experiments).toEqual(['test']);
    // Right after it, or before it, there is room.
    const after = { ...other, from: TEST.until, until: '2024-05-01T00:00:00Z' };
    await rollout.addExperiment('after', after);
    await expect(
      rollout.updateExperiment('after', { from: '2024-04-11T23:59:59Z' }),
    ).rejects.toMatchObject(refusal);
    await rollout.stopExperiment('test');
    await rollout.updateExperiment('after', { from: new Date(now) });
    expect((await rollout.experiment('after'))?.state).toBe('live');
  });

  it('is refused over another one to which a feature refers that is not in it', async () => {
    await rollout.addFeature('aside');
    const about = (name: string) => [{ name: 'all', proportion: 1, features: { [name]: true } }];
    await rollout.addExperiment('other', { ...TEST, arms: about('paging') });
    // As a write leaves it that was cut off: a reference to what does not name it.
    const { id, revision, ...document } = (await rollout.get('aside')) as Feature;
    await backend.write({
      name: 'aside',
      expect: { id, revision },
      document: { ...document, id, revision: revision + 1, experiments: ['other'] },
    });
    const both = [{ name: 'all', proportion: 1, features: { aside: true, paging: 'short' } }];
    await expect(rollout.addExperiment('test', { ...TEST, arms: both })).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
      path: 'arms[0].features.paging',
    });
    await rollout.addExperiment('test', { ...TEST, arms: about('aside') });
  });

  it('is refused by one of two writers that meet', async () => {
    const elsewhere = backend instanceof MemoryBackend ? backend : open();
    const other = new Rollout(elsewhere, { now: () => now });
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.allSettled([
        rollout.addExperiment('one', TEST),
        other.addExperiment('other', TEST),
      ]);
      const refused = outcomes.filter(({ status }) => status === 'rejected');
      expect(refused).toHaveLength(1);
      expect((refused[0] as PromiseRejectedResult).reason).toMatchObject({
        code: 'INVALID_FEATURE',
      });
      const left = await rollout.experiments();
      expect(left).toHaveLength(1);
      expect((await rollout.experiment((left[0] as { name: string }).name))?.missing).toEqual([]);
      await rollout.removeExperiment((left[0] as { name: string }).name);
      expect((await rollout.get('paging'))?.experiments).toBeUndefined();
    }
    if (elsewhere !== backend) await other.close();
  });

  it('misses nothing once it is over, and another one has its features', async () => {
    await rollout.addExperiment('test', TEST);
    now = END;
    const next = { from: new Date(END), until: new Date(END + DAY) };
    await rollout.addExperiment('next', { ...TEST, ...next });
    expect(await rollout.experiment('test')).toMatchObject({ state: 'over', missing: [] });
    expect(await rollout.experiment('next')).toMatchObject({ state: 'live', missing: [] });
  });

  it('has all of its features where two writers make the same one', async () => {
    const elsewhere = backend instanceof MemoryBackend ? backend : open();
    const other = new Rollout(elsewhere, { now: () => now });
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.allSettled([
        rollout.addExperiment('test', TEST),
        other.addExperiment('test', TEST),
      ]);
      const refused = outcomes.filter(({ status }) => status === 'rejected');
      expect(refused).toMatchObject([{ reason: { code: 'FEATURE_EXISTS' } }]);
      expect((await rollout.experiment('test'))?.missing).toEqual([]);
      await rollout.removeExperiment('test');
    }
    if (elsewhere !== backend) await other.close();
  });

  it('goes on for the others where a feature vanishes, and says which is missing', async () => {
    await rollout.addExperiment('test', { ...TEST, arms: allIn('quick', 'long') });
    await rollout.remove('sorting');
    expect(await rollout.variant('paging', 'ann')).toBe('long');
    expect(await rollout.isEnabled('sorting', 'ann')).toBe(false);
    expect((await rollout.experiment('test'))?.missing).toEqual(['sorting']);
    await rollout.addFeature('sorting', { variants: ['bubble', 'quick'] });
    expect(await rollout.isEnabled('sorting', 'ann')).toBe(false);
    expect((await rollout.experiment('test'))?.missing).toEqual(['sorting']);
    await rollout.updateExperiment('test', {});
    expect(await rollout.variant('sorting', 'ann')).toBe('quick');
  });

  it('gives nothing of a variant that its feature has no longer', async () => {
    await rollout.addExperiment('test', { ...TEST, arms: allIn('quick', 'long') });
    await rollout.update('paging', { variants: ['short', 'other'] });
    expect((await rollout.decide('paging', 'ann')).detail).toBe('percentage');
    expect((await rollout.explain('paging', 'ann'))?.steps).toContainEqual(
      expect.objectContaining({ step: 'experiment', outcome: 'passes' }),
    );
  });

  it('keeps who is nobody out of what only a part has', async () => {
    await rollout.update('paging', { variants: [] });
    expect(await rollout.isEnabled('paging', undefined)).toBe(true);
    await rollout.update('paging', { variants: ['short', 'long'] });
    await rollout.addExperiment('test', TEST);
    expect((await rollout.decide('paging', undefined)).enabled).toBe(false);
    now = END;
    expect((await rollout.decide('paging', undefined)).enabled).toBe(true);
  });

  it('is explained', async () => {
    await rollout.addExperiment('test', { ...TEST, arms: allIn('quick', 'long') });
    const explained = await rollout.explain('sorting', 'ann');
    expect(explained?.decision).toBe(await rollout.decide('sorting', 'ann'));
    expect(explained?.steps.filter(({ outcome }) => outcome === 'answers')).toEqual([
      {
        ...{ step: 'experiment', outcome: 'answers' },
        why: 'Experiment "test" has the subject in arm "all".',
      },
    ]);
  });

  it('is no feature', async () => {
    await rollout.addExperiment('test', TEST);
    expect((await rollout.features()).map(({ name }) => name)).toEqual(['paging', 'sorting']);
    expect(Object.keys((await rollout.snapshot('ann')).toJSON())).toEqual(
      expect.not.arrayContaining([expect.stringContaining('test')]),
    );
    expect(await rollout.experiments()).toMatchObject([
      { name: 'test', sticky: false, arms: TEST.arms },
    ]);
    expect(await rollout.experiment('other')).toBeUndefined();
  });

  it.each([
    ['arms', { arms: [{ name: 'a', proportion: 0.9, features: { paging: 'short' } }] }],
    [
      'arms[0].proportion',
      { arms: [{ name: 'a', proportion: 1.5, features: { paging: 'short' } }] },
    ],
    ['arms[0].features', { arms: [{ name: 'a', proportion: 1, features: {} }] }],
    ['arms[0].features.paging', { arms: [{ name: 'a', proportion: 1, features: { paging: 5 } }] }],
    [
      'arms[0].features.paging',
      { arms: [{ name: 'a', proportion: 1, features: { paging: 'no' } }] },
    ],
    ['arms[0].features.gone', { arms: [{ name: 'a', proportion: 1, features: { gone: true } }] }],
    [
      'arms[1].features',
      {
        arms: [
          { name: 'a', proportion: 0.5, features: { paging: 'short' } },
          { name: 'b', proportion: 0.5, features: { sorting: 'quick' } },
        ],
      },
    ],
    [
      'variants[1].name',
      {
        arms: [
          { name: 'a', proportion: 0.5, features: { paging: 'short' } },
          { name: 'a', proportion: 0.5, features: { paging: 'long' } },
        ],
      },
    ],
    ['from', { from: '2024-04-01' }],
    ['until', { until: undefined }],
    ['rules[0].until', { until: '2024-03-01T00:00:00Z' }],
    ['settings', { armz: [] }],
    ['rules[0].when', { when: { flavour: 'sweet' } }],
    ['sticky', { sticky: 'yes' }],
  ])('is refused for its `%s`, and changes nothing', async (path, changed) => {
    const before = await rollout.features();
    await expect(
      rollout.addExperiment('test', { ...TEST, ...changed } as ExperimentSettings),
    ).rejects.toMatchObject({ code: 'INVALID_FEATURE', path });
    expect(await rollout.features()).toEqual(before);
    expect(await rollout.experiments()).toEqual([]);
  });

  it('has a name that no feature can take', async () => {
    await rollout.addExperiment('test', TEST);
    await expect(rollout.addFeature('experiment\u001ftest')).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
      path: 'name',
    });
  });

  it('is not found, or there already, as a feature is', async () => {
    for (const call of [
      () => rollout.updateExperiment('test', {}),
      () => rollout.stopExperiment('test'),
      () => rollout.removeExperiment('test'),
    ]) {
      const error = (await call().catch((reason) => reason)) as HanoiError;
      expect(error.code).toBe('FEATURE_NOT_FOUND');
      expect(error.message).toBe('Experiment "test" does not exist.');
    }
    await rollout.addExperiment('test', TEST);
    await expect(rollout.addExperiment('test', TEST)).rejects.toMatchObject({
      code: 'FEATURE_EXISTS',
    });
    expect((await rollout.get('paging'))?.experiments).toEqual(['test']);
  });
});

const allIn = (sorting: string, paging: string) => [
  { name: 'all', proportion: 1, features: { sorting, paging } },
];
