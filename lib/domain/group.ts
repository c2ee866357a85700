import { storedName } from '../stored-name.js';

/** True for the reserved group that is everyone. */
export function isEveryone(group: string): boolean {
  return group === 'all' || group === 'ALL';
}

/** True for the reserved group that lets nobody in by group, whatever other groups are listed. */
export function isNobody(group: string): boolean {
  return group === 'none' || group === 'NONE';
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
