import { isIP } from 'node:net';
import { parseActor } from '../current-actor.js';
import { inTime } from '../in-time.js';
import type { Arrival } from './arrival.js';
import {
  type Access,
  type Caller,
  type Credentials,
  isAccess,
  reaches,
  tokenIn,
} from './credentials.js';
import type { Origins } from './origins.js';
import { Refusal } from './problem.js';
import type { RateLimit } from './rate-limit.js';
import type { Needed } from './route.js';
import type { Sessions } from './sessions.js';

/** What a gate lets in by, beside tokens. */
interface Policy {
  readonly isReadOnly: boolean;
  readonly authorize:
    | ((request: Request) => Caller | undefined | Promise<Caller | undefined>)
    | undefined;
  readonly anonymous: 'evaluate' | 'read' | undefined;
  readonly proxies: number;
}

/** Who may come in: what every request passes, whatever it asks for. */
export class Gate {
  constructor(
    private readonly policy: Policy,
    private readonly credentials: Credentials,
    readonly sessions: Sessions,
    private readonly origins: Origins,
    private readonly failures: RateLimit,
    private readonly writes: RateLimit,
  ) {}

  /**
   * Who asks, if that is needed, and may; UNAUTHENTICATED, FORBIDDEN, MISDIRECTED, READ_ONLY,
   * TOO_MANY_REQUESTS.
   */
  admit(
    request: Request,
    env: Arrival,
    needed: Needed,
    writes: boolean,
  ): Caller | undefined | Promise<Caller | undefined> {
    this.origins.refuseOther(request, writes);
    if (writes && this.policy.isReadOnly) {
      throw new Refusal('READ_ONLY', 'This is in read-only mode: there is no write here.');
    }
    if (needed === 'nobody') return undefined;
    const found = this.callerBySecret(request) ?? this.policy.authorize?.(request);
    if (found instanceof Promise) {
      return inTime(found, AUTHORIZE_TIMEOUT, tooLate).then((caller) =>
        this.admitted(caller, request, env, needed, writes),
      );
    }
    return this.admitted(found, request, env, needed, writes);
  }

  private admitted(
    caller: Caller | undefined,
    request: Request,
    env: Arrival,
    needed: Access,
    writes: boolean,
  ): Caller {
    if (caller === undefined) return this.anonymous(request, env, needed);
    if (!reaches(caller, needed)) {
      throw new Refusal('FORBIDDEN', `This needs a credential for ${needed}, which this is not.`);
    }
    if (writes) {
      const wait = this.writes.take(caller.actor);
      if (wait !== undefined) throw tooMany(wait);
    }
    return caller;
  }

  /**
   * Who asks by a ticket in the URL, for this purpose, and until when (Unix ms); undefined where there
   * is none in it. UNAUTHENTICATED, TOO_MANY_REQUESTS.
   */
  admitByTicket(
    request: Request,
    env: Arrival,
    purpose: string,
  ): { readonly caller: Caller; readonly until: number } | undefined {
    const { url } = request;
    const at = url.indexOf('?');
    const ticket = at === -1 ? null : new URLSearchParams(url.slice(at)).get('ticket');
    if (ticket === null) return undefined;
    const until = this.sessions.endOf(ticket, purpose);
    if (until === undefined) return this.refuse(request, env);
    return { caller: { access: 'evaluate', actor: 'ticket' }, until };
  }

  /**
   * What this caller can put in a URL that can carry no credential, until then (Unix ms). Undefined
   * where everybody may evaluate: nothing is needed then.
   */
  ticketUntil(caller: Caller, purpose: string, until: number): string | undefined {
    if (this.policy.anonymous !== undefined) return undefined;
    return this.sessions.ticketUntil(caller, purpose, until);
  }

  /** Whom the token, or the session, of a request is of. */
  callerBySecret(request: Request): Caller | undefined {
    const token = tokenIn(request.headers);
    // A token that is sent is what counts, also if it is wrong.
    if (token !== undefined) return this.credentials.callerOf(token);
    return this.sessions.callerOf(request.headers.get('cookie'));
  }

  /** Whose token this is, that was typed into a form. UNAUTHENTICATED, TOO_MANY_REQUESTS. */
  callerByToken(token: string, env: Arrival, request: Request): Caller {
    const caller = this.credentials.callerOf(token);
    return caller ?? this.refuse(request, env);
  }

  private anonymous(request: Request, env: Arrival, needed: Access): Caller {
    const { anonymous } = this.policy;
    const carriesNone = tokenIn(request.headers) === undefined;
    if (anonymous !== undefined && carriesNone) {
      const caller = { access: anonymous, actor: 'anonymous' };
      if (reaches(caller, needed)) return caller;
    }
    // To ask without any is no attempt to guess one.
    if (carriesNone) throw unauthenticated();
    return this.refuse(request, env);
  }

  private refuse(request: Request, env: Arrival): never {
    const wait = this.failures.take(this.addressOf(request, env));
    if (wait !== undefined) throw tooMany(wait);
    throw unauthenticated();
  }

  /** The other end; behind proxies, whom the outermost of them has seen. */
  addressOf({ headers }: Request, { address = 'unknown' }: Arrival): string {
    const { proxies } = this.policy;
    if (proxies === 0) return networkOf(address);
    const forwarded = headers.get('x-forwarded-for')?.split(',') ?? [];
    const seen = forwarded.at(-proxies)?.trim().slice(0, 64) ?? '';
    const [, six, four, bare] = WITH_PORT.exec(seen) ?? [];
    return networkOf(six || four || bare || address);
  }
}

/** Some proxies name the port too, which is another for each connection: `[2001:db8::1]:443`. */
const WITH_PORT = /^(?:\[([^\]]*)\](?::\d+)?|([^:]+)(?::\d+)?|(.*))$/;

/** Whoever has one address of IPv6 mostly has all that begin with the same four groups. */
function networkOf(address: string): string {
  if (isIP(address) !== 6) return address;
  if (address.startsWith('::ffff:') && address.includes('.'))
    return address.slice('::ffff:'.length);
  const [head = '', tail] = address.toLowerCase().split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  return [...first, ...new Array<string>(zeros).fill('0'), ...last]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':');
}

/** In ms: an app's `authorize` that does not answer must not hold what asks. */
const AUTHORIZE_TIMEOUT = 10_000;

function tooLate(): never {
  throw new Error(`\`authorize\` took longer than ${AUTHORIZE_TIMEOUT} ms.`);
}

/**
 * Whom an app's `authorize` knows. What it fails with, or gives that is nobody, is no mistake of who
 * asks: an error without a code.
 */
export async function callerBy(
  authorize: (request: Request) => Caller | undefined | Promise<Caller | undefined>,
  request: Request,
): Promise<Caller | undefined> {
  try {
    const caller: Partial<Caller> | null | undefined = await authorize(request);
    if (caller === undefined || caller === null) return undefined;
    const { access, actor } = caller;
    if (!isAccess(access)) throw new TypeError('It has to give { access, actor }, or undefined.');
    return { access, actor: parseActor(actor) };
  } catch (cause) {
    throw new Error('`authorize` has failed.', { cause });
  }
}

function unauthenticated(): Refusal {
  return new Refusal('UNAUTHENTICATED', undefined, {
    headers: { 'www-authenticate': 'Bearer realm="hanoi"' },
  });
}

function tooMany(waitS: number): Refusal {
  return new Refusal('TOO_MANY_REQUESTS', undefined, { headers: { 'retry-after': `${waitS}` } });
}
