import { createHash, randomBytes } from 'node:crypto';
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { HanoiError, invalid, refuseNumber, refuseUnknownOptions } from '../errors.js';
import type { Rollout } from '../rollout.js';
import { experimentRoutes } from './api/experiments.js';
import { featureRoutes } from './api/features.js';
import { flaggeryRoutes } from './api/flaggery.js';
import { groupRoutes } from './api/groups.js';
import { healthRoutes } from './api/health.js';
import { historyRoutes } from './api/history.js';
import { populationRoutes } from './api/population.js';
import { rampRoutes } from './api/ramps.js';
import { ruleRoutes } from './api/rules.js';
import { transferRoutes } from './api/transfer.js';
import { userRoutes } from './api/users.js';
import type { Arrival } from './arrival.js';
import { parseHostileJson, readBytes, refuseInexact, textOf } from './body.js';
import { type Caller, Credentials, type Token } from './credentials.js';
import { docsPage } from './docs-page.js';
import { etagOf, isMatch, stateNamed } from './etag.js';
import { callerBy, Gate } from './gate.js';
import { type Bridge, nodeBridge } from './node-bridge.js';
import { RefetchStreams } from './ofrep/refetch-streams.js';
import { ofrepRoutes } from './ofrep/routes.js';
import { type OpenApi, openApiOf } from './openapi.js';
import { Origins } from './origins.js';
import { AdminPage } from './page/admin-page.js';
import { problemOf, problemReply, Refusal } from './problem.js';
import { RateLimit } from './rate-limit.js';
import { Reply } from './reply.js';
import type { Answer, Call, Route } from './route.js';
import { Sessions } from './sessions.js';

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

/** Where a request came from, as far as that is known. */
export interface Connection {
  /** The address of the other end. */
  readonly address?: string | undefined;
}

/** The API, ready to be mounted. */
export interface HttpHandler {
  /** Never rejects. */
  fetch(request: Request, connection?: Connection): Promise<Response>;
  /** For node:http, and for what takes its requests and responses: Express, Connect, Nest. */
  readonly node: Bridge;
  /** Ends the event streams. */
  close(): void;
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

type App = Hono<{ Bindings: Arrival }>;

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/**
 * A handler of what is asked of a rollout over HTTP: evaluations, and, for those who may, all that a
 * rollout can do. It is closed by default: without tokens, `authorize` or `anonymous` it refuses to be
 * made, and so is `admin` without anybody who may write. INVALID_ARGUMENT.
 */
export function createHandler(rollout: Rollout, options: HttpOptions = {}): HttpHandler {
  return new Handler(rollout, options);
}

class Handler implements HttpHandler {
  readonly node: Bridge;

  private readonly app: App;
  private readonly page: AdminPage;
  private readonly routes: readonly Route[];
  private readonly gate: Gate;
  private readonly base: string;
  private readonly origins: Origins;
  private readonly maxBodyBytes: number;
  private readonly onError: (error: unknown) => void;
  /** What callers are given: without a way to write, in read-only mode. */
  private readonly rollout: Rollout;
  private readonly streams: RefetchStreams;

  constructor(rollout: Rollout, options: HttpOptions) {
    refuseUnknownOptions(options, HTTP_OPTIONS);
    const given = { ...DEFAULTS, ...options };
    const { mode, tokens, authorize, anonymous, basePath, hosts, origins, proxies } = given;
    const { maxBodyBytes, failuresPerMinute, writesPerMinute, onError } = given;
    const { eventStreams, eventStreamsByCaller, ticketSecret } = given;
    if (typeof (rollout as Partial<Rollout> | null)?.readOnly !== 'function') {
      throw invalid('a Rollout as the first argument', rollout);
    }
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
    refuseNumber('proxies', proxies, 0);
    refuseNumber('maxBodyBytes', maxBodyBytes, 1);
    refuseNumber('failuresPerMinute', failuresPerMinute, 1);
    refuseNumber('writesPerMinute', writesPerMinute, 1);
    refuseNumber('eventStreams', eventStreams, 0);
    refuseNumber('eventStreamsByCaller', eventStreamsByCaller, 1);
    const credentials = new Credentials(tokens);
    if (credentials.isEmpty && authorize === undefined && anonymous === undefined) {
      throw invalid(
        '`tokens`, `authorize` or `anonymous`: who may come in has to be said',
        options,
      );
    }
    if (mode === 'admin' && authorize === undefined && !credentials.has('admin')) {
      throw invalid('a token for admin, or `authorize`, for the mode admin', 'neither');
    }
    this.base = basePath;
    this.maxBodyBytes = maxBodyBytes;
    this.onError = onError ?? (() => {});
    this.rollout = mode === 'admin' ? rollout : rollout.readOnly();
    this.origins = new Origins(hosts, origins);
    this.gate = new Gate(
      {
        isReadOnly: mode === 'read-only',
        authorize: authorize && ((request) => callerBy(authorize, request)),
        anonymous,
        proxies,
      },
      credentials,
      new Sessions(credentials, secretOf(ticketSecret)),
      this.origins,
      new RateLimit(failuresPerMinute),
      new RateLimit(writesPerMinute),
    );
    this.page = new AdminPage({
      rollout: this.rollout,
      gate: this.gate,
      isReadOnly: mode === 'read-only',
      hasTokens: !credentials.isEmpty,
      maxBodyBytes,
      report: (error) => this.report(error),
    });
    const limits = { most: eventStreams, mostOfOne: eventStreamsByCaller };
    this.streams = new RefetchStreams(this.rollout, limits);
    const parts = [...ROUTES, ofrepRoutes(this.gate, this.streams)];
    this.routes = parts.flatMap(({ all }) => all);
    this.app = this.build();
    this.node = nodeBridge((request, env) => this.answer(request, env), basePath);
  }

  // Bound, so that it can be handed on alone.
  readonly fetch = async (request: Request, { address }: Connection = {}): Promise<Response> => {
    const env = { base: this.base, address, incoming: undefined };
    const answered = await this.answer(request, env);
    return answered instanceof Reply ? answered.toResponse() : answered;
  };

  close(): void {
    this.page.close();
    this.streams.close();
  }

  /** Never rejects. */
  private answer(request: Request, env: Arrival): Promise<Response | Reply> {
    const { origins } = this;
    let answer: Response | Reply | Promise<Response | Reply>;
    try {
      origins.refuseHost(request);
      const preflight = request.method === 'OPTIONS' ? origins.preflight(request) : undefined;
      const unreadable = unreadableIn(request.url);
      if (unreadable !== undefined) answer = this.unreadable(unreadable, request, env);
      else answer = preflight ?? this.app.fetch(request, env);
    } catch (error) {
      answer = this.failed(error);
    }
    if (!origins.isSharing) return Promise.resolve(answer);
    const shared = async () => {
      const there = await answer;
      origins.share(there, request);
      return there;
    };
    return shared();
  }

  private build(): App {
    const app: App = new Hono({ getPath });
    const { routes } = this;
    // Made when it is asked for the first time: that takes some ms.
    let made: OpenApi | undefined;
    const document = () => {
      made ??= openApiOf(routes);
      return made;
    };
    for (const route of routes) {
      app.on(route.method, honoPath(route.path), (context) => asIs(this.serve(route, context)));
    }
    for (const { method, path, answer } of this.page.routes) {
      app.on(method, path, ({ req, env }) => answer(req.raw, env));
    }
    app.get('/openapi.json', () =>
      asIs(new Reply(200, { ...HEADERS }, JSON.stringify(document()))),
    );
    app.get('/docs', (context) => docsPage(document(), context.env.base));
    app.notFound((context) => asIs(this.failed(this.missing(context))));
    app.onError((error) => asIs(this.failed(error)));
    return app;
  }

  private async serve(
    route: Route,
    context: Context<{ Bindings: Arrival }>,
  ): Promise<Response | Reply> {
    const { env } = context;
    const request = context.req.raw;
    let write: NamedWrite | undefined;
    try {
      const { ticket, access, writes } = route;
      const pass = ticket === undefined ? ticket : this.gate.admitByTicket(request, env, ticket);
      const admitted = pass?.caller ?? this.gate.admit(request, env, access, writes);
      const caller = admitted instanceof Promise ? await admitted : admitted;
      const bytes = route.body && (await this.bytesOf(request, env));
      if (writes) write = namedWrite(request, env, caller, bytes);
      const call = this.callOf(route, context, bytes, caller, write, pass?.until);
      return replyOf(route, await route.handle(call), request);
    } catch (error) {
      const isConditional = request.headers.has('if-match');
      return this.failed(named(error, write), isConditional, route, context.req.param('key'));
    }
  }

  private callOf(
    route: Route,
    context: Context<{ Bindings: Arrival }>,
    bytes: Uint8Array | undefined,
    caller: Caller | undefined,
    write: NamedWrite | undefined,
    until: number | undefined,
  ): Call {
    const { env } = context;
    const request = context.req.raw;
    const { headers } = request;
    const { dialect } = route;
    if (!route.conditional && headers.has('if-match')) {
      throw new Refusal('INVALID_REQUEST', '`If-Match` says nothing here: this has no ETag.');
    }
    const query = dialect === undefined ? parsed(route.query, queryOf(context)) : NOTHING;
    const json = bytes && parseHostileJson(textOf(bytes), this.maxBodyBytes);
    // What evaluations are asked about is compared, and kept nowhere.
    if (dialect === undefined) refuseInexact(json);
    const body =
      route.body && (dialect === undefined ? parsed(route.body, json) : dialect.bodyOf(json));
    const about = write && { note: (query as { note?: string }).note, requestId: write.id };
    const actor = caller?.actor;
    return {
      rollout: route.writes && actor !== undefined ? this.rollout.as(actor) : this.rollout,
      caller,
      param: (name) => context.req.param(name) as string,
      query,
      body,
      write: route.conditional
        ? { ...about, expect: stateNamed(headers.get('if-match')) }
        : (about ?? NOTHING),
      about: about ?? NOTHING,
      request,
      base: env.base,
      arrival: env,
      until,
    };
  }

  private bytesOf(request: Request, { incoming }: Arrival): Promise<Uint8Array> {
    const type = request.headers.get('content-type') ?? '';
    if (!/^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(type)) {
      throw new Refusal('UNSUPPORTED_MEDIA_TYPE');
    }
    return readBytes(request, incoming, this.maxBodyBytes);
  }

  private missing(context: Context<{ Bindings: Arrival }>): Refusal {
    const allowed = METHODS.filter(
      (method) => this.app.router.match(method, context.req.path)[0].length > 0,
    );
    if (allowed.length === 0) return new Refusal('NO_SUCH_ROUTE');
    const headers = {
      allow: allowed.includes('GET') ? ['HEAD', ...allowed].join(', ') : allowed.join(', '),
    };
    return new Refusal('METHOD_NOT_ALLOWED', undefined, { headers });
  }

  /** As the route tells its failures that would have been asked. */
  private unreadable(refusal: Refusal, request: Request, env: Arrival): Reply {
    const path = getPath(request, { env });
    const [key = ''] = path.split('/').slice(-1);
    const asked = `${request.method} ${path.slice(0, path.length - key.length)}{key}`;
    const route = this.routes.find((each) => `${each.method} ${each.path}` === asked);
    return this.failed(refusal, false, route, key);
  }

  private failed(
    error: unknown,
    isConditional: boolean = false,
    { dialect }: Partial<Route> = {},
    key?: string,
  ): Reply {
    const problem = problemOf(error, isConditional);
    if (problem.status === 500) this.report(error);
    const waits = problem.status === 503 ? { 'retry-after': '1' } : {};
    const headers = error instanceof Refusal ? error.fields.headers : waits;
    const told = dialect?.failureOf(problem, key);
    if (told === undefined) return problemReply(problem, headers);
    return new Reply(told.status, { ...HEADERS, ...headers }, JSON.stringify(told.body));
  }

  private report(error: unknown): void {
    // What listens to errors has none to tell them to, also where it does so later.
    const none = () => {};
    try {
      Promise.resolve(this.onError(error)).catch(none);
    } catch {
      none();
    }
  }
}

const ROUTES = [
  featureRoutes,
  userRoutes,
  ruleRoutes,
  rampRoutes,
  historyRoutes,
  groupRoutes,
  experimentRoutes,
  populationRoutes,
  flaggeryRoutes,
  transferRoutes,
  healthRoutes,
];

/** The path as it was sent: its segments are decoded one by one, and once. */
function getPath(request: Request, options?: { env?: Arrival }): string {
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
function unreadableIn(url: string): Refusal | undefined {
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

/** INVALID_ARGUMENT, which never shows the secret. */
function secretOf(given: string | undefined): Buffer {
  if (given === undefined) return randomBytes(32);
  if (typeof given !== 'string' || Buffer.byteLength(given) < 32) {
    const got = typeof given === 'string' ? `${Buffer.byteLength(given)} bytes` : typeof given;
    throw invalid('`ticketSecret` to have at least 32 bytes', got);
  }
  return createHash('sha256').update(given).digest();
}

/** What one handler gives, Hono hands on as it is. */
function asIs<Answer>(answer: Answer): Response {
  return answer as Response;
}

/** What a write is repeated by: the key that the client has, or is told, and the id made of it. */
interface NamedWrite {
  readonly key: string;
  readonly id: string;
}

/**
 * The key is the client's, so it names this write alone: by this caller, of this path and body. The
 * same key with anything else is another write, where the bare key would be taken for the one before.
 */
function namedWrite(
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
function named(error: unknown, write: NamedWrite | undefined): unknown {
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

function queryOf(context: Context): Record<string, string> {
  const query: Record<string, string> = Object.create(null);
  const { url } = context.req.raw;
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

/** INVALID_REQUEST, with the place, for what has not the shape that the route takes. */
function parsed(schema: z.ZodType, given: unknown): unknown {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const issue = deepest(result.error.issues);
  const path = pathOf(issue.path);
  throw new Refusal(
    'INVALID_REQUEST',
    `${path === '' ? 'What was sent' : `\`${path}\``} is refused: ${issue.message}.`,
    path === '' ? {} : { path },
  );
}

type Issue = z.core.$ZodIssue;

/** Of a choice between shapes, what is wrong with the one that fits best. */
function deepest(issues: readonly Issue[], path: readonly PropertyKey[] = []): Issue {
  const [first] = issues as [Issue];
  const full = { ...first, path: [...path, ...first.path] };
  if (first.code !== 'invalid_union' || first.errors.length === 0) return full;
  const nested = first.errors.map((each) => deepest(each, full.path));
  const [best] = nested.sort((one, other) => other.path.length - one.path.length) as [Issue];
  return best.path.length > full.path.length
    ? best
    : { ...full, message: 'It has none of the shapes that are taken' };
}

function pathOf(path: readonly PropertyKey[]): string {
  return path
    .map((key, at) =>
      typeof key === 'number' ? `[${key}]` : `${at === 0 ? '' : '.'}${String(key)}`,
    )
    .join('');
}

const HEADERS = Object.freeze({
  'content-type': 'application/json',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
});

/** Of a route that leaves it to itself, or does not write. */
const NOTHING = Object.freeze({});

function replyOf(route: Route, answer: Answer, request: Request): Response | Reply {
  const headers: Record<string, string> = { ...HEADERS, ...answer.headers };
  if (answer.stream !== undefined) return new Response(answer.stream, { headers });
  if (answer.state !== undefined) {
    const etag = etagOf(answer.state);
    headers.etag = etag;
    headers['cache-control'] = 'private, no-cache';
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead && route.conditional && isMatch(request.headers.get('if-none-match'), etag)) {
      return empty(304, headers);
    }
  }
  const status = answer.status ?? route.status;
  if (answer.body === undefined) return empty(status, headers);
  const body = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
  return new Reply(status, headers, body);
}

function empty(status: number, { 'content-type': _, ...headers }: Record<string, string>): Reply {
  return new Reply(status, headers, null);
}

/** `{name}` as Hono has it. */
function honoPath(path: string): string {
  return path.replace(/{(\w+)}/g, ':$1');
}
