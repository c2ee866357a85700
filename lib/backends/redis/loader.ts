import { setImmediate as nextTurn } from 'node:timers/promises';
import { hasCode } from '../../errors.js';
import type { Loaded, Stored } from '../backend.js';
import { inParts } from './checks.js';
import { type Reading, Refusal } from './connection.js';
import type { Keys } from './keys.js';
import {
  type Entry,
  type Logged,
  logIdOf,
  parseHead,
  parseLogged,
  parseStored,
  parseToken,
  type StoredText,
} from './stored.js';

/** How many changes of each kind are read from the logs; where there are more, heads are compared. */
const MOST_CHANGES = 32;

/** After so many documents were parsed, others get their turn: some ms. */
const AT_ONCE = 100;

/** The token, and then the replies, of one moment; where it is little, as fast as a check. */
type Query = (
  commands: readonly Reading[],
  isLittle?: boolean,
) => Promise<readonly [token: string | null, ...replies: unknown[]]>;

/** Reads every feature, and of what is known already only what is new. */
export class Loader {
  /** Which way took too long the last time: the next time, the other one is tried. */
  private slow: 'logs' | 'heads' | undefined;

  constructor(
    private readonly keys: Keys,
    private readonly query: Query,
  ) {}

  async load(known: Loaded | undefined): Promise<Loaded> {
    const loaded = (await this.since(known)) ?? (await this.byHeads(known));
    this.slow = undefined;
    return loaded;
  }

  /**
   * What is known, brought up to date by the logs: one small round trip, however many features
   * there are. Undefined where the logs don't have every change since for certain.
   */
  private async since(known: Loaded | undefined): Promise<Loaded | undefined> {
    const { token } = known ?? {};
    if (known === undefined || token === undefined) return undefined;
    if (this.slow !== undefined) {
      // What still comes of it fills the connection: more of it would fill it for good.
      await this.query([], true);
      if (this.slow === 'logs') return undefined;
    }
    const kinds = ['documents', 'members'] as const;
    const from = kinds.map((kind) => placeOf(token[kind]));
    const read = this.query(
      kinds.map((kind, at) => {
        const start = logIdOf((from[at] as Place).stamp);
        return ['xrevrange', this.keys.log(kind), '+', start, 'COUNT', MOST_CHANGES + 1];
      }),
      true,
    );
    const [stamp, ...logs] = await read.catch(async (error): Promise<[null]> => {
      // Logs that can't be read, or take too long on a server that does answer: the longer way.
      if (hasCode(error, 'STORE_TIMEOUT')) {
        this.slow = 'logs';
        await this.query([], true);
      } else if (!(error instanceof Refusal)) throw error;
      return [null];
    });
    const present = parseToken(stamp);
    if (present === undefined) return undefined;
    const changes: Logged[] = [];
    for (const [at, kind] of kinds.entries()) {
      if (present[kind] === token[kind]) continue;
      const entries = logs[at] as Entry[];
      // The last that was known is still there: none after it was trimmed.
      if (entries.at(-1)?.[0] !== logIdOf((from[at] as Place).stamp)) return undefined;
      for (const entry of entries.slice(0, -1)) {
        const change = parseLogged(entry);
        if (change === undefined) return undefined;
        changes.push(change);
      }
    }
    const isMissing = kinds.some((kind, at) => {
      const counted = changes.reduce(
        (sum, each) => sum + (kind === 'members' ? each.counted : each.kind === 'members' ? 0 : 1),
        0,
      );
      const { epoch, count } = from[at] as Place;
      const now = placeOf(present[kind]);
      // A process that keeps no history leaves no entry.
      return now.epoch !== epoch || now.count !== count + counted;
    });
    if (isMissing) return undefined;
    const features = new Map(known.features);
    for (const change of changes.sort((one, other) => compareIds(one.id, other.id))) {
      const { name, kind, headText, document } = change;
      const stored = features.get(name);
      const head = parseHead(headText);
      if (kind === 'removed') features.delete(name);
      else if (kind !== 'members') {
        features.set(name, parseStored(name, headText, document) as Stored);
      } else if (stored === undefined || head === undefined) return undefined;
      else features.set(name, { ...stored, head } as Stored);
    }
    return { token: present, features };
  }

  /** The longer way, which grows with the features. */
  private async byHeads(known: Loaded | undefined): Promise<Loaded> {
    try {
      return (await this.changed(known)) ?? (await this.whole());
    } catch (error) {
      if (hasCode(error, 'STORE_TIMEOUT')) this.slow = 'heads';
      throw error;
    }
  }

  /** All heads, and the documents whose heads are not the known ones. */
  private async changed(known: Loaded | undefined): Promise<Loaded | undefined> {
    if (known === undefined || known.features.size === 0) return undefined;
    const { heads, features } = this.keys;
    const [stamp, names, texts, documented] = (await this.query([
      ['hkeys', heads],
      ['hvals', heads],
      ['hkeys', features],
    ])) as [string | null, string[], string[], string[]];
    const headOf = new Map(names.map((name, at) => [name, texts[at] as string]));
    const all = new Map<string, Stored>();
    const missing: string[] = [];
    for (const name of new Set([...names, ...documented])) {
      const stored = unchanged(known.features.get(name), headOf.get(name));
      if (stored === undefined) missing.push(name);
      else all.set(name, stored);
    }
    if (missing.length > 0) {
      const [after, ...parts] = await this.query(inParts('documents', features, missing));
      // Somebody has written in between: these documents are of another moment.
      if (after !== stamp) return undefined;
      const documents = parts.flat() as StoredText[];
      for (const [at, name] of missing.entries()) {
        const stored = parseStored(name, headOf.get(name) ?? null, documents[at] ?? null);
        all.set(name, stored as Stored);
      }
    }
    return { token: parseToken(stamp), features: all };
  }

  private async whole(): Promise<Loaded> {
    const { heads, features } = this.keys;
    const [stamp, names, texts, documented, documents] = (await this.query([
      ['hkeys', heads],
      ['hvals', heads],
      ['hkeys', features],
      ['hvals', features],
    ])) as [string | null, string[], string[], string[], string[]];
    const headOf = new Map(names.map((name, at) => [name, texts[at] as string]));
    const documentOf = new Map(documented.map((name, at) => [name, documents[at] as string]));
    const all = new Map<string, Stored>();
    for (const name of new Set([...names, ...documented])) {
      const stored = parseStored(name, headOf.get(name) ?? null, documentOf.get(name) ?? null);
      all.set(name, stored as Stored);
      if (all.size % AT_ONCE === 0) await nextTurn();
    }
    return { token: parseToken(stamp), features: all };
  }
}

/** A half of a token, `epoch:count:stamp`. */
interface Place {
  readonly epoch: string;
  readonly count: number;
  readonly stamp: string;
}

function placeOf(half: string): Place {
  const [epoch = '', count, stamp = '0'] = half.split(':');
  return { epoch, count: Number(count), stamp };
}

/** What is known, with its present head, if the document is still the one. */
function unchanged(known: Stored | undefined, text: string | undefined): Stored | undefined {
  const head = parseHead(text ?? null);
  if (head === undefined || known?.feature === undefined) return undefined;
  const { id, revision, document } = known.head;
  if (head.id !== id || head.revision !== revision || head.document !== document) return undefined;
  return head.members === known.head.members ? known : { head, feature: known.feature };
}

/** Ids of streams, `ms-sequence`, by their order. */
export function compareIds(one: string, other: string): number {
  const [ms = '', sequence = ''] = one.split('-');
  const [ms2 = '', sequence2 = ''] = other.split('-');
  return compareNumbers(ms, ms2) || compareNumbers(sequence, sequence2);
}

/** Numbers too large for a double, as text. */
function compareNumbers(one: string, other: string): number {
  return one.length - other.length || (one < other ? -1 : one > other ? 1 : 0);
}
