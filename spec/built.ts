import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = resolve(__dirname, '..');

/** The library, compiled for other processes to load, while the file's specs run. */
export function useBuilt() {
  let built: string;
  beforeAll(() => {
    mkdirSync(join(root, 'node_modules/.cache'), { recursive: true });
    built = mkdtempSync(join(root, 'node_modules/.cache/hanoi-'));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.esm.json'), '--outDir', built]);
    // Of the page: what is sent to browsers is copied, as the build does.
    const assets = 'http/page/assets';
    cpSync(join(root, 'lib', assets), join(built, assets), {
      recursive: true,
      filter: (path) => !path.endsWith('.cts'),
    });
    writeFileSync(join(built, 'package.json'), '{ "type": "module" }');
  }, 60_000);
  afterAll(() => rmSync(built, { recursive: true, force: true }));

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
