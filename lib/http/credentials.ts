import crypto from 'node:crypto';
import { parseActor } from '../current-actor.js';
import { invalid, refuseUnknownOptions } from '../errors.js';

/** What somebody may do; each includes the one before it. */
export type Access = (typeof ACCESS)[number];

const ACCESS = ['evaluate', 'read', 'admin'] as const;

/** A secret that lets its bearer in. */
export interface Token {
  /** At least 32 bytes: `openssl rand -base64 32`. */
  readonly token: string;
  readonly access: Access;
  /** Who is named in the history. Default: the access. */
  readonly actor?: string;
}

/** Who asks. */
export interface Caller {
  readonly access: Access;
  /** For the history. */
  readonly actor: string;
}

const LEAST_BYTES = 32;

/** Whose token is known. */
export interface Known extends Caller {
  readonly digest: Buffer;
}

export function isAccess(value: unknown): value is Access {
  return ACCESS.includes(value as Access);
}

export function reaches(caller: Caller, access: Access): boolean {
  return ACCESS.indexOf(caller.access) >= ACCESS.indexOf(access);
}

/** The tokens that are known: only their digests are held. */
export class Credentials {
  private readonly known: readonly Known[];

  /** INVALID_ARGUMENT, which never shows the token. */
  constructor(tokens: readonly Token[]) {
    if (!Array.isArray(tokens)) throw invalid('`tokens` to be a list', `a ${typeof tokens}`);
    this.known = tokens.map((given, at) => {
      const { token, access, actor = access } = given ?? {};
      refuseUnknownOptions(given ?? {}, ['token', 'access', 'actor']);
      if (typeof token !== 'string' || Buffer.byteLength(token) < LEAST_BYTES) {
        throw invalid(
          `\`tokens[${at}].token\` to have at least ${LEAST_BYTES} bytes`,
          typeof token === 'string' ? `${Buffer.byteLength(token)} bytes` : typeof token,
        );
      }
      if (!/^[\x21-\x7e]+$/.test(token)) {
        throw invalid(`\`tokens[${at}].token\` to be printable ASCII`, 'something else');
      }
      if (!isAccess(access)) {
        throw invalid(`\`tokens[${at}].access\` to be one of ${ACCESS.join(', ')}`, access);
      }
      return { access, actor: parseActor(actor), digest: digestOf(token) };
    });
  }

  get isEmpty(): boolean {
    return this.known.length === 0;
  }

  has(access: Access): boolean {
    return this.known.some((each) => reaches(each, access));
  }

  /** Whose token this is. All are compared each time, and each in constant time. */
  callerOf(token: string): Known | undefined {
    return this.find(digestOf(token));
  }

  /** Whose token has this digest. */
  find(digest: Buffer): Known | undefined {
    let found: Known | undefined;
    for (const each of this.known) {
      if (crypto.timingSafeEqual(each.digest, digest)) found ??= each;
    }
    return found;
  }

  /** For what is derived from a token: of each, in turn. */
  *[Symbol.iterator](): Iterator<Known> {
    yield* this.known;
  }
}

/** What a request carries: `Authorization: Bearer …`, or `X-API-Key: …`. */
export function tokenIn(headers: Headers): string | undefined {
  const authorization = headers.get('authorization');
  if (authorization !== null) {
    const isBearer = authorization.slice(0, 7).toLowerCase() === 'bearer ';
    return isBearer ? authorization.slice(7).trim() : '';
  }
  return headers.get('x-api-key') ?? undefined;
}

// At once where Node can (from 20.12 on): each request has one, and the object for more takes longest.
const digestOf: (token: string) => Buffer =
  typeof (crypto as Partial<typeof crypto>).hash === 'function'
    ? (token) => crypto.hash('sha256', token, 'buffer')
    : (token) => crypto.createHash('sha256').update(token).digest();
