import { createHash } from 'node:crypto';
import { HanoiError } from '../../errors.js';
import { LONGEST_FILE } from '../features-file.js';
import { Postponement } from '../polled-source.js';
import type { Latest } from './latest.js';

/** By name; a function is asked before each request, so that a token can be renewed. */
export type RequestHeaders =
  | { readonly [name: string]: string }
  | (() => HeadersByName | Promise<HeadersByName>);

type HeadersByName = { readonly [name: string]: string };

const MOST_REDIRECTS = 5;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** The URL, without what fetch refuses in one and no error may show. INVALID_ARGUMENT. */
export function parseUrl(given: string | URL): { url: URL; credentials: string | undefined } {
  const url = urlOf(given);
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    // Not what it is: it can have a password in it.
    throw new HanoiError('INVALID_ARGUMENT', 'Expected an http or https URL, or a function.');
  }
  const isNamed = url.username !== '' || url.password !== '';
  const basic = Buffer.from(`${decoded(url.username)}:${decoded(url.password)}`).toString('base64');
  url.username = '';
  url.password = '';
  url.hash = '';
  return { url, credentials: isNamed ? `Basic ${basic}` : undefined };
}

function urlOf(given: string | URL): URL | undefined {
  try {
    return new URL(given);
  } catch {
    return undefined;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** INVALID_ARGUMENT. */
export function refuseHeaders(headers: unknown): void {
  if (typeof headers !== 'function') parseHeaders(headers);
}

/** INVALID_ARGUMENT, without any value, or what stands where a name should. */
function parseHeaders(given: unknown): Headers {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    const got = Array.isArray(given) ? 'a list' : given === null ? 'null' : `some ${typeof given}`;
    const expected = 'Expected `headers` to be an object, or a function that gives one';
    throw new HanoiError('INVALID_ARGUMENT', `${expected}, got ${got}.`);
  }
  for (const [name, value] of Object.entries(given)) {
    if (typeof value === 'string' && isHeader(name, value)) continue;
    const what = isHeader(name, '') ? `a valid ${name}` : 'valid names';
    throw new HanoiError('INVALID_ARGUMENT', `Expected \`headers\` to have ${what}.`);
  }
  return new Headers(given as HeadersByName);
}

function isHeader(name: string, value: string): boolean {
  try {
    new Headers([[name, value]]);
    return true;
  } catch {
    return false;
  }
}

/** How a URL is named in errors: its query can be a secret. */
export function placeOf({ origin, pathname }: URL): string {
  return origin + pathname;
}

/**
 * Asks at a URL, with ETags. What it gives as one names the URL too that had it, after redirects:
 * another one can have another version of that ETag.
 */
export function overHttp(
  url: URL,
  headers: RequestHeaders,
  credentials: string | undefined,
): Latest {
  const place = placeOf(url);
  return async ({ etag, signal }) => {
    let at = url;
    let own = await headersOf(headers, place);
    if (credentials !== undefined && !own.has('authorization')) {
      own.set('authorization', credentials);
    }
    for (let redirects = 0; ; redirects++) {
      const sent = new Headers(own);
      if (!sent.has('accept')) sent.set('accept', 'application/json');
      // What a cache between here and there holds is of unknown age.
      sent.set('cache-control', 'no-cache');
      const here = `${createHash('sha256').update(at.href).digest('hex')} `;
      const known = etag?.startsWith(here) ? etag.slice(here.length) : undefined;
      if (known !== undefined) sent.set('if-none-match', known);
      // fetch itself would take the app's headers along to wherever it is sent.
      const response = await reach(at, { headers: sent, redirect: 'manual', signal }, place);
      const { status } = response;
      if (response.ok) {
        const given = response.headers.get('etag');
        return {
          body: await textOf(response, place),
          etag: given === null ? undefined : here + given,
        };
      }
      await response.body?.cancel().catch(() => {});
      if (status === 304 && known !== undefined) return undefined;
      const location = response.headers.get('location');
      if (!REDIRECTS.has(status) || location === null) throw refusal(place, response);
      if (redirects === MOST_REDIRECTS) throw unavailable(`${place} redirects without end.`);
      const next = redirected(at, location, place);
      if (next.origin !== at.origin) own = new Headers();
      at = next;
    }
  };
}

async function headersOf(headers: RequestHeaders, place: string): Promise<Headers> {
  try {
    return parseHeaders(typeof headers === 'function' ? await headers() : headers);
  } catch (error) {
    if (error instanceof HanoiError) throw unavailable(`${place} was not asked. ${error.message}`);
    // Not the error itself: it is the app's, and can show a secret.
    const what = error instanceof Error ? error.name : typeof error;
    throw unavailable(`${place} was not asked: \`headers\` threw (${what}).`);
  }
}

async function reach(at: URL, request: RequestInit, place: string): Promise<Response> {
  try {
    return await fetch(at, request);
  } catch (error) {
    throw unreached(place, error);
  }
}

/** The body, as far as it is one. */
async function textOf({ headers, body }: Response, place: string): Promise<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  let size = 0;
  const refuseLarge = (bytes: number) => {
    if (bytes > LONGEST_FILE) throw unavailable(`${place} has more than ${LONGEST_FILE} bytes.`);
  };
  try {
    // Leaving the loop ends the transfer.
    for await (const chunk of (body ?? []) as AsyncIterable<Uint8Array>) {
      size += chunk.length;
      refuseLarge(Math.max(size, Number(headers.get('content-length'))));
      text += decoder.decode(chunk, { stream: true });
    }
    text += decoder.decode();
  } catch (error) {
    if (error instanceof HanoiError) throw error;
    throw (error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
      ? unavailable(`${place} has a body that is not UTF-8.`)
      : unreached(place, error);
  }
  if (text.trim() === '') throw unavailable(`${place} has an empty body.`);
  return text;
}

function redirected(from: URL, location: string, place: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  const isPlain = to?.username === '' && to.password === '';
  const isSafe =
    to?.protocol === 'https:' || (to?.protocol === 'http:' && from.protocol === 'http:');
  if (to === undefined || !isPlain || !isSafe) {
    throw unavailable(`${place} redirects to where it is not followed.`);
  }
  return to;
}

function refusal(place: string, { status, headers }: Response): HanoiError {
  if (status === 401 || status === 403) {
    return new HanoiError('STORE_DENIED', `${place} answered ${status}. See \`headers\`.`);
  }
  const message = `${place} answered ${status}.`;
  const afterMs = status === 429 || status === 503 ? retryAfter(headers.get('retry-after')) : 0;
  return afterMs > 0 ? new Postponement(message, afterMs) : unavailable(message);
}

/** Ms; 0 where it is none. */
function retryAfter(text: string | null): number {
  if (text === null) return 0;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return ms > 0 ? ms : 0;
}

function unreached(place: string, error: unknown): HanoiError {
  const { code, cause } = (error ?? {}) as NodeJS.ErrnoException;
  const why = (cause as NodeJS.ErrnoException | undefined)?.code ?? code;
  // Not the error itself: it can show the whole URL.
  return unavailable(`${place} was not reached${typeof why === 'string' ? ` (${why})` : ''}.`);
}

function unavailable(message: string): HanoiError {
  return new HanoiError('STORE_UNAVAILABLE', message);
}
