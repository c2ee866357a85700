import { groupsIn } from '../../domain/condition.js';
import { notFound } from '../../errors.js';
import { isOfFeature, storedName } from '../../stored-name.js';
import { EXIT } from '../failure.js';
import { printable } from '../printable.js';
import type { Session } from '../session.js';
import { table } from '../table.js';
import { printIds } from './users.js';

export async function listGroups(session: Session): Promise<number> {
  const { rollout, terminal } = session;
  const groups = await rollout.groups();
  const listed = await Promise.all(
    groups.map(async (group) => ({ ...group, members: await rollout.countGroup(group.name) })),
  );
  if (session.isJson) {
    await terminal.printJson({ groups: listed });
    return EXIT.done;
  }
  const rows = listed.map(({ name, members, subjectKey }) => [
    [printable(name), 'bold'] as const,
    members.toLocaleString('en'),
    subjectKey === undefined ? 'id' : printable(subjectKey),
  ]);
  if (rows.length === 0) terminal.warn('There are no stored groups.\n');
  else await terminal.print(...table(terminal, ['GROUP', 'MEMBERS', 'BY'], rows));
  return EXIT.done;
}

/** Which features go by the group, and who is listed in it; with `--json`, the first 100. */
export async function showGroup(
  session: Session,
  name: string,
  { limit = 100 }: { readonly limit?: number },
): Promise<number> {
  const { rollout, source, terminal } = session;
  const stored = storedName('group', name);
  const { features } = await source.loadAll();
  const found = features.get(stored);
  if (found === undefined) throw notFound(stored);
  if (found.problem !== undefined) throw found.problem;
  const usedBy: string[] = [];
  for (const [feature, { feature: document }] of features) {
    if (document === undefined || !isOfFeature(feature)) continue;
    const isIn =
      document.groups.includes(name) ||
      document.rules.some(({ when }) => groupsIn(when).includes(stored));
    if (isIn) usedBy.push(feature);
  }
  usedBy.sort((one, other) => (one < other ? -1 : 1));
  const members = await rollout.countGroup(name);
  const { subjectKey } = found.feature;
  if (session.isJson) {
    const ids: string[] = [];
    for await (const id of rollout.groupMembers(name)) {
      if (ids.length >= limit) break;
      ids.push(id);
    }
    await terminal.printJson({ name, subjectKey: subjectKey ?? null, members, usedBy, ids });
    return EXIT.done;
  }
  await terminal.print(
    terminal.styled(printable(name), 'bold'),
    `members    ${members.toLocaleString('en')}${subjectKey === undefined ? '' : ` by ${printable(subjectKey)}`}`,
    `used by    ${usedBy.length === 0 ? 'no feature' : usedBy.map(printable).join(', ')}`,
  );
  await printIds(session, rollout.groupMembers(name), limit);
  if (members > limit) terminal.warn(`and ${(members - limit).toLocaleString('en')} more\n`);
  return EXIT.done;
}
