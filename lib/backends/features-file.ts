import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DEFAULT_SETTINGS, type Feature, type Json } from '../domain/feature.js';
import { parseId } from '../domain/parse.js';
import { parseFeature } from '../domain/validate.js';
import { HanoiError, withoutValue } from '../errors.js';
import type { Assignment, Change, Head } from './backend.js';
import type { Kept, KeptFeature } from './store.js';

/** A file of this many characters takes half a second to read; larger ones are refused. */
export const LONGEST_FILE = 50_000_000;

/** They are held in memory, and compiled at once. */
const MOST_FEATURES = 20_000;
const MOST_MEMBERS = 1_000_000;

/** After so many features were read, others get their turn: some ms. */
const AT_ONCE = 100;

/** To find the place where a text of this many characters is broken takes a tenth of a second. */
const LONGEST_LOCATED = 1_000_000;

/** What is written by hand into the history where a document was. */
const BY_HAND = 'Edited in the file';

/** What a file says. */
export interface Read {
  readonly kept: Kept;
  /** The documents that can't be read, as they are, by name: they stay so. */
  readonly unreadable: ReadonlyMap<string, unknown>;
}

/** The part that a person reads and edits comes first. */
interface Written {
  features: Record<string, unknown>;
  members?: Record<string, unknown>;
  store?: unknown;
}

interface KeptPart {
  epoch: string;
  origin?: string | undefined;
  writes: [documents: number, members: number, changes: number];
  /** By feature: its head, and digests of document and members as they were written. */
  heads: Record<string, [Head, document: string, members: string]>;
  /** By feature: what was assigned to ids. Absent from files of before there was any. */
  assigned?: Record<string, readonly Assignment[]>;
  setAside: Kept['setAside'];
  requests: Kept['requests'];
  changes: Change[];
}

/** As the file has it: two documents of one text are the same. */
export function print(kept: Kept, unreadable: ReadonlyMap<string, unknown>): string {
  const features: Record<string, unknown> = empty();
  const members: Record<string, unknown> = empty();
  const heads: KeptPart['heads'] = empty();
  const assigned: KeptPart['assigned'] = empty();
  for (const [name, { head, feature, members: ids, assignments = [] }] of kept.features) {
    const { name: _, ...document } = feature ?? ({} as Feature);
    const printed = feature === undefined ? unreadable.get(name) : document;
    features[name] = printed;
    if (ids.length > 0) members[name] = ids;
    if (assignments.length > 0) assigned[name] = assignments;
    heads[name] = [head, digest(printed), digest(ids)];
  }
  const store: KeptPart = {
    epoch: kept.epoch,
    origin: kept.origin,
    writes: [kept.documentWrites, kept.memberWrites, kept.lastChange],
    heads,
    assigned,
    setAside: kept.setAside,
    requests: kept.requests,
    changes: shortened(kept.changes),
  };
  // What nobody edits takes one line.
  const open = JSON.stringify({ features, members }, undefined, 2).slice(0, -2);
  return `${open},\n  "store": ${JSON.stringify(store)}\n}\n`;
}

/**
 * Reads a file, also one that a person has written: without `store`, and with only the settings that
 * are not the usual ones. What was edited by hand has another revision and head, which follow from
 * the text alone, so that all processes give the same. INVALID_RECORD for what is no such file.
 */
export function read(text: string): Read {
  const steps = readInSteps(text);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** The same in slices, between which others get their turn. Rejects with what `read` throws. */
export async function readInTurns(text: string): Promise<Read> {
  const steps = readInSteps(text);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    await nextTurn();
  }
}

function* readInSteps(text: string): Generator<undefined, Read, undefined> {
  if (text.length > LONGEST_FILE) {
    throw wrong(`it has ${text.length} characters, more than ${LONGEST_FILE}`);
  }
  // Some editors begin a file with a mark of their own.
  const json = text.startsWith('\uFEFF') ? text.slice(1) : text;
  const file = record(JSON.parse(json), '') as unknown as Written;
  const documents = record(file.features, 'features');
  const members = record(file.members ?? {}, 'members');
  refuseMany('features', Object.keys(documents).length, MOST_FEATURES);
  let count = 0;
  for (const ids of Object.values(members)) count += Array.isArray(ids) ? ids.length : 0;
  refuseMany('members', count, MOST_MEMBERS);
  for (const [name, ids] of Object.entries(members)) {
    if (!Object.hasOwn(documents, name))
      throw wrong(`members.${name} is of no feature that is here`);
    if (!Array.isArray(ids))
      throw wrong(`members.${name} has to be a list of ids, not ${kindOf(ids)}`);
  }
  const store = parseStore(file.store, text);
  const unreadable = new Map<string, unknown>();
  const features = new Map<string, KeptFeature>();
  const changes = [...store.changes];
  const edits: string[] = [];
  const memberEdits: string[] = [];
  let lastChange = store.writes[2];
  let step = 0;
  for (const [name, document] of Object.entries(documents)) {
    if (++step % AT_ONCE === 0) yield undefined;
    const known = Object.hasOwn(store.heads, name) ? store.heads[name] : undefined;
    const ids = parseMembers(name, Object.hasOwn(members, name) ? (members[name] as Json[]) : []);
    const stamp = digest(document);
    const memberStamp = digest(ids);
    let [head] = known ?? [undefined];
    const isEdited = head === undefined || known?.[1] !== stamp;
    const isMembersEdited = known === undefined ? ids.length > 0 : known[2] !== memberStamp;
    if (isEdited) {
      edits.push(name, stamp);
      head = editedHead(name, document, head, stamp);
    }
    if (isMembersEdited) {
      memberEdits.push(name, memberStamp);
      head = { ...(head as Head), members: numberOf(memberStamp) };
    }
    const now = Object.freeze(head as Head);
    let feature: Feature | undefined;
    let problem: HanoiError | undefined;
    try {
      const identity = { name, id: now.id, revision: now.revision };
      const settings = { ...DEFAULT_SETTINGS, ...record(document, '') };
      feature = parseFeature({ ...identity, ...settings, ...identity });
    } catch (cause) {
      const path = ['features', name, (cause as HanoiError).path].filter(Boolean).join('.');
      // Not the cause itself: it shows what stands there, and that can be a user's id.
      problem = new HanoiError(
        'CORRUPT_FEATURE',
        `${path}: ${withoutValue(cause)}. It is off, and stays as it is, until it is mended.`,
        { feature: name, path },
      );
      unreadable.set(name, document);
    }
    const isOne = known !== undefined && known[0].id === now.id;
    const assignments = isOne ? ownOf(store.assigned, name) : [];
    features.set(name, { head: now, feature, problem, members: ids, assignments });
    if (file.store !== undefined && (isEdited || isMembersEdited)) {
      changes.push({
        ...{ name, kind: known === undefined ? 'created' : isEdited ? 'updated' : 'members' },
        ...{ head: now, id: String(++lastChange), at: Date.now(), actor: undefined, note: BY_HAND },
        ...{ before: undefined, after: isEdited ? feature : undefined },
        ...{ added: [], removed: [], memberCount: ids.length },
        membersBefore: known === undefined ? 0 : known[0].members,
      } as Change);
    }
  }
  for (const name of Object.keys(store.heads)) {
    if (!Object.hasOwn(documents, name)) edits.push(name, 'removed');
  }
  const isEdited = edits.length + memberEdits.length > 0;
  return {
    unreadable,
    kept: {
      epoch: isEdited ? digest([store.epoch, edits, memberEdits]) : store.epoch,
      origin: store.origin,
      // A person who says that there are none has said something: it is not a store that lost all.
      documentWrites: Math.max(
        store.writes[0],
        features.size > 0 || file.store === undefined ? 1 : 0,
      ),
      memberWrites: store.writes[1],
      lastChange,
      features,
      setAside: store.setAside,
      requests: store.requests,
      changes,
    },
  };
}

/** Reads a file that is part of the app, or what stands for it. INVALID_ARGUMENT, with the place. */
export function readBootstrap(given: string | object): Read {
  const isPath = typeof given === 'string';
  try {
    return read(isPath ? readFileSync(given, 'utf8') : JSON.stringify(given));
  } catch (cause) {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `${isPath ? given : '`bootstrap`'} can't be read: ${whyUnreadable(cause)}`,
    );
  }
}

/** Reads what was kept somewhere as a text. INVALID_RECORD, with the place. */
export function readContents(text: string): Read {
  try {
    return read(text);
  } catch (cause) {
    throw new HanoiError('INVALID_RECORD', `\`contents\` can't be read: ${whyUnreadable(cause)}`);
  }
}

/** The same as a text. STORE_DENIED for more than could be read again. */
export function printContents(kept: Kept, unreadable: Read['unreadable']): string {
  const text = print(kept, unreadable);
  let members = 0;
  for (const feature of kept.features.values()) members += feature.members.length;
  try {
    refuseMany('features', kept.features.size, MOST_FEATURES);
    refuseMany('members', members, MOST_MEMBERS);
    refuseMany('characters', text.length, LONGEST_FILE);
  } catch (cause) {
    throw new HanoiError('STORE_DENIED', `It could not be read again: ${withoutValue(cause)}`);
  }
  return text;
}

function whyUnreadable(cause: unknown): string {
  if (cause instanceof HanoiError) return withoutValue(cause);
  const { code, message } = cause as NodeJS.ErrnoException;
  if (!(cause instanceof SyntaxError)) return `${code ?? 'it has something that JSON has not'}.`;
  // The rest of the message quotes the file.
  const [at = ''] = /( at position \d+)?( \(line .+\))?$/.exec(message) ?? [];
  return `${withoutValue(cause)}${at}.`;
}

/** Where the file breaks off, or what is not as it has to be there, as a person finds it. */
export async function located(text: string, error: unknown): Promise<HanoiError> {
  if (error instanceof HanoiError) return error;
  if (text.length > LONGEST_LOCATED) return wrong(withoutValue(error));
  // Loaded for this alone: it reads slowly, but knows where.
  const { parse } = await import('@humanwhocodes/momoa');
  try {
    parse(text, { mode: 'json' });
  } catch (cause) {
    return wrong((cause as Error).message);
  }
  return wrong(withoutValue(error));
}

function editedHead(name: string, document: unknown, known: Head | undefined, stamp: string): Head {
  const { id, revision } = (
    typeof document === 'object' && document !== null ? document : {}
  ) as Partial<Feature>;
  const own = typeof id === 'string' && id !== '' ? id : (known?.id ?? `file:${digest(name)}`);
  const isOld = own === known?.id;
  const least = isOld ? known.revision + 1 : 1;
  return {
    id: own,
    revision: Number.isSafeInteger(revision) ? Math.max(revision as number, least) : least,
    document: numberOf(stamp),
    members: isOld ? known.members : 0,
  };
}

function parseMembers(name: string, ids: readonly Json[]): string[] {
  return [...new Set(ids.map((id, at) => parseId(id, `members.${name}[${at}]`)))];
}

/** What this package keeps for itself. What is not of its kind counts as nothing: a new store. */
function parseStore(store: unknown, text: string): KeptPart {
  const nothing: KeptPart = {
    epoch: createHash('sha1').update(text).digest('hex').slice(0, 12),
    writes: [0, 0, 0],
    heads: empty(),
    setAside: [],
    requests: [],
    changes: [],
  };
  if (store === undefined) return nothing;
  const { epoch, origin, writes, heads, assigned, setAside, requests, changes } = record(
    store,
    'store',
  ) as Partial<KeptPart>;
  const isWhole =
    typeof epoch === 'string' &&
    (origin === undefined || typeof origin === 'string') &&
    Array.isArray(writes) &&
    writes.length === 3 &&
    writes.every(Number.isSafeInteger) &&
    [setAside, requests, changes].every(Array.isArray) &&
    Object.values(record(assigned ?? {}, 'store.assigned')).every(Array.isArray) &&
    Object.values(record(heads, 'store.heads')).every(isHead);
  if (!isWhole) throw wrong('`store` is not as it was written; take it out to begin anew');
  return {
    epoch,
    origin,
    writes,
    heads,
    assigned,
    setAside,
    requests,
    changes: lengthened(changes as Change[]),
  } as KeptPart;
}

function ownOf(assigned: KeptPart['assigned'] = {}, name: string): readonly Assignment[] {
  return Object.hasOwn(assigned, name) ? (assigned[name] as readonly Assignment[]) : [];
}

function isHead(value: unknown): boolean {
  const [head, ...digests] = Array.isArray(value) ? value : [];
  const { id, revision, document, members } = (head ?? {}) as Partial<Head>;
  return (
    typeof id === 'string' &&
    [revision, document, members].every(Number.isSafeInteger) &&
    digests.length === 2
  );
}

/** Most documents before a change are those after the one before it: they are not written twice. */
function shortened(changes: readonly Change[]): Change[] {
  const last = new Map<string, string>();
  return changes.map((change) => {
    if (change.kind === 'members') return change;
    const before = JSON.stringify(change.before);
    const isSame = change.before !== undefined && before === last.get(change.name);
    last.set(change.name, JSON.stringify(change.after));
    return isSame ? ({ ...change, before: 'last' } as unknown as Change) : change;
  });
}

function lengthened(changes: readonly Change[]): Change[] {
  const last = new Map<string, Feature | undefined>();
  return changes.map((change) => {
    const { actor, note, membersBefore } = change;
    const head = Object.freeze(change.head);
    if (change.kind === 'members') {
      return { ...change, head, actor, note, membersBefore, before: undefined, after: undefined };
    }
    const isLast = (change.before as unknown) === 'last';
    const before = isLast ? last.get(change.name) : parsed(change.before);
    const after = parsed(change.after);
    last.set(change.name, after);
    return { ...change, head, actor, note, membersBefore, before, after };
  });
}

/** A document of the past that can't be read any more is none. */
function parsed(document: unknown): Feature | undefined {
  try {
    return document === undefined ? undefined : parseFeature(document);
  } catch {
    return undefined;
  }
}

/** Of plain data, by its JSON. */
function digest(value: unknown): string {
  return createHash('sha1').update(textOf(value)).digest('hex').slice(0, 12);
}

function textOf(value: unknown): string {
  try {
    return String(JSON.stringify(value));
  } catch {
    // Nested so deep that the stack does not hold it: it can't be read either.
    return 'too deep';
  }
}

/** The stamp of an edit: 48 bits of its digest, far from the small numbers that writes count up. */
function numberOf(stamp: string): number {
  return Number.parseInt(stamp, 16);
}

function record(value: unknown, path: string): Record<string, Json> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, Json>;
  }
  const what = path === '' ? 'it' : `\`${path}\``;
  if (value === undefined) throw wrong(`${what} is missing, and has to be an object`);
  throw wrong(`${what} has to be an object, not ${kindOf(value)}`);
}

/** What it is, without what stands there: that can be a user's id. */
function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** Names come from outside: `__proto__` is one like any other. */
function empty<Value>(): Record<string, Value> {
  return Object.create(null);
}

function refuseMany(what: string, count: number, most: number): void {
  if (count > most) throw wrong(`\`${what}\` are ${count}, more than ${most}`);
}

function wrong(why: string): HanoiError {
  return new HanoiError('INVALID_RECORD', `${why}.`);
}
