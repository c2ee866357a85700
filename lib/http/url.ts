import type { Arrival } from './arrival.js';
import { Refusal } from './problem.js';

/** The path as it was sent: its segments are decoded one by one, and once. */
export function getPath(request: Request, options?: { env?: Arrival }): string {
  const { url } = request;
  const start = url.indexOf('/', url.indexOf('://') + 3);
  const path = start === -1 ? '/' : url.slice(start, endOfPath(url, start));
  const base = options?.env?.base ?? '';
  if (base === '') return path;
  if (path === base) return '/';
  return path.startsWith(`${base}/`)
    ? path.slice(base.length)
    : '/outside of where this is mounted';
}

function endOfPath(url: string, from: number): number {
  for (let at = from; at < url.length; at++) {
    const code = url.charCodeAt(at);
    if (code === 0x3f || code === 0x23) return at; // ? and #
  }
  return url.length;
}

/**
 * INVALID_REQUEST of a URL that has no one text, and of control characters in a path: names have none,
 * and what is stored beside features has names with some.
 */
export function unreadableIn(url: string): Refusal | undefined {
  if (!url.includes('%')) return undefined;
  const at = url.indexOf('?');
  const parts = at === -1 ? [url] : [url.slice(0, at), url.slice(at)];
  try {
    const [path = ''] = parts.map((part) => decodeURIComponent(part));
    if (!/\p{Cc}/u.test(path)) return undefined;
  } catch {
    // Not UTF-8.
  }
  return new Refusal(
    'INVALID_REQUEST',
    'The URL can not be decoded, or names a control character.',
  );
}

/** INVALID_REQUEST of what is said twice. */
export function queryOf({ url }: Request): Record<string, string> {
  const query: Record<string, string> = Object.create(null);
  const at = url.indexOf('?');
  if (at === -1) return query;
  for (const [key, value] of new URLSearchParams(url.slice(at))) {
    if (Object.hasOwn(query, key)) {
      throw new Refusal('INVALID_REQUEST', `The query says ${JSON.stringify(key)} twice.`);
    }
    query[key] = value;
  }
  return query;
}
