import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Caller, Credentials } from './credentials.js';

const COOKIE = 'hanoi_session';

/** How long a session lasts: 12 hours. */
const LASTS_MS = 12 * 60 * 60 * 1000;

const KEY_BYTES = 8;

/**
 * Sessions of a browser, begun with a token: nothing is kept of them. The cookie says until when,
 * and is signed with what the token's digest is; so it holds in every process that knows the token,
 * and ends with it.
 */
export class Sessions {
  constructor(
    private readonly credentials: Credentials,
    private readonly now: () => number = Date.now,
  ) {}

  /** What is put in a URL that can carry no header: for this purpose alone, and soon over. */
  ticketFor(caller: Caller, purpose: string, lastsMs: number): string | undefined {
    return this.sign(caller, purpose, lastsMs);
  }

  holderOf(ticket: string, purpose: string): Caller | undefined {
    return this.verify(ticket, purpose);
  }

  /** The value of `Set-Cookie`. Undefined for a caller without a token. */
  begin(caller: Caller, path: string, isSecure: boolean): string | undefined {
    const value = this.sign(caller, 'session', LASTS_MS);
    return value && cookie(COOKIE, value, path, isSecure, LASTS_MS / 1_000);
  }

  end(path: string, isSecure: boolean): string {
    return cookie(COOKIE, '', path, isSecure, 0);
  }

  callerOf(cookies: string | null): Caller | undefined {
    const value = cookieIn(cookies, COOKIE);
    return value === undefined ? undefined : this.verify(value, 'session');
  }

  private sign(caller: Caller, purpose: string, lastsMs: number): string | undefined {
    for (const { access, actor, digest } of this.credentials) {
      if (access !== caller.access || actor !== caller.actor) continue;
      const payload = `${keyOf(digest)}.${(this.now() + lastsMs).toString(36)}`;
      return `${payload}.${mac(digest, purpose, payload).toString('base64url')}`;
    }
    return undefined;
  }

  private verify(value: string, purpose: string): Caller | undefined {
    const [key, until = '', signature = ''] = value.split('.');
    let found: Caller | undefined;
    for (const { access, actor, digest } of this.credentials) {
      if (keyOf(digest) !== key) continue;
      const given = Buffer.from(signature, 'base64url');
      const expected = mac(digest, purpose, `${key}.${until}`);
      const isSigned = given.length === expected.length && timingSafeEqual(given, expected);
      if (isSigned && Number.parseInt(until, 36) > this.now()) found ??= { access, actor };
    }
    return found;
  }
}

/** A cookie that scripts and other sites do not get. */
export function cookie(
  name: string,
  value: string,
  path: string,
  isSecure: boolean,
  lastsS: number,
): string {
  const secure = isSecure ? '; Secure' : '';
  return `${name}=${value}; Path=${path || '/'}; Max-Age=${lastsS}; HttpOnly; SameSite=Strict${secure}`;
}

export function cookieIn(cookies: string | null, name: string): string | undefined {
  for (const each of cookies?.split(';') ?? []) {
    const at = each.indexOf('=');
    if (at > 0 && each.slice(0, at).trim() === name) return each.slice(at + 1).trim();
  }
  return undefined;
}

/** Which token, without saying anything of it. */
function keyOf(digest: Buffer): string {
  return mac(digest, 'key', '').subarray(0, KEY_BYTES).toString('base64url');
}

function mac(digest: Buffer, purpose: string, payload: string): Buffer {
  return createHmac('sha256', digest).update(`hanoi ${purpose} ${payload}`).digest();
}
