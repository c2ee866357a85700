import { type ExperimentSettings, Rollout } from '../../lib/index.js';
import { seeded } from '../property.js';

const DAY = 86_400_000;
const START = Date.parse('2024-04-01T00:00:00Z');
const END = Date.parse('2024-04-12T00:00:00Z');

const subjects = Array.from({ length: 20_000 }, (_, id) => id);

describe('the README of flaggery', () => {
  let now = START - DAY;
  let rollout: Rollout;

  // One after the other, as its quick start goes on.
  beforeAll(() => {
    rollout = new Rollout(undefined, { now: () => now });
  });
  afterAll(() => rollout.close());

  const variantOf = (subject: number) => rollout.decideSync('foobar', subject).variant;
  const shareOf = (variant: string | undefined) =>
    subjects.filter((subject) => variantOf(subject) === variant).length / subjects.length;

  it('has a feature with variants, and gives none of them', async () => {
    await rollout.addFeature('foobar', { variants: ['A', { name: 'B', weight: 0 }] });
    expect(variantOf(42)).toBeUndefined();
    expect(rollout.decideSync('foobar', 42)).toMatchObject({ enabled: false, reason: 'DEFAULT' });
  });

  it('gives the default variant, where there is one, and disables again', async () => {
    await rollout.update('foobar', { defaultVariant: 'B' });
    expect(shareOf('B')).toBe(1);
    await rollout.update('foobar', { defaultVariant: undefined });
    expect(shareOf(undefined)).toBe(1);
  });

  it('rolls variant A out to 10%', async () => {
    await rollout.setPercentage('foobar', 10);
    // Within five standard deviations of chance.
    expect(Math.abs(shareOf('A') - 0.1)).toBeLessThan(0.0107);
    expect(shareOf('A') + shareOf(undefined)).toBe(1);
  });

  it('covers everyone at 100%, nobody at 0%, and reshuffles none of those in between', async () => {
    const inAt10 = subjects.filter((subject) => variantOf(subject) === 'A');
    await rollout.setPercentage('foobar', 100);
    expect(shareOf('A')).toBe(1);
    await rollout.setPercentage('foobar', 30);
    expect(inAt10.filter((subject) => variantOf(subject) !== 'A')).toEqual([]);
    await rollout.setPercentage('foobar', 0);
    expect(shareOf('A')).toBe(0);
    await rollout.setPercentage('foobar', 10);
    expect(subjects.filter((subject) => variantOf(subject) === 'A')).toEqual(inAt10);
  });

  it('rolls out to a tenth of the weight of all subjects, which buckets share', async () => {
    const weighted = new Rollout();
    const random = seeded(1);
    const weights = new Map(
      subjects.slice(0, 100).map((id) => [id, 1 + Math.floor(10 * random())]),
    );
    await weighted.population.increaseBuckets(10);
    await weighted.population.register(weights);
    await weighted.addFeature('foobar', {
      bucketing: 'population',
      percentage: 10,
      variants: ['A', { name: 'B', weight: 0 }],
    });
    const inside = () =>
      [...weights].filter(([id]) => weighted.decideSync('foobar', id).variant === 'A');
    const weightOf = (some: (readonly [id: number, weight: number])[]) =>
      some.reduce((sum, [, weight]) => sum + weight, 0);
    const total = await weighted.population.weight();
    expect(total).toBe(weightOf([...weights]));
    // Whole buckets: the heaviest subject is the most by which one can differ from another.
    expect(Math.abs(weightOf(inside()) - total / 10)).toBeLessThanOrEqual(10);
    const first = inside();
    await weighted.setPercentage('foobar', 30);
    const more = new Set(inside().map(([id]) => id));
    expect(first.filter(([id]) => !more.has(id))).toEqual([]);
    expect(Math.abs(weightOf(inside()) - 0.3 * total)).toBeLessThanOrEqual(10);
    await weighted.setPercentage('foobar', 100);
    expect(inside()).toHaveLength(100);
    await weighted.setPercentage('foobar', 0);
    expect(inside()).toEqual([]);
    await weighted.close();
  });

  it('changes the variant that is rolled out', async () => {
    const inBefore = subjects.filter((subject) => variantOf(subject) === 'A');
    await rollout.update('foobar', { variants: [{ name: 'A', weight: 0 }, 'B'] });
    expect(subjects.filter((subject) => variantOf(subject) === 'B')).toEqual(inBefore);
    await rollout.update('foobar', { variants: ['A', { name: 'B', weight: 0 }] });
  });

  it('gives a group of friends another variant, whatever the rollout says', async () => {
    await rollout.addToGroup('friends', 42);
    await rollout.overrideGroup('foobar', 'friends', 'B');
    expect(variantOf(42)).toBe('B');
    expect(shareOf('B')).toBe(1 / subjects.length);
  });

  it('tests B on a fifth of all for some days, the rollout having no effect meanwhile', async () => {
    const test: ExperimentSettings = {
      from: '2024-04-01T00:00:00Z',
      until: '2024-04-12T00:00:00Z',
      arms: [
        { name: 'control', proportion: 0.8, features: { foobar: false } },
        { name: 'experiment', proportion: 0.2, features: { foobar: 'B' } },
      ],
    };
    await rollout.addExperiment('my_test', test);
    const concurrent = { ...test, from: '2024-04-11T00:00:00Z', until: '2024-04-20T00:00:00Z' };
    await expect(rollout.addExperiment('another', concurrent)).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
    });
    const before = shareOf('A');
    expect(before).toBeGreaterThan(0.08);

    now = START;
    expect(shareOf('A')).toBe(0);
    // Within five standard deviations, and friend 42.
    expect(Math.abs(shareOf('B') - 0.2)).toBeLessThan(0.0143);
    expect(variantOf(42)).toBe('B');

    now = END - 1;
    expect(shareOf('A')).toBe(0);

    now = END;
    expect(shareOf('A')).toBe(before);
    expect(variantOf(42)).toBe('B');
  });

  it('has this order: none, default variant, rollout, test, override', async () => {
    now = START;
    const inArm = (enabled: boolean) =>
      subjects.find((subject) => {
        const decision = rollout.decideSync('foobar', subject);
        return decision.experiment === 'my_test' && decision.enabled === enabled;
      }) as number;
    const [tested, control] = [inArm(true), inArm(false)];
    await rollout.update('foobar', { defaultVariant: 'A', percentage: 100 });
    expect([variantOf(42), variantOf(tested), variantOf(control)]).toEqual(['B', 'B', undefined]);
    now = END;
    expect([variantOf(42), variantOf(tested), variantOf(control)]).toEqual(['B', 'A', 'A']);
    await rollout.update('foobar', { percentage: 0, defaultVariant: 'B' });
    expect([variantOf(42), variantOf(tested), variantOf(control)]).toEqual(['B', 'B', 'B']);
    await rollout.update('foobar', { defaultVariant: undefined });
    expect([variantOf(42), variantOf(tested), variantOf(control)]).toEqual([
      'B',
      undefined,
      undefined,
    ]);
  });
});
