import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { environmentOf, findProgram, type Program, type Wanted } from './debian-program.js';

const REDIS: Wanted = {
  variable: 'HANOI_REDIS_SERVER',
  names: ['redis-server', 'valkey-server'],
  packages: ['redis-server', 'redis-tools'],
  path: 'usr/bin/redis-server',
};

const VALKEY: Wanted = {
  variable: 'HANOI_VALKEY_SERVER',
  names: ['valkey-server'],
  packages: ['valkey-server', 'valkey-tools'],
  path: 'usr/bin/valkey-server',
  isBackported: true,
};

/** What it says once it takes commands. */
const READY = 'Ready to accept connections';
const SENTINEL_READY = 'Sentinel ID is';

let found: Program | undefined;
let foundValkey: Program | null | undefined;

/** Throws one sentence that says how to have one. */
function findRedis(): Program {
  found ??= findProgram(REDIS);
  if (found === undefined) {
    throw new Error(
      `No redis-server: set ${REDIS.variable} to one, install redis-server or valkey-server, or have apt-get and dpkg-deb here to fetch Debian's.`,
    );
  }
  return found;
}

/** Undefined where there is none. */
export function findValkey(): Program | undefined {
  if (foundValkey === undefined) foundValkey = findProgram(VALKEY) ?? null;
  return foundValkey ?? undefined;
}

/** A running server on a port of its own, empty, and without files. */
export class RedisServer {
  private constructor(
    private process: ChildProcess,
    readonly port: number,
    /** Where it keeps its files, if it was told to. */
    readonly folder: string,
    private readonly options: readonly string[],
    private readonly program: Program,
  ) {}

  /**
   * Starts one that answers. `options` are lines of its configuration: `--requirepass secret`, or
   * `--sentinel` for a Sentinel.
   */
  static async start(
    options: readonly string[] = [],
    port?: number,
    program = findRedis(),
  ): Promise<RedisServer> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await RedisServer.launch(options, port ?? (await freePort()), program);
      } catch (error) {
        // The port may have been taken in between.
        if (attempt === 3 || port !== undefined) throw error;
      }
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.process.kill(name);
  }

  /** Ends it at once. Idempotent. */
  async kill(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const gone = new Promise((resolve) => this.process.once('exit', resolve));
      this.process.kill('SIGKILL');
      await gone;
    }
  }

  /** Starts it again after `kill`, on the same port and files: empty, unless it keeps any. */
  async restart({ isReady = READY, more = [] as readonly string[] } = {}): Promise<void> {
    this.process = launch(this.program, [...this.options, ...more], this.port, this.folder);
    await saying(this.process, isReady);
  }

  /** Ends it at once, with its files. Idempotent. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private static async launch(
    options: readonly string[],
    port: number,
    program: Program,
  ): Promise<RedisServer> {
    const folder = mkdtempSync(join(tmpdir(), 'hanoi-redis-'));
    const child = launch(program, options, port, folder);
    const server = new RedisServer(child, port, folder, options, program);
    const words = options.includes('--sentinel') ? SENTINEL_READY : READY;
    await saying(child, words).catch(async (error) => {
      await server.stop();
      throw error;
    });
    return server;
  }
}

function launch(
  program: Program,
  options: readonly string[],
  port: number,
  folder: string,
): ChildProcess {
  const own = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder];
  const args = [...own, '--save', '', '--appendonly', 'no', ...options];
  if (options.includes('--sentinel')) {
    // It keeps what it learns in its configuration, and does not start without one.
    const file = join(folder, 'sentinel.conf');
    if (!existsSync(file)) writeFileSync(file, '');
    args.unshift(file);
  }
  const child = spawn(program.path, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environmentOf(program),
  });
  // Whoever ends without having stopped it takes it along,
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  // also by SIGKILL: then the input of this one ends.
  const guard = spawn('sh', ['-c', 'read _; kill -9 "$0"; rm -rf "$1"', `${child.pid}`, folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.on('error', () => {});
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  child.once('exit', () => {
    process.off('exit', kill);
    guard.kill('SIGKILL');
  });
  return child;
}

/** Until its output has this line. */
async function saying(child: ChildProcess, words: string): Promise<void> {
  let output = '';
  await new Promise<void>((resolve, reject) => {
    const read = (data: Buffer) => {
      output += data;
      if (output.includes(words)) resolve();
    };
    child.stdout?.on('data', read);
    child.stderr?.on('data', read);
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`The server ended:\n${output}`)));
  });
}

/** A server for all of the file's specs, started before the first and ended after the last. */
export function useRedis(options?: readonly string[]): { readonly server: RedisServer } {
  let server: RedisServer | undefined;
  beforeAll(async () => {
    server = await RedisServer.start(options);
  }, 60_000);
  afterAll(() => server?.stop());
  return {
    get server() {
      if (server === undefined) throw new Error('The server starts before the first spec.');
      return server;
    },
  };
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
