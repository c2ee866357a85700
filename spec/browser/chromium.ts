import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

/** How to start Chromium: the program, and where the libraries are that came with it. */
interface Program {
  readonly path: string;
  readonly libraries?: string;
}

const VARIABLE = 'CHROMIUM';
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'chrome'];

/** Debian's Chromium without windows: smaller, and it needs half of the libraries. */
const PACKAGE = 'chromium-headless-shell';
const CACHES = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'hanoi');
const CACHE = join(CACHES, 'chromium');

/**
 * Starts a Chromium: the one that CHROMIUM names; one on PATH; or Debian's package, unpacked into
 * the cache without root. Throws one sentence that says so.
 */
export function launchChromium(): Promise<Browser> {
  const program = fromVariable() ?? fromPath() ?? fromCache() ?? fromDebian();
  if (program === undefined) {
    throw new Error(
      `No Chromium: set ${VARIABLE} to one, install one, or have apt-get and dpkg-deb here to fetch Debian's.`,
    );
  }
  const { path, libraries } = program;
  return chromium.launch({
    executablePath: path,
    ...(libraries !== undefined && { env: { ...process.env, LD_LIBRARY_PATH: libraries } }),
    // The same pixels wherever it runs.
    args: ['--force-color-profile=srgb', '--font-render-hinting=none', '--disable-lcd-text'],
  });
}

function fromVariable(): Program | undefined {
  const path = process.env[VARIABLE];
  if (path === undefined || path === '') return undefined;
  if (!existsSync(path)) throw new Error(`${VARIABLE} names ${path}, which is not there.`);
  return { path };
}

function fromPath(): Program | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  for (const name of NAMES) {
    const folder = folders.find((each) => each !== '' && existsSync(join(each, name)));
    if (folder !== undefined) return { path: join(folder, name) };
  }
  return undefined;
}

function fromCache(): Program | undefined {
  const path = join(CACHE, 'usr/lib/chromium', PACKAGE);
  return existsSync(path) ? { path, libraries: libraryFolders(CACHE).join(':') } : undefined;
}

/** The package, and of all that it needs what is not installed here. */
function fromDebian(): Program | undefined {
  mkdirSync(CACHES, { recursive: true });
  // Made beside it and renamed: of several that do this at once, each gets a whole one.
  const folder = mkdtempSync(`${CACHE}-`);
  try {
    const run = (command: string, ...args: string[]) =>
      execFileSync(command, args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
    let lists: string[] = [];
    const download = () => {
      const plan = run('apt-get', ...lists, 'install', '-s', '--no-install-recommends', PACKAGE);
      const missing = Array.from(plan.matchAll(/^Inst (\S+)/gm), ([, name = '']) => name);
      run('apt-get', ...lists, 'download', PACKAGE, ...missing.filter((each) => each !== PACKAGE));
    };
    try {
      download();
    } catch {
      // Without root, the package lists can't be brought up to date where they belong.
      mkdirSync(join(folder, 'lists/partial'), { recursive: true });
      mkdirSync(join(folder, 'cache/archives/partial'), { recursive: true });
      lists = ['-o', `Dir::State::lists=${folder}/lists`, '-o', `Dir::Cache=${folder}/cache`];
      run('apt-get', ...lists, 'update');
      download();
    }
    for (const file of readdirSync(folder).filter((name) => name.endsWith('.deb'))) {
      run('dpkg-deb', '-x', file, '.');
      rmSync(join(folder, file));
    }
    rmSync(join(folder, 'lists'), { recursive: true, force: true });
    rmSync(join(folder, 'cache'), { recursive: true, force: true });
    writeFileSync(join(folder, 'README'), `Debian's Chromium, unpacked for hanoi's specs.\n`);
    renameSync(folder, CACHE);
  } catch {
    rmSync(folder, { recursive: true, force: true });
  }
  return fromCache();
}

/** Where the unpacked packages have shared libraries. */
function libraryFolders(root: string): string[] {
  const folders = new Set<string>();
  for (const file of readdirSync(join(root, 'usr/lib'), { recursive: true, encoding: 'utf8' })) {
    if (file.includes('.so')) folders.add(join(root, 'usr/lib', dirname(file)));
  }
  return [...folders];
}
