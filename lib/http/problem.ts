import { ERROR_CODES, type ErrorCode, type HanoiError } from '../errors.js';
import { readName } from '../stored-name.js';
import { Reply } from './reply.js';

/** Codes of what is wrong with a request itself, beside those of `HanoiError`. */
export const HTTP_CODES = {
  INVALID_REQUEST: 'The request can not be read: its path, query, headers or JSON.',
  UNAUTHENTICATED: 'The request carries no credential that is known here.',
  FORBIDDEN: 'The credential does not reach so far, or the request comes from another site.',
  NO_SUCH_ROUTE: 'There is nothing under this path.',
  METHOD_NOT_ALLOWED: 'The path is there, but not for this method; see `Allow`.',
  TOO_LARGE: 'The body is larger than is taken here.',
  UNSUPPORTED_MEDIA_TYPE: 'The body has to be application/json.',
  MISDIRECTED: 'The request names a host that this is not.',
  TOO_MANY_REQUESTS: 'Too many of these in a minute; see `Retry-After`.',
  INTERNAL: 'Something went wrong here.',
} as const;

export type HttpCode = keyof typeof HTTP_CODES | ErrorCode;

/** What is answered where a request fails: RFC 9457, with a code to branch on. */
export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: HttpCode;
  /** Where in the body or query the refused value stands: `rules[0].when`. */
  readonly path?: string;
  readonly feature?: string;
  /** With OUTCOME_UNKNOWN: sent as `Idempotency-Key`, the write can be repeated. */
  readonly requestId?: string;
}

const STATUS: { readonly [Code in HttpCode]?: number } = {
  INVALID_REQUEST: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  NO_SUCH_ROUTE: 404,
  METHOD_NOT_ALLOWED: 405,
  TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  MISDIRECTED: 421,
  TOO_MANY_REQUESTS: 429,
  INVALID_ARGUMENT: 400,
  INVALID_FEATURE: 422,
  INVALID_RECORD: 422,
  FEATURE_NOT_FOUND: 404,
  FEATURE_EXISTS: 409,
  CORRUPT_FEATURE: 409,
  CONFLICT: 409,
  NOT_KEPT: 409,
  READ_ONLY: 403,
  NOT_APPLIED: 503,
  OUTCOME_UNKNOWN: 503,
  STORE_UNAVAILABLE: 503,
  STORE_TIMEOUT: 503,
  STORE_DENIED: 503,
  STORE_BUSY: 503,
  CLOSED: 503,
};

const TITLES: { readonly [status: number]: string } = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  421: 'Misdirected Request',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** What a request is refused with before anything was asked of the rollout. */
export class Refusal extends Error {
  constructor(
    readonly code: HttpCode,
    message: string = (HTTP_CODES as Record<string, string>)[code] ?? '',
    readonly fields: {
      readonly path?: string;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(message);
  }
}

/**
 * The answer to what was thrown. Of what is the caller's mistake it says what the error says; of all
 * else no more than the code means, since messages of a store or of the app are not for outside.
 * `conditional`: the request named the state that it was to change, so that a conflict is a 412.
 */
export function problemOf(error: unknown, conditional: boolean = false): Problem {
  if (error instanceof Refusal) {
    const { path } = error.fields;
    return problem(
      error.code,
      statusOf(error.code),
      error.message,
      path === undefined ? {} : { path },
    );
  }
  const { code } = (error ?? {}) as Partial<HanoiError>;
  if (!(error instanceof Error) || code === undefined || !Object.hasOwn(ERROR_CODES, code)) {
    return problem('INTERNAL', 500, HTTP_CODES.INTERNAL);
  }
  const status = code === 'CONFLICT' && conditional ? 412 : statusOf(code);
  const { feature, path, requestId, message } = error as HanoiError;
  return problem(code, status, status < 500 ? message : ERROR_CODES[code], {
    ...(path !== undefined && { path }),
    ...(feature !== undefined && { feature: readName(feature)[1] }),
    ...(requestId !== undefined && { requestId }),
  });
}

export function statusOf(code: HttpCode): number {
  return STATUS[code] ?? 500;
}

/** The answer as it is sent. */
export function problemReply(body: Problem, headers: Readonly<Record<string, string>> = {}): Reply {
  const { status } = body;
  const all = {
    'content-type': 'application/problem+json',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  };
  return new Reply(status, all, JSON.stringify(body));
}

function problem(
  code: HttpCode,
  status: number,
  detail: string,
  fields: Pick<Problem, 'path' | 'feature' | 'requestId'> = {},
): Problem {
  return { type: 'about:blank', title: TITLES[status] ?? 'Error', status, detail, code, ...fields };
}
