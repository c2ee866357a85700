import { admits, crc32, orderOf, type Share, shareOf, thresholdUnder } from './bucketing.js';
import type { Feature } from './feature.js';
import { presentPercentage } from './ramp.js';

/** Features whose percentages let in the same ids of a fixed sample. */
export interface Cohort {
  readonly names: readonly string[];
  /** The attribute by which they go: ids of users and of accounts can't be compared. */
  readonly subjectKey: string | undefined;
  /** Cohorts of one order are within each other; they come one after the other, the smaller first. */
  readonly order: string;
  /** Whether its hash is mixed with the name, so that it meets those of other orders by chance. */
  readonly isIndependent: boolean;
  /** How many ids of the sample are in it. */
  count(): number;
  /** A bit for each id of the sample. */
  bits(): Uint32Array;
}

/** Two features whose percentages don't choose independently of each other. */
export interface Pair {
  readonly names: readonly [string, string];
  /** Of the sample, from 0 to 1: who is in each, who is in both, and how many would be by chance. */
  readonly shares: readonly [number, number];
  readonly shared: number;
  readonly byChance: number;
}

/** Features that hang together by such pairs. */
export interface Overlap {
  /** Sorted. */
  readonly names: readonly string[];
  /** How many of their pairs are far from chance. */
  readonly pairs: number;
  /** The farthest of them, eight at most. */
  readonly farthest: readonly Pair[];
}

export interface Overlaps {
  readonly found: readonly Overlap[];
  /** Of so many features the cohorts were too many to be compared with those of other orders. */
  readonly uncompared: number;
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

const MOST_NAMED = 8;

/** With the hashes that it takes, some two seconds. */
const MOST_COMPARED = 400_000;

/** Whole numbers, since one bucketing takes no others, spread over 32 bits; and their CRC-32. */
const IDS: string[] = [];
const CHECKSUMS = new Int32Array(SAMPLE);

/** A percentage of one order, and whose it is. */
interface Level {
  readonly threshold: number;
  readonly names: string[];
}

/** What has one order, for ids of one kind. */
interface Order {
  readonly name: string;
  readonly subjectKey: string | undefined;
  /** Of any of them: they differ in the threshold alone. */
  readonly share: Share;
  readonly levels: Map<number, Level>;
}

/** Of the features that are enabled and at a part, at `now` (Unix ms), and go by a hash of the id. */
export function cohortsOf(features: Iterable<Feature>, now: number): Cohort[] {
  const orders = new Map<string, Order>();
  for (const { name, enabled, percentage, bucketing, subjectKey } of features) {
    const present = presentPercentage(percentage, now);
    // Which buckets of a population are taken was drawn when it was written.
    if (!enabled || present <= 0 || present >= 100 || bucketing === 'population') continue;
    const order = orderOf(bucketing, name);
    const key = JSON.stringify([order, subjectKey]);
    const share = shareOf(present, bucketing, name);
    const { levels } = gotOrPut(
      orders,
      key,
      (): Order => ({ name: order, subjectKey, share, levels: new Map() }),
    );
    const threshold = thresholdUnder(bucketing, present);
    gotOrPut(levels, threshold, () => ({ threshold, names: [] })).names.push(name);
  }
  return [...orders.values()].flatMap(cohortsIn);
}

/** Nothing is counted before it is asked for: of most nobody needs to know. */
function cohortsIn({ name, subjectKey, share, levels }: Order): Cohort[] {
  const sorted = [...levels.values()].sort((one, other) => one.threshold - other.threshold);
  let found: Uint32Array | undefined;
  const entries = () => {
    found ??= entriesOf(share, sorted);
    return found;
  };
  let counts: Uint32Array | undefined;
  const countOf = (level: number) => {
    counts ??= countsOf(entries(), sorted.length);
    return counts[level] as number;
  };
  return sorted.map(({ names }, level) => ({
    ...{ names, subjectKey, order: name, isIndependent: share.kind === 'independent' },
    count: () => countOf(level),
    bits: () => bitsOf(entries(), level),
  }));
}

/** Of each id of the sample, the first of these levels at which it is in; their number where at none. */
function entriesOf(share: Share, levels: readonly Level[]): Uint32Array {
  if (IDS.length === 0) draw();
  const entries = new Uint32Array(SAMPLE);
  for (let at = 0; at < SAMPLE; at++) {
    const [id, checksum] = [IDS[at] as string, CHECKSUMS[at] as number];
    let [low, high] = [0, levels.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (admits(share, checksum, id, levels[middle]?.threshold)) high = middle;
      else low = middle + 1;
    }
    entries[at] = low;
  }
  return entries;
}

function draw(): void {
  for (let at = 0; at < SAMPLE; at++) {
    const id = String(Math.imul(at + 1, 2_654_435_761) >>> 0);
    IDS.push(id);
    CHECKSUMS[at] = crc32(id);
  }
}

/** How many are in at each level. */
function countsOf(entries: Uint32Array, levels: number): Uint32Array {
  const counts = new Uint32Array(levels + 1);
  for (const entry of entries) counts[entry] = (counts[entry] as number) + 1;
  for (let level = 1; level < levels; level++) {
    counts[level] = (counts[level] as number) + (counts[level - 1] as number);
  }
  return counts;
}

function bitsOf(entries: Uint32Array, level: number): Uint32Array {
  const bits = new Uint32Array(Math.ceil(SAMPLE / 32));
  for (let at = 0; at < SAMPLE; at++) {
    if ((entries[at] as number) > level) continue;
    bits[at >>> 5] = (bits[at >>> 5] as number) | (1 << (at & 31));
  }
  return bits;
}

/**
 * The features that share far more or far fewer than the product of their shares. At most so many
 * pairs of cohorts are compared id by id.
 */
export function overlapsIn(cohorts: readonly Cohort[], most: number = MOST_COMPARED): Overlaps {
  const orders = new Map<string, Cohort[]>();
  for (const cohort of cohorts) {
    gotOrPut(orders, keyOf(cohort), () => []).push(cohort);
  }
  const links: Link[] = [];
  for (const order of orders.values()) for (const link of linksWithin(order)) links.push(link);
  const dependent = cohorts.filter(({ isIndependent }) => !isIndependent);
  const { compared, left } = chosen(dependent, most);
  for (const link of linksAcross(compared)) links.push(link);
  return { found: joined(links), uncompared: left.flatMap(({ names }) => names).length };
}

/** As many as can be compared with those of other orders, those of the most features first. */
function chosen(cohorts: readonly Cohort[], most: number): { compared: Cohort[]; left: Cohort[] } {
  const sorted = [...cohorts].sort((one, other) => other.names.length - one.names.length);
  const [compared, left]: [Cohort[], Cohort[]] = [[], []];
  const ofKey = new Map<string | undefined, number>();
  const ofOrder = new Map<string, number>();
  let pairs = 0;
  for (const cohort of sorted) {
    const { subjectKey } = cohort;
    const key = keyOf(cohort);
    const own = ofOrder.get(key) ?? 0;
    const alike = ofKey.get(subjectKey) ?? 0;
    if (pairs + alike - own > most) {
      left.push(cohort);
      continue;
    }
    pairs += alike - own;
    compared.push(cohort);
    ofOrder.set(key, own + 1);
    ofKey.set(subjectKey, alike + 1);
  }
  return { compared, left };
}

/** Cohorts that hang together, or one whose features do. */
interface Link {
  readonly one: Cohort;
  readonly other: Cohort;
  /** How many pairs of features this stands for. */
  readonly pairs: number;
  /** Of all ids of the sample. */
  readonly shared: number;
  /** From chance, at 0, to all or nothing, at 1. */
  readonly strength: number;
}

/** Of cohorts that are within each other, the smaller first: what two share is the smaller one. */
function* linksWithin(order: readonly Cohort[]): Generator<Link> {
  if (order.length === 1 && order[0]?.names.length === 1) return;
  let first = 0;
  let features = 0;
  let singly = 0;
  for (const [at, other] of order.entries()) {
    // From one that is too small for it to be told from chance, all larger ones are too far.
    while (first < at && !linked(order[first] as Cohort, other)) {
      features -= (order[first] as Cohort).names.length;
      first++;
    }
    const own = other.names.length;
    let pairs = features * own + (own * (own - 1)) / 2;
    features += own;
    // The first ones each for itself, so that they can be named; the others together.
    for (let near = first; near <= at && singly < MOST_NAMED; near++) {
      const link = linked(order[near] as Cohort, other);
      if (link === undefined || link.pairs === 0) continue;
      singly++;
      pairs -= link.pairs;
      yield link;
    }
    const nearest = linked(order[Math.max(first, at - 1)] as Cohort, other);
    if (nearest !== undefined && pairs > 0) yield { ...nearest, pairs };
  }

  function linked(one: Cohort, other: Cohort): Link | undefined {
    return linkOf(one, other, one.count());
  }
}

/** Of cohorts of other orders, id by id. */
function* linksAcross(cohorts: readonly Cohort[]): Generator<Link> {
  const kinds = new Map<string | undefined, Cohort[]>();
  for (const cohort of cohorts) gotOrPut(kinds, cohort.subjectKey, () => []).push(cohort);
  for (const kind of kinds.values()) {
    if (kind.every(({ order }) => order === kind[0]?.order)) continue;
    const bits = kind.map((each) => each.bits());
    for (const [at, one] of kind.entries()) {
      for (let to = 0; to < at; to++) {
        const other = kind[to] as Cohort;
        if (one.order === other.order) continue;
        const both = inBoth(bits[at] as Uint32Array, bits[to] as Uint32Array);
        const link = linkOf(other, one, both);
        if (link !== undefined) yield link;
      }
    }
  }
}

/** Undefined where that many in both are near to chance. */
function linkOf(one: Cohort, other: Cohort, both: number): Link | undefined {
  const [a, b] = [one.count() / SAMPLE, other.count() / SAMPLE];
  // Nobody of the sample, or everybody.
  if (a * b === 0 || a === 1 || b === 1) return undefined;
  const shared = both / SAMPLE;
  const byChance = a * b;
  const excess = shared - byChance;
  const deviation = Math.sqrt((a * (1 - a) * b * (1 - b)) / SAMPLE);
  const most = excess > 0 ? Math.min(a, b) - byChance : byChance - Math.max(0, a + b - 1);
  const strength = Math.abs(excess) / most;
  if (Math.abs(excess) < DEVIATIONS * deviation || strength < PART) return undefined;
  const [own, others] = [one.names.length, other.names.length];
  const pairs = one === other ? (own * (own - 1)) / 2 : own * others;
  return { one, other, pairs, shared, strength };
}

interface Cluster {
  readonly cohorts: Cohort[];
  readonly links: Link[];
}

/** Those that hang together by any chain of links. */
function joined(links: readonly Link[]): Overlap[] {
  const clusters = new Map<Cohort, Cluster>();
  for (const link of links) {
    const of = (cohort: Cohort) =>
      gotOrPut(clusters, cohort, () => ({ cohorts: [cohort], links: [] }));
    const [one, other] = [of(link.one), of(link.other)];
    const [into, from] = one.cohorts.length < other.cohorts.length ? [other, one] : [one, other];
    into.links.push(link);
    if (into === from) continue;
    for (const cohort of from.cohorts) {
      into.cohorts.push(cohort);
      clusters.set(cohort, into);
    }
    for (const each of from.links) into.links.push(each);
  }
  return Array.from(new Set(clusters.values()), ({ cohorts, links: own }) => ({
    names: cohorts.flatMap(({ names }) => names).sort((one, other) => (one < other ? -1 : 1)),
    pairs: own.reduce((sum, { pairs }) => sum + pairs, 0),
    farthest: farthestOf(own),
  }));
}

function farthestOf(links: Link[]): Pair[] {
  const found: Pair[] = [];
  links.sort((one, other) => other.strength - one.strength);
  for (const { one, other, shared } of links) {
    const shares = [one.count() / SAMPLE, other.count() / SAMPLE] as const;
    for (const [at, name] of one.names.entries()) {
      for (const another of one === other ? one.names.slice(at + 1) : other.names) {
        found.push({ names: [name, another], shares, shared, byChance: shares[0] * shares[1] });
        if (found.length === MOST_NAMED) return found;
      }
    }
  }
  return found;
}

function keyOf({ order, subjectKey }: Pick<Cohort, 'order' | 'subjectKey'>): string {
  return JSON.stringify([order, subjectKey]);
}

function gotOrPut<Key, Value>(map: Map<Key, Value>, key: Key, made: () => Value): Value {
  const found = map.get(key);
  if (found !== undefined) return found;
  const value = made();
  map.set(key, value);
  return value;
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
