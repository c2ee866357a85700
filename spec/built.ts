import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = resolve(__dirname, '..');

/** Where compiled libraries are kept, each under a digest of its sources. */
const CACHE = join(root, 'node_modules/.cache');

/** The library, compiled for other processes to load: once for all files of specs, until it changes. */
export function useBuilt() {
  let built: string;
  beforeAll(() => {
    built = join(CACHE, `hanoi-${digestOfSources()}`);
    if (!existsSync(built)) build(built);
  }, 60_000);

  /** What an import statement takes, in quotes, for a file of `lib`. */
  const at = (file: string) => JSON.stringify(pathToFileURL(join(built, file)).href);

  /** A process that runs the module's text. */
  const start = (text: string): ChildProcess =>
    spawn(process.execPath, ['--input-type=module', '-e', text], {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });

  /** The same to its end; what it has printed. Throws where it fails. */
  const run = async (text: string): Promise<string> => {
    const child = start(text);
    let output = '';
    child.stdout?.on('data', (data) => {
      output += data;
    });
    child.stderr?.on('data', (data) => {
      output += data;
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    if (code !== 0) throw new Error(`The process ended with ${code}:\n${output}`);
    return output;
  };

  return { at, start, run };
}

function digestOfSources(): string {
  const hash = createHash('sha256');
  const sources = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).sort();
  for (const file of [...sources.map((each) => join('lib', each)), 'tsconfig.esm.json']) {
    if (statSync(join(root, file)).isFile())
      hash.update(file).update(readFileSync(join(root, file)));
  }
  return hash.digest('hex').slice(0, 16);
}

/** Two that do it at once get the same, and one of them stays. */
function build(place: string): void {
  mkdirSync(CACHE, { recursive: true });
  for (const old of readdirSync(CACHE)) {
    const folder = join(CACHE, old);
    if (old.startsWith('hanoi-') && folder !== place)
      rmSync(folder, { recursive: true, force: true });
  }
  const folder = mkdtempSync(join(CACHE, 'building-'));
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.esm.json'), '--outDir', folder]);
  // Of the page: what is sent to browsers is copied, as the build does.
  const assets = 'http/page/assets';
  cpSync(join(root, 'lib', assets), join(folder, assets), {
    recursive: true,
    filter: (path) => !path.endsWith('.cts'),
  });
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  try {
    renameSync(folder, place);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    if (!existsSync(place)) throw error;
  }
}
