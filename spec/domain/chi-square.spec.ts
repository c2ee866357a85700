import { chiSquareTail } from '../../lib/domain/chi-square.js';

// Critical values: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4.
it.each([
  [1, 0.1, 2.706],
  [1, 0.05, 3.841],
  [1, 0.001, 10.828],
  [2, 0.05, 5.991],
  [2, 0.001, 13.816],
  [3, 0.001, 16.266],
  [9, 0.1, 14.684],
  [10, 0.001, 29.588],
  [50, 0.01, 76.154],
  [100, 0.001, 149.449],
  [100, 0.05, 124.342],
])('with %d degrees of freedom reaches %d at %d', (degrees, probability, x) => {
  // They are given to three decimals.
  expect(chiSquareTail(x - 0.0005, degrees)).toBeGreaterThanOrEqual(probability);
  expect(chiSquareTail(x + 0.0005, degrees)).toBeLessThanOrEqual(probability);
});

it('is what a formula gives where there is one', () => {
  for (let x = 0; x < 200; x += 0.37) {
    // With two degrees it is exponential.
    expect(chiSquareTail(x, 2) / Math.exp(-x / 2)).toBeCloseTo(1, 10);
    // With four: (1 + x / 2) times that.
    expect(chiSquareTail(x, 4) / ((1 + x / 2) * Math.exp(-x / 2))).toBeCloseTo(1, 10);
  }
});

it('goes from one to nothing', () => {
  for (const degrees of [1, 2, 7, 99]) {
    expect(chiSquareTail(0, degrees)).toBe(1);
    let last = 1;
    for (let x = 0.5; x < 1_000; x *= 1.3) {
      const tail = chiSquareTail(x, degrees);
      expect(tail).toBeLessThanOrEqual(last);
      expect(tail).toBeGreaterThanOrEqual(0);
      last = tail;
    }
    expect(last).toBeLessThan(1e-9);
  }
});
