import { compile, compileUnreadable } from '../domain/decide.js';
import type { Feature } from '../domain/feature.js';
import { Lightest } from '../domain/lightest.js';
import { alreadyThere, changedMeanwhile, HanoiError, notFound, shown } from '../errors.js';
import {
  type Assignment,
  type AssignmentsWrite,
  type Change,
  type ChangeEvent,
  type Creation,
  type Exactly,
  type Head,
  type HeldFeature,
  type HeldMembers,
  type HistoryOptions,
  KEEP_REMOVED_MS,
  type Loaded,
  MEMBERS_PER_WRITE,
  REQUEST_MEMORY_MS,
  type RecordedWrite,
  type Removal,
  type Replacement,
  type Stored,
  type Token,
  type View,
  type Write,
  type Written,
} from './backend.js';

const NONE: readonly string[] = Object.freeze([]);

/** A feature with its members: the one copy there is, which checks look into. */
interface Entry extends HeldFeature {
  head: Head;
  /** Undefined where the document can't be read. */
  readonly feature: Feature | undefined;
  readonly problem: HanoiError | undefined;
  readonly facts: Beside;
}

/** What is kept beside a document. */
class Beside {
  readonly ids = new Set<string>();
  readonly assignments = new Map<string, { readonly value: string; weight: number }>();
  readonly weights = new Map<string, number>();

  isMember(id: string): boolean {
    // Most features have none, and an id that was never hashed needn't be.
    return this.ids.size > 0 && this.ids.has(id);
  }

  assigned(id: string): string | null {
    return this.assignments.get(id)?.value ?? null;
  }

  /** Whether it had no value before. */
  assign(id: string, value: string, weight: number): boolean {
    const known = this.assignments.get(id);
    const before = known?.weight ?? 0;
    const kept = known?.value ?? value;
    if (known === undefined) this.assignments.set(compact(id), { value, weight });
    else known.weight = weight;
    this.weights.set(kept, (this.weights.get(kept) ?? 0) + weight - before);
    return known === undefined;
  }

  release(id: string): boolean {
    const known = this.assignments.get(id);
    if (known === undefined) return false;
    this.weights.set(known.value, (this.weights.get(known.value) ?? 0) - known.weight);
    this.assignments.delete(id);
    // What is left of sums of decimals is not the weight of anybody.
    if (this.assignments.size === 0) this.weights.clear();
    return true;
  }
}

/** The last changes, those of documents and those of members alone each up to a length. */
class History {
  private readonly documents: Change[] = [];
  private readonly members: Change[] = [];

  constructor(private readonly length: number) {}

  add(change: Change): void {
    const changes = change.kind === 'members' ? this.members : this.documents;
    changes.push(change);
    // Cut at twice the length, so that a write doesn't shift the whole list.
    if (changes.length > 2 * this.length) changes.splice(0, changes.length - this.length);
  }

  /** Those that are kept, of both kinds by their order. */
  all(): Change[] {
    return this.newest({ limit: Number.POSITIVE_INFINITY }).reverse();
  }

  newest({ limit, before, kind }: HistoryOptions): Change[] {
    const kept = (changes: Change[]) => changes.slice(Math.max(0, changes.length - this.length));
    return (
      [
        ...(kind === 'members' ? [] : kept(this.documents)),
        ...(kind === 'documents' ? [] : kept(this.members)),
      ]
        .filter(({ id }) => before === undefined || Number(id) < Number(before))
        .sort((one, other) => Number(other.id) - Number(one.id))
        .slice(0, limit)
        // Copies: what is handed out is no longer the history's own.
        .map((change) => ({ ...change, added: [...change.added], removed: [...change.removed] }))
    );
  }
}

/** All that a store holds, as plain data. */
export interface Kept {
  readonly epoch: string;
  /** Where this store began; undefined until something was written to it. */
  readonly origin: string | undefined;
  /** Stamps of the last write of a document and of members, and how many changes the history had. */
  readonly documentWrites: number;
  readonly memberWrites: number;
  readonly lastChange: number;
  readonly features: ReadonlyMap<string, KeptFeature>;
  /** Members of removed features, by the feature's id, until a time (Unix ms). */
  readonly setAside: readonly {
    readonly id: string;
    readonly until: number;
    readonly members: readonly string[];
    readonly assignments?: readonly Assignment[];
  }[];
  readonly requests: readonly {
    readonly id: string;
    readonly name: string;
    readonly written: Written;
    readonly until: number;
  }[];
  /** Of each feature in their order. */
  readonly changes: readonly Change[];
}

export interface KeptFeature {
  readonly head: Head;
  /** Undefined where the document can't be read; then there is the problem. */
  readonly feature: Feature | undefined;
  readonly problem: HanoiError | undefined;
  readonly members: readonly string[];
  readonly assignments?: readonly Assignment[];
}

/** What a write did, and what there is to tell of it. */
export interface Applied {
  readonly written: Written;
  /** Undefined where nothing has changed that leaves a change. */
  readonly event: ChangeEvent | undefined;
  readonly isChanged: boolean;
}

/** All that a backend keeps, in this process: the documents, members, history and requests. */
export class Store {
  /** Always the present state. */
  readonly view: View;

  private readonly entries = new Map<string, Entry>();
  /** Of removed features by feature id, the longest there first. */
  private readonly setAside = new Map<string, { beside: Beside; until: number }>();
  private readonly requests = new Map<string, { name: string; written: Written; until: number }>();
  private readonly histories = new Map<string, History>();
  private readonly changes: History;
  private epoch: string = crypto.randomUUID();
  private origin: string | undefined;
  private documentWrites = 0;
  private memberWrites = 0;
  private lastChange = 0;
  private told: ChangeEvent | undefined;
  private isAssigned: boolean = false;

  constructor(
    private readonly historyLength: number,
    private readonly now: () => number,
  ) {
    this.changes = new History(historyLength);
    const { entries } = this;
    this.view = {
      get: (name) => entries.get(name),
      names: () => entries.keys(),
      stale: undefined,
    };
  }

  load(name: string): Stored | undefined {
    const entry = this.entries.get(name);
    return entry && storedOf(entry);
  }

  loadAll(): Loaded {
    const features = new Map<string, Stored>();
    for (const [name, entry] of this.entries) features.set(name, storedOf(entry));
    return { token: this.token(), features };
  }

  loadMembers(ids: ReadonlyMap<string, string>): ReadonlyMap<string, HeldMembers> {
    const found = new Map<string, HeldMembers>();
    for (const [name, id] of ids) {
      const entry = this.entries.get(name);
      if (entry?.head.id !== id) continue;
      found.set(name, { head: entry.head, ids: new Set(entry.facts.ids) });
    }
    return found;
  }

  token(): Token | undefined {
    if (this.documentWrites === 0) return undefined;
    return {
      epoch: this.origin,
      documents: `${this.epoch}:${this.documentWrites}`,
      members: `${this.epoch}:${this.memberWrites}`,
    };
  }

  countMembers(name: string): number {
    return this.membersOf(name).size;
  }

  /** The members themselves: the same set for as long as the feature has this id. FEATURE_NOT_FOUND. */
  membersOf(name: string): ReadonlySet<string> {
    return this.besideOf(name).ids;
  }

  assignmentsOf(name: string): Iterable<Assignment> {
    return assignmentsIn(this.besideOf(name));
  }

  countAssigned(name: string): number {
    return this.besideOf(name).assignments.size;
  }

  assignedWeights(name: string): ReadonlyMap<string, number> {
    return new Map(this.besideOf(name).weights);
  }

  has(name: string, members: ReadonlySet<string>): boolean {
    return this.entries.get(name)?.facts.ids === members;
  }

  history(name: string, options: HistoryOptions): Change[] {
    return this.histories.get(name)?.newest(options) ?? [];
  }

  log(options: HistoryOptions): Change[] {
    return this.changes.newest(options);
  }

  clear(): void {
    this.entries.clear();
  }

  forgetRequest(requestId: string): void {
    this.requests.delete(requestId);
  }

  /** As the contract has it of `write`. */
  write(write: Write): Applied {
    this.told = undefined;
    this.isAssigned = false;
    if ('assign' in write) return this.done(this.assign(write));
    const { requestId } = write;
    if (requestId === undefined) return this.done(this.apply(write));
    const now = this.now();
    forgetOld(this.requests, now);
    const repeated = this.requests.get(requestId);
    if (repeated !== undefined && repeated.name !== write.name) {
      throw refusedWrite(write.name, 'a request id of its own', `${repeated.name}'s`);
    }
    if (repeated !== undefined) return this.done(repeated.written);
    const written = this.apply(write);
    this.requests.set(requestId, { name: write.name, written, until: now + REQUEST_MEMORY_MS });
    return this.done(written);
  }

  /** Everything, as plain data. */
  keep(): Kept {
    const { epoch, origin, documentWrites, memberWrites, lastChange } = this;
    const features: [string, KeptFeature][] = [];
    for (const [name, { head, feature, problem, facts }] of this.entries) {
      const assignments = [...assignmentsIn(facts)];
      features.push([name, { head, feature, problem, members: [...facts.ids], assignments }]);
    }
    return {
      epoch,
      origin,
      documentWrites,
      memberWrites,
      lastChange,
      features: new Map(features),
      setAside: Array.from(this.setAside, ([id, { beside, until }]) => ({
        ...{ id, until },
        members: [...beside.ids],
        assignments: [...assignmentsIn(beside)],
      })),
      requests: Array.from(this.requests, ([id, request]) => ({ id, ...request })),
      changes: [...this.histories.values()].flatMap((history) => history.all()),
    };
  }

  /**
   * The store that was kept. What has the same head in `before` is taken over as it is there: of
   * the two, neither may be written to from then on.
   */
  static of(kept: Kept, historyLength: number, now: () => number, before?: Store): Store {
    const store = new Store(historyLength, now);
    store.epoch = kept.epoch;
    store.origin = kept.origin;
    store.documentWrites = kept.documentWrites;
    store.memberWrites = kept.memberWrites;
    store.lastChange = kept.lastChange;
    for (const [name, { head, feature, problem, members, assignments }] of kept.features) {
      const known = before?.entries.get(name);
      // What is assigned moves no head.
      const isPlain = !assignments?.length && known?.facts.assignments.size === 0;
      if (known !== undefined && isPlain && isSame(known, head, problem)) {
        store.entries.set(name, known);
        continue;
      }
      const compiled =
        feature === undefined ? compileUnreadable(name, problem as HanoiError) : compile(feature);
      const facts = besideOf(members, assignments);
      store.entries.set(name, { head: Object.freeze(head), feature, problem, compiled, facts });
    }
    for (const { id, until, members, assignments } of kept.setAside) {
      store.setAside.set(id, { beside: besideOf(members, assignments), until });
    }
    for (const { id, ...request } of kept.requests) store.requests.set(id, request);
    const inOrder = kept.changes.toSorted((one, other) => Number(one.id) - Number(other.id));
    for (const change of inOrder) store.add(change);
    return store;
  }

  /** One more change in the history. */
  add(change: Change): void {
    let history = this.histories.get(change.name);
    if (history === undefined) {
      history = new History(this.historyLength);
      this.histories.set(change.name, history);
    }
    history.add(change);
    this.changes.add(change);
  }

  private besideOf(name: string): Beside {
    const entry = this.entries.get(name);
    if (entry === undefined) throw notFound(name);
    return entry.facts;
  }

  private done(written: Written): Applied {
    const { told, isAssigned } = this;
    return { written, event: told, isChanged: told !== undefined || isAssigned };
  }

  private apply(write: RecordedWrite): Written {
    const { name, document } = write;
    const before = this.entries.get(name);
    refuseUnexpected(name, write.expect, before?.head);
    for (const [other, head] of write.beside ?? []) {
      if (!isSameDocument(this.entries.get(other)?.head, head)) throw changedMeanwhile(other);
    }
    if (write.document) this.refuseOtherMembers(write, before);
    this.origin ??= crypto.randomUUID();
    if (document === null) return this.remove(write as Removal, before as Entry);

    const { add = NONE, remove = NONE } = write;
    const release = ('release' in write && write.release) || NONE;
    refuseMany(name, add.length + remove.length);
    refuseMany(name, release.length);
    if (document === undefined && before?.problem !== undefined) throw before.problem;
    const membersBefore = before?.head.members ?? 0;
    const entry = document === undefined ? (before as Entry) : this.place(document, before);
    const { ids } = entry.facts;
    const added = add === NONE ? NONE : letIn(ids, add);
    const removed = remove === NONE ? NONE : remove.filter((id) => ids.delete(id));
    if (added.length > 0 || removed.length > 0) {
      this.memberWrites = stampAfter(this.memberWrites);
      entry.head = Object.freeze({ ...entry.head, members: this.memberWrites });
    }
    if (entry !== before) {
      const kind = before === undefined ? 'created' : 'updated';
      this.record(
        write,
        kind,
        entry,
        membersBefore,
        before?.feature,
        entry.feature,
        added,
        removed,
      );
    } else if (added.length > 0 || removed.length > 0) {
      this.record(write, 'members', entry, membersBefore, undefined, undefined, added, removed);
    }
    const released = release.filter((id) => entry.facts.release(id));
    return {
      head: entry.head,
      added: added.length,
      removed: removed.length + released.length,
      assigned: NONE,
    };
  }

  private assign(write: AssignmentsWrite): Written {
    const { name, expect, assign, among = NONE } = write;
    const entry = this.entries.get(name);
    refuseUnexpected(name, expect, entry?.head);
    refuseMany(name, assign.length);
    refuseChoiceless(write);
    const { head, facts } = entry as Entry;
    const lightest = new Lightest(among, facts.weights);
    let added = 0;
    const assigned = assign.map(({ id, value, weight = 1 }) => {
      const known = facts.assigned(id);
      const given = known ?? value ?? lightest.value;
      const before = facts.assignments.get(id)?.weight;
      if (facts.assign(id, given, weight)) added++;
      if (before !== weight) this.isAssigned = true;
      if (known !== null || value !== undefined) lightest.changed();
      else lightest.add(weight);
      return given;
    });
    return { head, added, removed: 0, assigned };
  }

  /** CONFLICT where the document's id has not as many members as the write says. */
  private refuseOtherMembers(
    { name, document, memberCount }: Creation | Replacement,
    before: Entry | undefined,
  ): void {
    if (memberCount === undefined) return;
    forgetOld(this.setAside, this.now());
    const isThere = before?.head.id === document.id;
    const members = isThere ? before.facts : this.setAside.get(document.id)?.beside;
    if ((members?.ids.size ?? 0) !== memberCount) throw changedMeanwhile(name);
  }

  /** Puts the document in its place, with the members that its id has. */
  private place(feature: Feature, before: Entry | undefined): Entry {
    const { name, id, revision } = feature;
    this.documentWrites = stampAfter(this.documentWrites);
    const compiled = compile(feature);
    let members: number;
    let facts: Beside;
    if (before?.head.id === id) {
      ({ facts } = before);
      ({ members } = before.head);
    } else {
      if (before !== undefined) this.putAside(before);
      const returned = this.takeBack(id);
      const hasMembers = returned !== undefined && returned.ids.size > 0;
      if (hasMembers) this.memberWrites = stampAfter(this.memberWrites);
      members = hasMembers ? this.memberWrites : 0;
      facts = returned ?? new Beside();
    }
    // Frozen: it is handed out, and conditions are checked against it.
    const head = Object.freeze({ id, revision, document: this.documentWrites, members });
    const entry: Entry = { head, feature, compiled, facts, problem: undefined };
    this.entries.set(name, entry);
    return entry;
  }

  private remove(write: Removal, before: Entry): Written {
    this.documentWrites = stampAfter(this.documentWrites);
    this.entries.delete(write.name);
    this.putAside(before);
    this.record(
      write,
      'removed',
      before,
      before.head.members,
      before.feature,
      undefined,
      NONE,
      NONE,
    );
    return { head: before.head, added: 0, removed: 0, assigned: NONE };
  }

  private putAside({ head, facts }: Entry): void {
    if (head.members === 0 && facts.assignments.size === 0) return;
    const now = this.now();
    forgetOld(this.setAside, now);
    this.setAside.set(head.id, { beside: facts, until: now + KEEP_REMOVED_MS });
  }

  private takeBack(id: string): Beside | undefined {
    forgetOld(this.setAside, this.now());
    const kept = this.setAside.get(id);
    this.setAside.delete(id);
    return kept?.beside;
  }

  private record(
    { name, actor, note }: RecordedWrite,
    kind: Change['kind'],
    { head, facts }: Entry,
    membersBefore: number,
    before: Feature | undefined,
    after: Feature | undefined,
    added: readonly string[],
    removed: readonly string[],
  ): void {
    const id = String(++this.lastChange);
    const at = this.now();
    const memberCount = facts.ids.size;
    // No spread: a registration is mostly this.
    const change: Change = {
      name,
      kind,
      head,
      id,
      at,
      actor,
      note,
      before,
      after,
      added,
      removed,
      memberCount,
      membersBefore,
    };
    this.add(change);
    this.told = Object.freeze({ name, kind, head });
  }
}

/** Stamps grow by steps of about this size. */
const STEP = 2 ** 24;

/** A stamp that none before was, nor any of a copy of this store that went its own way from here. */
function stampAfter(last: number): number {
  return (Math.floor(last / STEP) + 1) * STEP + Math.floor(Math.random() * STEP);
}

function isSame(known: Entry, head: Head, problem: HanoiError | undefined): boolean {
  const { id, revision, document, members } = known.head;
  return (
    id === head.id &&
    revision === head.revision &&
    document === head.document &&
    members === head.members &&
    known.problem?.message === problem?.message
  );
}

function storedOf({ head, feature, problem }: Entry): Stored {
  return feature === undefined ? { head, problem: problem as HanoiError } : { head, feature };
}

/** Adds the ids; gives back those that were not there. */
function letIn(members: Set<string>, ids: readonly string[]): string[] {
  const added: string[] = [];
  for (const id of ids) {
    if (members.has(id)) continue;
    const own = compact(id);
    members.add(own);
    added.push(own);
  }
  return added;
}

function besideOf(members: readonly string[], assignments: readonly Assignment[] = []): Beside {
  const beside = new Beside();
  for (const id of members) beside.ids.add(id);
  for (const { id, value, weight } of assignments) beside.assign(id, value, weight);
  return beside;
}

function* assignmentsIn({ assignments }: Beside): Generator<Assignment> {
  for (const [id, { value, weight }] of assignments) yield { id, value, weight };
}

/**
 * A copy that stands alone. V8 keeps a text of 13 characters or more that was joined as the tree of
 * its parts (a random UUID takes 500 bytes), and one that was cut out of another as a pointer
 * into it: a list of ids split from a file would keep the whole file.
 */
function compact(id: string): string {
  return id.length < 13 ? id : Buffer.from(id).toString();
}

/** Throws as the contract has it where `head` is not what the write expects. */
function refuseUnexpected(name: string, expect: Write['expect'], head: Head | undefined): void {
  if (expect === 'absent') {
    if (head !== undefined) throw alreadyThere(name);
  } else if (head === undefined) {
    throw notFound(name);
  } else if (expect !== 'present') {
    const { id, revision = head.revision, members = head.members } = expect as Exactly;
    if (id !== head.id || revision !== head.revision || members !== head.members) {
      throw changedMeanwhile(name);
    }
  }
}

/** More come in several writes. */
function refuseMany(name: string, ids: number): void {
  if (ids > MEMBERS_PER_WRITE) throw refusedWrite(name, `at most ${MEMBERS_PER_WRITE} ids`, ids);
}

function refuseChoiceless({ name, assign, among = NONE }: AssignmentsWrite): void {
  if (among.length > 0 || assign.every(({ value }) => value !== undefined)) return;
  throw refusedWrite(name, 'a value, or some to choose among', undefined);
}

function isSameDocument(one: Head | undefined, other: Head | undefined): boolean {
  return (
    one?.id === other?.id && one?.revision === other?.revision && one?.document === other?.document
  );
}

function refusedWrite(feature: string, expected: string, got: unknown): HanoiError {
  return new HanoiError('INVALID_ARGUMENT', `Expected ${expected} in a write, got ${shown(got)}.`, {
    feature,
  });
}

/** Entries with a time limit were put in by its order: the first that still holds ends the search. */
function forgetOld(entries: Map<string, { readonly until: number }>, now: number): void {
  for (const [key, { until }] of entries) {
    if (until > now) return;
    entries.delete(key);
  }
}

/** The members as `Source.members` streams them, from the store as it is at each step. */
export function* batchesOf(name: string, present: () => Store): Generator<readonly string[]> {
  yield* inBatches(name, present().membersOf(name), present);
}

/** The same of what is assigned. */
export function* assignmentBatchesOf(
  name: string,
  present: () => Store,
): Generator<readonly Assignment[]> {
  yield* inBatches(name, present().assignmentsOf(name), present);
}

function* inBatches<Item>(
  name: string,
  items: Iterable<Item>,
  present: () => Store,
): Generator<readonly Item[]> {
  const ids = present().membersOf(name);
  let batch: Item[] = [];
  for (const item of items) {
    if (batch.push(item) < MEMBERS_PER_WRITE) continue;
    yield batch;
    batch = [];
    // With another set, it is another feature, or was emptied.
    if (!present().has(name, ids)) throw changedMeanwhile(name);
  }
  if (batch.length > 0) yield batch;
}
