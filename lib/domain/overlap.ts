import { admits, crc32, shareOf } from './bucketing.js';
import type { Feature } from './feature.js';
import { compileRamp, percentageAt } from './ramp.js';

/** Who of a fixed sample of ids a percentage lets in. */
export interface Cohort {
  readonly name: string;
  /** The attribute by which it goes: ids of users and of accounts can't be compared. */
  readonly subjectKey: string | undefined;
  /** A bit for each id. */
  readonly bits: Uint32Array;
  readonly count: number;
}

/** Two features whose percentages don't choose independently of each other. */
export interface Overlap {
  readonly names: readonly [string, string];
  /** Of the sample, from 0 to 1: who is in each, who is in both, and how many would be by chance. */
  readonly shares: readonly [number, number];
  readonly shared: number;
  readonly byChance: number;
}

/** At 1% it has 200 ids; then chance moves what two of 1% share by 0.007 points. */
const SAMPLE = 20_000;

/**
 * Far from chance: by so many of its standard deviations, and by so much of the way to all or none
 * of the smaller one. The first alone would find differences that matter to nobody; the second
 * alone, chance.
 */
const DEVIATIONS = 5;
const PART = 0.5;

/** Whole numbers, since one bucketing takes no others; spread over 32 bits. */
const IDS: string[] = [];

/** Of the features that are enabled and at a part, at `now` (Unix ms), and go by a hash of the id. */
export function cohortsOf(features: Iterable<Feature>, now: number): Cohort[] {
  if (IDS.length === 0) {
    for (let n = 1; n <= SAMPLE; n++) IDS.push(String(Math.imul(n, 2_654_435_761) >>> 0));
  }
  const checksums = IDS.map((id) => crc32(id));
  const cohorts: Cohort[] = [];
  for (const { name, enabled, percentage, bucketing, subjectKey } of features) {
    const present =
      typeof percentage === 'number' ? percentage : percentageAt(compileRamp(percentage), now);
    // Which buckets of a population are taken was drawn when it was written.
    if (!enabled || present <= 0 || present >= 100 || bucketing === 'population') continue;
    const share = shareOf(present, bucketing, name);
    const bits = new Uint32Array(Math.ceil(SAMPLE / 32));
    let count = 0;
    for (let at = 0; at < SAMPLE; at++) {
      if (!admits(share, checksums[at] as number, IDS[at] as string)) continue;
      bits[at >>> 5] = (bits[at >>> 5] as number) | (1 << (at & 31));
      count++;
    }
    cohorts.push({ name, subjectKey, bits, count });
  }
  return cohorts;
}

/** The pairs that share far more or far fewer than the product of their shares, the farthest first. */
export function overlapsIn(cohorts: readonly Cohort[]): Overlap[] {
  const found: (Overlap & { readonly strength: number })[] = [];
  for (const [at, one] of cohorts.entries()) {
    for (const other of cohorts.slice(at + 1)) {
      if (one.subjectKey !== other.subjectKey) continue;
      const [a, b] = [one.count / SAMPLE, other.count / SAMPLE];
      const shared = inBoth(one.bits, other.bits) / SAMPLE;
      const byChance = a * b;
      const excess = shared - byChance;
      const deviation = Math.sqrt((a * (1 - a) * b * (1 - b)) / SAMPLE);
      const most = excess > 0 ? Math.min(a, b) - byChance : byChance - Math.max(0, a + b - 1);
      const strength = Math.abs(excess) / most;
      if (Math.abs(excess) < DEVIATIONS * deviation || strength < PART) continue;
      const names = [one.name, other.name] as const;
      found.push({ names, shares: [a, b], shared, byChance, strength });
    }
  }
  found.sort((one, other) => other.strength - one.strength);
  return found.map(({ strength: _, ...overlap }) => overlap);
}

function inBoth(one: Uint32Array, other: Uint32Array): number {
  let count = 0;
  for (let at = 0; at < one.length; at++)
    count += ones((one[at] as number) & (other[at] as number));
  return count;
}

/** How many bits of 32 are set. */
function ones(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
