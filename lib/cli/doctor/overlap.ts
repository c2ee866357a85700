import type { Feature } from '../../domain/feature.js';
import { cohortsOf, overlapsIn } from '../../domain/overlap.js';
import type { Finding } from './finding.js';

/** So many pairs are named. */
const MOST_NAMED = 8;

/** Features whose percentages let in too much, or too little, the same users. One finding for those that hang together. */
export function overlaps(features: readonly Feature[], now: number): Finding[] {
  const pairs = overlapsIn(cohortsOf(features, now));
  const groups = new Map<string, Set<string>>();
  for (const { names } of pairs) {
    const [one, other] = names.map((name) => groups.get(name) ?? new Set([name])) as [
      Set<string>,
      Set<string>,
    ];
    if (one === other) continue;
    const joined = new Set([...one, ...other]);
    for (const name of joined) groups.set(name, joined);
  }
  return Array.from(new Set(groups.values()), (group) => {
    const own = pairs.filter(({ names }) => group.has(names[0]));
    const named = own
      .slice(0, MOST_NAMED)
      .map(({ names: [one, other], shares, shared, byChance }) => {
        return `"${one}" (${percent(shares[0])}) and "${other}" (${percent(shares[1])}) share ${percent(shared)} of all ids, where ${percent(byChance)} is chance`;
      });
    const more = own.length > MOST_NAMED ? `; and ${own.length - MOST_NAMED} more pairs` : '';
    return {
      ...{
        severity: 'warning',
        kind: 'overlap',
        features: [...group].sort((one, other) => (one < other ? -1 : 1)),
      },
      message:
        `Their percentages do not choose independently: ${named.join('; ')}${more}. ` +
        'So the same users get new things first, and what is measured of one is mixed with the others.',
      fix:
        'Give new features the bucketing `independent` (`hanoi add --bucketing independent`). ' +
        'To change it of one that is live deals its users again.',
    };
  });
}

function percent(part: number): string {
  return `${Math.round(part * 1000) / 10}%`;
}
