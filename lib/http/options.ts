import { createHash, randomBytes } from 'node:crypto';
import { invalid, refuseNumber, refuseUnknownOptions } from '../errors.js';
import { type Caller, Credentials, type Token } from './credentials.js';

/** Which requests are answered, and how. */
export interface HttpOptions {
  /**
   * `read-only`: evaluations, and what a `read` credential may see; no write, whoever asks.
   * `admin`: writes too. Default `read-only`.
   */
  mode?: 'read-only' | 'admin';
  /** Who may come in by a token. */
  tokens?: readonly Token[];
  /**
   * Who may come in by what the app knows of a request: undefined where it knows nobody. Asked where
   * a request carries no token that is known. What it throws is a 500, as to take more than 10 s is.
   */
  authorize?: (request: Request) => Caller | undefined | Promise<Caller | undefined>;
  /** What everybody may do, without a credential. Default nothing. */
  anonymous?: 'evaluate' | 'read';
  /** The path under which this is mounted, where the framework does not tell: `/flags`. */
  basePath?: string;
  /** The hosts that requests may name, with their ports: `flags.example.com`. Default any. */
  hosts?: readonly string[];
  /** Other sites whose pages may evaluate and read: `https://example.com`. Default none. */
  origins?: readonly string[];
  /** Behind so many proxies, each of which adds an address to X-Forwarded-For. Default 0. */
  proxies?: number;
  /** Bodies may have so many bytes, and 1,000 fields for each 65,536 of them. Default 65,536. */
  maxBodyBytes?: number;
  /** Failed authentications a minute, by address. Default 10. */
  failuresPerMinute?: number;
  /** Writes a minute, by caller. Default 60. */
  writesPerMinute?: number;
  /**
   * How many clients can listen at once for when to evaluate anew; 0 offers none. Default 1,000; and
   * of one caller at one address, default 100.
   */
  eventStreams?: number;
  eventStreamsByCaller?: number;
  /**
   * Signs what callers that `authorize` knows open event streams with, so that it holds in every
   * process: at least 32 bytes. Default: drawn anew, for this process alone.
   */
  ticketSecret?: string;
  /** Told of what went wrong here, and was answered with a 500. */
  onError?: (error: unknown) => void;
}

const DEFAULTS = {
  mode: 'read-only',
  tokens: [],
  authorize: undefined,
  anonymous: undefined,
  basePath: '',
  hosts: undefined,
  origins: [],
  proxies: 0,
  maxBodyBytes: 65_536,
  failuresPerMinute: 10,
  writesPerMinute: 60,
  eventStreams: 1_000,
  eventStreamsByCaller: 100,
  ticketSecret: undefined,
  onError: undefined,
} as const;

/** The names of `HttpOptions`. */
export const HTTP_OPTIONS: readonly string[] = Object.keys(DEFAULTS);

const FROM_ONE = [
  'maxBodyBytes',
  'failuresPerMinute',
  'writesPerMinute',
  'eventStreamsByCaller',
] as const;

/** What is given, with what is usual beside it. INVALID_ARGUMENT, also where nobody could come in. */
export function parseOptions(options: HttpOptions) {
  refuseUnknownOptions(options, HTTP_OPTIONS);
  const given = { ...DEFAULTS, ...options };
  const { mode, tokens, authorize, anonymous, basePath, onError } = given;
  if (mode !== 'read-only' && mode !== 'admin') {
    throw invalid("`mode` to be 'read-only' or 'admin'", mode);
  }
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw invalid('`authorize` to be a function from a request to who asks', authorize);
  }
  if (anonymous !== undefined && anonymous !== 'evaluate' && anonymous !== 'read') {
    throw invalid("`anonymous` to be 'evaluate' or 'read'", anonymous);
  }
  if (typeof basePath !== 'string' || !/^(\/[\w.~-]+)*$/.test(basePath)) {
    throw invalid('`basePath` to be a path like /flags, without a slash at the end', basePath);
  }
  if (onError !== undefined && typeof onError !== 'function') {
    throw invalid('`onError` to be a function', onError);
  }
  for (const name of ['proxies', 'eventStreams'] as const) refuseNumber(name, given[name], 0);
  for (const name of FROM_ONE) refuseNumber(name, given[name], 1);
  const credentials = new Credentials(tokens);
  if (credentials.isEmpty && authorize === undefined && anonymous === undefined) {
    throw invalid('`tokens`, `authorize` or `anonymous`: who may come in has to be said', 'none');
  }
  if (mode === 'admin' && authorize === undefined && !credentials.has('admin')) {
    throw invalid('a token for admin, or `authorize`, for the mode admin', 'neither');
  }
  return { ...given, credentials, ticketSecret: secretOf(given.ticketSecret) };
}

/** INVALID_ARGUMENT, which never shows the secret. */
function secretOf(given: string | undefined): Buffer {
  if (given === undefined) return randomBytes(32);
  if (typeof given !== 'string' || Buffer.byteLength(given) < 32) {
    const got = typeof given === 'string' ? `${Buffer.byteLength(given)} bytes` : typeof given;
    throw invalid('`ticketSecret` to have at least 32 bytes', got);
  }
  return createHash('sha256').update(given).digest();
}
