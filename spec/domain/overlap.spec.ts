import type { Feature } from '../../lib/domain/feature.js';
import { type Cohort, cohortsOf, overlapsIn } from '../../lib/domain/overlap.js';
import { createFeature, type FeatureSettings } from '../../lib/domain/validate.js';

const NOW = Date.parse('2026-01-01T00:00:00Z');
const feature = (name: string, settings: FeatureSettings): Feature =>
  createFeature(name, name, settings);
const found = (...features: Feature[]) =>
  overlapsIn(cohortsOf(features, NOW)).map(({ names, shares, shared, byChance }) => [
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
    ) as [Cohort, Cohort];
    // Of so many of 100 words the same ids, of the others independent ones.
    const mixed = (same: number): Cohort => {
      const bits = other.bits.map((word, at) =>
        at % 100 < same ? (half.bits[at] as number) : word,
      );
      return { ...other, bits };
    };
    expect(overlapsIn([half, mixed(30)])).toEqual([]);
    expect(overlapsIn([half, mixed(70)])).toHaveLength(1);
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
      ['a', 'b', 0.5, 0.05, 0.05, 0.02],
    ]);
  });
});
