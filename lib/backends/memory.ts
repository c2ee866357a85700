import { compile } from '../domain/decide.js';
import type { Feature } from '../domain/feature.js';
import { alreadyThere, changedMeanwhile, HanoiError, notFound, shown } from '../errors.js';
import {
  type Backend,
  type Change,
  type ChangeEvent,
  type Head,
  type HeldFeature,
  KEEP_REMOVED_MS,
  MEMBERS_PER_WRITE,
  REQUEST_MEMORY_MS,
  type Stored,
  type View,
  type Write,
  type Written,
} from './backend.js';

export interface MemoryBackendOptions {
  /** How many changes are kept, of each feature and of all together. From 0; default 100. */
  historyLength?: number;
  /** The clock, in Unix ms. Default `Date.now`. */
  now?: () => number;
}

const NONE: readonly string[] = Object.freeze([]);

const DEFAULTS = { historyLength: 100, now: Date.now };

/** A feature with its members: the one copy there is, which checks look into. */
interface Entry extends HeldFeature {
  head: Head;
  readonly feature: Feature;
  readonly facts: Members;
}

class Members {
  readonly ids = new Set<string>();

  isMember(id: string): boolean {
    return this.ids.has(id);
  }
}

/** Keeps everything in this process. The store itself: its view is always the present state. */
export class MemoryBackend implements Backend {
  local: View | undefined;

  private readonly entries = new Map<string, Entry>();
  /** Members of removed features by feature id, the longest there first. */
  private readonly setAside = new Map<string, { members: Members; until: number }>();
  private readonly requests = new Map<string, { written: Written; until: number }>();
  private readonly histories = new Map<string, Change[]>();
  private readonly changes: Change[] = [];
  private readonly listeners = new Set<(event: ChangeEvent) => void>();
  private readonly historyLength: number;
  private readonly now: () => number;
  private readonly epoch = crypto.randomUUID();
  private documentWrites = 0;
  private memberWrites = 0;

  /** INVALID_ARGUMENT for a history length that is none. */
  constructor(options: MemoryBackendOptions = {}) {
    const { historyLength, now } = { ...DEFAULTS, ...options };
    if (!Number.isSafeInteger(historyLength) || historyLength < 0) {
      throw new HanoiError(
        'INVALID_ARGUMENT',
        `Expected \`historyLength\` to be a whole number from 0, got ${shown(historyLength)}.`,
      );
    }
    this.historyLength = historyLength;
    this.now = now;
    const { entries } = this;
    this.local = { get: (name) => entries.get(name), names: () => entries.keys() };
  }

  async read(): Promise<View> {
    return this.open();
  }

  async readAll(): Promise<View> {
    return this.open();
  }

  async load(name: string): Promise<Stored | undefined> {
    this.open();
    const entry = this.entries.get(name);
    return entry && { head: entry.head, feature: entry.feature };
  }

  async loadAll(): Promise<{ token: string | undefined; features: ReadonlyMap<string, Stored> }> {
    this.open();
    const features = new Map<string, Stored>();
    for (const [name, { head, feature }] of this.entries) features.set(name, { head, feature });
    return { token: await this.token(), features };
  }

  async token(): Promise<string | undefined> {
    this.open();
    const writes = `${this.documentWrites}:${this.memberWrites}`;
    return writes === '0:0' ? undefined : `${this.epoch}:${writes}`;
  }

  async countMembers(name: string): Promise<number> {
    return this.entry(name).facts.ids.size;
  }

  async hasMembers(name: string, ids: readonly string[]): Promise<boolean[]> {
    const members = this.entry(name).facts;
    return ids.map((id) => members.isMember(id));
  }

  async *members(name: string): AsyncIterable<readonly string[]> {
    const { facts } = this.entry(name);
    let batch: string[] = [];
    for (const id of facts.ids) {
      if (batch.push(id) < MEMBERS_PER_WRITE) continue;
      yield batch;
      batch = [];
      this.open();
      if (this.entries.get(name)?.facts !== facts) return;
    }
    if (batch.length > 0) yield batch;
  }

  async history(name: string, limit: number): Promise<Change[]> {
    this.open();
    return this.newest(this.histories.get(name) ?? [], limit);
  }

  async log(limit: number): Promise<Change[]> {
    this.open();
    return this.newest(this.changes, limit);
  }

  subscribe(listener: (event: ChangeEvent) => void): () => void {
    // A wrapper of its own, so that one function can subscribe twice.
    const call = (event: ChangeEvent) => listener(event);
    this.listeners.add(call);
    return () => this.listeners.delete(call);
  }

  async close(): Promise<void> {
    this.local = undefined;
    this.entries.clear();
    this.listeners.clear();
  }

  async write(write: Write): Promise<Written> {
    this.open();
    const { requestId, add = NONE, remove = NONE } = write;
    if (add.length + remove.length > MEMBERS_PER_WRITE) {
      throw new HanoiError(
        'INVALID_ARGUMENT',
        `Expected at most ${MEMBERS_PER_WRITE} ids in a write, got ${add.length + remove.length}.`,
        { feature: write.name },
      );
    }
    const repeated = requestId === undefined ? undefined : this.requests.get(requestId);
    if (repeated !== undefined && repeated.until > this.now()) return repeated.written;
    const written = this.apply(write, add, remove);
    if (requestId !== undefined) {
      forgetOld(this.requests, this.now());
      this.requests.set(requestId, { written, until: this.now() + REQUEST_MEMORY_MS });
    }
    return written;
  }

  private apply(write: Write, add: readonly string[], remove: readonly string[]): Written {
    const { name, document } = write;
    const before = this.entries.get(name);
    refuseUnexpected(write, before?.head);

    if (document === null) return this.remove(write, before as Entry);

    const entry = document === undefined ? (before as Entry) : this.place(document, before);
    const { ids } = entry.facts;
    const added = add.length === 0 ? NONE : add.filter((id) => !ids.has(id) && ids.add(id));
    const removed = remove.length === 0 ? NONE : remove.filter((id) => ids.delete(id));
    if (added.length > 0 || removed.length > 0) {
      const { id, revision } = entry.head;
      entry.head = { id, revision, members: ++this.memberWrites };
    }
    if (entry !== before) {
      const kind = before === undefined ? 'created' : 'updated';
      this.record(write, kind, entry.head, before?.feature, entry.feature, added, removed);
    } else if (added.length > 0 || removed.length > 0) {
      this.record(write, 'members', entry.head, undefined, undefined, added, removed);
    }
    return { head: entry.head, added: added.length, removed: removed.length };
  }

  /** Puts the document in its place, with the members that its id has. */
  private place(feature: Feature, before: Entry | undefined): Entry {
    const { name, id, revision } = feature;
    this.documentWrites++;
    let facts = before?.facts;
    let members = before?.head.members;
    if (facts === undefined || members === undefined || before?.head.id !== id) {
      if (before !== undefined) this.putAside(before);
      facts = this.takeBack(id) ?? new Members();
      members = ++this.memberWrites;
    }
    const entry = { head: { id, revision, members }, feature, compiled: compile(feature), facts };
    this.entries.set(name, entry);
    return entry;
  }

  private remove(write: Write, before: Entry): Written {
    this.documentWrites++;
    this.entries.delete(write.name);
    this.putAside(before);
    const { head, feature } = before;
    this.record(write, 'removed', head, feature, undefined, NONE, NONE);
    return { head, added: 0, removed: 0 };
  }

  private putAside(entry: Entry): void {
    const now = this.now();
    forgetOld(this.setAside, now);
    this.setAside.set(entry.head.id, { members: entry.facts, until: now + KEEP_REMOVED_MS });
  }

  private takeBack(id: string): Members | undefined {
    forgetOld(this.setAside, this.now());
    const kept = this.setAside.get(id);
    this.setAside.delete(id);
    return kept?.members;
  }

  private record(
    { name, actor, note }: Write,
    kind: Change['kind'],
    head: Head,
    before: Feature | undefined,
    after: Feature | undefined,
    added: readonly string[],
    removed: readonly string[],
  ): void {
    const at = this.now();
    const change: Change = { name, kind, head, at, actor, note, before, after, added, removed };
    let history = this.histories.get(name);
    if (history === undefined) {
      history = [];
      this.histories.set(name, history);
    }
    keep(history, change, this.historyLength);
    keep(this.changes, change, this.historyLength);
    for (const listener of this.listeners) listener({ name, kind, head });
  }

  private newest(changes: readonly Change[], limit: number): Change[] {
    const count = Math.min(limit, this.historyLength, changes.length);
    return changes.slice(changes.length - count).reverse();
  }

  private entry(name: string): Entry {
    this.open();
    const entry = this.entries.get(name);
    if (entry === undefined) throw notFound(name);
    return entry;
  }

  private open(): View {
    if (this.local === undefined) {
      throw new HanoiError('CLOSED', 'The backend was closed. Make a new one.');
    }
    return this.local;
  }
}

/** Throws as the contract has it where `head` is not what the write expects. */
function refuseUnexpected({ name, expect }: Write, head: Head | undefined): void {
  if (expect === 'absent') {
    if (head !== undefined) throw alreadyThere(name);
  } else if (head === undefined) {
    throw notFound(name);
  } else if (expect !== 'present') {
    const { id, revision = head.revision } = expect;
    if (id !== head.id || revision !== head.revision) throw changedMeanwhile(name);
  }
}

/** Entries with a time limit were put in by its order: the first that still holds ends the search. */
function forgetOld(entries: Map<string, { readonly until: number }>, now: number): void {
  for (const [key, { until }] of entries) {
    if (until > now) return;
    entries.delete(key);
  }
}

function keep(changes: Change[], change: Change, most: number): void {
  changes.push(change);
  // Cut at twice the length, so that a write doesn't shift the whole list.
  if (changes.length > 2 * most) changes.splice(0, changes.length - most);
}
