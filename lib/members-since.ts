import type { Change } from './backends/backend.js';

/** What a history tells of the members of an id, from a change under it on. */
export interface MembersSince {
  /** Their number (`Head.members`) now, or when they were set aside, and how many they are. */
  readonly stamp: number;
  readonly count: number;
  /** Whether the feature has this id now. */
  readonly isThere: boolean;
  /** Who was let in since, and who was taken out, of those with whom it is otherwise now. */
  readonly came: ReadonlySet<string>;
  readonly went: ReadonlySet<string>;
  /** All who came or went since, also those with whom it is as it was. */
  readonly touched: ReadonlySet<string>;
}

/**
 * What became of the members of the change's id since. `later` are all the kept changes after it, the
 * oldest first. Undefined where they don't tell for certain: changes of documents and of members are
 * trimmed apart, so each has to have met the members as the one before it left them.
 */
export function membersSince(change: Change, later: readonly Change[]): MembersSince | undefined {
  const { id } = change.head;
  let { members: stamp } = change.head;
  let { memberCount: count } = change;
  let isThere = change.kind !== 'removed';
  const came = new Set<string>();
  const went = new Set<string>();
  const touched = new Set<string>();
  for (const { kind, head, added, removed, memberCount, membersBefore } of later) {
    const isOwn = head.id === id;
    if (isThere && membersBefore !== stamp) return undefined;
    if (!isOwn || kind === 'removed') {
      // Set aside, they stay as they are.
      isThere = false;
      continue;
    }
    // What was set aside can be lost, and an edit by hand does not tell who came and went.
    if (memberCount !== count + added.length - removed.length) return undefined;
    const isUntold = isThere && head.members !== stamp && added.length + removed.length === 0;
    if (isUntold) return undefined;
    isThere = true;
    stamp = head.members;
    count = memberCount;
    for (const each of added) if (!went.delete(each)) came.add(each);
    for (const each of removed) if (!came.delete(each)) went.add(each);
    for (const each of [...added, ...removed]) touched.add(each);
  }
  return { stamp, count, isThere, came, went, touched };
}
