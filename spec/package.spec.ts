import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { program } from './readme.js';

// What a user installs, not what stands in this repository: built, packed, and installed elsewhere.

jest.setTimeout(120_000);

const ROOT = join(__dirname, '..');
const TSC = {
  '7': join(ROOT, 'node_modules/typescript/bin/tsc'),
  '6': join(ROOT, 'node_modules/typescript-6/bin/tsc'),
};

let app: string;
let files: string[];

function run(command: string, ...args: string[]): string {
  // Not the environment of the npm and the jest that this runs under.
  const { PATH = '', HOME = '' } = process.env;
  try {
    return execFileSync(command, args, { cwd: app, env: { PATH, HOME }, encoding: 'utf8' });
  } catch (error) {
    // A compiler says on its standard output what is wrong.
    throw new Error(`${(error as Error).message}\n${(error as { stdout?: string }).stdout}`);
  }
}

function write(path: string, content: string | object): void {
  writeFileSync(
    join(app, path),
    typeof content === 'string' ? content : JSON.stringify(content, null, 2),
  );
}

function compile(tsc: string, file: string, options: object = {}): void {
  write('tsconfig.json', {
    compilerOptions: {
      module: 'NodeNext',
      target: 'ES2022',
      lib: ['ES2023', 'DOM', 'ESNext.Disposable'],
      strict: true,
      exactOptionalPropertyTypes: true,
      types: [],
      ...options,
    },
    files: [file],
  });
  run(process.execPath, tsc, '-p', 'tsconfig.json');
}

beforeAll(() => {
  app = mkdtempSync(join(tmpdir(), 'hanoi-app-'));
  const packed = execFileSync('npm', ['pack', '--json', '--pack-destination', app], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [{ filename, files: listed }] = JSON.parse(packed.slice(packed.indexOf('[\n')));
  files = listed.map(({ path }: { path: string }) => path);
  write('package.json', { name: 'app', private: true });
  run(
    'npm',
    'install',
    '--ignore-scripts',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    `./${filename}`,
  );
}, 120_000);

afterAll(() => rmSync(app, { recursive: true, force: true }));

describe('the tarball', () => {
  it('holds the build and the texts about it, and nothing else', () => {
    const others = files.filter((path) => !/^dist\/(esm|cjs)\/[\w/-]+\.(d\.ts|js)$/.test(path));
    expect(new Set(others)).toEqual(
      new Set([
        'CHANGELOG.md',
        'LICENSE',
        'README.md',
        'SECURITY.md',
        'dist/cjs/package.json',
        'package.json',
      ]),
    );
    expect(files.filter((path) => path.startsWith('dist/esm/')).length).toBeGreaterThan(20);
  });

  it('installs no script and nothing native, and three small packages', () => {
    const { packages } = JSON.parse(readFileSync(join(app, 'package-lock.json'), 'utf8'));
    const installed = Object.entries(packages as Record<string, { hasInstallScript?: boolean }>);
    expect(installed.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
    expect(installed.map(([path]) => path).filter((path) => path !== '')).toEqual([
      'node_modules/@eslint-community/regexpp',
      'node_modules/crc-32',
      'node_modules/hanoi',
      'node_modules/re2js',
    ]);
  });
});

const CONSUMER = `
import { HanoiError, Rollout } from 'hanoi';
import { readHanoi } from 'hanoi/import';

async function main() {
  const rollout = new Rollout<{ cdc_on: 'foo' | 'bar'; chat: boolean }>();
  await rollout.addFeature('cdc_on', { percentage: 80, variants: ['foo', 'bar'] });
  await rollout.register('cdc_on', '447568110000');
  const enabled: boolean = rollout.isEnabledSync('cdc_on', '447568110000');
  const variant: 'foo' | 'bar' | undefined = await rollout.variant('cdc_on', '447568110000');
  // @ts-expect-error there is no such feature
  const unknown: boolean = await rollout.isEnabled('cdc_off', 'ann');
  const guarded = rollout.check('cdc_on', 1)(async (user: string) => user.length);
  const refused = await guarded('44488').catch((error: unknown) =>
    error instanceof HanoiError ? error.code : 'another error',
  );
  const read = readHanoi({ 'h:x': '1|20||foo,bar' }).features.length;
  await rollout.close();
  console.log([enabled, typeof variant, unknown, refused, read].join(' '));
}
void main();
`;

const PRINTED = 'true string false FEATURE_DISABLED 1\n';

describe.each(['mts', 'cts'])('a consumer in .%s', (extension) => {
  it.each(Object.keys(TSC) as (keyof typeof TSC)[])(
    'is checked by TypeScript %s, and runs',
    (version) => {
      write(`consumer.${extension}`, CONSUMER);
      compile(TSC[version], `consumer.${extension}`);
      expect(run(process.execPath, `consumer.${extension.replace('ts', 'js')}`)).toBe(PRINTED);
    },
  );
});

describe('the README as a program', () => {
  it('is checked by TypeScript, and runs on the installed package', () => {
    write(
      'readme.mts',
      `${program()}
function expectSame(actual: unknown, stated: unknown, heading: string): void {
  deepStrictEqual(actual, stated, heading);
}
import { deepStrictEqual } from 'node:assert';
console.log('README done');`,
    );
    compile(TSC[7], 'readme.mts', {
      typeRoots: [join(ROOT, 'node_modules/@types')],
      types: ['node'],
    });
    expect(run(process.execPath, 'readme.mjs')).toContain('README done\n');
  });
});

describe('a CommonJS app under jest', () => {
  it('requires the package', () => {
    write(
      'app.test.js',
      `const { Rollout } = require('hanoi');
       const { readRolloutGem } = require('hanoi/import');
       test('hanoi', async () => {
         const rollout = new Rollout();
         await rollout.addFeature('chat', { patterns: [/01$/] });
         expect(await rollout.isEnabled('chat', '443301')).toBe(true);
         expect(readRolloutGem({}).features).toEqual([]);
       });`,
    );
    write('jest.config.json', { transform: {}, testMatch: ['<rootDir>/*.test.js'] });
    run(
      process.execPath,
      join(ROOT, 'node_modules/jest/bin/jest.js'),
      ...['--rootDir', app, '--config', 'jest.config.json', '--ci'],
    );
  });
});

describe('both builds in one process', () => {
  it('share the current user, and tell errors apart by code', () => {
    write(
      'both.mjs',
      `import { createRequire } from 'node:module';
       import * as esm from 'hanoi';
       const cjs = createRequire(import.meta.url)('hanoi');
       const [one, other] = [new esm.Rollout(), new cjs.Rollout()];
       const seen = one.runAs('ann', () => other.currentSubject());
       const code = await other.update('x', {}).catch((error) => error.code);
       console.log(seen, code, esm.Rollout === cjs.Rollout);`,
    );
    expect(run(process.execPath, 'both.mjs')).toBe('ann FEATURE_NOT_FOUND false\n');
  });
});

describe('the core', () => {
  it('loads no client, no server and nothing that it does not depend on', () => {
    write(
      'loaded.cjs',
      `require('hanoi');
       console.log(Object.keys(require.cache).map((path) =>
         path.split('/node_modules/').at(-1).split('/').slice(0, path.includes('@eslint') ? 2 : 1).join('/'))
         .filter((name) => name !== 'hanoi' && !name.endsWith('.cjs')).join('\\n'));`,
    );
    const loaded = new Set(run(process.execPath, 'loaded.cjs').trim().split('\n'));
    expect(loaded).toEqual(new Set(['@eslint-community/regexpp', 'crc-32', 're2js']));
  });

  it('leaves nothing that keeps the process alive', () => {
    write(
      'ends.mjs',
      `import { Rollout } from 'hanoi';
       const rollout = new Rollout();
       rollout.on('change', () => {});
       await rollout.addFeature('chat', { percentage: 100 });
       console.log(await rollout.isEnabled('chat', 'ann'));`,
    );
    expect(run(process.execPath, 'ends.mjs')).toBe('true\n');
  });
});
