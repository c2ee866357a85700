import type { IncomingMessage } from 'node:http';
import { Refusal } from './problem.js';

/** Deeper JSON would only serve to exhaust what walks it. */
const DEEPEST = 20;
/** In 64 KiB; in what is allowed to be longer, as many more. */
const MOST_KEYS = 1_000;
const OF_BYTES = 65_536;

/**
 * The bytes of a request's body, at most `limit`, counted as they arrive. `incoming` is where they
 * come from on Node, which is faster than the request's own stream. TOO_LARGE, INVALID_REQUEST.
 */
export async function readBytes(
  request: Request,
  incoming: IncomingMessage | undefined,
  limit: number,
): Promise<Uint8Array> {
  const length = request.headers.get('content-length');
  if (length !== null && Number(length) > limit) throw tooLarge(limit);
  const taken = (incoming as { rawBody?: unknown } | undefined)?.rawBody;
  if (taken instanceof Uint8Array) {
    if (taken.length > limit) throw tooLarge(limit);
    return taken;
  }
  if (incoming !== undefined) {
    // No mistake of who asks.
    if (incoming.readableDidRead)
      throw new Error('The body was read before, and not left: mount this before what reads it.');
    return readIncoming(incoming, limit);
  }
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

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The text of a body. INVALID_REQUEST where it is not UTF-8. */
export function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Refusal('INVALID_REQUEST', 'The body is not UTF-8.');
  }
}

/**
 * Parses JSON of which nothing is known: its depth is looked at before anything walks it, and a
 * field that comes twice is refused, since two readers could take different ones. INVALID_REQUEST.
 */
export function parseHostileJson(text: string, maxBodyBytes: number): unknown {
  try {
    refuseHostile(text, Math.ceil(Math.max(1, maxBodyBytes / OF_BYTES) * MOST_KEYS));
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal('INVALID_REQUEST', 'The body is not JSON.');
  }
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
