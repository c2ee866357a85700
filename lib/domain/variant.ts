import { readName } from '../stored-name.js';
import { hash, saltOf } from './bucketing.js';
import type { Feature, Variant } from './feature.js';

/** A weighted choice, ready to be asked: an index into the list that it was made of. */
export interface Choice {
  /** Running weights in stored order; their last is the total. */
  readonly upTo: Float64Array;
  readonly salt: number;
  /** hanoi's own choice instead: CRC-32 modulo the number of variants. */
  readonly modulo: boolean;
}

/** By weight, in stored order. Two choices by different `salt` have nothing to do with each other. */
export function choiceOf(
  weighted: readonly { readonly weight: number }[],
  salt: string,
  modulo = false,
): Choice {
  let running = 0;
  return {
    upTo: Float64Array.from(weighted, ({ weight }) => (running += weight)),
    salt: saltOf(salt),
    modulo,
  };
}

/** A feature's choice of one of its variants. */
export function variantChoiceOf({ name, variants, bucketing }: Feature): Choice | undefined {
  if (variants.length === 0) return undefined;
  const [kind, bareName] = readName(name);
  const salt = kind === 'experiment' ? `experiment/${bareName}` : `${name}/variant`;
  return choiceOf(variants, salt, bucketing === 'hanoi');
}

/** Which variant the id with this CRC-32 gets: the first whose running weight exceeds its point. */
export function chosen(choice: Choice, idCrc: number): number {
  const { upTo } = choice;
  const last = upTo.length - 1;
  if (choice.modulo) return (idCrc >>> 0) % upTo.length;
  const point = ((hash(idCrc, choice.salt) >>> 0) / 2 ** 32) * (upTo[last] as number);
  let index = 0;
  while (index < last && (upTo[index] as number) <= point) index++;
  return index;
}

/** The only variant that has weight; undefined where several have, or there are none. */
export function onlyWeighted(variants: readonly Variant[]): Variant | undefined {
  const weighted = variants.filter((variant) => variant.weight > 0);
  return weighted.length === 1 ? weighted[0] : undefined;
}
