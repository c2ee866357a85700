import { type Context, Hono } from 'hono';
import { invalid } from '../errors.js';
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
import type { Caller } from './credentials.js';
import { docsPage } from './docs-page.js';
import { etagOf, isMatch, stateNamed } from './etag.js';
import { callerBy, Gate } from './gate.js';
import { type NamedWrite, named, namedWrite } from './idempotency.js';
import { type Bridge, nodeBridge } from './node-bridge.js';
import { RefetchStreams } from './ofrep/refetch-streams.js';
import { ofrepRoutes } from './ofrep/routes.js';
import { type OpenApi, openApiOf } from './openapi.js';
import { type HttpOptions, parseOptions } from './options.js';
import { Origins } from './origins.js';
import { AdminPage } from './page/admin-page.js';
import { parsed } from './parsed.js';
import { problemOf, problemReply, Refusal } from './problem.js';
import { RateLimit } from './rate-limit.js';
import { Reply } from './reply.js';
import type { Answer, Call, Route } from './route.js';
import { Sessions } from './sessions.js';
import { getPath, queryOf, unreadableIn } from './url.js';

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
    if (typeof (rollout as Partial<Rollout> | null)?.readOnly !== 'function') {
      throw invalid('a Rollout as the first argument', rollout);
    }
    const { mode, authorize, anonymous, basePath, hosts, origins, proxies, ...given } =
      parseOptions(options);
    const { maxBodyBytes, failuresPerMinute, writesPerMinute, onError } = given;
    const { eventStreams, eventStreamsByCaller, ticketSecret, credentials } = given;
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
      new Sessions(credentials, ticketSecret),
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
    const query = dialect === undefined ? parsed(route.query, queryOf(request)) : NOTHING;
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

/** What one handler gives, Hono hands on as it is. */
function asIs<Answer>(answer: Answer): Response {
  return answer as Response;
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
