import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Cluster, Redis, RedisOptions } from 'ioredis';
import type { Backend, Source } from '../backends/backend.js';
import { HanoiError, hasCode, shown } from '../errors.js';
import { printable } from './printable.js';

/** Where features are: a Redis, a file, or a document at a URL. */
export type Place =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'http'; readonly url: string }
  | RedisPlace;

export interface RedisPlace {
  readonly kind: 'redis';
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly isSecure: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly db: number;
  readonly namespace: string | undefined;
  readonly backend: 'redis-set' | 'redis' | 'rollout-gem';
  readonly isCluster: boolean;
  /** The name of the master that Sentinels at these nodes know. */
  readonly sentinel: string | undefined;
}

/** A place that is open. */
export interface Opened {
  readonly source: Source;
  /** To the Redis that it is on. */
  readonly client: Redis | Cluster | undefined;
  close(): Promise<void>;
}

/** What we ask beside the backend gives up then. */
const COMMAND_MS = 5_000;

/** The file in the working folder, where nothing else is said. */
export const DEFAULT_FILE = 'features.json';

const REDIS = /^(rediss?):\/\/(?:([^@/?]*)@)?([^@/?]*)(?:\/(\d*))?(?:\?(.*))?$/i;
const BACKENDS: readonly string[] = ['redis-set', 'redis', 'rollout-gem'];
const PARAMETERS = ['namespace', 'backend', 'cluster', 'sentinel'];
const EXAMPLE = 'redis://user:password@host:6379/0?namespace=shop';

/**
 * A URL or a path, relative to a folder. INVALID_ARGUMENT, in a message that says nothing of what
 * was given: there can be a password in it.
 */
export function parsePlace(text: string, folder: string): Place {
  if (text === '') throw wrong('a URL or a path, and nothing was given');
  if (/^file:/i.test(text)) {
    const path = /^file:\/\//i.test(text) ? pathOf(text) : text.slice('file:'.length);
    return { kind: 'file', path: resolve(folder, path) };
  }
  if (/^https?:\/\//i.test(text)) {
    if (!URL.canParse(text)) throw wrong('a URL that can be read');
    return { kind: 'http', url: text };
  }
  if (/^rediss?:\/\//i.test(text)) return parseRedis(text);
  if (/^(rediss?|https?):/i.test(text)) throw wrong(`a URL with two slashes, such as ${EXAMPLE}`);
  const [, scheme] = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text) ?? [];
  if (scheme !== undefined) {
    throw wrong(`a URL of redis, rediss, file, http or https, or a path; ${shown(scheme)} is none`);
  }
  return { kind: 'file', path: resolve(folder, text) };
}

function parseRedis(text: string): RedisPlace {
  const [, scheme, login = '', hosts = '', db = '', query = ''] = REDIS.exec(text) ?? [];
  if (scheme === undefined || hosts === '') throw wrong(`a Redis URL such as ${EXAMPLE}`);
  const given = new URLSearchParams(query);
  for (const name of given.keys()) {
    if (PARAMETERS.includes(name)) continue;
    throw wrong(`a parameter among ${PARAMETERS.join(', ')}; ${shown(name)} is none`);
  }
  const backend = given.get('backend') ?? 'redis-set';
  if (!BACKENDS.includes(backend)) {
    throw wrong(`\`backend\` to be one of ${BACKENDS.join(', ')}; ${shown(backend)} is none`);
  }
  const cluster = given.get('cluster') ?? 'false';
  if (!['true', 'false', '1', '0', ''].includes(cluster)) {
    throw wrong(`\`cluster\` to be true or false; ${shown(cluster)} is neither`);
  }
  const sentinel = given.get('sentinel') ?? undefined;
  const isCluster = cluster !== 'false' && cluster !== '0';
  const nodes = hosts.split(',').map((each) => parseNode(each, sentinel === undefined));
  if (nodes.length > 1 && !isCluster && sentinel === undefined) {
    throw wrong('one host, or `cluster=true`, or `sentinel` to name the master');
  }
  if (isCluster && sentinel !== undefined) throw wrong('either `cluster` or `sentinel`');
  const at = login.indexOf(':');
  const [user, password] = at < 0 ? [login, ''] : [login.slice(0, at), login.slice(at + 1)];
  return {
    ...{ kind: 'redis', nodes, isSecure: scheme.toLowerCase() === 'rediss', isCluster, sentinel },
    username: decoded(user) || undefined,
    password: decoded(password) || undefined,
    db: Number(db),
    namespace: given.get('namespace') ?? undefined,
    backend: backend as RedisPlace['backend'],
  };
}

function parseNode(text: string, isServer: boolean) {
  const [, host = '', port] = /^(\[[^\]]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (host === '') throw wrong(`a host, and a port, such as in ${EXAMPLE}`);
  return {
    host: decoded(host.replace(/^\[|\]$/g, '')),
    port: port === undefined ? (isServer ? 6379 : 26379) : Number(port),
  };
}

/** How messages name it: without a user, a password or a query. */
export function titleOf(place: Place): string {
  switch (place.kind) {
    case 'file':
      return printable(place.path);
    case 'http': {
      const { protocol, host, pathname } = new URL(place.url);
      return printable(`${protocol}//${host}${pathname}`);
    }
    case 'redis': {
      const { nodes, isSecure, db, namespace = 'hanoi', backend } = place;
      const hosts = nodes.map(({ host, port }) => `${host}:${port}`).join(',');
      const of = backend === 'rollout-gem' ? 'the rollout gem' : `namespace ${namespace}`;
      return printable(`${isSecure ? 'rediss' : 'redis'}://${hosts}/${db} (${of})`);
    }
  }
}

export interface OpenOptions {
  /** How long one operation may take. */
  readonly timeoutMs: number;
  /** Refuse a file that is not there. */
  readonly mustExist?: boolean;
  /** Shown to an API that asks for one; no other site gets it. */
  readonly readToken?: string | undefined;
}

/** Opens a place. INVALID_ARGUMENT; FEATURE_NOT_FOUND for a file that is not there. */
export async function openPlace(place: Place, options: OpenOptions): Promise<Opened> {
  const { timeoutMs, mustExist = false, readToken } = options;
  if (place.kind === 'file') {
    if (mustExist && !existsSync(place.path)) throw wrong(`a file; ${titleOf(place)} is not there`);
    const { FileBackend } = await import('../backends/file/index.js');
    const source = new FileBackend(place.path, { operationTimeoutMs: timeoutMs });
    return { source, client: undefined, close: () => source.close() };
  }
  if (place.kind === 'http') {
    const { HttpSource } = await import('../backends/http-source/index.js');
    const source = new HttpSource(place.url, { timeoutMs, headers: headersFor(place, readToken) });
    const refused = await source.token().then(
      () => false,
      (error) => hasCode(error, 'STORE_DENIED'),
    );
    // What is down is asked again; what refuses goes on with that.
    if (!refused) await source.ready(timeoutMs);
    return { source, client: undefined, close: () => source.close() };
  }
  const client = await clientOf(place);
  const source = await redisSourceOf(place, client, timeoutMs);
  return {
    source,
    client,
    async close() {
      await source.close();
      client.disconnect();
    },
  };
}

/** Of the token, for our API alone: whatever else is published at a URL is none of its business. */
function headersFor({ url }: { readonly url: string }, readToken: string | undefined) {
  const { pathname, username, password } = new URL(url);
  const isOurs = /\/v1\/export\/?$/.test(pathname);
  // Somebody who is named in the URL is who asks.
  if (!readToken || !isOurs || username !== '' || password !== '') return {};
  if (!/^[!-~]+$/.test(readToken)) throw wrong('HANOI_READ_TOKEN to be a token, without spaces');
  return { authorization: `Bearer ${readToken}` };
}

/** A client that connects once it is used: the backend has its own beside it. */
export async function clientOf(place: RedisPlace): Promise<Redis | Cluster> {
  const { Cluster, Redis } = await import('ioredis').catch((cause) => {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      'Expected the package ioredis, which is not installed: npm install ioredis.',
      { cause },
    );
  });
  const { isOfSelect } = await import('../backends/redis/connection.js');
  const { nodes, isSecure, username, password, db, sentinel, isCluster } = place;
  const [first] = nodes;
  const login: RedisOptions = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(isSecure && { tls: {} }),
  };
  const lazily = {
    lazyConnect: true,
    connectTimeout: 2_000,
    commandTimeout: COMMAND_MS,
    maxRetriesPerRequest: 1,
  };
  let client: Redis | Cluster;
  if (isCluster) {
    client = new Cluster([...nodes], {
      ...{ lazyConnect: true, clusterRetryStrategy: () => null },
      redisOptions: { ...lazily, ...login },
    });
  } else if (sentinel !== undefined) {
    const { tls, ...plain } = login;
    const secured = tls === undefined ? {} : { tls, enableTLSForSentinelMode: true };
    client = new Redis({
      ...{ ...lazily, ...plain, ...secured, db },
      ...{ sentinels: [...nodes], name: sentinel },
    });
  } else client = new Redis({ ...lazily, ...login, ...first, db });
  // What goes wrong shows in what was asked, but for a database that is refused: ioredis would go on
  // in another one.
  client.on('error', (error) => {
    if (isOfSelect(error)) client.disconnect();
  });
  return client;
}

/** What ioredis rejects with, as STORE_UNAVAILABLE: its messages can have arguments in them. */
export function notReached(place: RedisPlace, cause: unknown): HanoiError {
  if (cause instanceof HanoiError) return cause;
  const message = `Redis was not reached at ${titleOf(place)}.`;
  return new HanoiError('STORE_UNAVAILABLE', message, { cause });
}

async function redisSourceOf(
  place: RedisPlace,
  client: Redis | Cluster,
  timeoutMs: number,
): Promise<Source> {
  const redis = await import('../backends/redis/index.js');
  const namespace = place.namespace === undefined ? {} : { namespace: place.namespace };
  if (place.backend === 'rollout-gem') {
    if (place.isCluster) throw wrong('no cluster: the gem has its keys on one server');
    const source = new redis.RolloutGemSource(client as Redis, { ...namespace, timeoutMs });
    await source.ready(timeoutMs);
    return source;
  }
  const Chosen = place.backend === 'redis' ? redis.RedisBackend : redis.RedisSetBackend;
  return new Chosen(client, { ...namespace, timeoutMs, operationTimeoutMs: timeoutMs });
}

/** READ_ONLY for one that can't be written to. */
export function writable(source: Source): Backend {
  if ('write' in source) return source as Backend;
  throw new HanoiError('READ_ONLY', 'What is at that place can only be read.');
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong('percent escapes that can be read: a `%` itself is %25');
  }
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch {
    throw wrong('a file URL such as file:///srv/features.json');
  }
}

function wrong(expected: string): HanoiError {
  return new HanoiError('INVALID_ARGUMENT', `Expected ${expected}.`);
}
