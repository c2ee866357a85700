import { crc32, hash, saltOf } from './bucketing.js';

/** What a percentage over a population is to be, and what it was. */
export interface Wanted {
  /** The feature's: by it and a bucket's name goes the order in which buckets are taken. */
  readonly name: string;
  readonly percentage: number;
  /** What it was before; undefined where it went by something else, or there was no feature. */
  readonly before:
    | { readonly percentage: number; readonly buckets: readonly string[] | undefined }
    | undefined;
}

/**
 * Sums of whole weights up to this are told apart. Buckets of weights that are whole numbers, or
 * multiples of one number, with at most so many of it in all, are chosen exactly.
 */
const STEPS = 2 ** 18;

/** How many choices are compared by their true weights where the weights had to be rounded. */
const TRIES = 64;

/**
 * The buckets of a percentage, in the order of `weights`: those whose weight comes nearest its share
 * of all that is assigned. A higher percentage than before only takes on buckets, a lower one only
 * gives some back, and the same one does whichever brings it nearer. Of what comes equally near,
 * what moves less weight; then the first by a hash of bucket and feature, so that two features have
 * different buckets. Nobody and everybody (0 and 100) need none.
 *
 * While no weight is assigned, each bucket counts alike; else one that is empty is left as it is.
 * Exact up to STEPS; beyond, weights are rounded to 1/STEPS of those that can move, and what is
 * chosen is at most n/STEPS of these farther off than the nearest, of n buckets that can move.
 */
export function bucketsFor(
  { name, percentage, before }: Wanted,
  weights: ReadonlyMap<string, number>,
): readonly string[] {
  if (percentage === 0 || percentage === 100) return [];
  const isEmpty = Array.from(weights.values()).every((weight) => weight === 0);
  const weightOf = (bucket: string) => (isEmpty ? 1 : (weights.get(bucket) as number));
  const sumOf = (buckets: readonly string[]) =>
    buckets.reduce((sum, bucket) => sum + weightOf(bucket), 0);
  const all = [...weights.keys()];
  const had = before?.percentage === 100 ? all : (before?.buckets ?? []);
  const taken = new Set(had.filter((bucket) => weights.has(bucket)));
  const wanted = (sumOf(all) * percentage) / 100;
  const lacking = wanted - sumOf([...taken]);
  const from = before?.percentage ?? 0;
  const isAdding = lacking > 0;
  if (isAdding ? percentage < from : percentage > from) return all.filter((it) => taken.has(it));
  const inOrder = byHash(name, all);
  const movable = (
    isAdding
      ? inOrder.filter((it) => !taken.has(it))
      : inOrder.filter((it) => taken.has(it)).reverse()
  ).filter((bucket) => weightOf(bucket) > 0);
  for (const at of nearest(movable.map(weightOf), Math.abs(lacking))) {
    const bucket = movable[at] as string;
    if (isAdding) taken.add(bucket);
    else taken.delete(bucket);
  }
  return all.filter((bucket) => taken.has(bucket));
}

function byHash(name: string, buckets: readonly string[]): string[] {
  const salt = saltOf(`${name}/bucket`);
  const places = new Map(buckets.map((each) => [each, hash(crc32(each), salt) >>> 0]));
  return buckets.toSorted(
    (one, other) => (places.get(one) as number) - (places.get(other) as number),
  );
}

/**
 * The places of those weights (above 0) whose sum comes nearest `wanted`: of equally near ones the
 * smaller sum, and of equal sums that which has the first weights that it can have.
 */
function nearest(weights: readonly number[], wanted: number): readonly number[] {
  const { whole, step, isExact } = inWholes(weights);
  const sums = new Sums(whole, wanted / step);
  const found = sums.near(isExact ? 1 : TRIES).map((sum) => {
    const places = sums.places(sum);
    const weight = places.reduce((total, at) => total + (weights[at] as number), 0);
    return { places, weight, off: Math.abs(weight - wanted) };
  });
  found.sort((one, other) => one.off - other.off || one.weight - other.weight);
  return found[0]?.places ?? [];
}

/** The weights as multiples of a unit, rounded where they are too many. */
function inWholes(weights: readonly number[]) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const unit = weights.every(Number.isSafeInteger) ? weights.reduce(commonDivisor, 0) : Number.NaN;
  const isExact = total / unit <= STEPS;
  const step = isExact ? unit : total / STEPS;
  return { whole: weights.map((weight) => Math.round(weight / step)), step, isExact };
}

function commonDivisor(one: number, other: number): number {
  return other === 0 ? one : commonDivisor(other, one % other);
}

/** The sums that some of these weights have together. */
class Sums {
  /** The highest that is looked at: without one of its weights, whatever is beyond is below `wanted`. */
  private readonly highest: number;
  /** A bit for each sum, set where it can be had. */
  private readonly bits: Uint32Array;
  /** Of each sum that can be had, from which place on the weights suffice for it. */
  private readonly from: Uint16Array;

  constructor(
    private readonly weights: readonly number[],
    private readonly wanted: number,
  ) {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    this.highest = Math.min(total, Math.ceil(wanted) + Math.max(0, ...weights));
    this.bits = new Uint32Array((this.highest >>> 5) + 1);
    this.bits[0] = 1;
    this.from = new Uint16Array(32 * this.bits.length);
    this.from[0] = weights.length;
    let reached = 0;
    for (let place = weights.length - 1; place >= 0; place--) {
      reached = Math.min(this.highest, reached + (weights[place] as number));
      this.take(place, reached >>> 5);
    }
  }

  /** So many that are nearest to what is wanted on either side of it, as far as there are. */
  near(count: number): number[] {
    const middle = Math.min(this.highest, Math.floor(this.wanted));
    const found: number[] = [];
    for (let sum = middle, left = count; sum >= 0 && left > 0; sum--) {
      if (!this.has(sum)) continue;
      found.push(sum);
      left--;
    }
    for (let sum = middle + 1, left = count; sum <= this.highest && left > 0; sum++) {
      if (!this.has(sum)) continue;
      found.push(sum);
      left--;
    }
    return found;
  }

  /** The places of weights that have this sum: the first ones with which that is possible. */
  places(sum: number): number[] {
    const places: number[] = [];
    let left = sum;
    for (let place = 0; left > 0; place++) {
      const rest = left - (this.weights[place] as number);
      const isPossible = rest >= 0 && rest < left && this.has(rest);
      if (!isPossible || (this.from[rest] as number) <= place) continue;
      places.push(place);
      left = rest;
    }
    return places;
  }

  private has(sum: number): boolean {
    return (((this.bits[sum >>> 5] as number) >>> (sum & 31)) & 1) === 1;
  }

  /** Each sum can be had with this weight on top, too: 32 of them at a time, the highest first. */
  private take(place: number, last: number): void {
    const { bits, from } = this;
    const weight = this.weights[place] as number;
    const words = weight >>> 5;
    const shift = weight & 31;
    for (let at = last; at >= words; at--) {
      const low = at > words && shift > 0 ? (bits[at - words - 1] as number) >>> (32 - shift) : 0;
      let fresh = (((bits[at - words] as number) << shift) | low) & ~(bits[at] as number);
      if (fresh === 0) continue;
      bits[at] = (bits[at] as number) | fresh;
      for (; fresh !== 0; fresh &= fresh - 1) {
        from[32 * at + 31 - Math.clz32(fresh & -fresh)] = place;
      }
    }
  }
}
