import { admits, crc32, shareOf } from '../../lib/domain/bucketing.js';
import { choiceOf, chosen } from '../../lib/domain/variant.js';
import vectors from '../fixtures/bucketing.json' with { type: 'json' };

describe('vectors computed elsewhere', () => {
  it('has all of them', () => {
    expect(vectors.rows).toHaveLength(372);
  });

  it.each(vectors.rows.map((row) => [row.id, row] as const))('agrees on %j', (id, row) => {
    const idCrc = crc32(id);
    expect(idCrc).toBe(row.crc32);
    expectPosition(row.modulo, (percentage) => shareOf(percentage, 'modulo', 'x'), idCrc);
    for (const [name, position] of Object.entries(row.independent)) {
      expectPosition(position, (percentage) => shareOf(percentage, 'independent', name), idCrc);
    }
    for (const [name, variant] of Object.entries(row.variant)) {
      const choice = choiceOf(vectors.variants, 'modulo', name);
      expect(vectors.variants[chosen(choice, idCrc)]?.name).toBe(variant);
    }
  });
});

/** In from the first percentage above the position on, and not at the one before. */
function expectPosition(
  position: number,
  share: (percentage: number) => ReturnType<typeof shareOf>,
  idCrc: number,
): void {
  expect(admits(share(position / 10_000), idCrc)).toBe(false);
  expect(admits(share((position + 1) / 10_000), idCrc)).toBe(true);
}
