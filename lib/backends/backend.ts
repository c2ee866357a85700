import type { CompiledFeature, Facts } from '../domain/decide.js';
import type { Feature } from '../domain/feature.js';
import type { HanoiError } from '../errors.js';

/*
 * The contract between the facade and whatever keeps the features.
 *
 * What is kept. A feature is a document, found by its name. Beside the document, under the
 * feature's id and never in it, are its members. A head says which state of the two is meant.
 * Every write leaves one change in the history, which outlives the feature.
 *
 * Who does what. A backend stores, compares heads, and answers what was looked up; it decides
 * nothing. Documents given to `write` have passed the validator. Documents that a backend reads
 * from outside this process have not: it passes them through `parseFeature`, and hands on what
 * can't be read as a `problem`, never as an absence.
 *
 * Atomicity. One `write` is one step: the condition, the document, the members, the head, the
 * token and the history entry change together or not at all, and no reader sees a part. What one
 * read returns for a feature (its document and the facts) belongs to one head. Two features of
 * one read may belong to different moments, except in `loadAll`, which is one moment.
 *
 * Order. The writes of one feature have one order, the same for every reader, and `revision`
 * and `members` of its heads rise with it. A write that has resolved is seen by every `load`,
 * `loadAll`, `read` and `readAll` that begins afterwards, from whatever process; `local` and
 * events follow as soon as the backend hears of it, at once where it is itself the store.
 *
 * Failures. "Not there" is an answer of the store. A store that does not answer makes the call
 * reject; it never turns into an absence, an empty list or a default. A method that takes a
 * feature's name rejects with FEATURE_NOT_FOUND only where its text says so.
 */

/** Which state of a feature is meant. Two equal heads mean equal documents and equal members. */
export interface Head {
  /** The feature's id. */
  readonly id: string;
  /** The document's `revision`. */
  readonly revision: number;
  /**
   * Moves with each change to the members. Counted over the whole store, so that no two states
   * of one id's members ever share a number, not even across a removal and its undoing.
   */
  readonly members: number;
}

/** A document as it is stored: readable, or with the problem (CORRUPT_FEATURE) that hides it. */
export type Stored =
  | { readonly head: Head; readonly feature: Feature; readonly problem?: never }
  | { readonly head: Head; readonly feature?: never; readonly problem: HanoiError };

/** One feature as a check needs it, under one head. */
export interface HeldFeature {
  readonly head: Head;
  /** A document that can't be read is held too, compiled to a closed answer. */
  readonly compiled: CompiledFeature;
  /** What is kept beside the document, as far as this view knows it. */
  readonly facts: Facts;
}

/** What checks look into. Synchronous, no I/O, and `get` allocates nothing. */
export interface View {
  /** Undefined where the store has no feature of that name. */
  get(name: string): HeldFeature | undefined;
  names(): Iterable<string>;
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
  /** After the change; of a removed feature, the last one it had. */
  readonly head: Head;
}

/** One entry of the history. */
export interface Change extends ChangeEvent {
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
}

/** Where features are read from. */
export interface Source {
  /**
   * The view that answers without I/O, always the present one: ask for it at each check. It holds
   * every feature, and a fact that it can't know without I/O reads as undefined there.
   * Undefined on a source that has to do I/O for a check, always or before it has loaded.
   */
  readonly local: View | undefined;

  /**
   * What a check of these features needs for one subject, fresh: their definitions and the
   * subject's facts in each, every fact known. The view may hold more than was asked.
   * One round trip where the definitions held are still the stored ones. Calls of one turn may
   * share it.
   */
  read(names: readonly string[], idOf: IdOf): Promise<View>;

  /** The same for every feature there is. */
  readAll(idOf: IdOf): Promise<View>;

  /** The document as stored now, past every cache. Undefined where there is none. */
  load(name: string): Promise<Stored | undefined>;

  /** Every document by name, and the token, of one moment. */
  loadAll(): Promise<{
    readonly token: string | undefined;
    readonly features: ReadonlyMap<string, Stored>;
  }>;

  /**
   * Which state the whole store is in. Equal tokens mean that nothing has changed between; they
   * have no order. A store that was emptied or replaced never repeats a token. Undefined where the
   * store has none: nothing was ever written, or all of it is lost.
   */
  token(): Promise<string | undefined>;

  /** How many members the feature has. FEATURE_NOT_FOUND. */
  countMembers(name: string): Promise<number>;

  /** For each id, in order, whether it is a member. FEATURE_NOT_FOUND. */
  hasMembers(name: string, ids: readonly string[]): Promise<boolean[]>;

  /**
   * The members in batches of about a thousand, in no order, without loading them all.
   * FEATURE_NOT_FOUND at the first batch. While members change, those that are there throughout
   * come at least once, and an id may come twice. A removal ends it early.
   */
  members(name: string): AsyncIterable<readonly string[]>;

  /** The last changes of one feature, newest first; of a removed one too. At most `limit`. */
  history(name: string, limit: number): Promise<Change[]>;

  /** The last changes of all features, newest first. At most `limit`. */
  log(limit: number): Promise<Change[]>;

  /**
   * Calls back after each change that this source hears of, once the change is visible here, until
   * the returned function is called. Over a network an event can be late, lost or doubled: it is
   * a hint to look, never the state itself. A listener that throws is not this source's affair:
   * wrap it.
   */
  subscribe(listener: (event: ChangeEvent) => void): () => void;

  /**
   * Ends what the source itself has opened and leaves what it was given. Idempotent. Afterwards
   * every other call rejects with CLOSED, and `local` is undefined.
   */
  close(): Promise<void>;
}

/**
 * What must be there for a write to happen: no feature of the name; any; the one with this id;
 * or that one with its document at this revision. Members may have changed in between.
 */
export type Expectation =
  | 'absent'
  | 'present'
  | { readonly id: string; readonly revision?: number };

/** One write: of a document, of members, or of both at once. */
export interface Write {
  readonly name: string;
  readonly expect: Expectation;
  /**
   * The document afterwards; null removes the feature; left out, the document stays.
   * Its revision is higher than every one that this id had before. Where its id differs from the
   * stored one, the members of the old id are set aside and those of the new id, if any were set
   * aside in time, are there again.
   */
  readonly document?: Feature | null;
  /** Ids to add and then to remove, at most MEMBERS_PER_WRITE in all. Applied to `document`'s id. */
  readonly add?: readonly string[] | undefined;
  readonly remove?: readonly string[] | undefined;
  /** Who and why, for the history. */
  readonly actor?: string | undefined;
  readonly note?: string | undefined;
  /**
   * Names this write: within REQUEST_MEMORY_MS the same id gets the answer of the first, and
   * nothing is applied twice. Left out, the backend draws one where it needs one.
   */
  readonly requestId?: string;
}

/** What a write did. */
export interface Written {
  /** The feature's head afterwards; of a removed feature, the last one it had. */
  readonly head: Head;
  /** How many ids became members, and how many ceased to be. */
  readonly added: number;
  readonly removed: number;
}

/** A source that can be written to. */
export interface Backend extends Source {
  /**
   * Applies the write whole, or rejects and nothing has changed:
   * FEATURE_EXISTS for `absent`, FEATURE_NOT_FOUND where there is none, CONFLICT where another id
   * or revision is there.
   * A write that changes nothing (members that are there already, no document) succeeds and
   * leaves no history entry, token or event.
   * Members set aside by a removal or a new id are kept for KEEP_REMOVED_MS.
   */
  write(write: Write): Promise<Written>;
}

/** Larger writes are refused (INVALID_ARGUMENT): the caller splits them. */
export const MEMBERS_PER_WRITE = 1000;

/** How long the answer to a request id is remembered: 10 minutes. */
export const REQUEST_MEMORY_MS = 10 * 60 * 1000;

/** How long the members of a removed feature are kept, for it to be brought back: 7 days. */
export const KEEP_REMOVED_MS = 7 * 24 * 60 * 60 * 1000;
