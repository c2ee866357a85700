import { setImmediate as nextTurn } from 'node:timers/promises';
import { type CompiledFeature, compile, compileUnreadable } from '../domain/decide.js';
import type { HanoiError } from '../errors.js';
import { Aging } from './aging.js';
import type {
  Change,
  ChangeEvent,
  Head,
  HeldFeature,
  HeldMembers,
  Stored,
  View,
} from './backend.js';
import { Memberships, Room } from './memberships.js';

/** After so many features were compiled, others get their turn: some ms. */
const AT_ONCE = 100;

const NOBODY = new Room(0);

/** A feature as a replica holds it. */
export interface Held extends HeldFeature {
  /** As it was loaded. */
  readonly stored: Stored;
  readonly facts: Memberships;
}

/** The members of a feature under a head: all of them, or those held and what led on from there. */
export interface NewMembers extends HeldMembers {
  readonly changes: readonly Change[];
}

/** All features as of one moment. Only its staleness changes; the next state is another copy. */
export class Copy extends Aging implements View {
  constructor(
    readonly features: ReadonlyMap<string, Held>,
    confirmedAt: number,
    cause: HanoiError,
  ) {
    super(confirmedAt, cause);
  }

  get(name: string): Held | undefined {
    return this.features.get(name);
  }

  names(): Iterable<string> {
    return this.features.keys();
  }
}

/** The next copy, and what is new in it. */
export interface Succession {
  readonly copy: Copy;
  readonly events: readonly ChangeEvent[];
  readonly problems: readonly HanoiError[];
  /** Those that remember answers. */
  readonly asked: ReadonlySet<Memberships>;
}

/**
 * Makes the next copy; what has not changed is taken over from the one before. `lost` says that
 * this is of another store: what that one lacks was lost, until it is there again.
 */
export async function successor(
  before: Copy,
  features: ReadonlyMap<string, Stored>,
  members: ReadonlyMap<string, NewMembers>,
  room: Room,
  sentAt: number,
  lost?: HanoiError,
): Promise<Succession> {
  const after = new Map<string, Held>();
  const asked = new Set<Memberships>();
  const events: ChangeEvent[] = [];
  const problems: HanoiError[] = [];
  let compiled = 0;
  for (const [name, stored] of features) {
    const old = before.get(name);
    const fetched = members.get(name);
    // Members that are newer than the document's head come under the head that was theirs.
    const head = isSameDocument(fetched?.head, stored.head) ? fetched?.head : stored.head;
    const isSame =
      old !== undefined &&
      (old.stored === stored || old.stored.problem?.message === stored.problem?.message) &&
      isEqual(old.head, head);
    let held = old as Held;
    if (!isSame) {
      held = hold(name, stored, head, old, fetched, room);
      if (++compiled % AT_ONCE === 0) await nextTurn();
    } else if (old.stored !== stored) held = { ...old, stored };
    after.set(name, held);
    if (held.facts.ids === undefined || held.compiled.isAssigned) asked.add(held.facts);
    if (isSame) continue;
    const { problem } = stored;
    if (problem !== undefined && problem.message !== old?.stored.problem?.message) {
      problems.push(problem);
    }
    if (head === undefined) continue;
    const isOld = isSameDocument(old?.head, head);
    const isNew = old === undefined || isLost(old);
    const kind = isNew ? 'created' : isOld ? 'members' : 'updated';
    events.push(Object.freeze({ name, kind, head }));
  }
  for (const [name, old] of before.features) {
    if (after.has(name)) continue;
    const { head } = old;
    const problem = isLost(old) ? old.stored.problem : lost;
    if (problem !== undefined) after.set(name, hold(name, { head: undefined, problem }));
    else if (head !== undefined) events.push(Object.freeze({ name, kind: 'removed', head }));
  }
  const copy = new Copy(after, sentAt, before.cause);
  return { copy, events, problems, asked };
}

/** Makes the members those of their head: what is held is changed when the copy is, and not before. */
export function apply({ ids, changes }: NewMembers): void {
  for (const { added, removed } of changes) {
    for (const id of added) ids.add(id);
    for (const id of removed) ids.delete(id);
  }
}

/** Whether it went with its store, and nobody has made it again. */
function isLost({ stored: { problem } }: Held): boolean {
  return problem?.code === 'STORE_UNAVAILABLE';
}

function hold(
  name: string,
  stored: Stored,
  head?: Head,
  old?: Held,
  fetched?: NewMembers,
  room: Room = NOBODY,
): Held {
  const { feature, problem } = stored;
  const compiled: CompiledFeature =
    problem !== undefined
      ? compileUnreadable(name, problem)
      : old?.stored.feature === feature
        ? old.compiled
        : compile(feature);
  const stamp = head?.members ?? 0;
  const isOne = old !== undefined && old.head?.id === head?.id && old.facts.stamp === stamp;
  const facts = isOne
    ? old.facts
    : stamp === 0 || feature === undefined
      ? new Memberships(stamp, new Set(), room)
      : new Memberships(stamp, fetched?.ids, room);
  if (isOne && old.stored !== stored) facts.forgetAssigned();
  return { stored, head, compiled, facts };
}

export function isSameDocument(one: Head | undefined, other: Head | undefined): boolean {
  return (
    one !== undefined &&
    other !== undefined &&
    one.id === other.id &&
    one.revision === other.revision &&
    one.document === other.document
  );
}

export function isEqual(one: Head | undefined, other: Head | undefined): boolean {
  return isSameDocument(one, other) && one?.members === other?.members;
}
