import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { invalid, refuseNumber, refuseUnknownOptions } from '../errors.js';
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
import { parseHostileJson, readBytes, textOf } from './body.js';
import { type Caller, Credentials, type Token } from './credentials.js';
import { docsPage } from './docs-page.js';
import { etagOf, isMatch, stateNamed } from './etag.js';
import { callerBy, Gate, hostOf } from './gate.js';
import { type Bridge, nodeBridge } from './node-bridge.js';
import { type OpenApi, openApiOf } from './openapi.js';
import { Origins } from './origins.js';
import { AdminPage } from './page/admin-page.js';
import { problemOf, problemResponse, Refusal } from './problem.js';
import { RateLimit } from './rate-limit.js';
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
  private readonly gate: Gate;
  private readonly base: string;
  private readonly origins: Origins;
  private readonly maxBodyBytes: number;
  private readonly onError: (error: unknown) => void;
  /** What callers are given: without a way to write, in read-only mode. */
  private readonly rollout: Rollout;

  constructor(rollout: Rollout, options: HttpOptions) {
    refuseUnknownOptions(options, HTTP_OPTIONS);
    const given = { ...DEFAULTS, ...options };
    const { mode, tokens, authorize, anonymous, basePath, hosts, origins, proxies } = given;
    const { maxBodyBytes, failuresPerMinute, writesPerMinute, onError } = given;
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
      new Sessions(credentials),
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
    this.app = this.build();
    this.node = nodeBridge((request, env) => this.answer(request, env), basePath);
  }

  // Bound, so that it can be handed on alone.
  readonly fetch = (request: Request, { address }: Connection = {}): Promise<Response> =>
    this.answer(request, { base: this.base, address, incoming: undefined });

  close(): void {
    this.page.close();
  }

  /** Never rejects. */
  private async answer(request: Request, env: Arrival): Promise<Response> {
    try {
      this.origins.refuseHost(hostOf(request));
      refuseUnreadable(request.url);
      const preflight = request.method === 'OPTIONS' ? this.origins.preflight(request) : undefined;
      const response = preflight ?? (await this.app.fetch(request, env));
      this.origins.share(response, request);
      return response;
    } catch (error) {
      return this.failed(error);
    }
  }

  private build(): App {
    const app: App = new Hono({ getPath });
    const routes = ROUTES.flatMap(({ all }) => all);
    // Made when it is asked for the first time: that takes some ms.
    let made: OpenApi | undefined;
    const document = () => {
      made ??= openApiOf(routes);
      return made;
    };
    for (const route of routes) {
      app.on(route.method, honoPath(route.path), (context) => this.serve(route, context));
    }
    for (const { method, path, answer } of this.page.routes) {
      app.on(method, path, ({ req, env }) => answer(req.raw, env));
    }
    app.get('/openapi.json', (context) => context.json(document()));
    app.get('/docs', (context) => docsPage(document(), context.env.base));
    app.notFound((context) => this.failed(this.missing(context)));
    app.onError((error) => this.failed(error));
    return app;
  }

  private async serve(route: Route, context: Context<{ Bindings: Arrival }>): Promise<Response> {
    const { env } = context;
    const request = context.req.raw;
    const isConditional = request.headers.has('if-match');
    try {
      const caller = await this.gate.admit(request, env, route.access, route.writes);
      const call = await this.callOf(route, context, caller);
      const answer = await route.handle(call);
      return responseOf(route, answer, request);
    } catch (error) {
      return this.failed(error, isConditional);
    }
  }

  private async callOf(
    route: Route,
    context: Context<{ Bindings: Arrival }>,
    caller: Caller | undefined,
  ): Promise<Call> {
    const { env } = context;
    const request = context.req.raw;
    const { headers } = request;
    if (!route.conditional && headers.has('if-match')) {
      throw new Refusal('INVALID_REQUEST', '`If-Match` says nothing here: this has no ETag.');
    }
    const query = parsed(route.query, queryOf(context));
    const body = route.body && parsed(route.body, await this.jsonOf(request, env));
    const requestId = requestIdOf(headers.get('idempotency-key'));
    const { note } = query as { note?: string };
    const about = { note, requestId };
    const actor = caller?.actor;
    return {
      rollout: route.writes && actor !== undefined ? this.rollout.as(actor) : this.rollout,
      caller,
      param: (name) => context.req.param(name) as string,
      query,
      body,
      write: { ...about, expect: stateNamed(headers.get('if-match')) },
      about,
      request,
      base: env.base,
    };
  }

  private async jsonOf(request: Request, { incoming }: Arrival): Promise<unknown> {
    const type = request.headers.get('content-type') ?? '';
    if (!/^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(type)) {
      throw new Refusal('UNSUPPORTED_MEDIA_TYPE');
    }
    const { maxBodyBytes } = this;
    return parseHostileJson(textOf(await readBytes(request, incoming, maxBodyBytes)), maxBodyBytes);
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

  private failed(error: unknown, isConditional: boolean = false): Response {
    const problem = problemOf(error, isConditional);
    if (problem.status === 500) this.report(error);
    const waits = problem.status === 503 ? { 'retry-after': '1' } : {};
    return problemResponse(problem, error instanceof Refusal ? error.fields.headers : waits);
  }

  private report(error: unknown): void {
    try {
      this.onError(error);
    } catch {
      // What listens to errors has none to tell them to.
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
  const end = url.slice(start).search(/[?#]/);
  const path = start === -1 ? '/' : end === -1 ? url.slice(start) : url.slice(start, start + end);
  const base = options?.env?.base ?? '';
  if (base === '') return path;
  if (path === base) return '/';
  return path.startsWith(`${base}/`)
    ? path.slice(base.length)
    : '/outside of where this is mounted';
}

/**
 * INVALID_REQUEST for a URL that has no one text, and for control characters in a path: names have
 * none, and what is stored beside features has names with some.
 */
function refuseUnreadable(url: string): void {
  if (!url.includes('%')) return;
  const at = url.indexOf('?');
  const parts = at === -1 ? [url] : [url.slice(0, at), url.slice(at)];
  try {
    const [path = ''] = parts.map((part) => decodeURIComponent(part));
    if (!/\p{Cc}/u.test(path)) return;
  } catch {
    // Not UTF-8.
  }
  throw new Refusal('INVALID_REQUEST', 'The URL can not be decoded, or names a control character.');
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

function responseOf(route: Route, answer: Answer, request: Request): Response {
  const headers: Record<string, string> = {
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...answer.headers,
  };
  if (answer.state !== undefined) {
    const etag = etagOf(answer.state);
    headers.etag = etag;
    headers['cache-control'] = 'private, no-cache';
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (isRead && route.conditional && isMatch(request.headers.get('if-none-match'), etag)) {
      return new Response(null, { status: 304, headers });
    }
  }
  const status = answer.status ?? route.status;
  if (answer.body === undefined) return new Response(null, { status, headers });
  headers['content-type'] ??= 'application/json';
  const body = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
  return new Response(body, { status, headers });
}

/** `{name}` as Hono has it. */
function honoPath(path: string): string {
  return path.replace(/{(\w+)}/g, ':$1');
}
