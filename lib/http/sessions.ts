import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Caller, Credentials, Known } from './credentials.js';

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
  /** `secret` signs for callers who have no token here. */
  constructor(
    private readonly credentials: Credentials,
    private readonly secret: Buffer,
  ) {}

  /**
   * What is put in a URL that can carry no header: for this purpose alone, until then (Unix ms). Of
   * who holds it, it says no more than an opaque name before its first dot.
   */
  ticketUntil(caller: Caller, purpose: string, until: number): string {
    const ticket = this.sign(caller, purpose, until);
    if (ticket !== undefined) return ticket;
    const { access, actor } = caller;
    const holder = mac(this.secret, 'holder', `${access} ${actor}`).subarray(0, KEY_BYTES);
    return signed(holder.toString('base64url'), this.secret, purpose, until);
  }

  /** Until when a ticket lasts (Unix ms); undefined of one that does not, or is for another purpose. */
  endOf(ticket: string, purpose: string): number | undefined {
    const [key = '', until = ''] = ticket.split('.');
    const holds =
      this.verify(ticket, purpose) !== undefined ||
      this.isSigned(ticket, key, this.secret, purpose);
    return holds ? Number.parseInt(until, 36) : undefined;
  }

  /** The value of `Set-Cookie`. Undefined for a caller without a token. */
  begin(caller: Caller, path: string, isSecure: boolean): string | undefined {
    const value = this.sign(caller, 'session', Date.now() + LASTS_MS);
    return value && cookie(COOKIE, value, path, isSecure, LASTS_MS / 1_000);
  }

  end(path: string, isSecure: boolean): string {
    return cookie(COOKIE, '', path, isSecure, 0);
  }

  callerOf(cookies: string | null): Known | undefined {
    const value = cookieIn(cookies, COOKIE);
    return value === undefined ? undefined : this.verify(value, 'session');
  }

  /** By the token that the caller came in with: others can be for the same, and stay when it goes. */
  private sign(caller: Caller, purpose: string, until: number): string | undefined {
    for (const known of this.credentials) {
      if (known !== caller) continue;
      return signed(keyOf(known.digest), known.digest, purpose, until);
    }
    return undefined;
  }

  private verify(value: string, purpose: string): Known | undefined {
    const [key = ''] = value.split('.');
    let found: Known | undefined;
    for (const known of this.credentials) {
      if (keyOf(known.digest) !== key) continue;
      if (this.isSigned(value, key, known.digest, purpose)) found ??= known;
    }
    return found;
  }

  /** Whether it is, with this secret and for this purpose, and not over. */
  private isSigned(value: string, key: string, secret: Buffer, purpose: string): boolean {
    const [, until = '', signature = ''] = value.split('.');
    const given = Buffer.from(signature, 'base64url');
    const expected = mac(secret, purpose, `${key}.${until}`);
    const isGenuine = given.length === expected.length && timingSafeEqual(given, expected);
    return isGenuine && Number.parseInt(until, 36) > Date.now();
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
  // A mount with parameters has a path that others choose.
  const attribute = path.replaceAll(';', '%3B') || '/';
  return `${name}=${value}; Path=${attribute}; Max-Age=${lastsS}; HttpOnly; SameSite=Strict${secure}`;
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

function signed(key: string, secret: Buffer, purpose: string, until: number): string {
  const payload = `${key}.${until.toString(36)}`;
  return `${payload}.${mac(secret, purpose, payload).toString('base64url')}`;
}

function mac(digest: Buffer, purpose: string, payload: string): Buffer {
  return createHmac('sha256', digest).update(`hanoi ${purpose} ${payload}`).digest();
}
