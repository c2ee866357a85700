import { admits, crc32, shareOf } from '../../lib/domain/bucketing.js';
import type { Bucketing } from '../../lib/domain/feature.js';
import { choiceOf, chosen, onlyWeighted } from '../../lib/domain/variant.js';
import { chiSquare, seeded } from '../property.js';

const foo = { name: 'foo', weight: 1 };
const bar = { name: 'bar', weight: 3 };
const off = { name: 'off', weight: 0 };

describe('a weighted choice', () => {
  it.each([
    [1, 'modulo'],
    [10, 'modulo'],
    [100, 'modulo'],
    [1, 'independent'],
    [10, 'rollout-gem'],
  ] as [number, Bucketing][])(
    'matches its weights among the %d%% that %s lets in',
    (percentage, bucketing) => {
      const seed = Math.floor(Math.random() * 2 ** 32);
      const random = seeded(seed);
      const share = shareOf(percentage, bucketing, 'cdc_on');
      const choice = choiceOf([foo, off, bar], 'cdc_on/variant', bucketing === 'hanoi');
      const counts = [0, 0, 0];
      let total = 0;
      while (total < 5_000) {
        const idCrc = crc32(`user-${Math.floor(random() * 1e12)}`);
        if (!admits(share, idCrc, '')) continue;
        const at = chosen(choice, idCrc);
        counts[at] = (counts[at] as number) + 1;
        total++;
      }
      expect(counts[1]).toBe(0);
      // 1 degree of freedom: exceeded by chance once in 10 million runs.
      const statistic = chiSquare(
        [counts[0] as number, counts[2] as number],
        [total / 4, (total * 3) / 4],
      );
      expect({ seed, matches: statistic < 28.4 }).toEqual({ seed, matches: true });
    },
  );

  it('keeps everyone when a variant without weight is added', () => {
    for (let n = 0; n < 1_000; n++) {
      const idCrc = crc32(`user-${n}`);
      const before = [foo, bar][chosen(choiceOf([foo, bar], 'f/variant'), idCrc)];
      const after = [foo, off, bar][chosen(choiceOf([foo, off, bar], 'f/variant'), idCrc)];
      expect(after).toBe(before);
    }
  });

  it("is CRC-32 modulo their number for hanoi's users", () => {
    const choice = choiceOf([foo, bar, off], 'f/variant', true);
    for (let n = 0; n < 1_000; n++) expect(chosen(choice, n)).toBe(n % 3);
  });

  it('never runs past the last variant', () => {
    const many = Array.from({ length: 1_000 }, (_, n) => ({ name: `v${n}`, weight: 0.1 }));
    const choice = choiceOf(many, 'f/variant');
    for (let n = 0; n < 10_000; n++) {
      expect(many[chosen(choice, crc32(String(n)))]).toBeDefined();
    }
  });
});

describe('the only variant with weight', () => {
  it.each([
    [[foo], 'foo'],
    [[off, foo], 'foo'],
    [[foo, off, bar], undefined],
    [[], undefined],
  ])('of %j is %s', (variants, name) => {
    expect(onlyWeighted(variants)?.name).toBe(name);
  });
});
