import { Redis } from 'ioredis';
import { RedisBackend } from '../lib/backends/redis/index.js';
import type { FeatureSettings } from '../lib/domain/validate.js';
import { MemoryBackend, Rollout } from '../lib/index.js';
import { manualClock } from '../lib/testing/index.js';
import { useRedis } from './redis-server.js';

const BEGIN = '2026-01-01T00:00:00Z';
const DAY = 24 * 60 * 60 * 1000;
const dayOf = (ms: number) => (ms - Date.parse(BEGIN)) / DAY;

function begun() {
  const clock = manualClock(BEGIN);
  const { now } = clock;
  const rollout = new Rollout(new MemoryBackend({ now }), { now });
  const told = async () =>
    (await rollout.leftovers()).map(({ name, why, since, isExact }) =>
      [name, why, dayOf(since), ...(isExact ? [] : ['or longer'])].join(' '),
    );
  return { clock, rollout, told };
}

describe('what is left over', () => {
  const rule = { id: 'r', when: { users: ['eve'] } } as const;
  const variants = ['a', { name: 'b', weight: 0 }];
  const ended = { until: '2026-01-03T00:00:00Z' };
  const line = (...points: [day: string, percentage: number][]) => ({
    points: points.map(([day, percentage]) => ({ at: `2026-01-${day}T00:00:00Z`, percentage })),
  });

  it.each<[string, FeatureSettings, string[]]>([
    ['everyone', { percentage: 100 }, ['f everyone 0']],
    ['the group of all', { groups: ['all'] }, ['f everyone 0']],
    ['one variant for all', { percentage: 100, variants }, ['f everyone 0']],
    ['two variants', { percentage: 100, variants: ['a', 'b'] }, []],
    [
      'a rule with the same',
      { percentage: 100, rules: [{ ...rule, serve: 'on' }] },
      ['f everyone 0'],
    ],
    [
      'a rule with the same variant',
      { percentage: 100, variants, rules: [{ ...rule, serve: { variant: 'a' } }] },
      ['f everyone 0'],
    ],
    [
      'a rule with another variant',
      { percentage: 100, variants, rules: [{ ...rule, serve: { variant: 'b' } }] },
      [],
    ],
    ['a rule that takes out', { percentage: 100, rules: [{ ...rule, serve: 'off' }] }, []],
    [
      'one that took out',
      { percentage: 100, rules: [{ ...rule, ...ended, serve: 'off' }] },
      ['f everyone 2'],
    ],
    ['somebody excluded', { percentage: 100, excluded: ['eve'] }, []],
    ['99%', { percentage: 99 }, []],
    ['a ramp that is done', { percentage: line(['02', 10], ['06', 100]) }, ['f everyone 5']],
    ['one that stays', { percentage: line(['02', 0], ['04', 100], ['08', 100]) }, ['f everyone 3']],
    ['one that goes on', { percentage: line(['02', 10], ['29', 100]) }, []],
    [
      'one that will go down',
      {
        percentage: {
          points: [
            { at: '2026-01-01T00:00:00Z', percentage: 100 },
            { at: '2026-09-01T00:00:00Z', percentage: 100 },
            { at: '2026-09-01T00:00:00Z', percentage: 50 },
          ],
        },
      },
      [],
    ],
    [
      'one that will begin',
      { percentage: { points: [{ at: '2026-09-01T00:00:00Z', percentage: 50 }] } },
      [],
    ],
    [
      'one that is paused at all',
      { percentage: { ...line(['02', 100], ['29', 50]), pausedAt: '2026-01-02T00:00:00Z' } },
      ['f everyone 1'],
    ],
    ['one that ends below', { percentage: line(['02', 100], ['06', 50]) }, []],
    ['one that went down', { percentage: line(['02', 100], ['06', 0]) }, ['f nobody 5']],
    ['nobody', {}, ['f nobody 0']],
    ['the kill switch', { enabled: false, percentage: 50 }, ['f nobody 0']],
    ['the group of none', { groups: ['none', 'staff'] }, ['f nobody 0']],
    ['a group', { groups: ['staff'] }, []],
    ['a pattern', { patterns: [/1$/] }, []],
    ['a default variant', { variants: ['a'], defaultVariant: 'a' }, []],
    ['a rule that lets in', { rules: [{ ...rule, serve: 'on' }] }, []],
    ['a rule for none', { rules: [{ ...rule, percentage: 0, serve: 'on' }] }, ['f nobody 0']],
    ['a rule that let in', { rules: [{ ...rule, ...ended, serve: 'on' }] }, ['f nobody 2']],
    [
      'a rule that will let in',
      { rules: [{ ...rule, from: '2026-09-01T00:00:00Z', serve: 'on' }] },
      [],
    ],
  ])('of a feature with %s', async (_, settings, expected) => {
    const { clock, rollout, told } = begun();
    await rollout.addFeature('f', settings);
    clock.advance('29d');
    expect(await told()).toEqual([]);
    clock.advance('6d');
    expect(await told()).toEqual(expected);
  });

  it.each<[string, unknown, string[]]>([
    ['an instant', '2026-01-02T12:00:00+12:00', ['f expired 1']],
    ['a date', '2026-01-02', ['f expired 1']],
    ['one to come', '2026-01-03', []],
    ['what is no date', 'soon', []],
    ['null', null, []],
  ])('counts `expiresAt` as %s', async (_, expiresAt, expected) => {
    const { clock, rollout, told } = begun();
    await rollout.addFeature('f', { percentage: 20, data: { expiresAt } });
    clock.advance('1d');
    expect(await told()).toEqual(expected);
  });

  it('counts from when all had it, through changes that left it so', async () => {
    const { clock, rollout, told } = begun();
    await rollout.addFeature('f', { percentage: 10 });
    clock.advance('1d');
    await rollout.ramp('f', { over: '2d' });
    clock.advance('20d');
    await rollout.update('f', { data: { owner: 'us' } });
    await rollout.update('f', { percentage: 100 });
    clock.advance('20d');
    expect(await told()).toEqual(['f everyone 3']);
    await rollout.setPercentage('f', 99);
    await rollout.setPercentage('f', 100);
    expect(await told()).toEqual([]);
    clock.advance('30d');
    expect(await told()).toEqual(['f everyone 41']);
  });

  it('says that it is so for longer where the history ends', async () => {
    const { clock, rollout, told } = begun();
    await rollout.addFeature('f', { percentage: 100 });
    for (let n = 0; n < 60; n++) await rollout.update('f', { data: { n } });
    clock.advance('40d');
    expect(await told()).toEqual(['f everyone 0 or longer']);
  });

  it('counts members, and when the last was taken out', async () => {
    const { clock, rollout, told } = begun();
    await rollout.addFeature('f');
    await rollout.register('f', 'ann');
    clock.advance('40d');
    expect(await told()).toEqual([]);
    await rollout.unregister('f', 'ann');
    clock.advance('29d');
    expect(await told()).toEqual([]);
    clock.advance('1d');
    expect(await told()).toEqual(['f nobody 40']);
  });

  it('waits until an experiment is over', async () => {
    const { clock, rollout, told } = begun();
    await rollout.addFeature('f', { percentage: 100 });
    const arm = (name: string, gives: boolean) => ({
      name,
      proportion: 0.5,
      features: { f: gives },
    });
    await rollout.addExperiment('test', {
      ...{ from: BEGIN, until: '2026-02-10T00:00:00Z' },
      arms: [arm('one', true), arm('other', false)],
    });
    clock.advance('39d');
    expect(await told()).toEqual([]);
    expect(await rollout.leftovers('f')).toEqual([]);
    clock.advance('32d');
    expect(await told()).toEqual(['f everyone 40']);
    await rollout.addFeature('g', { data: { expiresAt: '2026-01-01' } });
    expect(await rollout.leftovers('f')).toMatchObject([{ name: 'f', why: 'everyone' }]);
    expect(await rollout.leftovers('h')).toEqual([]);
  });

  it('tells two reasons of one feature, and nothing of groups', async () => {
    const { clock, rollout, told } = begun();
    await rollout.addToGroup('friends', 'ann');
    await rollout.addFeature('f', { percentage: 100, data: { expiresAt: '2026-01-05' } });
    clock.advance('30d');
    expect(await told()).toEqual(['f expired 4', 'f everyone 0']);
  });
});

describe('what is left over on Redis', () => {
  const redis = useRedis();

  it('asks for no more than a change of those that reach all or none', async () => {
    const client = new Redis(redis.server.port);
    const backend = new RedisBackend(client);
    const rollout = new Rollout(backend, { now: () => Date.now() + 31 * DAY });
    try {
      await rollout.addFeature('all', { percentage: 100 });
      await rollout.addFeature('none');
      await rollout.addFeature('some', { percentage: 20 });
      const asked: unknown[] = [];
      const { history } = backend;
      backend.history = (name, options) => {
        asked.push([name, options.limit]);
        return history.call(backend, name, options);
      };
      const found = await rollout.leftovers();
      expect(found.map(({ name, why, isExact }) => [name, why, isExact])).toEqual([
        ['all', 'everyone', true],
        ['none', 'nobody', true],
      ]);
      expect(asked).toEqual([
        ['all', 1],
        ['none', 1],
      ]);
    } finally {
      await rollout.close();
      client.disconnect();
    }
  });
});
