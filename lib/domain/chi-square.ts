/**
 * The probability that a chi-square variable with so many degrees of freedom is at least `x`: the
 * regularized incomplete gamma function Q(degrees / 2, x / 2), by its series below `a + 1` and by
 * Lentz's continued fraction above (NIST DLMF 8.11.4 and 8.9.2).
 */
export function chiSquareTail(x: number, degrees: number): number {
  const a = degrees / 2;
  const half = x / 2;
  if (half <= 0) return 1;
  const front = Math.exp(-half + a * Math.log(half) - logGamma(a));
  return half < a + 1 ? 1 - front * series(a, half) : front * fraction(a, half);
}

/** Relative. */
const PRECISION = 1e-15;
const MOST_TERMS = 100_000;

function series(a: number, x: number): number {
  let term = 1 / a;
  let sum = term;
  for (let n = 1; n < MOST_TERMS && term > sum * PRECISION; n++) {
    term *= x / (a + n);
    sum += term;
  }
  return sum;
}

function fraction(a: number, x: number): number {
  let b = x + 1 - a;
  let c = Number.MAX_VALUE;
  let d = 1 / b;
  let value = d;
  for (let n = 1; n < MOST_TERMS; n++) {
    const factor = -n * (n - a);
    b += 2;
    d = 1 / (factor * d + b);
    c = b + factor / c;
    value *= d * c;
    if (Math.abs(d * c - 1) < PRECISION) break;
  }
  return value;
}

/** Of a multiple of one half from one half on: by its recurrence from Γ(1/2) = √π or Γ(1) = 1. */
function logGamma(a: number): number {
  let at = a % 1 === 0 ? 1 : 0.5;
  let log = a % 1 === 0 ? 0 : Math.log(Math.PI) / 2;
  for (; at < a; at++) log += Math.log(at);
  return log;
}
