import type { Socket } from 'node:net';
import type { Cluster, Redis } from 'ioredis';
import { type ErrorCode, HanoiError, hasCode } from '../../errors.js';
import { READ, type Script } from './scripts.js';

/** What is sent, by the names of ioredis's methods: `call` would do too, but ioredis-mock has none. */
export type CommandName =
  | 'eval'
  | 'evalsha'
  | 'get'
  | 'hexists'
  | 'hget'
  | 'hkeys'
  | 'hlen'
  | 'hmget'
  | 'hscan'
  | 'hvals'
  | 'mget'
  | 'pexpire'
  | 'scard'
  | 'smembers'
  | 'smismember'
  | 'sscan'
  | 'wait'
  | 'xrevrange';

type Argument = string | number | readonly (string | number)[];

/** A command, as it is sent. */
export type Command<Name = CommandName> = readonly [name: Name, ...args: Argument[]];

/** What the script reads at one moment: it knows one command more. */
export type Reading = Command<CommandName | 'documents'>;

type Methods = Record<CommandName, (...args: readonly Argument[]) => Promise<unknown>>;

/** What keeps a dead or hung server from costing the app more than our own deadlines. */
const FAIL_FAST = {
  lazyConnect: false,
  keyPrefix: '',
  enableAutoPipelining: false,
  enableOfflineQueue: false,
  showFriendlyErrorStack: false,
};

const FAIL_FAST_NODE = {
  connectTimeout: 1_000,
  // A link that is half open is found out only by what does not come.
  socketTimeout: 1_000,
  // Nor does the end of one come from a server that hangs.
  disconnectTimeout: 50,
  maxRetriesPerRequest: 0,
  // A server that loads its data is ready long before it estimates, by whole seconds, to be.
  maxLoadingRetryTime: 200,
  // Sent again by ioredis, a write would be applied twice, and a check answered too late.
  autoResendUnfulfilledCommands: false,
  // It fails where nobody can catch it (a permission revoked meanwhile), and ends the process.
  autoResubscribe: false,
  // Deadlines are our own, and longer where a write or a long list needs it.
  commandTimeout: undefined,
  blockingTimeout: undefined,
  // A refusal is an answer: NOSCRIPT is one that is expected.
  reconnectOnError: null,
  // Flags and counts are compared as numbers.
  stringNumbers: false,
  // An app that gives its Sentinels up does so for itself; and they hang as servers do.
  sentinelRetryStrategy: retryDelay,
  sentinelCommandTimeout: 1_000,
};

/**
 * A connection of our own is ended when a deadline passes so many ms after another one did, and no
 * reply came in between.
 */
const LONGEST_SILENCE_MS = 250;

const UNREACHED = 'Redis was not reached.';

/** Timers fire up to a ms early, and the server's clock is read in whole ms. */
const EARLY_MS = 5;

/** Half at random, so that a fleet does not come back as one. */
export function retryDelay(attempt: number): number {
  return (0.5 + Math.random() / 2) * Math.min(50 * 2 ** (attempt - 1), 1_000);
}

/** The monotonic clock, in ms: what deadlines are measured by. */
export function now(): number {
  return performance.now();
}

/** A connection to where the app's client is connected, with deadlines, and errors of our own. */
export class Connection {
  /** Server time minus ours, at least so much; undefined until a reply has told. */
  private behind: number | undefined;
  private readonly client: Redis | Cluster;
  private lastProblem: HanoiError | undefined;
  private readyAt = 0;
  private closed: HanoiError | undefined;
  /** Since when, and at how many bytes received, nothing was answered. */
  private silence: { readonly since: number; readonly received: number } | undefined;
  /** Scripts that the server has from this connection. */
  private readonly loaded = new Set<Script>();
  private readonly waiting = new Set<() => void>();
  private readonly underway = new Set<(error: unknown) => void>();
  private readonly onReady = () => {
    this.readyAt = now();
    this.silence = undefined;
    this.wake();
    this.connected();
  };
  private readonly onReply = (reply: unknown) => {
    this.silence = undefined;
    if (reply === 'QUEUED') throw queued();
    return reply;
  };
  private readonly onFailure = (cause: unknown): never => {
    const error = storeError(cause);
    if (error instanceof Refusal) this.silence = undefined;
    throw error;
  };
  private readonly onGone = () => {
    // What comes back may be another server, with another clock.
    this.behind = undefined;
    this.loaded.clear();
    this.wake();
  };
  private readonly onError = (error: unknown) => {
    if (isOfSelect(error)) {
      this.lastProblem = misplaced(error);
      // ioredis would go on in database 0, which is another place.
      if (!this.isLive) (this.client as Redis).disconnect(true);
      return;
    }
    const problem = storeError(error);
    // What follows from that, as from others, gives no reason.
    if (problem.message !== UNREACHED) this.lastProblem = problem;
    else this.lastProblem ??= problem;
  };

  /**
   * `live` shares the app's own client; otherwise this is one of our own beside it. `connected` is
   * called when commands can be sent again.
   */
  constructor(
    app: Redis | Cluster,
    readonly isLive: boolean,
    private readonly connected: () => void,
  ) {
    this.client = isLive ? app : duplicate(app);
    this.client.on('ready', this.onReady);
    this.client.on('close', this.onGone);
    this.client.on('end', this.onGone);
    this.client.on('error', this.onError);
  }

  get isReady(): boolean {
    const status: string | undefined = this.client.status;
    // ioredis-mock has none.
    return status === 'ready' || status === undefined;
  }

  get isCluster(): boolean {
    return 'nodes' in this.client;
  }

  /**
   * Until commands can be sent. While a connection is being made it waits; while there is none it
   * waits only if it is told to be patient. STORE_UNAVAILABLE, STORE_TIMEOUT, or why the server
   * refused.
   */
  async ready(deadline: number, isPatient = false): Promise<void> {
    if (this.closed !== undefined) throw this.closed;
    if (this.client.status === 'wait') this.client.connect().catch(() => {});
    while (!this.isReady) {
      const { status } = this.client;
      const isComing = status === 'connecting' || status === 'connect';
      if (status === 'end' || (!isComing && !isPatient)) throw this.problem();
      let wake = () => {};
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
        this.waiting.add(wake);
      });
      try {
        await this.by(deadline, woken);
      } catch (error) {
        throw hasCode(error, 'STORE_TIMEOUT') ? this.problem() : error;
      } finally {
        this.waiting.delete(wake);
      }
    }
  }

  /** Settles as the work does; or rejects with STORE_TIMEOUT at the deadline, and as `close` says. */
  by<Result>(deadline: number, work: Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        done();
        reject(error);
      };
      const cancel = atDeadline(deadline, () => {
        this.silent();
        fail(timedOut());
      });
      const done = () => {
        cancel();
        this.underway.delete(fail);
      };
      this.underway.add(fail);
      work.then((result) => {
        done();
        resolve(result);
      }, fail);
    });
  }

  /** Sends it now. What it rejects with is one of our own errors. */
  send(name: CommandName, ...args: readonly Argument[]): Promise<unknown> {
    return (this.client as unknown as Methods)[name](...args).then(this.onReply, this.onFailure);
  }

  /**
   * Sends them one after the other, to one server of a cluster: the one that has the keys. Gives
   * their replies, an error in the place of a command that failed.
   */
  async inOneGo(commands: readonly Command[]): Promise<unknown[]> {
    const pipeline = this.client.pipeline();
    for (const [name, ...args] of commands) (pipeline as unknown as Methods)[name](...args);
    const replies = (await pipeline.exec().catch(this.onFailure)) ?? [];
    this.silence = undefined;
    return replies.map(([error, reply]) => (error === null ? reply : storeError(error)));
  }

  /**
   * A deadline passed without a reply. A link that is half open gives no other sign; one on which
   * a long reply is on its way does.
   */
  silent(): void {
    if (this.isLive || !this.isReady) return;
    const received = this.received();
    if (this.silence?.received !== received) this.silence = { since: now(), received };
    if (now() - this.silence.since < LONGEST_SILENCE_MS) return;
    this.silence = undefined;
    this.client.disconnect(true);
  }

  /**
   * Makes a new connection, maybe to another server behind the same address, unless there was one
   * since then; false where it is not ours to end.
   */
  leave(since: number): boolean {
    if (this.isLive || this.isCluster) return false;
    if (this.readyAt < since) (this.client as Redis).disconnect(true);
    return true;
  }

  /** Runs the script: whole the first time, and where the server has forgotten it. */
  async run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const { lua, sha } = script;
    // An app can make ioredis reconnect at any refusal, NOSCRIPT too: on its client, better none.
    if (!this.isLive || this.loaded.has(script)) {
      try {
        return await this.send('evalsha', sha, keys.length, keys, args);
      } catch (error) {
        if (!(error instanceof Refusal) || error.word !== 'NOSCRIPT') throw error;
      }
    }
    const reply = await this.send('eval', lua, keys.length, keys, args);
    this.loaded.add(script);
    return reply;
  }

  /** Replies of one moment: an error in the place of a command that failed. */
  async atOnce(commands: readonly Reading[]): Promise<unknown[]> {
    const keys = commands.map(([, key]) => key as string);
    const args = commands.flatMap(([name, , ...rest]) => {
      const flat = rest.flat();
      return [name, flat.length, ...flat];
    });
    const replies = (await this.run(READ, keys, args)) as unknown[];
    return replies.map((reply, at) => {
      if (reply instanceof Error) return storeError(reply);
      const isList = commands[at]?.[0] === 'documents';
      return isList ? (reply as unknown[]).map(orNull) : orNull(reply);
    });
  }

  /** The server's clock (Unix ms) at a time of ours, or some ms before; 0 where not known yet. */
  serverTime(at: number): number {
    return this.behind === undefined ? 0 : Math.floor(at + this.behind - EARLY_MS);
  }

  /** The server said what time it was (Unix ms) in a reply that came now. */
  learnTime(serverNow: number): void {
    this.behind = serverNow - now();
  }

  /**
   * A client of our own for one server: of a cluster any node, since all of them hear what is
   * published on one. Undefined while none is known. It does not reconnect.
   */
  single(): Redis | undefined {
    const options = { ...FAIL_FAST, ...FAIL_FAST_NODE, retryStrategy: () => null };
    if (!('nodes' in this.client)) return this.client.duplicate(options);
    const nodes = this.client.nodes('all');
    return nodes[Math.floor(Math.random() * nodes.length)]?.duplicate(options);
  }

  /** Why there is no connection. */
  problem(): HanoiError {
    return this.lastProblem ?? new HanoiError('STORE_UNAVAILABLE', 'Redis is not connected.');
  }

  /** Whatever is underway rejects with this. */
  close(error: HanoiError): void {
    this.closed = error;
    this.client.off('ready', this.onReady);
    this.client.off('close', this.onGone);
    this.client.off('end', this.onGone);
    if (this.isLive) this.client.off('error', this.onError);
    // Not `quit`, which hangs on a server that does.
    else this.client.disconnect();
    for (const reject of this.underway) reject(error);
  }

  /** Bytes that have come on the present connections. */
  private received(): number {
    const nodes = 'nodes' in this.client ? this.client.nodes('master') : [this.client];
    // Undefined while a connection is being made.
    const bytes = nodes.map(
      ({ stream }) => (stream as Partial<Socket> | undefined)?.bytesRead ?? 0,
    );
    return bytes.reduce((sum, each) => sum + each, 0);
  }

  private wake(): void {
    if (this.isReady) this.lastProblem = undefined;
    for (const resolve of this.waiting) resolve();
  }
}

/**
 * Calls back at the time, or never once it is cancelled. Replies that have arrived by then are read
 * first: where this process was busy, they were not late.
 */
export function atDeadline(deadline: number, passed: () => void): () => void {
  let isCancelled = false;
  const timer = setTimeout(
    () => {
      setImmediate(() => {
        if (!isCancelled) passed();
      });
    },
    Math.max(0, deadline - now()),
  );
  return () => {
    isCancelled = true;
    clearTimeout(timer);
  };
}

/** A client of our own, to where the app's is connected. */
export function duplicate(app: Redis | Cluster): Redis | Cluster {
  if (!('nodes' in app)) {
    return app.duplicate({ ...FAIL_FAST, ...FAIL_FAST_NODE, retryStrategy: retryDelay });
  }
  let known = addressesOf(app);
  let told: Address[] | undefined;
  const own = app.duplicate([], {
    ...FAIL_FAST,
    maxRedirections: 3,
    slotsRefreshTimeout: 500,
    scaleReads: 'master',
    // By turns at the nodes that there were last, and at those that the app was told of: all of
    // these may be gone or hang by now; or all of those, and only these be found again by name.
    clusterRetryStrategy(this: unknown, attempt: number) {
      const cluster = this as { startupNodes: Address[] };
      told ??= cluster.startupNodes;
      cluster.startupNodes = attempt % 2 === 1 && known.length > 0 ? known : told;
      return retryDelay(attempt);
    },
    redisOptions: { ...app.options.redisOptions, ...FAIL_FAST_NODE, keyPrefix: '' },
  });
  own.on('refresh', () => {
    known = addressesOf(own);
  });
  return own;
}

interface Address {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
}

function addressesOf(cluster: Cluster): Address[] {
  return cluster.nodes().map(({ options: { host, port } }) => ({ host, port }));
}

/** What the app's client puts before each key. */
export function keyPrefixOf(app: Redis | Cluster): string {
  return String(app.options.keyPrefix ?? '');
}

/** Whether it is the refusal of the database that the client's `db` names; of ioredis's errors. */
export function isOfSelect(error: unknown): boolean {
  return (error as { command?: { name?: string } }).command?.name === 'select';
}

function misplaced(error: unknown): HanoiError {
  const { code, message } = storeError(error);
  const why = code === 'STORE_DENIED' ? message : 'The server has no such database.';
  return new HanoiError('STORE_DENIED', `The database of \`db\` can't be used. ${why}`);
}

/** What is nothing in Lua comes as false from ioredis-mock. */
function orNull(reply: unknown): unknown {
  return reply === false ? null : reply;
}

/** On a connection that is the app's too. What was queued may be carried out yet. */
function queued(): HanoiError {
  return new HanoiError('STORE_BUSY', "The app's client is inside a MULTI; leave out `reuse`.");
}

export function timedOut(): HanoiError {
  return new HanoiError('STORE_TIMEOUT', 'Redis did not answer in time.');
}

/** What the server itself answered: the command was not carried out. */
export class Refusal extends HanoiError {
  constructor(
    /** The first word of the reply: `NOPERM`. */
    readonly word: string,
  ) {
    super(
      CODES[word] ?? 'STORE_UNAVAILABLE',
      `Redis refused: ${word}. ${ADVICE[word] ?? ''}`.trim(),
    );
  }
}

const CODES: { readonly [word: string]: ErrorCode } = {
  NOAUTH: 'STORE_DENIED',
  NOPERM: 'STORE_DENIED',
  WRONGPASS: 'STORE_DENIED',
  BUSY: 'STORE_BUSY',
  LOADING: 'STORE_BUSY',
};

const ADVICE: { readonly [word: string]: string } = {
  NOAUTH: 'Give the client a password.',
  NOPERM: "docs/stores.md lists what the user's ACL has to allow.",
  OOM: 'Its `maxmemory` is used up.',
  MISCONF: 'It cannot save to disk.',
  READONLY: 'It is a replica; write to its master.',
  WRONGTYPE: 'A key of this namespace holds another type.',
};

/** ioredis's errors carry passwords, arguments and ids: of these only what went wrong is kept. */
function storeError(error: unknown): HanoiError {
  if (error instanceof HanoiError) return error;
  const { name, message, code, hostname, address, port, lastNodeError } = error as IoredisError;
  if (lastNodeError !== undefined) return storeError(lastNodeError);
  // ioredis-mock gives its own no name.
  if (name === 'ReplyError' || message.startsWith('NOSCRIPT ')) {
    // A script that comes upon what its user may not do is told so in other words.
    const isDenied = message.includes("The user executing the script can't");
    return new Refusal(isDenied ? 'NOPERM' : (/^[A-Z]+(?= |$)/.exec(message)?.[0] ?? 'ERR'));
  }
  // What the last of several nodes has refused; nothing was carried out.
  const [, word] =
    /^Too many Cluster redirections\. Last error: (?:ReplyError: )?([A-Z]+) /.exec(message) ?? [];
  if (word !== undefined) return new Refusal(word);
  if (typeof code !== 'string') return new HanoiError('STORE_UNAVAILABLE', UNREACHED);
  const node = hostname ?? (port === undefined ? address : `${address}:${port}`);
  const why = node === undefined ? code : `${code} ${node}`;
  return new HanoiError('STORE_UNAVAILABLE', `Redis was not reached (${why}).`);
}

interface IoredisError extends Error {
  readonly code?: unknown;
  /** Of the system's: a name that is not known, or where nobody listens. */
  readonly hostname?: string;
  readonly address?: string;
  readonly port?: number;
  /** Of a cluster that can't be reached. */
  readonly lastNodeError?: unknown;
}
