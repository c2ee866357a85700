import { createHash } from 'node:crypto';
import crc from 'crc-32';
import type { Bucketing } from './feature.js';

const { str } = crc;

// Where a process has a class that extends String, as node-redis does, V8 (Node 20) stops inlining
// the methods of strings, and a CRC-32 takes three times as long. Reading a method off the
// prototype, so often that the read is cached, undoes that for good, before or after.
for (let reads = 0; reads < 100; reads++) readMethod();

function readMethod(): unknown {
  return String.prototype.charCodeAt;
}

/**
 * CRC-32 (ISO-HDLC, as zlib has it) of the text's UTF-8, as a signed 32-bit number: that is what V8
 * passes on without allocating. Where the value counts, it is read as unsigned (`>>> 0`).
 * With `before`, the checksum goes on from it: `crc32(b, crc32(a)) === crc32(a + b)`.
 * The text must be well-formed Unicode.
 */
export function crc32(text: string, before = 0): number {
  return str(text, before);
}

/** MurmurHash3's 32-bit finalizer: a bijection in which each bit of `h` reaches each bit of the result. */
function fmix32(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** The part of `hash` that depends on the salt alone: computed once a feature. */
export function saltOf(text: string): number {
  return fmix32(crc32(text));
}

/**
 * A 32-bit hash of an id, signed as a CRC-32 is, by the id's CRC-32 and a `saltOf`. CRC is affine: a salt put
 * before or behind the id would only shift all ids by one constant, and features would share their
 * users. Mixing after the CRC makes the choices of two salts independent.
 */
export function hash(idCrc: number, salt: number): number {
  return fmix32(idCrc ^ salt);
}

const PARTS = 1_000_000;
const HASHES = 2 ** 32;

/** `modulo`'s position, 0 to 999,999: its whole percents are exactly `CRC-32 % 100`. */
function moduloPosition(idCrc: number): number {
  const unsigned = idCrc >>> 0;
  return (unsigned % 100) * 10_000 + (Math.floor(unsigned / 100) % 10_000);
}

/** `independent`'s position, 0 to 999,999. */
function independentPosition(idCrc: number, salt: number): number {
  return Math.floor(((hash(idCrc, salt) >>> 0) * PARTS) / HASHES);
}

/** slowroll's: the last four bytes of the SHA-1 of the id (slowroll 0.0.1). */
function slowrollPoint(id: string): number {
  return createHash('sha1').update(id).digest().readUInt32BE(16);
}

/**
 * pyrollout's (0.3.5): `int(id) % 100`, as Python has it, so from 0 for ids below 0 too; `added` is
 * what it adds to the id first. NaN, which is below no threshold, where the id is no whole number.
 */
function pyrolloutPosition(id: string, added: number): number {
  const number = id.trim();
  if (!/^[+-]?\d+$/.test(number)) return Number.NaN;
  // Its last two digits tell, however long it is.
  const rest = Number(number.slice(-2).replace(/^[+-]/, '')) * (number.startsWith('-') ? -1 : 1);
  return ((((rest + added) % 100) + 100) % 100) * 10_000;
}

/** How many of the million positions a percentage admits. */
export function thresholdOf(percentage: number): number {
  return Math.round(percentage * 10_000);
}

/** A percentage with its bucketing, ready to be asked about ids. */
export interface Share {
  readonly kind: 'none' | 'all' | Bucketing;
  /** In positions; in CRC values for the rollout gem's bucketings. Below it is in. */
  readonly threshold: number;
  readonly salt: number;
  readonly name: string;
}

export function shareOf(percentage: number, bucketing: Bucketing, name: string): Share {
  return {
    kind: percentage === 0 ? 'none' : percentage === 100 ? 'all' : bucketing,
    threshold: thresholdUnder(bucketing, percentage),
    salt: saltOf(name),
    name,
  };
}

/**
 * Names the order in which ids come in under a bucketing as the percentage rises. Of two shares of
 * one order the smaller is within the larger.
 */
export function orderOf(bucketing: Bucketing, name: string): string {
  switch (bucketing) {
    // They differ in variants alone.
    case 'modulo':
    case 'hanoi':
      return 'modulo';
    case 'pyrollout':
      return 'pyrollout/0';
    case 'pyrollout-randomized':
      return `pyrollout/${((crc32(name) % 100) + 100) % 100}`;
    case 'independent':
      return `independent/${saltOf(name)}`;
    case 'rollout-gem-randomized':
      return `rollout-gem-randomized/${name}`;
    default:
      return bucketing;
  }
}

/** What a share of that bucketing compares with, at this percentage. */
export function thresholdUnder(bucketing: Bucketing, percentage: number): number {
  if (bucketing === 'slowroll') return (HASHES / 100) * percentage;
  return bucketing === 'rollout-gem' || bucketing === 'rollout-gem-randomized'
    ? // The gem multiplies the same two doubles in the same order (rollout 2.5.0, RAND_BASE).
      ((2 ** 32 - 1) / 100) * percentage
    : thresholdOf(percentage);
}

/** True if an id with this CRC-32 is in the share; with another `threshold`, where that changes. */
export function admits(
  share: Share,
  idCrc: number,
  id: string,
  threshold: number = share.threshold,
): boolean {
  switch (share.kind) {
    case 'none':
    // Only a lookup tells.
    case 'population':
      return false;
    case 'all':
      return true;
    case 'modulo':
    case 'hanoi':
      return moduloPosition(idCrc) < threshold;
    case 'independent':
      return independentPosition(idCrc, share.salt) < threshold;
    case 'rollout-gem':
      return idCrc >>> 0 < threshold;
    case 'rollout-gem-randomized':
      // The CRC-32 of id and name joined.
      return crc32(share.name, idCrc) >>> 0 < threshold;
    case 'slowroll':
      // Its instants are the first at which somebody is in.
      return threshold > 0 && slowrollPoint(id) <= threshold;
    case 'pyrollout':
      return pyrolloutPosition(id, 0) < threshold;
    case 'pyrollout-randomized':
      // Signed, as the CRC-32 of Python 2 is.
      return pyrolloutPosition(id, crc32(share.name)) < threshold;
  }
}
