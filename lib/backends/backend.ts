import type { CompiledFeature, Facts } from '../domain/decide.js';
import type { Feature } from '../domain/feature.js';
import type { ErrorCode, HanoiError } from '../errors.js';

/*
 * The contract between the facade and whatever keeps the features.
 *
 * What is kept. A feature is a document, found by its name. Beside the document, under the
 * feature's id and never in it, are its members, and what was assigned to ids: the variant that
 * somebody used first, the bucket of a population. A head says which state of document and members
 * is meant. Every write of these leaves one change in the history, which outlives the feature.
 * What is assigned to an id stays as it is, so it moves no head and leaves no change.
 *
 * Who does what. A backend stores, compares heads, and answers what was looked up; it decides
 * nothing. Documents and ids given to `write` have passed the validator. Documents that a backend
 * reads from outside this process have not: it passes them through `parseFeature`, and hands on
 * what can't be read as a `problem`, never as an absence.
 *
 * Atomicity. One `write` is one step: the condition, the document, the members, the head, the
 * token and the history entry change together or not at all, and no reader sees a part. What one
 * read returns, all features and facts of it, is one moment. Writes of members that nobody has
 * waited for may become one step, and one history entry that names all of them.
 *
 * Order. The writes of one feature have one order, the same for every reader. A write that has
 * resolved is seen by every `load`, `loadAll`, `read` and `readAll` that begins afterwards, from
 * whatever process, and by `local` of the same source. `local` and events elsewhere follow as soon
 * as they hear of it.
 *
 * Failures. "Not there" is an answer of the store. A store that does not answer makes the call
 * reject; it never turns into an absence, an empty list or a default. Only what is read for checks
 * (`local`, `read`, `readAll`) may then be the last that this source knew, and says so (`stale`). A
 * method that takes a feature's name rejects with FEATURE_NOT_FOUND only where its text says so.
 */

/** Which state of a feature is meant. Equal heads mean equal documents and equal members. */
export interface Head {
  /** The feature's id. */
  readonly id: string;
  /** The document's `revision`. A store that lost its last writes can give one out again. */
  readonly revision: number;
  /** Moves with each write of the document. No two states of one document share a number. */
  readonly document: number;
  /**
   * 0 while this id has never had a member: nothing need be looked up. From then on it moves with
   * each change to them. No two states of one id's members share a number, not even across a
   * removal and its undoing.
   */
  readonly members: number;
}

/**
 * Which state the whole store is in. Each of the two moves with every change of its kind, to any
 * feature. Compared for equality, never for order. A store that was emptied or replaced never
 * repeats one.
 */
export interface Token {
  /** Which store this is, where that can change: another one after it was emptied or replaced. */
  readonly epoch?: string | undefined;
  readonly documents: string;
  readonly members: string;
}

/**
 * A document as it is stored: readable, or with the problem (CORRUPT_FEATURE) that hides it.
 * A document whose head is lost or can't be read has none; it is there all the same.
 */
export type Stored =
  | { readonly head: Head; readonly feature: Feature; readonly problem?: never }
  | { readonly head: Head | undefined; readonly feature?: never; readonly problem: HanoiError };

/** One feature as a check needs it, under one head. */
export interface HeldFeature {
  /** Undefined only where the document can't be read. */
  readonly head: Head | undefined;
  /** A document that can't be read is held too, compiled to a closed answer. */
  readonly compiled: CompiledFeature;
  /** What is kept beside the document, as far as this view knows it. */
  readonly facts: Facts;
}

/**
 * What checks look into. Synchronous, no I/O, and `get` allocates nothing. It may go on with the
 * store: use it in the turn in which it came; what must last is decided at once (`Snapshot`).
 */
export interface View {
  /** Undefined where the store has no feature of that name; in a stale view, where none is known. */
  get(name: string): HeldFeature | undefined;
  names(): Iterable<string>;
  /** Undefined while this is as new as its source promises; else it is the last that was known. */
  readonly stale: Staleness | undefined;
  /** Why what it does not hold of its features could not be looked up, where it couldn't. */
  readonly problem?: HanoiError | undefined;
}

/** Why a view is not the present state, and how far behind it can be. */
export interface Staleness {
  readonly cause: HanoiError;
  /**
   * Ms since what is held of this feature was surely the present state; Infinity where it never
   * came from the store. Of a name that isn't held it says nothing.
   */
  ageMs(name: string): number;
}

/** How a source does. */
export interface Health {
  /**
   * `starting`: nothing was read yet. `ready`. `degraded`: the store does not answer, or refuses.
   * `stale`: that for longer than the source may let pass. `closed`.
   */
  readonly state: 'starting' | 'ready' | 'degraded' | 'stale' | 'closed';
  /** How old, in ms, what checks are answered from can be at most. Infinity while there is none. */
  readonly ageMs: number;
  /** The last that was seen. */
  readonly token: Token | undefined;
  /** Why the last attempt failed, where it did. */
  readonly error: ErrorCode | undefined;
}

/** What an operator wants to hear of. */
export interface HealthEvent {
  /**
   * `degraded` and `recovered` take turns. `stale`: what checks are answered from is older than it
   * may be. `dataLoss`: the store held something, and holds nothing any more. `corrupt`: a document
   * was read that can't be. `error`: something beside the store went wrong, and no check depends on
   * it now.
   */
  readonly kind: 'degraded' | 'recovered' | 'stale' | 'dataLoss' | 'corrupt' | 'error';
  readonly health: Health;
  /** Why; undefined of `recovered`. */
  readonly cause: HanoiError | undefined;
}

/** What an id was assigned. */
export interface Assignment {
  readonly id: string;
  readonly value: string;
  readonly weight: number;
}

/** All the members of a feature, under its head. */
export interface HeldMembers {
  readonly head: Head;
  /** The caller's own. */
  readonly ids: Set<string>;
}

/**
 * Gives the id by which a feature knows the subject that is being checked; undefined where the
 * subject has none, and then nothing need be looked up. It depends on the document (`subjectKey`),
 * so a source calls it once it holds the definition. Never throws.
 */
export type IdOf = (feature: CompiledFeature) => string | undefined;

/** What happened to a feature, without its contents. */
export interface ChangeEvent {
  readonly name: string;
  readonly kind: 'created' | 'updated' | 'removed' | 'members';
  /** After the change; of a removed feature, the last one it had. Frozen. */
  readonly head: Head;
}

/** One entry of the history. */
export interface Change extends ChangeEvent {
  /** Names this change among all of the store; opaque. */
  readonly id: string;
  /** Unix ms by the store's clock. */
  readonly at: number;
  readonly actor: string | undefined;
  readonly note: string | undefined;
  /** The document before: undefined where there was none, and where only members changed. */
  readonly before: Feature | undefined;
  /** The document after: undefined where it was removed, and where only members changed. */
  readonly after: Feature | undefined;
  /** The ids that became members by this write, and those that ceased to be. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** How many members there are after it; of a removed feature, how many it had. */
  readonly memberCount: number;
  /**
   * `members` of the head that it met, 0 where there was none: whether the change of members before
   * it is known. Undefined where that was not told.
   */
  readonly membersBefore: number | undefined;
}

/** Which part of a history. */
export interface HistoryOptions {
  /** At most so many, from 0. */
  readonly limit: number;
  /** Only what came before the change of this id. */
  readonly before?: string | undefined;
  /** Only changes of the document, or only those of members alone. */
  readonly kind?: 'documents' | 'members' | undefined;
}

/** What `loadAll` gives. */
export interface Loaded {
  readonly token: Token | undefined;
  readonly features: ReadonlyMap<string, Stored>;
}

/** Where features are read from. */
export interface Source {
  /**
   * The view that answers without I/O: ask for it at each check. It holds every feature, and a fact
   * that it can't know without I/O reads as undefined there.
   * Undefined on a source that has to do I/O for a check, always or before it has loaded.
   */
  readonly local: View | undefined;

  /**
   * What a check of these features needs for one subject: their definitions and the subject's
   * facts in each, every fact known. The view may hold more than was asked.
   * One round trip where the definitions held are still the stored ones. Calls of one turn may
   * share it.
   */
  read(names: readonly string[], idOf: IdOf): Promise<View>;

  /** The same for every feature there is. */
  readAll(idOf: IdOf): Promise<View>;

  /** The document as stored now, past every cache. Undefined where there is none. */
  load(name: string): Promise<Stored | undefined>;

  /**
   * Every document by name, and the token, of one moment. What is `known` from before need not be
   * fetched: where a document is still the same, its feature may be that same object.
   */
  loadAll(known?: Loaded): Promise<Loaded>;

  /**
   * All the members of each of these features, given by name and id, of one moment. Left out are
   * those that are not there under that id, those with more members than this source would have in
   * memory, and those that keep changing meanwhile.
   */
  loadMembers(ids: ReadonlyMap<string, string>): Promise<ReadonlyMap<string, HeldMembers>>;

  /**
   * Undefined where the store has none: nothing was ever written, or all of it is lost. As fast to
   * answer or to reject as a check.
   */
  token(): Promise<Token | undefined>;

  /** How many members the feature has. FEATURE_NOT_FOUND. */
  countMembers(name: string): Promise<number>;

  /**
   * The members in batches of about a thousand, in no order, without loading them all.
   * FEATURE_NOT_FOUND at the first batch. While members change, those that are there throughout
   * come at least once, and an id may come twice. CONFLICT where the feature is removed or its
   * members are emptied underway: a part is never taken for the whole.
   */
  members(name: string): AsyncIterable<readonly string[]>;

  /**
   * All that is assigned, as `members` streams: in batches, in no order. What is assigned underway
   * may be among it. FEATURE_NOT_FOUND at the first batch; CONFLICT.
   */
  assignments(name: string): AsyncIterable<readonly Assignment[]>;

  /** How many ids are assigned something. FEATURE_NOT_FOUND. */
  countAssigned(name: string): Promise<number>;

  /**
   * The weight assigned of each value; exact, and 0 of none. Where every id has the weight 1, how
   * many have it. FEATURE_NOT_FOUND.
   */
  assignedWeights(name: string): Promise<ReadonlyMap<string, number>>;

  /**
   * The changes of one feature, the newest first; of a removed one too. Changes of documents and
   * those of members alone are trimmed separately, so that a million registrations leave what an
   * undo needs.
   */
  history(name: string, options: HistoryOptions): Promise<Change[]>;

  /** The changes of all features, the newest first, trimmed in the same way. */
  log(options: HistoryOptions): Promise<Change[]>;

  /**
   * Calls back after each change that this source hears of, once the change is visible here, until
   * the returned function is called. Over a network an event can be late, lost or doubled: it is
   * a hint to look, never the state itself; and undefined says that some may have been missed. The
   * listener must not throw.
   */
  subscribe(listener: (event: ChangeEvent | undefined) => void): () => void;

  /** Of now; no I/O. */
  health(): Health;

  /**
   * Calls back at what happens to this source's health, until the returned function is called. The
   * listener must not throw.
   */
  watch(listener: (event: HealthEvent) => void): () => void;

  /**
   * Resolves with the health once checks can be answered from the store, or after so many ms: the
   * source goes on trying. Never rejects.
   */
  ready(timeoutMs: number): Promise<Health>;

  /**
   * Ends what the source has opened. A source around another one closes that too; a client that
   * the app has made stays open. Idempotent. Afterwards, and for reads underway, every other call
   * rejects with CLOSED, `local` is undefined, and listeners hear nothing.
   */
  close(): Promise<void>;
}

/**
 * What must be there: any feature of the name; or the one with this id, at this revision where one is
 * said, with its members in this state (`Head.members`) where one is said.
 */
export type Present = 'present' | Exactly;

export interface Exactly {
  readonly id: string;
  readonly revision?: number | undefined;
  readonly members?: number | undefined;
}

/** What every write that is recorded may say. */
interface About {
  readonly name: string;
  /** Who and why, for the history. */
  readonly actor?: string | undefined;
  readonly note?: string | undefined;
  /**
   * Names this write: within REQUEST_MEMORY_MS the same id with the same name gets the answer of
   * the first, and nothing is applied twice. Only a write that was applied is remembered.
   * Left out, the backend draws one where it needs one.
   */
  readonly requestId?: string | undefined;
  /**
   * Other features that this write was decided by, as they were read; undefined of one that was not
   * there. CONFLICT, naming it, where the document of one is another by now.
   */
  readonly beside?: ReadonlyMap<string, Head | undefined> | undefined;
}

/** Ids to let in and to take out, disjoint, at most MEMBERS_PER_WRITE in all. */
interface MemberChanges {
  readonly add?: readonly string[] | undefined;
  readonly remove?: readonly string[] | undefined;
}

/** A document, and who is to be found beside it. */
interface Placement extends About, MemberChanges {
  readonly document: Feature;
  /**
   * So many members the document's id must have before this write, there or set aside: CONFLICT
   * where there are others, or none any more.
   */
  readonly memberCount?: number | undefined;
}

/** Creates a feature, or brings one back: members set aside under the document's id return. */
export interface Creation extends Placement {
  readonly expect: 'absent';
}

/**
 * Replaces the document that was read. The revision is higher than every one that this id had.
 * With another id the feature starts clean: the members of the old one are set aside, and those of
 * the new one, if any were set aside in time, are there again.
 */
export interface Replacement extends Placement {
  readonly expect: Exactly;
  /** Ids that are to lose what they were assigned, at most MEMBERS_PER_WRITE. */
  readonly release?: readonly string[] | undefined;
}

export interface Removal extends About {
  readonly expect: Present;
  readonly document: null;
}

export interface MembersWrite extends About, MemberChanges {
  readonly expect: Present;
  readonly document?: undefined;
}

/**
 * Assigns a value to each of these ids, at most MEMBERS_PER_WRITE, that has none yet; whoever has
 * one keeps it. To repeat it does nothing more, so it needs no request id.
 */
export interface AssignmentsWrite {
  readonly name: string;
  readonly expect: 'present' | Omit<Exactly, 'members'>;
  readonly document?: undefined;
  readonly assign: readonly {
    readonly id: string;
    /** Undefined: the one of `among` that has the least weight by then, the first of equals. */
    readonly value?: string | undefined;
    /** Also of one who has a value. From 0; default 1. */
    readonly weight?: number | undefined;
  }[];
  readonly among?: readonly string[] | undefined;
  readonly requestId?: undefined;
}

/** What leaves a change in the history. `document.name` is `name`. */
export type RecordedWrite = Creation | Replacement | Removal | MembersWrite;

/** One write. */
export type Write = RecordedWrite | AssignmentsWrite;

/** What a write did. */
export interface Written {
  /** The feature's head afterwards; of a removed feature, the last one it had. */
  readonly head: Head;
  /** How many ids became members, and how many ceased to be; or got a value, and lost theirs. */
  readonly added: number;
  readonly removed: number;
  /** What each of the ids that were to be assigned has now, in their order. */
  readonly assigned: readonly string[];
}

/** A source that can be written to. */
export interface Backend extends Source {
  /**
   * Applies the write whole, and resolves. Or rejects:
   * with OUTCOME_UNKNOWN, and it may have been applied: to repeat it with the error's `requestId`
   * is safe; with any other code, and nothing has changed: FEATURE_EXISTS for `absent`,
   * FEATURE_NOT_FOUND where there is none, CONFLICT where another id, revision or other members are there,
   * INVALID_ARGUMENT for too many ids or for a request id that another name has used, CLOSED,
   * NOT_APPLIED where the store was not reached, or refused.
   * A write that changes nothing (members that are there already, no document) succeeds and
   * leaves no history entry, token or event.
   * Members, and what was assigned, are kept for KEEP_REMOVED_MS where a removal or a new id set
   * them aside.
   */
  write(write: Write): Promise<Written>;
}

/** Larger writes are refused: the caller splits them. */
export const MEMBERS_PER_WRITE = 1000;

/** How long the answer to a request id is remembered: 10 minutes. */
export const REQUEST_MEMORY_MS = 10 * 60 * 1000;

/** How long the members of a removed feature are kept, for it to be brought back: 7 days. */
export const KEEP_REMOVED_MS = 7 * 24 * 60 * 60 * 1000;
