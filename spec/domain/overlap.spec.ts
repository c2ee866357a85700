import type { Bucketing, Feature } from '../../lib/domain/feature.js';
import { type Cohort, cohortsOf, overlapsIn } from '../../lib/domain/overlap.js';
import { createFeature, type FeatureSettings } from '../../lib/domain/validate.js';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const feature = (name: string, settings: FeatureSettings): Feature =>
  createFeature(name, name, settings);
const found = (...features: Feature[]) =>
  overlapsIn(cohortsOf(features, NOW))
    .found.flatMap(({ farthest }) => farthest)
    .map(({ names, shares, shared, byChance }) => [
      ...names,
      ...[...shares, shared, byChance].map((each) => Number(each.toFixed(2))),
    ]);

describe('the overlap of cohorts', () => {
  it('is all of the smaller one, of two that go by the same residues', () => {
    expect(found(feature('a', { percentage: 20 }), feature('b', { percentage: 50 }))).toEqual([
      ['a', 'b', 0.2, 0.5, 0.2, 0.1],
    ]);
    expect(found(feature('a', { percentage: 1 }), feature('b', { percentage: 1 }))).toHaveLength(1);
    const hanoi = feature('b', { percentage: 30, bucketing: 'hanoi' });
    expect(found(feature('a', { percentage: 5 }), hanoi)).toHaveLength(1);
  });

  it('is what chance gives, of two that are independent', () => {
    const many = Array.from({ length: 40 }, (_, n) =>
      feature(`f${n}`, { percentage: 1 + n * 2, bucketing: 'independent' }),
    );
    expect(found(...many)).toEqual([]);
    // It is not for want of looking.
    const looked = cohortsOf(many, NOW).map((each) => ({ ...each, isIndependent: false }));
    expect(overlapsIn(looked).found).toEqual([]);
    expect(found(feature('a', { percentage: 50 }), many[20] as Feature)).toEqual([]);
  });

  it('is not told where it can hardly be told from chance', () => {
    expect(found(feature('a', { percentage: 1 }), feature('b', { percentage: 90 }))).toEqual([]);
    expect(found(feature('a', { percentage: 5 }), feature('b', { percentage: 90 }))).toHaveLength(
      1,
    );
  });

  it('is not told where less than half of what is possible is more than chance', () => {
    const [half, other] = cohortsOf(
      [
        feature('a', { percentage: 50, bucketing: 'independent' }),
        feature('b', { percentage: 50, bucketing: 'independent' }),
      ],
      NOW,
    ).map((each) => ({ ...each, isIndependent: false })) as [Cohort, Cohort];
    const halves = half.bits();
    // Of so many of 100 words the same ids, of the others independent ones.
    const mixed = (same: number): Cohort => {
      const bits = other
        .bits()
        .map((word, at) => (at % 100 < same ? (halves[at] as number) : word));
      return { ...other, bits: () => bits };
    };
    expect(overlapsIn([half, mixed(30)]).found).toEqual([]);
    expect(overlapsIn([half, mixed(70)]).found).toHaveLength(1);
  });

  // With the CRC-32 of id and name, a name of the same length shifts all ids by one constant.
  it('is all or nothing for names of the gem that only differ in one bit', () => {
    const gem = (name: string) =>
      feature(name, { percentage: 25, bucketing: 'rollout-gem-randomized' });
    const shared = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].flatMap((one, at, all) =>
      all.slice(at + 1).map((other) => found(gem(one), gem(other))[0]?.[4]),
    );
    expect(shared).toEqual(expect.arrayContaining([0.25, 0]));
    expect(shared.every((each) => each === 0.25 || each === 0)).toBe(true);
  });

  it.each<[string, FeatureSettings]>([
    ['is disabled', { percentage: 20, enabled: false }],
    ['is on for everyone', { percentage: 100 }],
    ['is on for nobody', { percentage: 0 }],
    ['goes by accounts', { percentage: 20, subjectKey: 'account' }],
    ['goes by a population', { percentage: 20, bucketing: 'population' }],
    [
      'has a ramp to come',
      { percentage: { points: [{ at: '2026-02-01T00:00:00Z', percentage: 5 }] } },
    ],
  ])('is none of one that %s', (_, settings) => {
    expect(found(feature('a', { percentage: 50 }), feature('b', settings))).toEqual([]);
  });

  it('goes by where a ramp is', () => {
    const ramp = { points: [{ at: '2025-02-01T00:00:00Z', percentage: 5 }] };
    expect(found(feature('a', { percentage: 50 }), feature('b', { percentage: ramp }))).toEqual([
      ['b', 'a', 0.05, 0.5, 0.05, 0.02],
    ]);
  });

  it('is that of each two, of many of every kind', () => {
    const kinds: Bucketing[] = [
      'modulo',
      'hanoi',
      'independent',
      'rollout-gem',
      'rollout-gem-randomized',
      'slowroll',
      'pyrollout',
      'pyrollout-randomized',
    ];
    const many = Array.from({ length: 24 }, (_, n) => {
      const percentage = [0.001, 1, 2, 7.25, 10, 33, 50, 50, 81, 99][(n * 7) % 10] as number;
      const subjectKey = n % 5 === 0 ? { subjectKey: 'account' } : {};
      const bucketing = kinds[n % 8] as Bucketing;
      return feature(`f${n}`, { percentage, bucketing, ...subjectKey });
    });
    const pairs = many.flatMap((one, at) =>
      many.slice(at + 1).filter((other) => found(one, other).length > 0),
    );
    const { found: together, uncompared } = overlapsIn(cohortsOf(many, NOW));
    expect(together.reduce((sum, each) => sum + each.pairs, 0)).toBe(pairs.length);
    expect(pairs.length).toBeGreaterThan(10);
    expect(uncompared).toBe(0);
    // A feature is in one of them at most.
    const names = together.flatMap((each) => each.names);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each<[string, (n: number) => FeatureSettings, [least: number, most: number]]>([
    ['a hundred percentages', (n) => ({ percentage: 1 + (n % 99) }), [20_000, 20_000]],
    // The smallest let in too few to be told from chance.
    ['as many percentages', (n) => ({ percentage: (n + 1) / 250 }), [19_000, 20_000]],
    ['one each', () => ({ percentage: 50, bucketing: 'independent' }), [0, 0]],
  ])('is found soon among 20,000 features of %s', (_, settings, [least, most]) => {
    const many = Array.from({ length: 20_000 }, (__, n) => feature(`f${n}`, settings(n)));
    const begun = performance.now();
    const { found: together, uncompared } = overlapsIn(cohortsOf(many, NOW));
    expect(performance.now() - begun).toBeLessThan(10_000);
    const { length } = together.flatMap(({ names }) => names);
    expect(length).toBeGreaterThanOrEqual(least);
    expect(length).toBeLessThanOrEqual(most);
    expect(uncompared).toBe(0);
  });

  it('says of how many it was not looked for, where too many choose each in an order of its own', () => {
    const gem = Array.from({ length: 20 }, (_, n) =>
      feature(`f${n}`, { percentage: 10, bucketing: 'rollout-gem-randomized' }),
    );
    const modulo = ['a', 'b', 'c'].map((name) => feature(name, { percentage: 20 }));
    const cohorts = cohortsOf([...gem, ...modulo], NOW);
    // That of three features comes first, and with five others there are 1 + 2 + … + 5 pairs.
    const { found: together, uncompared } = overlapsIn(cohorts, 15);
    expect(uncompared).toBe(15);
    expect(together).toContainEqual(expect.objectContaining({ names: ['a', 'b', 'c'], pairs: 3 }));
    expect(overlapsIn(cohorts).uncompared).toBe(0);
  });
});
