import { createHash } from 'node:crypto';
import { HanoiError } from '../errors.js';
import type { Arrival } from './arrival.js';
import type { Caller } from './credentials.js';
import { Refusal } from './problem.js';

/** What a write is repeated by: the key that the client has, or is told, and the id made of it. */
export interface NamedWrite {
  readonly key: string;
  readonly id: string;
}

/**
 * The key is the client's, so it names this write alone: by this caller, of this path and body. The
 * same key with anything else is another write, where the bare key would be taken for the one before.
 */
export function namedWrite(
  { headers, method, url }: Request,
  { base }: Arrival,
  caller: Caller | undefined,
  bytes: Uint8Array = new Uint8Array(),
): NamedWrite {
  const key = requestIdOf(headers.get('idempotency-key')) ?? crypto.randomUUID();
  const path = url.slice(url.indexOf('/', url.indexOf('://') + 3) + base.length);
  const hash = createHash('sha256');
  hash.update(JSON.stringify([key, caller?.actor, method, path, headers.get('if-match')]));
  return { key, id: hash.update(bytes).digest('base64url') };
}

/** The error with the key by which the client can repeat the write, in place of the id made of it. */
export function named(error: unknown, write: NamedWrite | undefined): unknown {
  const { requestId } = (error ?? {}) as { readonly requestId?: string };
  if (requestId === undefined || !(error instanceof Error)) return error;
  const { code, feature, path, message } = error as HanoiError;
  return new HanoiError(code, message, {
    ...(feature !== undefined && { feature }),
    ...(path !== undefined && { path }),
    ...(requestId === write?.id && { requestId: write.key }),
    cause: error,
  });
}

/** INVALID_REQUEST for what is no name of a request: it is kept for a while. */
function requestIdOf(header: string | null): string | undefined {
  if (header === null) return undefined;
  if (/^[\x21-\x7e]{1,200}$/.test(header)) return header;
  throw new Refusal(
    'INVALID_REQUEST',
    'Expected `Idempotency-Key` to have 1-200 characters of ASCII, without spaces.',
  );
}
