import type { Change, Head } from './backend.js';

/**
 * The changes that lead a feature's members from one state to another, the oldest first, so that
 * one registration does not fetch tens of thousands of members again. `history` is the newest part
 * of the feature's, of both kinds, the newest first; `count` how many members there were. Undefined
 * where it does not tell for certain: the two kinds are trimmed apart, so each step must fit to the
 * one before it.
 */
export function changesBetween(
  from: number,
  count: number,
  to: Head,
  history: readonly Change[],
): readonly Change[] | undefined {
  const changes = history.filter(({ head }) => head.id === to.id);
  const last = changes.findIndex(({ head }) => head.members === to.members);
  const first = changes.findIndex(({ kind, head }) => kind === 'members' && head.members === from);
  if (last === -1 || first < last || changes[first]?.memberCount !== count) return undefined;
  const steps = changes.slice(last, first).reverse();
  let at = changes[first];
  for (const next of steps) {
    // Edited by hand: who came and went was not told.
    if (next.kind === 'members' && next.added.length + next.removed.length === 0) return undefined;
    const isNext =
      next.kind === 'members'
        ? next.head.document === at.head.document
        : next.kind === 'updated' &&
          next.before?.id === at.head.id &&
          next.before.revision === at.head.revision;
    const countAfter = at.memberCount + next.added.length - next.removed.length;
    if (!isNext || next.memberCount !== countAfter) return undefined;
    at = next;
  }
  return steps;
}
