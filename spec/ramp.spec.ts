import fc from 'fast-check';
import { compileRamp, percentageAt } from '../lib/domain/ramp.js';
import { type FeatureSettings, MemoryBackend, type RampPlan, Rollout } from '../lib/index.js';

const DAY = 86_400_000;
const NOON = Date.parse('2026-11-30T12:00:00Z');
const at = (days: number) => new Date(NOON + days * DAY).toISOString();

let now: number;
let rollout: Rollout;
beforeEach(() => {
  now = NOON;
  rollout = new Rollout(new MemoryBackend(), { now: () => now });
});
afterEach(() => rollout.close());

const ids = Array.from({ length: 1_000 }, (_, n) => `user-${n}`);
const share = (name = 'chat') =>
  ids.filter((id) => rollout.isEnabledSync(name, id)).length / ids.length;

describe('a ramp', () => {
  it('rises from where the feature is to everyone, by the clock alone', async () => {
    await rollout.addFeature('chat', { percentage: 20 });
    await rollout.ramp('chat', { over: '10d' });
    expect((await rollout.get('chat'))?.percentage).toEqual({
      points: [
        { at: at(0), percentage: 20 },
        { at: at(10), percentage: 100 },
      ],
    });
    const shares: number[] = [];
    for (let day = 0; day <= 11; day++) {
      now = NOON + day * DAY;
      shares.push(share());
    }
    for (const [day, each] of shares.entries()) {
      expect(Math.abs(each - Math.min(1, 0.2 + 0.08 * day))).toBeLessThan(0.04);
    }
    expect(shares.at(-1)).toBe(1);
    expect(rollout.decideSync('chat', 'ann').reason).toBe('STATIC');
    expect(rollout.isEnabledSync('chat', undefined)).toBe(true);
    now = NOON + 9.999 * DAY;
    expect(rollout.decideSync('chat', 'user-1').reason).toBe('SPLIT');
    expect(rollout.isEnabledSync('chat', undefined)).toBe(false);
  });

  it('lets nobody in before it starts, but members', async () => {
    await rollout.addFeature('chat', {
      percentage: { points: [{ at: new Date(NOON + 1), percentage: 100 }] },
    });
    await rollout.register('chat', 'early');
    expect(share()).toBe(0);
    expect(rollout.decideSync('chat', 'early').detail).toBe('member');
    now++;
    expect(share()).toBe(1);
  });

  it.each<[RampPlan, [number, number][]]>([
    [
      { over: '1w' },
      [
        [0, 0],
        [7, 100],
      ],
    ],
    [
      { over: '36h', to: 50 },
      [
        [0, 0],
        [1.5, 50],
      ],
    ],
    [
      { over: '1d12h', from: 10 },
      [
        [0, 10],
        [1.5, 100],
      ],
    ],
    [
      { over: 2 * DAY, end: at(5) },
      [
        [3, 0],
        [5, 100],
      ],
    ],
    [
      { start: at(1), end: new Date(NOON + 2 * DAY) },
      [
        [1, 0],
        [2, 100],
      ],
    ],
    [
      { start: at(1), over: '1d', to: 33.3333 },
      [
        [1, 0],
        [2, 33.3333],
      ],
    ],
    [
      { over: '2d', steps: 3, to: 30 },
      [
        [0, 0],
        [0, 10],
        [1, 10],
        [1, 20],
        [2, 20],
        [2, 30],
      ],
    ],
  ])('by the plan %j', async (plan, points) => {
    await rollout.addFeature('chat');
    const { percentage } = await rollout.ramp('chat', plan);
    expect(percentage).toEqual({
      points: points.map(([days, each]) => ({ at: at(days), percentage: each })),
    });
  });

  it.each<[string, object]>([
    ['ramp.over', {}],
    ['ramp.over', { over: '14 days-ish' }],
    ['ramp.over', { over: 0 }],
    ['ramp.over', { over: '1d', start: at(0), end: at(1) }],
    ['ramp.end', { start: at(1), end: at(0) }],
    ['ramp.end', { end: at(-1) }],
    ['ramp.start', { start: '2026-12-01', over: '1d' }],
    ['ramp.to', { over: '1d', to: 101 }],
    ['ramp.steps', { over: '1d', steps: 0 }],
    ['ramp', { over: '1d', until: at(1) }],
  ])('is refused for its %s: %j', async (path, plan) => {
    await rollout.addFeature('chat');
    await expect(rollout.ramp('chat', plan)).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
      path,
    });
  });

  it.each<[string, unknown]>([
    ['percentage.points', { points: [] }],
    ['percentage.points', { points: Array(101).fill({ at: at(0), percentage: 1 }) }],
    [
      'percentage.points[1].at',
      {
        points: [
          { at: at(1), percentage: 1 },
          { at: at(0), percentage: 2 },
        ],
      },
    ],
    ['percentage.points[0].percentage', { points: [{ at: at(0), percentage: 101 }] }],
    ['percentage.points[0].at', { points: [{ at: '2026-11-30', percentage: 1 }] }],
    ['percentage.pausedAt', { points: [{ at: at(0), percentage: 1 }], pausedAt: 'now' }],
    ['percentage', { points: [{ at: at(0), percentage: 1 }], paused: true }],
  ])('is not stored with a bad %s', async (path, percentage) => {
    await expect(
      rollout.addFeature('chat', { percentage } as FeatureSettings),
    ).rejects.toMatchObject({ code: 'INVALID_FEATURE', path });
  });

  it('can be paused, resumed, rewound and taken elsewhere', async () => {
    await rollout.addFeature('chat');
    await rollout.ramp('chat', { over: '10d' });
    const present = async () => {
      const { percentage } = (await rollout.get('chat')) ?? {};
      return percentageAt(compileRamp(percentage as never), now);
    };
    now += 2 * DAY;
    await rollout.pauseRamp('chat');
    now += 5 * DAY;
    expect(await present()).toBe(20);
    await rollout.pauseRamp('chat');
    await rollout.resumeRamp('chat');
    expect(await present()).toBe(20);
    now += DAY;
    expect(await present()).toBe(30);
    await rollout.rewindRamp('chat', '2d');
    expect(await present()).toBe(10);
    await rollout.jumpRamp('chat', 50);
    expect(await present()).toBe(50);
    now += DAY;
    expect(await present()).toBe(60);
    await rollout.pauseRamp('chat');
    now += DAY;
    await rollout.jumpRamp('chat', 5);
    now += DAY;
    expect(await present()).toBe(5);
    await rollout.resumeRamp('chat');
    now += DAY;
    expect(await present()).toBe(15);
    const { revision } = (await rollout.get('chat')) as { revision: number };
    await rollout.resumeRamp('chat');
    expect((await rollout.get('chat'))?.revision).toBe(revision);
    await rollout.setPercentage('chat', 7);
    await expect(rollout.pauseRamp('chat')).rejects.toMatchObject({ path: 'percentage' });
    await rollout.ramp('chat', { over: '1d', to: 40 });
    await expect(rollout.jumpRamp('chat', 50)).rejects.toMatchObject({ path: 'percentage' });
    await expect(rollout.rewindRamp('chat', 'a day')).rejects.toMatchObject({ path: 'by' });
  });

  it('drops nobody while it rises, under any bucketing', async () => {
    const point = fc.tuple(
      fc.integer({ min: 0, max: 1_000 }),
      fc.integer({ min: 0, max: 1_000_000 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(point, { minLength: 1, maxLength: 8 }),
        fc.constantFrom('modulo', 'independent', 'rollout-gem', 'rollout-gem-randomized', 'hanoi'),
        async (points, bucketing) => {
          const times = points.map(([time]) => time).sort((a, b) => a - b);
          const parts = points.map(([, part]) => part).sort((a, b) => a - b);
          const own = new Rollout(undefined, { now: () => now });
          await own.addFeature('chat', {
            bucketing: bucketing as 'modulo',
            percentage: {
              points: times.map((time, n) => ({
                at: new Date(NOON + time),
                percentage: (parts[n] as number) / 10_000,
              })),
            },
          });
          const isIn = new Map<string, boolean>();
          for (let ms = -1; ms <= 1_001; ms += 50) {
            now = NOON + ms;
            for (const id of ids.slice(0, 50)) {
              const is = own.isEnabledSync('chat', id);
              expect(isIn.get(id) && !is).not.toBe(true);
              isIn.set(id, is);
            }
          }
          await own.close();
        },
      ),
      { numRuns: 50 },
    );
  });

  it('says to the ms when somebody gets in', async () => {
    await rollout.addFeature('chat');
    await rollout.ramp('chat', { over: '14d', to: 60 });
    let never = 0;
    for (const id of ids.slice(0, 300)) {
      const when = await rollout.whenFor('chat', id);
      if (when === undefined) {
        never++;
        now = NOON + 100 * DAY;
        expect(rollout.isEnabledSync('chat', id)).toBe(false);
        continue;
      }
      now = when.getTime();
      expect(rollout.isEnabledSync('chat', id)).toBe(true);
      now--;
      expect(rollout.isEnabledSync('chat', id)).toBe(false);
    }
    expect(never / 300).toBeGreaterThan(0.3);
    await rollout.exclude('chat', 'user-1');
    expect(await rollout.whenFor('chat', 'user-1')).toBeUndefined();
    expect(await rollout.whenFor('chat', undefined)).toBeUndefined();
    await rollout.setPercentage('chat', 100);
    expect(await rollout.whenFor('chat', 'user-2')).toBeUndefined();
    await expect(rollout.whenFor('nope', 'user-2')).rejects.toMatchObject({
      code: 'FEATURE_NOT_FOUND',
    });
  });

  it('says when somebody gets in by a step, of everyone', async () => {
    await rollout.addFeature('chat');
    await rollout.ramp('chat', { over: '2d', steps: 3 });
    const instants = new Set<number>();
    for (const id of ids.slice(0, 100)) {
      instants.add(((await rollout.whenFor('chat', id)) as Date).getTime());
    }
    expect([...instants].sort()).toEqual([NOON, NOON + DAY, NOON + 2 * DAY]);
  });

  it('takes the stated share of everyone at each time', async () => {
    await rollout.addFeature('chat', { bucketing: 'independent' });
    await rollout.ramp('chat', { over: '10d' });
    now = NOON + 2.5 * DAY;
    const many = Array.from({ length: 20_000 }, (_, n) => `id-${n}`);
    const isIn = many.filter((id) => rollout.isEnabledSync('chat', id)).length;
    expect(Math.abs(isIn - 5_000)).toBeLessThan(4 * Math.sqrt(20_000 * 0.25 * 0.75));
  });

  it('can be the percentage of a rule', async () => {
    const percentage = {
      points: [
        { at: at(0), percentage: 0 },
        { at: at(10), percentage: 100 },
      ],
    };
    await rollout.addFeature('chat', {
      rules: [{ id: 'all', when: { group: 'all' }, percentage, serve: 'on' }],
    });
    expect(share()).toBe(0);
    now = NOON + 5 * DAY;
    expect(Math.abs(share() - 0.5)).toBeLessThan(0.06);
    now = NOON + 10 * DAY;
    expect(share()).toBe(1);
  });

  it('is the same in two processes with one clock, also through the store', async () => {
    const backend = new MemoryBackend();
    const [one, other] = [0, 0].map(() => new Rollout(backend, { now: () => now })) as [
      Rollout,
      Rollout,
    ];
    await one.addFeature('chat');
    await one.ramp('chat', { over: '3h' });
    for (let minutes = 0; minutes < 200; minutes += 7) {
      now = NOON + minutes * 60_000;
      for (const id of ids.slice(0, 50)) {
        expect(one.isEnabledSync('chat', id)).toBe(other.isEnabledSync('chat', id));
      }
    }
  });
});
