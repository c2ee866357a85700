import { invalid } from '../errors.js';
import { storedName } from '../stored-name.js';
import { parseName } from './parse.js';

/** True for the reserved group that is everyone. */
export function isEveryone(group: string): boolean {
  return group === 'all' || group === 'ALL';
}

/** True for the reserved group that lets nobody in by group, whatever other groups are listed. */
export function isNobody(group: string): boolean {
  return group === 'none' || group === 'NONE';
}

/** The name of a group that can be defined or stored. INVALID_ARGUMENT for a reserved one. */
export function parseGroup(group: unknown): string {
  const name = parseName(group, 'group');
  if (!isEveryone(name) && !isNobody(name)) return name;
  throw invalid('a group that is not reserved (all, ALL, none, NONE)', name);
}

/** True if the subject itself says that it is in the group: `subject.groups`. Throws what reading it throws. */
export function claimsGroup(subject: unknown, group: string): boolean {
  if (typeof subject !== 'object' || subject === null) return false;
  const { groups } = subject as { groups?: unknown };
  return Array.isArray(groups) && groups.includes(group);
}

/** The names under which these groups are stored, if they are: those that are not reserved. */
export function storedGroups(groups: readonly string[]): readonly string[] {
  const named = groups.filter((group) => !isEveryone(group) && !isNobody(group));
  return named.map((group) => storedName('group', group));
}
