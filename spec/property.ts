import fc from 'fast-check';

type Property = <Values extends [unknown, ...unknown[]]>(
  ...args: [
    ...arbitraries: { [Key in keyof Values]: fc.Arbitrary<Values[Key]> },
    predicate: (...values: Values) => void,
  ]
) => void;

/** Checks a property on random input; a failure prints the seed and the path to repeat it. */
export const holds: Property = (...args) => {
  fc.assert(fc.property(...(args as unknown as Parameters<typeof fc.property<[unknown]>>)));
};

/** Percentages as documents may have them: 0 to 100 with up to four decimals. */
export const percentages = fc.integer({ min: 0, max: 1_000_000 }).map((parts) => parts / 10_000);

/** Ids of all kinds: any well-formed, non-empty text. */
export const ids = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 });

/** A seed for what is drawn in bulk, where fast-check would be slow: printed by the failing test. */
export function seeded(seed: number): () => number {
  // Mulberry32.
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Pearson's statistic of observed against expected counts. Compare it with the quantile for one
 * degree of freedom less than there are counts.
 */
export function chiSquare(observed: readonly number[], expected: readonly number[]): number {
  return observed.reduce((sum, count, at) => {
    const wanted = expected[at] as number;
    return sum + (count - wanted) ** 2 / wanted;
  }, 0);
}
