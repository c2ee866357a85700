import fc from 'fast-check';

/** Checks a property on random input; a failure prints the seed and the path to repeat it. */
export function property<Values extends [unknown, ...unknown[]]>(
  ...args: Parameters<typeof fc.property<Values>>
): void {
  fc.assert(fc.property<Values>(...args));
}
