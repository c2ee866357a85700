/**
 * What features refer to is stored as they are, each under a name that no feature can have: a group
 * is a feature whose members it has, an experiment one whose variants are its arms, the population
 * one whose variants are its buckets.
 */
export type Kind = 'feature' | 'group' | 'experiment' | 'population';

const SEPARATOR = '\u001f';
const KINDS: readonly string[] = ['group', 'experiment', 'population'] satisfies Kind[];

/** The name under which a group or the like is stored. */
export function storedName(kind: Exclude<Kind, 'feature'>, name: string): string {
  return `${kind}${SEPARATOR}${name}`;
}

/** Of what kind a stored name is, and the name that people use. */
export function readName(stored: string): readonly [kind: Kind, name: string] {
  const at = stored.indexOf(SEPARATOR);
  const kind = stored.slice(0, Math.max(0, at));
  return KINDS.includes(kind) ? [kind as Kind, stored.slice(at + 1)] : ['feature', stored];
}

export function isKind(kind: unknown): kind is Kind {
  return kind === 'feature' || KINDS.includes(kind as string);
}

export function isOfFeature(stored: string): boolean {
  return !stored.includes(SEPARATOR);
}

/** There is one. */
export const POPULATION: string = storedName('population', 'all');

/** `Feature "chat"`, for messages. */
export function titleOf(stored: string): string {
  const [kind, name] = readName(stored);
  return `${kind[0]?.toUpperCase()}${kind.slice(1)} ${JSON.stringify(name)}`;
}
