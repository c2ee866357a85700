import fc from 'fast-check';
import { admits, crc32, shareOf, thresholdOf } from '../../lib/domain/bucketing.js';
import { BUCKETINGS, type Bucketing } from '../../lib/domain/feature.js';
import { choiceOf, chosen } from '../../lib/domain/variant.js';
import vectors from '../fixtures/bucketing.json' with { type: 'json' };
import { chiSquare, holds, ids, percentages, seeded } from '../property.js';

describe('vectors computed elsewhere', () => {
  it('are all there', () => {
    expect(vectors.rows).toHaveLength(372);
  });

  it.each(vectors.rows.map((row) => [row.id, row] as const))('agree on %j', (id, row) => {
    const idCrc = crc32(id);
    expect(idCrc >>> 0).toBe(row.crc32);
    expectPosition(row.modulo, (percentage) => shareOf(percentage, 'modulo', 'x'), idCrc);
    for (const [name, position] of Object.entries(row.independent)) {
      expectPosition(position, (percentage) => shareOf(percentage, 'independent', name), idCrc);
    }
    for (const [name, variant] of Object.entries(row.variant)) {
      const choice = choiceOf(vectors.variants, `${name}/variant`);
      expect(vectors.variants[chosen(choice, idCrc)]?.name).toBe(variant);
    }
  });
});

describe('a CRC-32', () => {
  it.each([
    ['', 0],
    ['123456789', 0xcbf43926], // the check value of CRC-32/ISO-HDLC
    ['444401', 2822499885],
    ['The quick brown fox jumps over the lazy dog', 0x414fa339],
    ['é', 0x0e048d3e],
  ])('of %j is %i', (text, expected) => {
    expect(crc32(text) >>> 0).toBe(expected);
  });

  it('goes on from another one', () => {
    holds(ids, ids, (first, second) => {
      expect(crc32(second, crc32(first))).toBe(crc32(first + second));
    });
  });
});

describe('a percentage', () => {
  it('admits exactly its share of the positions, for each of the million and one', () => {
    const wrong: number[] = [];
    for (let parts = 0; parts <= 1_000_000; parts++) {
      if (thresholdOf(parts / 10_000) !== parts) wrong.push(parts);
    }
    expect(wrong).toEqual([]);
  });

  it('admits a position if and only if it lies below', () => {
    holds(percentages, fc.integer({ min: 0, max: 999_999 }), (percentage, position) => {
      expect(admits(shareOf(percentage, 'modulo', 'x'), idCrcAt(position), '')).toBe(
        position < Math.round(percentage * 10_000),
      );
    });
  });

  it.each([
    ['modulo', 199_999, 20, true],
    ['modulo', 200_000, 20, false],
    ['modulo', 200_000, 20.0001, true],
    ['hanoi', 0, 0.0001, true],
    ['hanoi', 1, 0.0001, false],
  ] as const)('%s, position %i, %d%%: %s', (bucketing, position, percentage, isIn) => {
    expect(admits(shareOf(percentage, bucketing, 'x'), idCrcAt(position), '')).toBe(isIn);
  });

  it('is CRC-32 % 100 for whole percentages, by modulo', () => {
    holds(ids, fc.integer({ min: 0, max: 100 }), (id, percentage) => {
      expect(admits(shareOf(percentage, 'modulo', 'x'), crc32(id), '')).toBe(
        (crc32(id) >>> 0) % 100 < percentage,
      );
    });
  });

  describe.each(BUCKETINGS)('by %s', (bucketing) => {
    it('drops no one when it is raised', () => {
      const anyId = fc.oneof(ids, fc.bigInt().map(String));
      holds(anyId, percentages, percentages, fc.string(), (id, a, b, name) => {
        const lower = shareOf(Math.min(a, b), bucketing, name);
        const higher = shareOf(Math.max(a, b), bucketing, name);
        expect(admits(lower, crc32(id), id) && !admits(higher, crc32(id), id)).toBe(false);
      });
    });

    it('is nobody at 0 and everybody at 100', () => {
      holds(fc.integer({ min: 0, max: 2 ** 32 - 1 }), (idCrc) => {
        expect(admits(shareOf(0, bucketing, 'x'), idCrc, '')).toBe(false);
        expect(admits(shareOf(100, bucketing, 'x'), idCrc, '')).toBe(true);
      });
    });
  });

  it("follows the gem's arithmetic to the last CRC-32", () => {
    // 0.1% of 2**32 - 1 is 4294967.295, of the double 33.333333333333336 it is 1431655765.
    expect(admits(shareOf(0.1, 'rollout-gem', 'x'), 4_294_967, '')).toBe(true);
    expect(admits(shareOf(0.1, 'rollout-gem', 'x'), 4_294_968, '')).toBe(false);
    expect(admits(shareOf(33.333333333333336, 'rollout-gem', 'x'), 1_431_655_764, '')).toBe(true);
    expect(admits(shareOf(33.333333333333336, 'rollout-gem', 'x'), 1_431_655_766, '')).toBe(false);
    // Exactly 20% is 858993459: below it, not at it.
    expect(admits(shareOf(20, 'rollout-gem', 'x'), 858_993_458, '')).toBe(true);
    expect(admits(shareOf(20, 'rollout-gem', 'x'), 858_993_459, '')).toBe(false);
    // 42949672.95 × 66.66666666666667 is 2863311530.0000005; in another order it is 2863311530.
    expect(admits(shareOf(66.66666666666667, 'rollout-gem', 'x'), 2_863_311_530, '')).toBe(true);
    expect(admits(shareOf(66.66666666666667, 'rollout-gem', 'x'), 2_863_311_531, '')).toBe(false);
  });
});

describe("pyrollout's bucketing", () => {
  // What Python 2.7 says of int(id) % 100, and with zlib.crc32 of the names 'pctx' and 'a' added.
  it.each([
    ['0', 0, 73, 11],
    ['7', 7, 80, 18],
    ['-1', 99, 72, 10],
    ['-105', 95, 68, 6],
    ['+12', 12, 85, 23],
    [' 12\n', 12, 85, 23],
    ['007', 7, 80, 18],
    ['123456789012345678901234567890', 90, 63, 1],
  ])('puts %j at %i, and at %i and %i by name', (id, plain, pctx, a) => {
    const isAt = (residue: number, bucketing: Bucketing, name: string) => {
      expect(admits(shareOf(residue, bucketing, name), crc32(id), id)).toBe(false);
      expect(admits(shareOf(residue + 0.0001, bucketing, name), crc32(id), id)).toBe(true);
    };
    isAt(plain, 'pyrollout', 'pctx');
    isAt(pctx, 'pyrollout-randomized', 'pctx');
    isAt(a, 'pyrollout-randomized', 'a');
  });

  it.each(['ann', '1.5', '', '-', '1 2', '1e3', '0x1f', '12L'])('has no place for %j', (id) => {
    for (const bucketing of ['pyrollout', 'pyrollout-randomized'] as const) {
      expect(admits(shareOf(99.9999, bucketing, 'pctx'), crc32(id), id)).toBe(false);
    }
  });
});

describe('two independent features at the same percentage', () => {
  it.each([
    ['cdc_on', 'chat', 25],
    ['aa', 'ab', 25],
    ['beta', 'new-checkout', 10],
    ['feature-1', 'feature-2', 50],
  ])('%s and %s share no more users than chance says', (one, other, percentage) => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = seeded(seed);
    const [a, b] = [
      shareOf(percentage, 'independent', one),
      shareOf(percentage, 'independent', other),
    ];
    const counts = [0, 0, 0, 0];
    const total = 100_000;
    for (let n = 0; n < total; n++) {
      const idCrc = crc32(`user-${Math.floor(random() * 1e12)}`);
      const cell = (admits(a, idCrc, '') ? 2 : 0) + (admits(b, idCrc, '') ? 1 : 0);
      counts[cell] = (counts[cell] as number) + 1;
    }
    const p = percentage / 100;
    const shares = [(1 - p) ** 2, (1 - p) * p, p * (1 - p), p * p];
    // 3 degrees of freedom: exceeded by chance once in 10 million runs.
    const statistic = chiSquare(
      counts,
      shares.map((share) => share * total),
    );
    expect({ seed, isIndependent: statistic < 35.2 }).toEqual({ seed, isIndependent: true });
  });
});

/** In from the first percentage above the position on, and not at the one before. */
function expectPosition(
  position: number,
  share: (percentage: number) => ReturnType<typeof shareOf>,
  idCrc: number,
): void {
  expect(admits(share(position / 10_000), idCrc, '')).toBe(false);
  expect(admits(share((position + 1) / 10_000), idCrc, '')).toBe(true);
}

/** A CRC-32 whose modulo position it is. */
function idCrcAt(position: number): number {
  return (position % 10_000) * 100 + Math.floor(position / 10_000);
}
