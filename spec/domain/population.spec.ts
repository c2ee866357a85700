import fc from 'fast-check';
import { bucketsFor } from '../../lib/domain/population.js';
import { holds, percentages, seeded } from '../property.js';

const named = (weights: readonly number[]) =>
  new Map(weights.map((weight, at) => [String(at), weight]));
const weightOf = (buckets: Iterable<string>, weights: ReadonlyMap<string, number>) =>
  [...buckets].reduce((sum, bucket) => sum + (weights.get(bucket) as number), 0);
const first = (percentage: number, weights: ReadonlyMap<string, number>, name = 'f') =>
  bucketsFor({ name, percentage, before: undefined }, weights);

const between = percentages.filter((each) => each > 0 && each < 100);
const few = fc.array(fc.nat(50), { minLength: 1, maxLength: 12 });
// Where some sets come equally near.
const even = fc.constantFrom(10, 12.5, 25, 50, 75);
const states = fc.record({
  weights: few,
  taken: fc.array(fc.nat(11), { maxLength: 12 }),
  from: fc.oneof(fc.constantFrom(0, 100), even, between),
  to: fc.oneof(even, between),
});

/** Every set of buckets that a change may end in: what it has, and more or less of it. */
function reachable(all: readonly string[], taken: ReadonlySet<string>, from: number, to: number) {
  const sets: string[][] = [];
  for (let mask = 0; mask < 2 ** all.length; mask++) {
    const set = all.filter((_, at) => (mask >> at) & 1);
    const keeps = [...taken].every((bucket) => set.includes(bucket));
    const adds = set.some((bucket) => !taken.has(bucket));
    if ((to >= from && keeps) || (to <= from && !adds)) sets.push(set);
  }
  return sets;
}

describe('the buckets of a percentage', () => {
  it('come as near to its share of the weight as any that can be reached, by the least moved', () => {
    holds(states, ({ weights: list, taken, from, to }) => {
      const weights = named(list);
      const all = [...weights.keys()];
      const had = new Set(from === 0 ? [] : from === 100 ? all : taken.map(String));
      const known = new Set([...had].filter((bucket) => weights.has(bucket)));
      const before = { percentage: from, buckets: from === 100 ? [] : [...had] };
      const chosen = bucketsFor({ name: 'f', percentage: to, before }, weights);

      // Where nobody is there, each counts alike.
      const counted = list.some((weight) => weight > 0) ? weights : named(list.map(() => 1));
      const wanted = (weightOf(all, counted) * to) / 100;
      const off = (set: readonly string[]) => Math.abs(weightOf(set, counted) - wanted);
      const moved = (set: readonly string[]) =>
        Math.abs(weightOf(set, counted) - weightOf(known, counted));
      const sets = reachable(all, known, from, to);
      const least = Math.min(...sets.map(off));
      expect(off(chosen)).toBeCloseTo(least, 9);
      const near = sets.filter((set) => off(set) < least + 1e-9);
      expect(moved(chosen)).toBeCloseTo(Math.min(...near.map(moved)), 9);
      expect(sets).toContainEqual(chosen);
    });
  });

  it('are only added to by a higher one, and only taken from by a lower one, whoever came meanwhile', () => {
    const steps = fc.array(
      fc.record({
        percentage: percentages,
        weights: fc.array(fc.nat(1_000), { minLength: 30, maxLength: 30 }),
      }),
      { minLength: 2, maxLength: 8 },
    );
    holds(steps, (path) => {
      let before: Parameters<typeof bucketsFor>[0]['before'];
      for (const { percentage, weights: list } of path) {
        const weights = named(list);
        const all = [...weights.keys()];
        const inBy = (share: typeof before) =>
          new Set(share?.percentage === 100 ? all : share?.percentage === 0 ? [] : share?.buckets);
        const buckets = bucketsFor({ name: 'f', percentage, before }, weights);
        const now = { percentage, buckets };
        const [was, is] = [inBy(before), inBy(now)];
        if (percentage >= (before?.percentage ?? 0) && percentage !== before?.percentage) {
          for (const bucket of was) expect(is).toContain(bucket);
        } else if (percentage !== before?.percentage) {
          for (const bucket of is) expect(was).toContain(bucket);
        }
        before = now;
      }
    });
  });

  it('are none for nobody and for everybody', () => {
    for (const percentage of [0, 100]) {
      expect(first(percentage, named([1, 2, 3]))).toEqual([]);
      const before = { percentage: 50, buckets: ['0', '2'] };
      expect(bucketsFor({ name: 'f', percentage, before }, named([1, 2, 3]))).toEqual([]);
    }
  });

  it('are as many as the percentage says while nobody is registered', () => {
    expect(first(30, named(Array(10).fill(0)))).toHaveLength(3);
    expect(first(1, named([]))).toEqual([]);
  });

  it('stay the ones that were chosen, whatever the machine', () => {
    const even = named(Array(20).fill(5));
    expect(first(20, even, 'chat')).toEqual(['0', '4', '8', '11']);
    expect(first(33.3333, named([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]), 'chat')).toEqual([
      '0',
      '1',
      '3',
      '4',
      '8',
    ]);
  });

  it('leave empty ones alone', () => {
    const weights = named([0, 10, 0, 10, 0]);
    expect(weightOf(first(50, weights), weights)).toBe(10);
    expect(first(50, weights)).toHaveLength(1);
    const before = { percentage: 60, buckets: ['0', '1', '3'] };
    expect(bucketsFor({ name: 'f', percentage: 50, before }, weights)).toContain('0');
  });

  it('are moved by the same percentage said again, to what is nearest by then', () => {
    const before = { percentage: 50, buckets: ['0', '1'] };
    const said = (list: readonly number[]) =>
      bucketsFor({ name: 'f', percentage: 50, before }, named(list));
    expect(said([10, 10, 10, 10])).toEqual(['0', '1']);
    expect(said([10, 10, 10, 10, 20])).toHaveLength(3);
    expect(said([10, 30, 10, 10])).toEqual(['1']);
    // As near as now is no reason to move anybody.
    expect(said([10, 10, 10])).toEqual(['0', '1']);
  });

  it('forget those that are there no more', () => {
    const before = { percentage: 50, buckets: ['0', '7'] };
    expect(bucketsFor({ name: 'f', percentage: 50, before }, named([5, 5]))).toEqual(['0']);
  });

  it('are others for another feature: what two of them share is what chance gives', () => {
    const random = seeded(7);
    for (const weight of [() => 1_000, () => 990 + Math.floor(20 * random())]) {
      const weights = named(Array.from({ length: 100 }, weight));
      const features = Array.from({ length: 200 }, (_, n) => first(10, weights, `feature-${n}`));
      const uses = new Map([...weights.keys()].map((bucket) => [bucket, 0]));
      for (const buckets of features) {
        expect(
          Math.abs(weightOf(buckets, weights) - weightOf(weights.keys(), weights) / 10),
        ).toBeLessThan(1);
        for (const bucket of buckets) uses.set(bucket, (uses.get(bucket) as number) + 1);
      }
      // 20 on average, by a binomial distribution of 200 draws at a tenth: its deviation is 4.2.
      const square = [...uses.values()].reduce((sum, n) => sum + (n - 20) ** 2, 0) / 100;
      expect(Math.sqrt(square)).toBeGreaterThan(2.5);
      expect(Math.sqrt(square)).toBeLessThan(6);
      let shared = 0;
      for (let n = 1; n < 200; n++) {
        const one = new Set(features[n - 1]);
        shared += (features[n] as string[]).filter((bucket) => one.has(bucket)).length;
      }
      // One on average.
      expect(shared / 199).toBeGreaterThan(0.7);
      expect(shared / 199).toBeLessThan(1.3);
    }
  });

  it('are within their bound of the nearest, of weights of all sizes', () => {
    const weight = fc.double({ min: 1e-6, max: 1e9, noNaN: true });
    holds(fc.array(weight, { minLength: 1, maxLength: 12 }), between, (list, percentage) => {
      const weights = named(list);
      const total = weightOf(weights.keys(), weights);
      const off = (set: readonly string[]) =>
        Math.abs(weightOf(set, weights) - (total * percentage) / 100);
      const sets = reachable([...weights.keys()], new Set(), 0, percentage);
      const bound = (list.length / 2 ** 18) * total;
      expect(off(first(percentage, weights))).toBeLessThanOrEqual(
        Math.min(...sets.map(off)) + bound,
      );
    });
  });

  it('are much nearer than that where there are a thousand', () => {
    const random = seeded(11);
    const weights = named(Array.from({ length: 1_000 }, () => 1_000 * (1 + random())));
    const total = weightOf(weights.keys(), weights);
    for (const percentage of [0.1, 3, 17.5, 50, 99]) {
      const off = weightOf(first(percentage, weights), weights) - (total * percentage) / 100;
      expect(Math.abs(off) / total).toBeLessThan(2e-5);
    }
  });

  it('are exact where weights have a large divisor', () => {
    const random = seeded(3);
    const weights = named(Array.from({ length: 12 }, () => 1e6 * (1 + Math.floor(40 * random()))));
    const small = new Map([...weights].map(([bucket, weight]) => [bucket, weight / 1e6]));
    for (let percentage = 1; percentage < 100; percentage++) {
      expect(first(percentage, weights)).toEqual(first(percentage, small));
    }
  });
});
