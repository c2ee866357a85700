import { execFileSync } from 'node:child_process';
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
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** How to start a program: where it is, and the libraries that came with it. */
export interface Program {
  readonly path: string;
  readonly libraries?: string;
}

/** A program that Debian has, and where else it can be. */
export interface Wanted {
  /** Of the environment: the path of one. */
  readonly variable: string;
  /** What it is called on PATH. */
  readonly names: readonly string[];
  readonly packages: readonly string[];
  /** Where it is in them. */
  readonly path: string;
  /** Where this release can lack it, and its backports have it. */
  readonly isBackported?: boolean;
}

const CACHES = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'hanoi');

/**
 * The one that the variable names; one on PATH; or Debian's packages, unpacked into the cache
 * without root. Undefined where there is none. Throws where the variable names what is not there.
 */
export function findProgram(wanted: Wanted): Program | undefined {
  return fromVariable(wanted) ?? fromPath(wanted) ?? fromCache(wanted) ?? fromDebian(wanted);
}

/** The environment of a program that brought its libraries. */
export function environmentOf({ libraries }: Program): NodeJS.ProcessEnv {
  return libraries === undefined ? process.env : { ...process.env, LD_LIBRARY_PATH: libraries };
}

function fromVariable({ variable }: Wanted): Program | undefined {
  const path = process.env[variable];
  if (path === undefined || path === '') return undefined;
  if (!existsSync(path)) throw new Error(`${variable} names ${path}, which is not there.`);
  return { path };
}

function fromPath({ names }: Wanted): Program | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  for (const name of names) {
    const folder = folders.find((each) => each !== '' && existsSync(join(each, name)));
    if (folder !== undefined) return { path: join(folder, name) };
  }
  return undefined;
}

function cacheOf({ packages }: Wanted): string {
  return join(CACHES, packages[0] as string);
}

function fromCache(wanted: Wanted): Program | undefined {
  const cache = cacheOf(wanted);
  const path = join(cache, wanted.path);
  if (!existsSync(path)) return undefined;
  const libraries = libraryFolders(cache);
  return libraries.length === 0 ? { path } : { path, libraries: libraries.join(delimiter) };
}

/** The packages, and of all that they need what is not installed here. */
function fromDebian(wanted: Wanted): Program | undefined {
  const { packages, isBackported = false } = wanted;
  mkdirSync(CACHES, { recursive: true });
  // Made beside it and renamed: of several that do this at once, each gets a whole one.
  const folder = mkdtempSync(`${cacheOf(wanted)}-`);
  try {
    const run = (command: string, ...args: string[]) =>
      execFileSync(command, args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
    let lists: string[] = [];
    const download = () => {
      const plan = run(
        'apt-get',
        ...lists,
        'install',
        '-s',
        '--no-install-recommends',
        ...packages,
      );
      const missing = Array.from(plan.matchAll(/^Inst (\S+)/gm), ([, name = '']) => name);
      run('apt-get', ...lists, 'download', ...new Set([...packages, ...missing]));
    };
    try {
      download();
    } catch {
      // Without root, the package lists can't be brought up to date where they belong.
      mkdirSync(join(folder, 'lists/partial'), { recursive: true });
      mkdirSync(join(folder, 'cache/archives/partial'), { recursive: true });
      lists = ['-o', `Dir::State::lists=${folder}/lists`, '-o', `Dir::Cache=${folder}/cache`];
      if (isBackported) lists.push(...withBackports(folder));
      run('apt-get', ...lists, 'update');
      download();
    }
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.deb'))) {
      run('dpkg-deb', '-x', file, '.');
      rmSync(join(folder, file));
    }
    for (const name of ['lists', 'cache', 'sources.list']) {
      rmSync(join(folder, name), { recursive: true, force: true });
    }
    writeFileSync(join(folder, 'README'), "Debian's packages, unpacked for hanoi's specs.\n");
    renameSync(folder, cacheOf(wanted));
  } catch {
    rmSync(folder, { recursive: true, force: true });
  }
  return fromCache(wanted);
}

/** What makes apt look there too. */
function withBackports(folder: string): string[] {
  const release = readFileSync('/etc/os-release', 'utf8');
  const codename = /^VERSION_CODENAME=(\w+)$/m.exec(release)?.[1];
  if (codename === undefined) return [];
  const key = '[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]';
  const lines = [codename, `${codename}-backports`].map(
    (suite) => `deb ${key} http://deb.debian.org/debian ${suite} main\n`,
  );
  const file = join(folder, 'sources.list');
  writeFileSync(file, lines.join(''));
  return ['-o', `Dir::Etc::sourcelist=${file}`, '-o', 'Dir::Etc::sourceparts=-'];
}

/** Where the unpacked packages have shared libraries: nowhere, where all were installed before. */
function libraryFolders(root: string): string[] {
  const folders = new Set<string>();
  for (const part of ['usr/lib', 'lib'].map((each) => join(root, each)).filter(existsSync)) {
    for (const file of readdirSync(part, { recursive: true, encoding: 'utf8' })) {
      if (file.includes('.so')) folders.add(join(part, dirname(file)));
    }
  }
  return [...folders];
}
