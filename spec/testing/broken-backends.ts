import { setImmediate as turn } from 'node:timers/promises';
import type {
  Change,
  ChangeEvent,
  Health,
  HeldMembers,
  HistoryOptions,
  Loaded,
  Stored,
  Token,
  View,
  Write,
  Written,
} from '../../lib/backends/backend.js';
import { MemoryBackend } from '../../lib/index.js';

/** A write without what it says of these. */
export const without = (write: Write, ...fields: string[]): Write =>
  Object.fromEntries(Object.entries(write).filter(([field]) => !fields.includes(field))) as never;

/** Each does as the contract has it, but for one thing: what it is, and the cases that tell. */
export const BROKEN_BACKENDS: [fault: string, Broken: new () => MemoryBackend, told: string[]][] = [
  [
    'replaces whatever is there',
    class extends MemoryBackend {
      override write(write: Write): Promise<Written> {
        const isReplacement = typeof write.expect === 'object';
        return super.write((isReplacement ? { ...write, expect: 'present' } : write) as Write);
      }
    },
    [
      'a document › is replaced only where the expected one is there',
      'a document › loses no update where many write at once, each on what it read',
      'members › are written with the document, or neither is',
      'members › are not written to the feature that took the place of the expected one',
      'what is assigned › is refused where the feature is another, or there are too many',
      'a write that says which members there are › is refused where they are in another state',
    ],
  ],
  [
    'creates over what is there',
    class extends MemoryBackend {
      override async write(write: Write): Promise<Written> {
        const there = (await this.load(write.name))?.head;
        const isOver = write.expect === 'absent' && there !== undefined && !write.requestId;
        return super.write((isOver ? { ...write, expect: { id: there.id } } : write) as Write);
      }
    },
    [
      'a document › is not created over another',
      'the token › moves its two halves with each change of their kind, and only then',
      'the history › leaves out what changed nothing or was refused',
    ],
  ],
  [
    'takes members of no feature, and forgets them',
    class extends MemoryBackend {
      override async write(write: Write): Promise<Written> {
        return super.write(write).catch((error) => {
          if (error.code !== 'FEATURE_NOT_FOUND' || !('add' in write)) throw error;
          return { head: {} as never, added: 1, removed: 0, assigned: [] };
        });
      }
    },
    [
      'a document › is not replaced, removed or joined where there is none',
      'a request id › of a refused write is free to be used',
    ],
  ],
  [
    'does not look at other features',
    class extends MemoryBackend {
      override write(write: Write) {
        return super.write(without(write, 'beside'));
      }
    },
    [
      'a write that was decided by other features › meets a conflict where one was changed, removed, made again, or is there',
    ],
  ],
  [
    'takes members of other features for changes of them',
    class extends MemoryBackend {
      override async write(write: Write) {
        for (const [name, head] of ('beside' in write && write.beside) || []) {
          if ((await this.load(name))?.head?.members === head?.members) continue;
          throw Object.assign(new Error('Changed.'), { code: 'CONFLICT', feature: name });
        }
        return super.write(write);
      }
    },
    [
      'a write that was decided by other features › is applied while they are as they were, whoever joins them',
    ],
  ],
  [
    'does not count the members that are to be there',
    class extends MemoryBackend {
      override write(write: Write) {
        return super.write(without(write, 'memberCount'));
      }
    },
    [
      'a write that says which members there are › is refused where the id that comes back has others, or none any more',
    ],
  ],
  [
    'writes members first, and then the document',
    class extends MemoryBackend {
      override async write(write: Write) {
        if (!write.document || write.expect === 'absent') return super.write(write);
        const { name, add, remove } = write;
        if (add ?? remove) await super.write({ name, expect: 'present', add, remove });
        return super.write(without(write, 'add', 'remove'));
      }
    },
    [
      'members › are written with the document, or neither is',
      'a write that says which members there are › is refused where they are in another state',
    ],
  ],
  [
    'splits what is too much',
    class extends MemoryBackend {
      override async write(write: Write): Promise<Written> {
        for (const field of ['add', 'remove', 'assign'] as const) {
          const all = (write as unknown as Record<string, readonly unknown[] | undefined>)[field];
          if (all === undefined || all.length <= 1_000) continue;
          await this.write({ ...write, [field]: all.slice(0, 1_000) } as Write);
          return this.write({ ...write, [field]: all.slice(1_000) } as Write);
        }
        return super.write(write);
      }
    },
    [
      'members › come at most a thousand a write',
      'members › go at most a thousand a write',
      'what is assigned › is refused where the feature is another, or there are too many',
    ],
  ],
  [
    'counts those who were there as added',
    class extends MemoryBackend {
      override async write(write: Write) {
        const written = await super.write(write);
        return 'add' in write ? { ...written, added: write.add?.length ?? 0 } : written;
      }
    },
    ['members › are counted, asked for and streamed'],
  ],
  [
    'has one id for two that differ in a line break',
    class extends MemoryBackend {
      override write(write: Write) {
        if (!('add' in write)) return super.write(write);
        const add = write.add?.map((id) => id.replace(/[\n\0]/g, '')) ?? [];
        return super.write({ ...write, add } as Write);
      }
    },
    ['members › have any id, and each is another'],
  ],
  [
    'ends a stream of members where the feature goes',
    class extends MemoryBackend {
      override async *members(name: string) {
        try {
          yield* super.members(name);
        } catch (error) {
          if ((error as { code?: string }).code !== 'CONFLICT') throw error;
        }
      }
    },
    ['members › are never streamed in part: the stream breaks when the feature goes'],
  ],
  [
    'gives all the members at once',
    class extends MemoryBackend {
      override async *members(name: string) {
        const all: string[] = [];
        for await (const batch of super.members(name)) all.push(...batch);
        yield all;
      }
    },
    [
      'members › stream in batches, and the stream can be left',
      'members › are never streamed in part: the stream breaks when the feature goes',
    ],
  ],
  [
    'has no members where there is no feature',
    class extends MemoryBackend {
      override async countMembers(name: string) {
        return super.countMembers(name).catch((error) => {
          if (error.code === 'CLOSED') throw error;
          return 0;
        });
      }
    },
    ['a document › that was removed is gone from every read'],
  ],
  [
    'lets nobody back in',
    class extends MemoryBackend {
      override async write(write: Write): Promise<Written> {
        const written = await super.write(write);
        const { name } = write;
        if (write.document && !('add' in write) && written.head.members > 0) {
          const remove: string[] = [];
          for await (const batch of this.members(name)) remove.push(...batch);
          return super.write({ name, expect: 'present', remove });
        }
        return written;
      }
    },
    [
      'members › stay through an update of the document',
      'members › are there again when the removed feature is brought back',
      'members › are emptied by a new id, and there again with the old one',
      'the token › moves its two halves with each change of their kind, and only then',
      'a write that says which members there are › is refused where they are in another state',
      'the history › counts the members after each change, and those that a removal took',
      'the history › tells which state of the members each change met',
      'the history › can be read on from a change, and by its two kinds',
      'events › tell of each change once it is visible, until unsubscribed',
    ],
  ],
  [
    'brings back those that were there once more',
    class extends MemoryBackend {
      private readonly aside = new Map<string, string[]>();
      override async write(write: Write): Promise<Written> {
        const { name } = write;
        const { id = '' } = (await this.load(name).catch(() => undefined))?.head ?? {};
        if (write.document === null && !this.aside.has(id)) {
          const all: string[] = [];
          for await (const batch of this.members(name)) all.push(...batch);
          this.aside.set(id, all);
        }
        const written = await super.write(write);
        const add = write.expect === 'absent' ? this.aside.get(written.head.id) : undefined;
        return add?.length ? super.write({ name, expect: 'present', add }) : written;
      }
    },
    ['members › come back once: then they are the members that are there'],
  ],
  [
    'keeps the members by the name',
    class extends MemoryBackend {
      private readonly last = new Map<string, string[]>();
      override async write(write: Write): Promise<Written> {
        const { name } = write;
        if (write.document === null) {
          const all: string[] = [];
          for await (const batch of this.members(name)) all.push(...batch);
          this.last.set(name, all);
        }
        const written = await super.write(write);
        const add = write.expect === 'absent' ? this.last.get(name) : undefined;
        return add?.length ? super.write({ name, expect: 'present', add }) : written;
      }
    },
    [
      'members › are none of the feature that is created again',
      'the history › tells which state of the members each change met',
    ],
  ],
  [
    'gives back what it has of a name up to a comma',
    class extends MemoryBackend {
      override async loadAll(): Promise<Loaded> {
        const { token, features } = await super.loadAll();
        const cut = Array.from(features, ([name, stored]) => [name.split(',')[0], stored] as const);
        return { token, features: new Map(cut) as Loaded['features'] };
      }
    },
    ['a document › may have any name'],
  ],
  [
    'drops a field of the document',
    class extends MemoryBackend {
      override async load(name: string): Promise<Stored | undefined> {
        const stored = await super.load(name);
        if (stored?.feature === undefined) return stored;
        return { ...stored, feature: { ...stored.feature, patterns: [] } };
      }
    },
    ['a document › is loaded as it was written'],
  ],
  [
    'has a document of any name',
    class extends MemoryBackend {
      override async load(name: string): Promise<Stored | undefined> {
        const [[, first] = []] = (await this.loadAll()).features;
        return (await super.load(name)) ?? first;
      }
    },
    [
      'a document › may have any name',
      'a write that was decided by other features › meets a conflict where one was changed, removed, made again, or is there',
    ],
  ],
  [
    'is empty where it is closed',
    class extends MemoryBackend {
      override async load(name: string) {
        return super.load(name).catch(() => undefined);
      }
    },
    ['once closed › everything rejects with CLOSED'],
  ],
  [
    'lists all features one after the other',
    class extends MemoryBackend {
      override async loadAll(): Promise<Loaded> {
        const { token, features } = await super.loadAll();
        const read = new Map<string, Stored>();
        for (const name of features.keys()) {
          const stored = await this.load(name);
          if (stored !== undefined) read.set(name, stored);
          await turn();
        }
        return { token, features: read };
      }
    },
    ['all of it › is one moment, while it keeps changing'],
  ],
  [
    'does not see what goes while something is known',
    class extends MemoryBackend {
      override async loadAll(known?: Loaded): Promise<Loaded> {
        const { token, features } = await super.loadAll();
        return { token, features: new Map([...(known?.features ?? []), ...features]) };
      }
    },
    ['all of it › is loaded whole, also by who knows a part'],
  ],
  [
    'has members under whatever id is asked for',
    class extends MemoryBackend {
      override async loadMembers(ids: ReadonlyMap<string, string>) {
        const all = new Map<string, HeldMembers>();
        for (const name of ids.keys()) {
          const id = (await this.load(name))?.head?.id ?? '';
          for (const [each, held] of await super.loadMembers(new Map([[name, id]]))) {
            all.set(each, held);
          }
        }
        return all;
      }
    },
    ['all of it › has its members under their heads, or leaves them out'],
  ],
  [
    'numbers the states of the members by how many there are',
    class extends MemoryBackend {
      override async load(name: string): Promise<Stored | undefined> {
        const stored = await super.load(name);
        if (stored?.feature === undefined) return stored;
        return { ...stored, head: { ...stored.head, members: await this.countMembers(name) } };
      }
    },
    [
      'a head › moves with each change, and only then',
      'a head › never repeats, not even across a removal and its undoing',
      'a write that says which members there are › is refused where they are in another state',
      'the history › tells which state of the members each change met',
      'all of it › is loaded whole, also by who knows a part',
      'all of it › has its members under their heads, or leaves them out',
    ],
  ],
  [
    'moves no token',
    class extends MemoryBackend {
      private first: Token | undefined;
      override async token() {
        this.first ??= await super.token();
        return this.first;
      }
    },
    ['the token › moves its two halves with each change of their kind, and only then'],
  ],
  [
    'has a token from the start',
    class extends MemoryBackend {
      override async token() {
        return (await super.token()) ?? { documents: '0', members: '0' };
      }
    },
    [
      'a document › is not replaced, removed or joined where there is none',
      'the token › is none before the first write',
    ],
  ],
  [
    'moves both halves of its token',
    class extends MemoryBackend {
      override async token() {
        const token = await super.token();
        return token && { ...token, members: `${token.documents}${token.members}` };
      }
    },
    [
      'the token › moves its two halves with each change of their kind, and only then',
      'health › is ready once the store has answered, and says so',
    ],
  ],
  [
    'applies a request twice',
    class extends MemoryBackend {
      override write(write: Write) {
        return super.write(without(write, 'requestId'));
      }
    },
    [
      'a request id › applies a write once, and answers the same again',
      'a request id › of another name is refused',
    ],
  ],
  [
    'remembers what it refused',
    class extends MemoryBackend {
      private readonly refused = new Map<string, unknown>();
      override async write(write: Write) {
        const { requestId = '' } = write;
        if (this.refused.has(requestId)) throw this.refused.get(requestId);
        return super.write(write).catch((error) => {
          if (requestId !== '') this.refused.set(requestId, error);
          throw error;
        });
      }
    },
    ['a request id › of a refused write is free to be used'],
  ],
  [
    'answers a request id under any name',
    class extends MemoryBackend {
      private readonly answers = new Map<string, Written>();
      override async write(write: Write) {
        const { requestId = '' } = write;
        const answer = this.answers.get(requestId) ?? (await super.write(write));
        if (requestId !== '') this.answers.set(requestId, answer);
        return answer;
      }
    },
    ['a request id › of another name is refused'],
  ],
  [
    'loses an entry of the history',
    class extends MemoryBackend {
      override async history(name: string, options: HistoryOptions) {
        return (await super.history(name, options)).filter(({ kind }) => kind !== 'removed');
      }
    },
    [
      'the history › tells each change, the newest first',
      'the history › counts the members after each change, and those that a removal took',
      'the history › tells which state of the members each change met',
    ],
  ],
  [
    'loses who and why',
    class extends MemoryBackend {
      override async history(name: string, options: HistoryOptions): Promise<Change[]> {
        const history = await super.history(name, options);
        return history.map((change) => ({ ...change, actor: undefined, note: undefined }));
      }
    },
    ['the history › tells each change, the newest first'],
  ],
  [
    'tells the history from the oldest on',
    class extends MemoryBackend {
      override async history(name: string, options: HistoryOptions) {
        return (await super.history(name, options)).reverse();
      }
      override async log(options: HistoryOptions) {
        return (await super.log(options)).reverse();
      }
    },
    [
      'the history › tells each change, the newest first',
      'the history › is cut to what is asked for',
      'the history › counts the members after each change, and those that a removal took',
      'the history › tells which state of the members each change met',
      'the history › can be read on from a change, and by its two kinds',
      'the history › can be read page by page',
      'the history › of all features is the log',
    ],
  ],
  [
    'tells the last page of the history again and again',
    class extends MemoryBackend {
      override history(name: string, options: HistoryOptions) {
        return super.history(name, { ...options, before: undefined });
      }
    },
    [
      'the history › can be read on from a change, and by its two kinds',
      'the history › can be read page by page',
    ],
  ],
  [
    'trims both kinds of changes as one',
    class extends MemoryBackend {
      override async history(name: string, { kind, ...options }: HistoryOptions) {
        const newest = (await super.history(name, { limit: 100 })).map(({ id }) => id);
        const all = await super.history(name, { ...options, kind });
        return all.filter(({ id }) => newest.includes(id) || newest.length < 100);
      }
    },
    ['the history › keeps the documents that many registrations come after'],
  ],
  [
    'hands out its own history',
    class extends MemoryBackend {
      private readonly own = new Map<string, Change>();
      override async history(name: string, options: HistoryOptions) {
        return (await super.history(name, options)).map((change) => {
          const own = this.own.get(change.id) ?? change;
          this.own.set(change.id, own);
          return own;
        });
      }
    },
    ['the history › is not changed through what it hands out'],
  ],
  [
    'keeps writes that changed nothing',
    class extends MemoryBackend {
      private idle = 0;
      override async write(write: Write) {
        const before = await this.token().catch(() => undefined);
        const written = await super.write(write);
        const isSame = JSON.stringify(before) === JSON.stringify(await this.token());
        if (isSame && !('assign' in write)) this.idle++;
        return written;
      }
      override async history(name: string, options: HistoryOptions) {
        const all = await super.history(name, options);
        return [...all, ...all.slice(0, this.idle)];
      }
    },
    [
      'a request id › applies a write once, and answers the same again',
      'the history › leaves out what changed nothing or was refused',
    ],
  ],
  [
    'does not say how many members there are',
    class extends MemoryBackend {
      override async history(name: string, options: HistoryOptions): Promise<Change[]> {
        return (await super.history(name, options)).map((each) => ({ ...each, memberCount: 0 }));
      }
    },
    ['the history › counts the members after each change, and those that a removal took'],
  ],
  [
    'does not say which members a change met',
    class extends MemoryBackend {
      override async history(name: string, options: HistoryOptions): Promise<Change[]> {
        const all = await super.history(name, options);
        return all.map((each) => ({ ...each, membersBefore: undefined }));
      }
    },
    ['the history › tells which state of the members each change met'],
  ],
  [
    'tells each change twice',
    class extends MemoryBackend {
      override subscribe(listener: (event: ChangeEvent) => void) {
        return super.subscribe((event) => {
          listener(event);
          listener(event);
        });
      }
    },
    [
      'events › tell of each change once it is visible, until unsubscribed',
      'events › reach one function twice if it subscribed twice',
    ],
  ],
  [
    'keeps on telling',
    class extends MemoryBackend {
      override subscribe(listener: (event: ChangeEvent) => void) {
        super.subscribe(listener);
        return () => {};
      }
    },
    [
      'events › tell of each change once it is visible, until unsubscribed',
      'events › reach one function twice if it subscribed twice',
    ],
  ],
  [
    'answers checks by what it knew first',
    class extends MemoryBackend {
      private readonly known = new Map<string, ReturnType<View['get']>>();
      override async read(): Promise<View> {
        const view = await super.read();
        const get = (name: string) => {
          const held = view.get(name);
          if (held === undefined || this.known.has(name)) return this.known.get(name);
          const answers = new Map<string, boolean | undefined>();
          const isMember = (id: string) => {
            if (!answers.has(id)) answers.set(id, held.facts.isMember(id));
            return answers.get(id);
          };
          const first = new Map<string, string | null | undefined>();
          const assigned = (id: string) => {
            if (!first.has(id)) first.set(id, held.facts.assigned(id));
            return first.get(id);
          };
          this.known.set(name, { ...held, facts: { isMember, assigned } });
          return this.known.get(name);
        };
        return { ...view, get };
      }
    },
    [
      'members › change the answer of the next check',
      'what is assigned › is released with a write of the document, and given back',
      'what is assigned › goes with its feature, and comes back with its id',
    ],
  ],
  [
    'snapshots no feature without members',
    class extends MemoryBackend {
      override async readAll(): Promise<View> {
        const view = await super.readAll();
        const names = () => [...view.names()].filter((name) => view.get(name)?.head?.members);
        return { ...view, names };
      }
    },
    ['views › of all features hold all, with their facts'],
  ],
  [
    'lists nothing without I/O',
    class extends MemoryBackend {
      override local: View | undefined = {
        get: () => ({}) as never,
        names: () => [],
        stale: undefined,
      };
    },
    ['views › that need no I/O show the present state'],
  ],
  [
    'says that it is ready where it is closed',
    class extends MemoryBackend {
      override health(): Health {
        const { error: _, ...health } = super.health();
        return { ...health, error: undefined, state: 'ready' };
      }
    },
    ['health › of a closed one is closed, and nobody is told any more'],
  ],
  [
    'does not know how old it is',
    class extends MemoryBackend {
      override health(): Health {
        const health = super.health();
        return health.state === 'ready' ? { ...health, ageMs: Number.NaN } : health;
      }
    },
    ['health › is ready once the store has answered, and says so'],
  ],
  [
    'assigns what is asked for, whoever has something',
    class extends MemoryBackend {
      override async write(write: Write) {
        const written = await super.write(write);
        if (!('assign' in write)) return written;
        const assigned = write.assign.map(({ value }, at) => value ?? written.assigned[at] ?? '');
        return { ...written, assigned };
      }
    },
    [
      'what is assigned › stays, whatever comes later, and is answered',
      'what is assigned › is counted exactly where many assign at once',
    ],
  ],
  [
    'chooses the last of equals',
    class extends MemoryBackend {
      override write(write: Write) {
        if (!('assign' in write) || write.among === undefined) return super.write(write);
        return super.write({ ...write, among: [...write.among].reverse() });
      }
    },
    [
      'what is assigned › goes to the value that has the least weight, the first of equals',
      'what is assigned › balances any weights, as one that adds them up finds it',
    ],
  ],
  [
    'counts no weights',
    class extends MemoryBackend {
      override async assignedWeights(name: string) {
        const weights = await super.assignedWeights(name);
        return new Map([...weights.keys()].map((value) => [value, 1]));
      }
    },
    [
      'what is assigned › is kept for each id, and counted by its value',
      'what is assigned › is counted exactly where many assign at once',
      'what is assigned › goes to the value that has the least weight, the first of equals',
      'what is assigned › balances any weights, as one that adds them up finds it',
      'what is assigned › is refused where the feature is another, or there are too many',
      'what is assigned › is released with a write of the document, and given back',
    ],
  ],
  [
    'takes assignments for changes',
    class extends MemoryBackend {
      private count = 0;
      override async write(write: Write) {
        const written = await super.write(write);
        if ('assign' in write) this.count++;
        return written;
      }
      override async token() {
        const token = await super.token();
        return token && { ...token, members: `${token.members}/${this.count}` };
      }
    },
    [
      'what is assigned › moves no head and no token, and leaves no change',
      'the token › moves its two halves with each change of their kind, and only then',
      'health › is ready once the store has answered, and says so',
    ],
  ],
  [
    'releases nobody',
    class extends MemoryBackend {
      override write(write: Write) {
        return super.write(without(write, 'release'));
      }
    },
    ['what is assigned › is released with a write of the document, and given back'],
  ],
  [
    'keeps what is assigned by the name',
    class extends MemoryBackend {
      private readonly kept = new Map<string, Map<string, string>>();
      override async write(write: Write): Promise<Written> {
        const { name } = write;
        const kept = this.kept.get(name) ?? new Map<string, string>();
        this.kept.set(name, kept);
        const written = await super.write(write);
        if ('assign' in write) {
          for (const [at, { id }] of write.assign.entries())
            kept.set(id, written.assigned[at] ?? '');
        } else if (write.expect === 'absent' && kept.size > 0) {
          const assign = Array.from(kept, ([id, value]) => ({ id, value }));
          await super.write({ name, expect: 'present', assign });
        }
        return written;
      }
    },
    ['what is assigned › goes with its feature, and comes back with its id'],
  ],
  [
    'has something to check where there is nothing',
    class extends MemoryBackend {
      override async read(): Promise<View> {
        const view = await super.read();
        const other = new MemoryBackend({ contents: '{ "features": { "chat": {} } }' });
        const get = (name: string) => view.get(name) ?? other.local?.get('chat');
        return { ...view, get };
      }
    },
    [
      'a document › is absent until it is written',
      'a document › that was removed is gone from every read',
    ],
  ],
  [
    'cuts the ids that are assigned something to ASCII',
    class extends MemoryBackend {
      override write(write: Write) {
        if (!('assign' in write)) return super.write(write);
        const ascii = (id: string) => id.replace(/[^ -~]/g, '');
        const assign = write.assign.map((each) => ({ ...each, id: ascii(each.id) }));
        return super.write({ ...write, assign });
      }
    },
    ['what is assigned › is any text, of any id'],
  ],
  [
    'takes those who are assigned something for members',
    class extends MemoryBackend {
      override async read(): Promise<View> {
        const view = await super.read();
        const get = (name: string) => {
          const held = view.get(name);
          if (held === undefined) return undefined;
          const { facts } = held;
          const isMember = (id: string) => facts.isMember(id) || facts.assigned(id) !== null;
          return { ...held, facts: { isMember, assigned: (id: string) => facts.assigned(id) } };
        };
        return { ...view, get };
      }
    },
    ['what is assigned › is not asked about where the feature keeps nothing'],
  ],
];
