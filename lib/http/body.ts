import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { Refusal } from './problem.js';

/** Deeper JSON would only serve to exhaust what walks it. */
const DEEPEST = 20;
/** In 64 KiB; in what is allowed to be longer, as many more. */
const MOST_KEYS = 1_000;
const OF_BYTES = 65_536;

/**
 * The bytes of a request's body, at most `limit`, counted as they arrive. `incoming` is where they
 * come from on Node, which is faster than the request's own stream. TOO_LARGE, at once where the
 * request says so itself; INVALID_REQUEST.
 */
export function readBytes(
  request: Request,
  incoming: IncomingMessage | undefined,
  limit: number,
): Promise<Uint8Array> {
  const length = incoming?.headers['content-length'] ?? request.headers.get('content-length');
  if (length !== null && Number(length) > limit) throw tooLarge(limit);
  const taken = (incoming as { rawBody?: unknown } | undefined)?.rawBody;
  if (taken instanceof Uint8Array) {
    if (taken.length > limit) throw tooLarge(limit);
    return Promise.resolve(taken);
  }
  if (incoming !== undefined) {
    // No mistake of who asks.
    if (incoming.readableDidRead)
      throw new Error('The body was read before, and not left: mount this before what reads it.');
    return readIncoming(incoming, limit);
  }
  return readStream(request, limit);
}

async function readStream(request: Request, limit: number): Promise<Uint8Array> {
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let size = 0;
  const reader = (request.body as ReadableStream<Uint8Array>).getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(() => {
      throw cutOff();
    });
    if (done) return Buffer.concat(chunks);
    size += value.length;
    if (size > limit) {
      // Not cancelled: that can end the connection before the answer is sent.
      reader.releaseLock();
      throw tooLarge(limit);
    }
    chunks.push(value);
  }
}

function readIncoming(incoming: IncomingMessage, limit: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    const end = () => {
      stop();
      resolve(chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks));
    };
    const cut = () => {
      stop();
      reject(cutOff());
    };
    const data = (chunk: Buffer) => {
      size += chunk.length;
      if (size > limit) {
        stop();
        reject(tooLarge(limit));
      } else chunks.push(chunk);
    };
    const stop = () => {
      incoming.off('data', data).off('end', end).off('error', cut).off('close', cut);
    };
    if (incoming.destroyed) reject(cutOff());
    else incoming.on('data', data).on('end', end).on('error', cut).on('close', cut);
  });
}

/** The text of a body. INVALID_REQUEST where it is not UTF-8. */
export function textOf(bytes: Uint8Array): string {
  const { buffer, byteOffset, byteLength } = bytes;
  const text = String(Buffer.isBuffer(bytes) ? bytes : Buffer.from(buffer, byteOffset, byteLength));
  // It stands in the place of what could not be read, or was sent itself.
  if (text.includes('\ufffd') && !isUtf8(bytes)) {
    throw new Refusal('INVALID_REQUEST', 'The body is not UTF-8.');
  }
  // Some mark the order of bytes, which UTF-8 has one of.
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

/**
 * Parses JSON of which nothing is known: its depth is looked at before anything walks it, and a
 * field that comes twice is refused, since two readers could take different ones. INVALID_REQUEST.
 */
export function parseHostileJson(text: string, maxBodyBytes: number = OF_BYTES): unknown {
  let parsed: unknown;
  try {
    // Takes any depth, without recursion.
    parsed = JSON.parse(text);
  } catch {
    throw new Refusal('INVALID_REQUEST', 'The body is not JSON.');
  }
  // Who came twice is there once. What is wrong with the rare one that is refused, the text tells.
  const fields = countFields(parsed, DEEPEST);
  const most = Math.ceil(Math.max(1, maxBodyBytes / OF_BYTES) * MOST_KEYS);
  if (fields > most || fields !== fieldsIn(text)) refuseHostile(text, most);
  return parsed;
}

/**
 * INVALID_REQUEST for a whole number that JSON does not carry as it was written: from 2^53 on it is
 * another one here, which would be another user, or kept in a rule.
 */
export function refuseInexact(value: unknown, path: string = ''): void {
  if (typeof value === 'number' && !Number.isSafeInteger(value) && !(value % 1)) {
    throw new Refusal(
      'INVALID_REQUEST',
      `${path === '' ? 'What was sent' : `\`${path}\``} is a number too large for JSON: send it as text.`,
      path === '' ? {} : { path },
    );
  }
  if (typeof value !== 'object' || value === null) return;
  const isList = Array.isArray(value);
  for (const [key, item] of Object.entries(value)) {
    const field = path === '' ? key : `${path}.${key}`;
    refuseInexact(item, isList ? `${path}[${key}]` : field);
  }
}

/** How many fields there are in all; NaN where it nests deeper, or one has a name that none may have. */
function countFields(value: unknown, depth: number): number {
  if (typeof value !== 'object' || value === null) return 0;
  if (depth === 0) return Number.NaN;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countFields(item, depth - 1);
    return count;
  }
  for (const key of Object.keys(value)) {
    if (key === '__proto__') return Number.NaN;
    count += 1 + countFields((value as { readonly [key: string]: unknown })[key], depth - 1);
  }
  return count;
}

/** How many fields the text of some JSON has: each has a colon, and there is none elsewhere but in strings. */
function fieldsIn(text: string): number {
  let count = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) isInString = !isInString;
    else if (isInString) at += Number(code === 0x5c);
    else if (code === 0x3a) count++;
  }
  return count;
}

function refuseHostile(text: string, mostKeys: number): void {
  // Of each object around, its keys; of an array, nothing.
  const around: (Set<string> | undefined)[] = [];
  let keys: Set<string> | undefined;
  let isKey = false;
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: {
        const end = endOfString(text, at + 1);
        if (isKey && keys !== undefined) {
          const raw = text.slice(at, end + 1);
          const key = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
          if (keys.has(key)) throw new Refusal('INVALID_REQUEST', `The field ${raw} comes twice.`);
          if (key === '__proto__') {
            throw new Refusal('INVALID_REQUEST', 'No field can be named __proto__.');
          }
          if (++count > mostKeys) {
            throw new Refusal('INVALID_REQUEST', `There are more than ${mostKeys} fields.`);
          }
          keys.add(key);
          isKey = false;
        }
        at = end;
        break;
      }
      case 0x7b: // {
      case 0x5b: // [
        if (around.length === DEEPEST) {
          throw new Refusal('INVALID_REQUEST', `The body nests deeper than ${DEEPEST} levels.`);
        }
        keys = text.charCodeAt(at) === 0x7b ? new Set() : undefined;
        isKey = keys !== undefined;
        around.push(keys);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        around.pop();
        keys = around.at(-1);
        isKey = false;
        break;
      case 0x2c: // ,
        isKey = keys !== undefined;
        break;
    }
  }
}

/** Where a string ends that begins at `from`. */
function endOfString(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x5c) at++;
    else if (code === 0x22) return at;
  }
  return text.length;
}

function tooLarge(limit: number): Refusal {
  return new Refusal('TOO_LARGE', `The body has more than ${limit} bytes.`);
}

function cutOff(): Refusal {
  return new Refusal('INVALID_REQUEST', 'The body ended early.');
}
