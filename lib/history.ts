import {
  type Change,
  type Head,
  MEMBERS_PER_WRITE,
  type Source,
  type Stored,
} from './backends/backend.js';
import { isSame, withoutChange } from './domain/diff.js';
import type { Feature, Json } from './domain/feature.js';
import { parseFeature } from './domain/validate.js';
import {
  alreadyThere,
  changedMeanwhile,
  HanoiError,
  hasCode,
  invalid,
  notFound,
  notKept,
} from './errors.js';
import { type MembersSince, membersSince } from './members-since.js';
import type { DecidedBy, Planned, WriteOptions, Writer } from './writer.js';

/**
 * A state of the past. The id of a change: what there was after it. A number: that revision of the
 * feature that is there, or was last; where its members were emptied or it was rolled back, it had
 * other ids before, and their revisions count too. `{ id, revision }`, as a document has them, of
 * whatever id. Revisions begin again at 1 where a feature is created anew; the id of a change never
 * comes again.
 */
export type Moment = string | number | { readonly id: string; readonly revision: number };

export interface RollbackOptions extends WriteOptions {
  /**
   * `restore`: the members are those that there were after the change. `keep`: those that the id of
   * that document has now, or had when it was replaced. `none`: the document alone comes back,
   * under an id without members. Default `restore` for a change, and `keep` for a revision, which
   * counts the writes of the document: registrations since are not among them.
   */
  members?: 'restore' | 'keep' | 'none';
}

export interface RestoreOptions extends Omit<WriteOptions, 'expect'> {
  /** `none`: the document alone, for when its members are gone. Default `keep`. */
  members?: 'keep' | 'none';
}

/** So many changes are read at once. */
const PAGE = 100;

/** A document of the past. */
interface Found {
  readonly document: Feature;
  /** The change that led to it; undefined where only one after it is kept. */
  readonly change: Change | undefined;
}

/** Reads the past of features, and brings it back. */
export class History {
  constructor(
    private readonly source: Source,
    private readonly writer: Writer,
    private readonly decidedBy?: DecidedBy,
    /** Rejects where what there is may not go. */
    private readonly beforeRemoval: () => Promise<void> = async () => {},
  ) {}

  /** The document as it was then. INVALID_ARGUMENT, NOT_KEPT. */
  async documentAt(name: string, moment: Moment): Promise<Feature> {
    refuseNoMoment(moment);
    const stored = await this.source.load(name);
    return (await this.find(name, moment, stored?.head)).document;
  }

  /** The members that are set aside with an id, where the kept changes tell all of them. */
  async membersSetAside(name: string, id: string): Promise<ReadonlySet<string> | undefined> {
    for await (const change of this.changes(name)) {
      const wasEmpty = change.head.id === id && change.memberCount === 0;
      if (wasEmpty && change.kind !== 'removed') return (await this.membersSince(change))?.came;
    }
    return undefined;
  }

  /** As `Rollout.rollback` has it. */
  async rollback(name: string, to: Moment, options: RollbackOptions): Promise<Feature> {
    refuseNoMoment(to);
    const { members = typeof to === 'string' ? 'restore' : 'keep', ...given } = options;
    if (members !== 'restore' && members !== 'keep' && members !== 'none') {
      throw invalid("`members` to be 'restore', 'keep' or 'none'", members);
    }
    return this.writer.writing(name, async () => {
      // What the caller knows of. The whole document is replaced, so never one that came since.
      const seen = (await this.source.load(name))?.head;
      return this.place(name, seen, () => this.find(name, to, seen), members, given);
    });
  }

  /** As `Rollout.restore` has it. */
  async restore(name: string, options: RestoreOptions): Promise<Feature> {
    const { members = 'keep', ...given } = options;
    if (members !== 'keep' && members !== 'none') {
      throw invalid("`members` to be 'keep' or 'none'", members);
    }
    return this.writer.writing(name, () =>
      this.place(name, undefined, () => this.lastOf(name), members, given),
    );
  }

  /** As `Rollout.undo` has it. */
  async undo(
    name: string,
    changeId: string | undefined,
    options: WriteOptions,
  ): Promise<Feature | undefined> {
    if (changeId !== undefined && (typeof changeId !== 'string' || changeId === '')) {
      throw invalid('the id of a change', changeId);
    }
    if (changeId === undefined && options.requestId !== undefined) {
      // Which one is the last can be another by the time that it is repeated.
      throw invalid('the id of the change to undo, beside a `requestId`', changeId);
    }
    return this.writer.writing(name, async () => {
      // Which one is the last is settled before its turn: of two who undo it, one comes too late.
      const change = await this.changeOf(name, changeId);
      const { expect, ...given } = options;
      if (change.kind === 'removed') {
        if (expect !== undefined) throw changedMeanwhile(name);
        const removed = async () => ({ document: documentBefore(change), change: undefined });
        return this.place(name, undefined, removed, 'keep', given);
      }
      let last: Head | undefined;
      const plan = async (present: Stored | undefined, refusal?: HanoiError) => {
        const isStuck = refusal?.feature === name && isSameState(present?.head, last);
        last = present?.head;
        if (present === undefined) throw overtaken(name, ['it was removed']);
        const { head, feature, problem } = present;
        if (feature === undefined) throw problem;
        if (expect !== undefined && !isAt(head, expect)) throw changedMeanwhile(name);
        if (head.id !== change.head.id) throw overtaken(name, ['id']);
        if (change.kind === 'members') return this.withoutMembers(change, head, isStuck);
        if (change.kind === 'created') {
          await this.beforeRemoval();
          return uncreated(change, feature, head);
        }
        return this.withoutUpdate(change, feature, head, isStuck);
      };
      return this.writer.rewrite(name, given, plan, this.decidedBy);
    });
  }

  /** Writes a document of the past anew, where there is what was `seen`. */
  private async place(
    name: string,
    seen: Head | undefined,
    find: () => Promise<Found>,
    members: 'restore' | 'keep' | 'none',
    { expect, ...given }: WriteOptions,
  ): Promise<Feature> {
    let last: string | undefined;
    const plan = async (present: Stored | undefined, refusal?: HanoiError) => {
      if (present !== undefined && present.head === undefined) throw present.problem;
      const head = present?.head;
      if (expect !== undefined && !isAt(head, expect)) throw changedMeanwhile(name);
      if (!isSameDocument(head, seen)) {
        throw seen === undefined ? alreadyThere(name) : changedMeanwhile(name);
      }
      const { document: found, change } = await find();
      const document = present?.feature ? withExperimentsOf(present.feature, found) : found;
      const { id } = document;
      const isThere = head?.id === id;
      const isAlike = isThere && isSameSettings(present?.feature, document);
      const revision = Math.max(head?.revision ?? 0, await this.lastRevision(name, id)) + 1;
      const put = (
        next: Feature,
        beside: Pick<Planned, 'add' | 'remove' | 'memberCount'> = {},
      ) => ({
        ...{ document: Object.freeze({ ...next, revision }), ...beside },
        expect: head === undefined ? ('absent' as const) : { id: head.id, revision: head.revision },
      });
      if (members === 'none') return put({ ...document, id: crypto.randomUUID() });
      if (members === 'keep' && isThere) return isAlike ? undefined : put(document);
      if (members === 'keep') {
        const memberCount = await this.countSetAside(name, id);
        // There is what there was, so what was set aside has gone.
        if (refusal?.feature === name) throw expired(name, memberCount);
        return put(document, { memberCount });
      }
      const since = change && (await this.membersSince(change));
      if (since === undefined) throw untold(name);
      // Refused where nothing has moved since: the history tells of others than there are.
      const state = `${head?.members} ${since.stamp}`;
      if (refusal?.feature === name && state === last) {
        throw isThere ? untold(name) : expired(name, since.count);
      }
      last = state;
      const [add, remove] = [[...since.went], [...since.came]];
      const isSame = isAlike && head.members === since.stamp;
      if (isSame && add.length + remove.length === 0) return undefined;
      if (add.length + remove.length > MEMBERS_PER_WRITE) throw tooMany(name, add, remove);
      const { expect: at, ...planned } = put(document, { add, remove, memberCount: since.count });
      // Where it is or was there, nobody may have come or gone in between.
      const isMoving = (isThere || since.isThere) && at !== 'absent';
      return { ...planned, expect: isMoving ? { ...at, members: since.stamp } : at } as Planned;
    };
    const placed = await this.writer.rewrite(name, given, plan, this.decidedBy);
    // It was placed before, by this request, and removed since.
    if (placed === undefined) throw notFound(name);
    return placed;
  }

  /** Takes back a change of members alone. */
  private async withoutMembers(change: Change, head: Head, isStuck: boolean): Promise<Planned> {
    const { name, added, removed } = change;
    const since = await this.membersSince(change);
    // Of an edit by hand it is not told who came and went.
    const isTold = since !== undefined && added.length + removed.length > 0;
    if (!isTold || isStuck) throw untold(name);
    refuseTouched(change, since);
    return { expect: { id: head.id, members: since.stamp }, add: removed, remove: added };
  }

  /** Takes back a change of the document, and of the members that came or went with it. */
  private async withoutUpdate(
    change: Change,
    present: Feature,
    head: Head,
    isStuck: boolean,
  ): Promise<Planned> {
    const { name, added, removed } = change;
    if (change.after === undefined) throw unreadable(change);
    const before = withExperimentsOf(present, documentBefore(change));
    const after = withExperimentsOf(present, change.after);
    if (added.length + removed.length === 0 && isSameSettings(before, after)) {
      throw isSameSettings(change.before, change.after) ? unassigned(change) : notOwn(change);
    }
    const isOtherId = before.id !== after.id;
    // Who came under the new id would be set aside with it.
    const hasMoved = isOtherId && head.members !== change.head.members;
    const { document, conflicts = [] } = withoutChange(present, before, after);
    if (document === undefined || hasMoved) {
      throw overtaken(name, hasMoved ? [...conflicts, 'members'] : conflicts);
    }
    const last = isOtherId ? await this.lastRevision(name, before.id) : 0;
    const next = rebuilt(name, { ...document, revision: Math.max(head.revision, last) + 1 });
    const expect = { id: head.id, revision: head.revision };
    if (isOtherId) {
      const memberCount = await this.countSetAside(name, before.id, change);
      if (isStuck) throw expired(name, memberCount);
      return { expect: { ...expect, members: head.members }, document: next, memberCount };
    }
    if (added.length + removed.length === 0) return { expect, document: next };
    const since = await this.membersSince(change);
    if (since === undefined || isStuck) throw untold(name);
    refuseTouched(change, since);
    const members = since.stamp;
    return { expect: { ...expect, members }, document: next, add: removed, remove: added };
  }

  /** The kept changes before one of them, or all, the newest first. */
  private async *changes(name: string, from?: Change): AsyncGenerator<Change, void, undefined> {
    let before = from?.id;
    for (;;) {
      const page = await this.source.history(name, { limit: PAGE, before });
      yield* page;
      if (page.length < PAGE) return;
      before = page.at(-1)?.id;
    }
  }

  /** NOT_KEPT; INVALID_ARGUMENT where two ids had that revision, and after a removal. */
  private async find(name: string, moment: Moment, head: Head | undefined): Promise<Found> {
    if (typeof moment === 'string') return this.after(await this.changeOf(name, moment));
    const asked: { revision: number; id?: string } =
      typeof moment === 'number' ? { revision: moment } : moment;
    const { revision, id } = asked;
    let present = id ?? head?.id;
    // The ids that it can be of: the present one, and those from which that one came.
    const ids = new Set(present === undefined ? [] : [present]);
    const found = new Map<string, Found>();
    for await (const change of this.changes(name)) {
      const { kind, before, after } = change;
      if (kind === 'members') continue;
      present ??= change.head.id;
      ids.add(present);
      const isOf = (each: { id: string; revision: number } | undefined) =>
        each !== undefined && ids.has(each.id) && each.revision === revision;
      if (id === undefined && ids.has(change.head.id) && before) ids.add(before.id);
      if (isOf(change.head) && kind !== 'removed' && !found.get(change.head.id)?.change) {
        if (after === undefined) throw unreadable(change);
        found.set(after.id, { document: after, change });
      }
      if (before && isOf(before) && !found.has(before.id)) {
        found.set(before.id, { document: before, change: undefined });
      }
    }
    const own = found.get(present ?? '');
    if (own !== undefined) return own;
    const [first, ...others] = found.values();
    if (first === undefined) {
      throw notKept(name, `Revision ${revision} of ${JSON.stringify(name)} is not kept.`);
    }
    if (others.length === 0) return first;
    const choices = [...found.keys()].map(
      (each) => `{ id: ${JSON.stringify(each)}, revision: ${revision} }`,
    );
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `There was more than one revision ${revision} of ${JSON.stringify(name)}. Say which: ${choices.join(', ')}, or a change.`,
      { feature: name },
    );
  }

  /** What there was after a change. NOT_KEPT, INVALID_ARGUMENT. */
  private async after(change: Change): Promise<Found> {
    const { name, id, kind, head } = change;
    if (kind === 'removed') {
      throw new HanoiError(
        'INVALID_ARGUMENT',
        `After the change ${id} there was no ${JSON.stringify(name)}. Name one before it, or call rollout.remove().`,
        { feature: name },
      );
    }
    if (kind !== 'members') {
      if (change.after === undefined) throw unreadable(change);
      return { document: change.after, change };
    }
    const present = await this.source.load(name);
    if (present?.feature !== undefined && isSameDocument(present.head, head)) {
      return { document: present.feature, change };
    }
    for await (const other of this.changes(name)) {
      const { before, after } = other;
      if (before !== undefined && isAt(head, before)) return { document: before, change };
      if (after !== undefined && isSameDocument(other.head, head))
        return { document: after, change };
    }
    throw unreadable(change);
  }

  /** The feature as it was when it was removed. FEATURE_NOT_FOUND, NOT_KEPT. */
  private async lastOf(name: string): Promise<Found> {
    for await (const change of this.changes(name)) {
      if (change.kind === 'members') continue;
      // One that is gone without a removal was taken out of its file by hand.
      const document = change.kind === 'removed' ? documentBefore(change) : change.after;
      if (document === undefined) throw unreadable(change);
      return { document, change };
    }
    throw notFound(name);
  }

  /** The change of that id, or the last one. NOT_KEPT, FEATURE_NOT_FOUND. */
  private async changeOf(name: string, id: string | undefined): Promise<Change> {
    for await (const change of this.changes(name)) {
      if (id === undefined || change.id === id) return change;
    }
    if (id === undefined && (await this.source.load(name)) === undefined) throw notFound(name);
    const asked = id === undefined ? 'No change' : `No change ${JSON.stringify(id)}`;
    throw notKept(name, `${asked} of ${JSON.stringify(name)} is kept.`);
  }

  /** The highest revision that the id had, as far as it is kept. */
  private async lastRevision(name: string, id: string): Promise<number> {
    for await (const { head, before } of this.changes(name)) {
      if (head.id === id) return head.revision;
      if (before?.id === id) return before.revision;
    }
    return 0;
  }

  /** How many members were set aside with the id, before that change or last. NOT_KEPT. */
  private async countSetAside(name: string, id: string, from?: Change): Promise<number> {
    if (from?.membersBefore === 0) return 0;
    for await (const { head, before, memberCount, membersBefore } of this.changes(name, from)) {
      if (head.id === id) return memberCount;
      if (before?.id === id && membersBefore === 0) return 0;
    }
    throw untold(name);
  }

  /** Undefined where the kept changes don't tell. */
  private async membersSince(change: Change): Promise<MembersSince | undefined> {
    const later: Change[] = [];
    for await (const each of this.changes(change.name)) {
      if (each.id === change.id) return membersSince(change, later.reverse());
      later.push(each);
    }
    return undefined;
  }
}

/** Takes back that a feature was created. CONFLICT. */
function uncreated(change: Change, present: Feature, head: Head): Planned {
  const { name, after } = change;
  if (after === undefined) throw unreadable(change);
  const paths = [
    ...(isSameSettings(present, after) ? [] : ['its settings']),
    ...(head.members === change.head.members ? [] : ['members']),
  ];
  if (paths.length > 0) throw overtaken(name, paths);
  const { id, revision, members } = head;
  return { expect: { id, revision, members }, document: null };
}

/** The document that something taken back leaves. CONFLICT where what came later needs it. */
function rebuilt(name: string, document: object): Feature {
  try {
    return parseFeature(document);
  } catch (cause) {
    if (!hasCode(cause, 'INVALID_FEATURE')) throw cause;
    throw overtaken(name, [cause.path ?? 'its settings'], { cause });
  }
}

/** NOT_KEPT. */
function documentBefore(change: Change): Feature {
  if (change.before === undefined) throw unreadable(change);
  return change.before;
}

/** CONFLICT. */
function refuseTouched({ name, added, removed }: Change, { touched }: MembersSince): void {
  if ([...added, ...removed].some((id) => touched.has(id))) throw overtaken(name, ['members']);
}

function isAt(head: Head | undefined, at: { id: string; revision: number }): boolean {
  return head?.id === at.id && head.revision === at.revision;
}

function isSameDocument(one: Head | undefined, other: Head | undefined): boolean {
  return (
    one?.id === other?.id && one?.revision === other?.revision && one?.document === other?.document
  );
}

function isSameState(one: Head | undefined, other: Head | undefined): boolean {
  return isSameDocument(one, other) && one?.members === other?.members;
}

/** But for their revisions. */
function isSameSettings(one: Feature | undefined, other: Feature): boolean {
  return one !== undefined && isSame(withoutRevision(one), withoutRevision(other));
}

/**
 * In which experiments a feature is, they say themselves: each write of one is decided by the others
 * on its features, and none of them is asked here.
 */
export function withExperimentsOf(present: Feature, document: Feature): Feature {
  const { experiments: _, ...own } = document;
  const { experiments } = present;
  return experiments === undefined ? own : { ...own, experiments };
}

function withoutRevision({ revision: _, ...settings }: Feature): Json {
  return settings as unknown as Json;
}

/** INVALID_ARGUMENT. */
function refuseNoMoment(moment: unknown): void {
  if (typeof moment === 'string' && moment !== '') return;
  const isPair = typeof moment === 'object' && moment !== null;
  const { id, revision } = (isPair ? moment : { id: '-', revision: moment }) as Partial<Feature>;
  const isRevision = Number.isSafeInteger(revision) && (revision as number) >= 1;
  if (isRevision && typeof id === 'string' && id !== '') return;
  throw invalid('a revision (from 1), an { id, revision }, or the id of a change', moment);
}

/** INVALID_ARGUMENT: what an experiment has changed of its features. */
function notOwn({ name, id }: Change): HanoiError {
  return new HanoiError(
    'INVALID_ARGUMENT',
    `The change ${id} of ${JSON.stringify(name)} was made by an experiment, which says itself what it is about. ` +
      'Stop, remove or undo that, or name another change.',
    { feature: name },
  );
}

/** CONFLICT: what later changes have changed too. */
function overtaken(feature: string, paths: readonly string[], fields: object = {}): HanoiError {
  return new HanoiError(
    'CONFLICT',
    `Of ${JSON.stringify(feature)}, something later has changed the same: ${paths.join(', ')}. Take that back first, or roll back.`,
    { feature, ...fields },
  );
}

function unreadable({ name, id }: Change): HanoiError {
  return notKept(name, `The document at the change ${id} is not kept, or can't be read any more.`);
}

/** What was taken from ids that had been assigned something is in no history. */
function unassigned({ name, id }: Change): HanoiError {
  return notKept(
    name,
    `The change ${id} took from some what they were assigned, and whom is not kept. Register them again.`,
  );
}

function untold(feature: string): HanoiError {
  return notKept(
    feature,
    `The history of ${JSON.stringify(feature)} does not tell any more who its members were. ` +
      "A rollback with `members: 'keep'` leaves them as they are.",
  );
}

function expired(feature: string, count: number): HanoiError {
  return notKept(
    feature,
    `Its ${count} members of that time are no longer kept. ` +
      "With `members: 'none'` the document comes back alone.",
  );
}

/** INVALID_ARGUMENT: more than one write can do. */
function tooMany(feature: string, add: readonly string[], remove: readonly string[]): HanoiError {
  return new HanoiError(
    'INVALID_ARGUMENT',
    `Expected at most ${MEMBERS_PER_WRITE} members to differ, got ${add.length} to come back and ${remove.length} to go. ` +
      "A rollback with `members: 'keep'` leaves them as they are.",
    { feature },
  );
}
