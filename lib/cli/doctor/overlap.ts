import type { Feature } from '../../domain/feature.js';
import { cohortsOf, overlapsIn } from '../../domain/overlap.js';
import { shareOf } from '../audience.js';
import type { Finding } from './finding.js';

/** Features whose percentages let in too much, or too little, the same users. One finding for those that hang together. */
export function overlaps(features: readonly Feature[], now: number): Finding[] {
  const { found, uncompared } = overlapsIn(cohortsOf(features, now));
  const findings = found.map(({ names: together, pairs, farthest }): Finding => {
    const named = farthest.map(({ names: [one, other], shares, shared, byChance }) => {
      return `"${one}" (${shareOf(shares[0])}) and "${other}" (${shareOf(shares[1])}) share ${shareOf(shared)} of all ids, where ${shareOf(byChance)} is chance`;
    });
    const others = pairs - farthest.length;
    const more = others > 0 ? `; and ${others.toLocaleString('en')} more pairs` : '';
    return {
      ...{ severity: 'warning', kind: 'overlap', features: together },
      message:
        `Their percentages do not choose independently: ${named.join('; ')}${more}. ` +
        'So the same users get new things first, and what is measured of one is mixed with the others.',
      fix:
        'Give new features the bucketing `independent` (`hanoi add --bucketing independent`). ' +
        'To change it of one that is live deals its users again.',
    };
  });
  if (uncompared === 0) return findings;
  const note: Finding = {
    ...{ severity: 'note', kind: 'overlap', features: [] },
    message: `There are too many different cohorts to compare: ${uncompared.toLocaleString('en')} features were only compared with those that choose in the same order.`,
    fix: 'Give new features the bucketing `independent`, which need not be compared.',
  };
  return [...findings, note];
}
