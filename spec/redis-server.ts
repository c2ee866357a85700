import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** How to start a redis-server: the program, and where the libraries are that came with it. */
export interface Program {
  readonly path: string;
  readonly libraries?: string;
}

const VARIABLE = 'HANOI_REDIS_SERVER';
const CACHES = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'hanoi');

/** What it says once it takes commands. */
const READY = 'Ready to accept connections';
const SENTINEL_READY = 'Sentinel ID is';

let found: Program | undefined;
let foundValkey: Program | null | undefined;

/**
 * A redis-server: the one that HANOI_REDIS_SERVER names; redis-server or valkey-server on PATH; or
 * Debian's package, unpacked into the cache without root. Throws one sentence that says so.
 */
export function findRedis(): Program {
  found ??=
    fromVariable(VARIABLE) ??
    fromPath('redis-server', 'valkey-server') ??
    fromCache('redis') ??
    fromDebian('redis');
  if (found === undefined) {
    throw new Error(
      `No redis-server: set ${VARIABLE} to one, install redis-server or valkey-server, or have apt-get and dpkg-deb here to fetch Debian's.`,
    );
  }
  return found;
}

/**
 * A valkey-server: the one that HANOI_VALKEY_SERVER names, the one on PATH, or Debian's package
 * (bookworm has it among its backports). Undefined where there is none.
 */
export function findValkey(): Program | undefined {
  foundValkey ??=
    fromVariable('HANOI_VALKEY_SERVER') ??
    fromPath('valkey-server') ??
    fromCache('valkey') ??
    fromDebian('valkey') ??
    null;
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
  { path, libraries }: Program,
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
  const child = spawn(path, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: libraries === undefined ? process.env : { ...process.env, LD_LIBRARY_PATH: libraries },
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

function fromVariable(variable: string): Program | undefined {
  const path = process.env[variable];
  if (path === undefined) return undefined;
  if (!existsSync(path)) throw new Error(`${variable} names ${path}, which is not there.`);
  return { path };
}

function fromPath(...names: readonly string[]): Program | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  for (const name of names) {
    const folder = folders.find((each) => each !== '' && existsSync(join(each, name)));
    if (folder !== undefined) return { path: join(folder, name) };
  }
  return undefined;
}

function fromCache(engine: string): Program | undefined {
  const cache = join(CACHES, engine);
  const path = join(cache, `usr/bin/${engine}-server`);
  return existsSync(path) ? { path, libraries: libraryFolders(cache).join(':') } : undefined;
}

/** Debian's packages `redis-server` and `redis-tools`, or Valkey's, and what they need. */
function fromDebian(engine: string): Program | undefined {
  const cache = join(CACHES, engine);
  mkdirSync(CACHES, { recursive: true });
  // Made beside it and renamed: of several that do this at once, each gets a whole one.
  const folder = mkdtempSync(`${cache}-`);
  try {
    const run = (command: string, ...args: string[]) =>
      execFileSync(command, args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
    let lists: string[] = [];
    const dependsOn = () =>
      run('apt-cache', ...lists, 'depends', `${engine}-tools`)
        .split('\n')
        .map((line) => /^ {2}Depends: (lib\S+)$/.exec(line)?.[1] ?? '')
        .filter((name) => name !== '' && name !== 'libc6');
    const download = () =>
      run('apt-get', ...lists, 'download', `${engine}-server`, `${engine}-tools`, ...dependsOn());
    try {
      download();
    } catch {
      // Without root, the package lists can't be brought up to date where they belong.
      mkdirSync(join(folder, 'lists/partial'), { recursive: true });
      mkdirSync(join(folder, 'cache/archives/partial'), { recursive: true });
      lists = ['-o', `Dir::State::lists=${folder}/lists`, '-o', `Dir::Cache=${folder}/cache`];
      const release = readFileSync('/etc/os-release', 'utf8');
      const codename = /^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1];
      if (engine === 'valkey' && codename !== undefined) {
        const key = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]';
        const suites = [codename, `${codename}-backports`];
        const lines = suites.map(
          (each) => `deb ${key} http://deb.debian.org/debian ${each} main\n`,
        );
        writeFileSync(join(folder, 'sources.list'), lines.join(''));
        lists.push('-o', `Dir::Etc::sourcelist=${folder}/sources.list`);
        lists.push('-o', 'Dir::Etc::sourceparts=-');
      }
      run('apt-get', ...lists, 'update');
      download();
    }
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.deb'))) {
      run('dpkg-deb', '-x', file, '.');
      rmSync(join(folder, file));
    }
    rmSync(join(folder, 'lists'), { recursive: true, force: true });
    writeFileSync(
      join(folder, 'README'),
      `Debian's ${engine}-server, unpacked for hanoi's specs.\n`,
    );
    renameSync(folder, cache);
  } catch {
    rmSync(folder, { recursive: true, force: true });
  }
  return fromCache(engine);
}

/** Where the unpacked packages have shared libraries. */
function libraryFolders(root: string): string[] {
  const folders = new Set<string>();
  for (const file of readdirSync(join(root, 'usr/lib'), { recursive: true, encoding: 'utf8' })) {
    if (file.includes('.so')) folders.add(join(root, 'usr/lib', dirname(file)));
  }
  return [...folders];
}
