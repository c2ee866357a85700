import { randomBytes } from 'node:crypto';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { HanoiError, invalid, refuseNumber, refuseUnknownOptions } from '../errors.js';
import type { Rollout } from '../rollout.js';
import { createHandler, type HttpHandler } from './handler.js';
import { HTTP_OPTIONS, type HttpOptions } from './options.js';

/** What is served, where, and how much of it. */
export interface ServeOptions extends HttpOptions {
  /** The address or name to listen on. Default 127.0.0.1: no other machine reaches it. */
  host?: string;
  /** 0 takes a free one. Default 4200. */
  port?: number;
  /**
   * Hosts that requests may name, beside those of where this listens: `flags.example.com`, where a
   * proxy before this is reached by that name.
   */
  hosts?: readonly string[];
  /** Connections at a time; the ones beyond are closed. Default 1,000. */
  maxConnections?: number;
  /** How long `close` waits for requests under way, in ms. Default 5,000. */
  closeTimeoutMs?: number;
}

/** A server that listens. */
export interface Served {
  /** `http://127.0.0.1:4200`, with `basePath`. */
  readonly url: string;
  /** Made for this run, for admin, where nobody else could come in. */
  readonly token?: string;
  /**
   * Takes no more connections, ends event streams, lets requests under way come to their end for
   * `closeTimeoutMs`, and resolves when all connections are closed. Idempotent; the rollout stays open.
   */
  close(): Promise<void>;
}

const DEFAULTS = {
  host: '127.0.0.1',
  port: 4200,
  maxConnections: 1_000,
  closeTimeoutMs: 5_000,
} as const;

/** In ms. */
const TIMEOUTS = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  // The two before are looked at so often.
  connectionsCheckingInterval: 1_000,
  // Longer than the minute of most load balancers: they would meet connections that just end.
  keepAliveTimeout: 65_000,
} as const;

/** In ms: of a client that takes nothing of its answer, and of a stream on which nothing goes. */
const IDLE_TIMEOUT = 120_000;

const IDLE_CHECK_MS = 20;

const MAX_PORT = 65_535;

const TOKEN_BYTES = 32;

/**
 * Listens, and answers by a handler of these options. Reached from this machine alone, it makes a
 * token for admin where nobody is named who may come in; elsewhere it does not start without
 * `tokens` or `authorize`. INVALID_ARGUMENT, also where it cannot listen there.
 */
export async function serve(rollout: Rollout, options: ServeOptions = {}): Promise<Served> {
  refuseUnknownOptions(options, [...Object.keys(DEFAULTS), ...HTTP_OPTIONS]);
  const { host, port, maxConnections, closeTimeoutMs, ...given } = { ...DEFAULTS, ...options };
  if (typeof host !== 'string' || host === '') throw invalid('`host` to be a name', host);
  if (!Number.isInteger(port) || port < 0 || port > MAX_PORT) {
    throw invalid(`\`port\` to be a whole number from 0 to ${MAX_PORT}`, port);
  }
  refuseNumber('maxConnections', maxConnections, 1);
  refuseNumber('closeTimeoutMs', closeTimeoutMs, 0);
  const isClosed = (given.tokens ?? []).length > 0 || given.authorize !== undefined;
  if (!isClosed && !isLoopback(host)) {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `Others can reach ${host}: say by \`tokens\` or \`authorize\` who may come in, or listen on 127.0.0.1.`,
    );
  }
  const token = isClosed ? undefined : randomBytes(TOKEN_BYTES).toString('base64url');
  const tokens = token === undefined ? {} : { tokens: [{ token, access: 'admin' as const }] };

  const server = createServer({ ...TIMEOUTS });
  server.maxConnections = maxConnections;
  server.timeout = IDLE_TIMEOUT;
  await listen(server, port, host);
  const { port: taken } = server.address() as AddressInfo;
  let handler: HttpHandler;
  try {
    const { hosts = [] } = given;
    const names = Array.isArray(hosts) ? [...hostsOf(host, taken), ...hosts] : hosts;
    handler = createHandler(rollout, { ...given, ...tokens, hosts: names });
  } catch (error) {
    server.close();
    throw error;
  }
  server.on('request', handler.node as RequestListener);
  let closed: Promise<void> | undefined;
  return {
    url: `http://${inUrl(reachable(host))}:${taken}${given.basePath ?? ''}`,
    ...(token !== undefined && { token }),
    close: () => {
      closed ??= close(server, handler, closeTimeoutMs);
      return closed;
    },
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: Error) => {
      const message = `Could not listen on ${inUrl(host)}:${port}: ${cause.message}. Choose another \`host\` or \`port\`.`;
      reject(new HanoiError('INVALID_ARGUMENT', message, { cause }));
    };
    server.once('error', failed);
    server.listen(port, host, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

async function close(server: Server, handler: HttpHandler, timeoutMs: number): Promise<void> {
  handler.close();
  // Those that were under way would be kept alive after their answer.
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
  const deadline = setTimeout(() => server.closeAllConnections(), timeoutMs);
  await new Promise((resolve) => server.close(resolve));
  clearInterval(idle);
  clearTimeout(deadline);
}

/** What a request to this server can name: a page that rebinds its own name to it can not. */
function hostsOf(host: string, port: number): string[] {
  const names = new Set([host]);
  if (isLoopback(host) || isAny(host)) for (const each of LOOPBACK) names.add(each);
  if (isAny(host)) {
    names.add(hostname());
    for (const each of Object.values(networkInterfaces()).flat()) {
      if (each !== undefined) names.add(each.address);
    }
  }
  return [...names].flatMap((name) => {
    const text = inUrl(name);
    // The usual port is not named.
    return port === 80 ? [text, `${text}:80`] : [`${text}:${port}`];
  });
}

const LOOPBACK = ['127.0.0.1', 'localhost', '::1'];

function isLoopback(host: string): boolean {
  return LOOPBACK.includes(host) || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Listens on all addresses of the machine. */
function isAny(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function reachable(host: string): string {
  return isAny(host) ? (isIP(host) === 6 ? '::1' : '127.0.0.1') : host;
}

function inUrl(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}
