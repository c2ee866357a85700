import { type CompiledFeature, compile, compileUnreadable } from '../../domain/decide.js';
import type { Feature } from '../../domain/feature.js';
import { parseFeature } from '../../domain/validate.js';
import { HanoiError, withoutValue } from '../../errors.js';
import type { Assignment, Change, ChangeEvent, Head, Stored, Token } from '../backend.js';

/** Longer documents are refused at the write, and unread where somebody else has stored one. */
export const LONGEST_DOCUMENT = 1_000_000;

/** A document as it is stored, or only its bytes where they are too many; null where there is none. */
export type StoredText = string | number | null;

/** `id:revision:document:members`, as the write script puts it together. */
export function parseHead(text: string | null): Head | undefined {
  const match = /^(.*):(\d+):(\d+):(\d+)$/.exec(text ?? '');
  if (match === null) return undefined;
  const [, id, revision, document, members] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
  ];
  return Object.freeze({
    id,
    revision: Number(revision),
    document: Number(document),
    members: Number(members),
  });
}

/** `value`, or `value\nweight`, as the assign script puts it together. */
export function parseAssignment(id: string, text: string): Assignment {
  const [value = '', weight = '1'] = text.split('\n');
  return { id, value, weight: Number(weight) };
}

/** The part of a head's text that moves with the document alone. */
export function documentPart(head: string): string {
  return head.slice(0, head.lastIndexOf(':'));
}

/** `epoch:documents:documentsAt:members:membersAt:firstsAt`, as the write script puts it together. */
export function parseToken(text: string | null): Token | undefined {
  if (text === null) return undefined;
  const [epoch, documents, documentsAt, members, membersAt] = text.split(':');
  return {
    epoch,
    documents: `${epoch}:${documents}:${documentsAt}`,
    members: `${epoch}:${members}:${membersAt}`,
  };
}

/** What the hashes hold of one feature. */
export function parseStored(
  name: string,
  headText: string | null,
  document: StoredText,
): Stored | undefined {
  if (headText === null && document === null) return undefined;
  const head = parseHead(headText);
  try {
    if (document === null) throw new Error('there is a head, but no document');
    if (head === undefined) throw new Error('its head is lost or unreadable');
    const feature = parseDocument(document);
    if (feature.name !== name || feature.id !== head.id || feature.revision !== head.revision) {
      throw new Error('it is not the one that its head tells of');
    }
    return { head, feature };
  } catch (cause) {
    // Not the cause itself: it shows what stands there, and that can be a user's id.
    return {
      head,
      problem: new HanoiError(
        'CORRUPT_FEATURE',
        `The stored document of ${JSON.stringify(name)} can't be read: ${withoutValue(cause)}. ` +
          'It is off, and stays as it is; remove the feature and create it again, or mend it.',
        { feature: name },
      ),
    };
  }
}

export function compileStored(name: string, { feature, problem }: Stored): CompiledFeature {
  return feature === undefined ? compileUnreadable(name, problem as HanoiError) : compile(feature);
}

/** What the channel tells; undefined for what is not from here. */
export function parseEvent(message: string): ChangeEvent | undefined {
  const [name, kind, headText = null] = message.split('\n');
  const head = parseHead(headText);
  if (name === undefined || head === undefined || !isKind(kind)) return undefined;
  return Object.freeze({ name, kind, head });
}

/** An entry of a log, as far as it tells of the present. */
export interface Logged {
  readonly id: string;
  readonly name: string;
  readonly kind: Change['kind'];
  readonly headText: string;
  readonly document: string | null;
  /** How many changes of members the token counts it as. */
  readonly counted: number;
}

export function parseLogged([id, pairs]: Entry): Logged | undefined {
  const fields = new Map<string, string>();
  for (let at = 0; at + 1 < pairs.length; at += 2) {
    // The ids of members come last, and are not asked for.
    if (pairs[at] === '+' || pairs[at] === '-') break;
    fields.set(pairs[at] as string, pairs[at + 1] as string);
  }
  const [name, kind, headText] = ['name', 'kind', 'head'].map((field) => fields.get(field));
  if (name === undefined || headText === undefined || !isKind(kind)) return undefined;
  const counted = Number(fields.get('counted'));
  return { id, name, kind, headText, document: fields.get('after') ?? null, counted };
}

/** The id that the log gives to a change of that stamp; before any, one that it never gives. */
export function logIdOf(stamp: string): string {
  if (stamp.length <= 3) return '+';
  return `${stamp.slice(0, -3)}-${Number(stamp.slice(-3))}`;
}

/** One entry of a stream, as ioredis gives it. */
export type Entry = readonly [id: string, pairs: readonly string[]];

/** One entry of a stream of changes; undefined for one that is not from here. */
export function parseChange([id, pairs]: Entry): Change | undefined {
  const fields = new Map<string, string>();
  const added: string[] = [];
  const removed: string[] = [];
  for (let at = 0; at + 1 < pairs.length; at += 2) {
    const [field, value] = [pairs[at] as string, pairs[at + 1] as string];
    if (field === '+') added.push(value);
    else if (field === '-') removed.push(value);
    else fields.set(field, value);
  }
  const head = parseHead(fields.get('head') ?? null);
  const name = fields.get('name');
  const kind = fields.get('kind');
  if (head === undefined || name === undefined || !isKind(kind)) return undefined;
  const about = parseAbout(fields.get('about'));
  return {
    name,
    kind,
    head,
    id,
    at: Number(fields.get('at')),
    actor: about.actor,
    note: about.note,
    before: parseQuietly(fields.get('before')),
    after: parseQuietly(fields.get('after')),
    added,
    removed,
    memberCount: Number(fields.get('count')),
    membersBefore: fields.get('was') ? Number(fields.get('was')) : undefined,
  };
}

function parseDocument(text: string | number): Feature {
  const length = typeof text === 'number' ? text : text.length;
  if (typeof text === 'number' || length > LONGEST_DOCUMENT) {
    throw new Error(`it is ${length} long, more than ${LONGEST_DOCUMENT}`);
  }
  return parseFeature(JSON.parse(text));
}

/** A document of the past that can't be read any more is none. */
function parseQuietly(text: string | undefined): Feature | undefined {
  if (text === undefined) return undefined;
  try {
    return parseDocument(text);
  } catch {
    return undefined;
  }
}

function parseAbout(text = '{}'): { actor?: string | undefined; note?: string | undefined } {
  try {
    const { actor, note } = JSON.parse(text);
    return { actor, note };
  } catch {
    return {};
  }
}

function isKind(kind: string | undefined): kind is Change['kind'] {
  return kind === 'created' || kind === 'updated' || kind === 'removed' || kind === 'members';
}
