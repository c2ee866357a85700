import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { cookie, cookieIn } from '../sessions.js';

const COOKIE = 'hanoi_form';
const LASTS_S = 12 * 60 * 60;

/**
 * Says that a form was given out here, to this browser and for this caller: what the form carries is
 * made of a cookie that no other site can read. Nothing is kept of it, so any process can check it.
 */
export class FormToken {
  private constructor(
    private readonly secret: string,
    private readonly isNew: boolean,
  ) {}

  static of(request: Request): FormToken {
    const known = cookieIn(request.headers.get('cookie'), COOKIE);
    const isKnown = known !== undefined && /^[\w-]{32}$/.test(known);
    return new FormToken(isKnown ? known : randomBytes(24).toString('base64url'), !isKnown);
  }

  /** What the caller's forms carry. */
  for(actor: string): string {
    return createHmac('sha256', this.secret).update(`hanoi form ${actor}`).digest('base64url');
  }

  /** Whether a form that carries this was given out to the caller. */
  fits(given: string, actor: string): boolean {
    const [one, other] = [Buffer.from(given), Buffer.from(this.for(actor))];
    return !this.isNew && one.length === other.length && timingSafeEqual(one, other);
  }

  /** The value of `Set-Cookie`, where the browser has none yet. */
  cookie(base: string, isSecure: boolean): string | undefined {
    return this.isNew ? cookie(COOKIE, this.secret, base, isSecure, LASTS_S) : undefined;
  }
}
