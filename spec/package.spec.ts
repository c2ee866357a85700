import { execFile } from 'node:child_process';
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { PAGES, PROGRAMS, program, serveUrls } from './readme.js';
import { useRedis } from './redis-server.js';

// What is published, as its users meet it: packed, installed in an empty folder, and run there.
jest.setTimeout(120_000);

const run = promisify(execFile);
const redis = useRedis();
const root = resolve(__dirname, '..');

const compilers = [
  ['TypeScript 7', join(root, 'node_modules/typescript/bin/tsc')],
  ['TypeScript 6', join(root, 'node_modules/typescript-6/bin/tsc')],
] as const;

// The text is the same as an ES module (.mts) and as CommonJS (.cts), so without top-level await.
const consumer = `
import { Rollout } from 'hanoi';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

async function main() {
  const rollout = new Rollout<{ cdc_on: 'foo' | 'bar'; chat: boolean }>();
  await rollout.addFeature('cdc_on', { percentage: 80, variants: ['foo', 'bar'] });
  await rollout.register('cdc_on', '44488');

  const variant = await rollout.variant('cdc_on', '3');
  const typed: Same<typeof variant, 'foo' | 'bar' | undefined> = true;

  const charge = rollout.check('cdc_on', 1)(async (user: string) => 'charged ' + user);
  const charged: string = await charge('3');
  const refused = await charge('1').catch((error: { code: string }) => error.code);

  // @ts-expect-error there is no such feature
  const misspelt: boolean = await rollout.isEnabled('cdc_of', '3');
  // @ts-expect-error it has no such variant
  const mistaken = (await rollout.variant('cdc_on', '3')) === 'baz';
  // @ts-expect-error a guard keeps the parameters of what it guards
  charge(3).catch(() => {});
  // @ts-expect-error what is guarded has to return a promise
  rollout.check('cdc_on', 1)((user: string) => user);

  console.log(
    JSON.stringify({
      typed,
      member: rollout.isEnabledSync('cdc_on', '44488'),
      none: rollout.isEnabledSync('cdc_on', '1'),
      variant,
      charged,
      refused,
      misspelt,
      mistaken,
      current: rollout.runAs('3', () => [rollout.currentSubject(), rollout.isEnabledSync('cdc_on')]),
    }),
  );
}

main();
`;

// CRC-32 puts '1' at 83%, '3' at 11%, and '44488' at 88%, which is registered.
const answers = {
  typed: true,
  member: true,
  none: false,
  variant: 'foo',
  charged: 'charged 3',
  refused: 'FEATURE_DISABLED',
  misspelt: false,
  mistaken: false,
  current: ['3', true],
};

describe('the packed package', () => {
  let folder: string;
  let packed: string[];
  let entryPoints: string[];

  const write = (name: string, text: string) => writeFile(join(folder, name), text);
  const compile = async (tsc: string, file: string, options: object = {}) => {
    const compilerOptions = {
      strict: true,
      module: 'nodenext',
      target: 'es2022',
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
      ...options,
    };
    await write('tsconfig.json', JSON.stringify({ compilerOptions, files: [file] }));
    const compiled = await run(process.execPath, [tsc, '-p', '.'], { cwd: folder }).catch(
      (failure) => failure,
    );
    expect(compiled.stdout).toBe('');
  };
  const node = async (...args: string[]) =>
    JSON.parse((await run(process.execPath, args, { cwd: folder })).stdout);

  /** The test files of such a name, one after the other by their names, in one process. */
  const jestRun = async (pattern: string) => {
    const testSequencer = join(folder, 'by-name.cjs');
    const config = JSON.stringify({ rootDir: folder, transform: {}, testSequencer });
    await write(
      'by-name.cjs',
      `const { default: Sequencer } = require(${JSON.stringify(join(root, 'node_modules/@jest/test-sequencer'))});
      module.exports = class extends Sequencer {
        sort(tests) {
          return [...tests].sort((a, b) => (a.path < b.path ? -1 : 1));
        }
      };`,
    );
    const jestBin = join(root, 'node_modules/jest/bin/jest.js');
    return node(jestBin, '--json', '-i', '--config', config, '--testPathPatterns', pattern);
  };

  beforeAll(async () => {
    // The real path: jest and node would otherwise know the folder by two names where it is a link.
    folder = await mkdtemp(join(await realpath(tmpdir()), 'hanoi-package-'));
    const pack = ['pack', '--json', '--foreground-scripts=false', '--pack-destination', folder];
    const [tarball] = JSON.parse((await run('npm', pack, { cwd: root })).stdout);
    packed = tarball.files.map((file: { path: string }) => file.path);

    await write('package.json', '{ "name": "consumer", "private": true }');
    const quick = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
    const peers = ['ioredis@^5.11.1', 'prom-client@^15.1.3', '@openfeature/server-sdk@^1.23.0'];
    // Of Nest the version before the one that the other specs run on: it is CommonJS.
    const nest = ['common', 'core', 'platform-express'].map((name) => `@nestjs/${name}@^11.0.0`);
    const all = [
      `./${tarball.filename}`,
      ...peers,
      ...nest,
      'reflect-metadata@^0.2.2',
      'rxjs@^7.8.2',
    ];
    await run('npm', ['install', ...quick, ...all], { cwd: folder });

    const installed = await readFile(join(folder, 'node_modules/hanoi/package.json'), 'utf8');
    entryPoints = Object.keys(JSON.parse(installed).exports)
      .filter((path) => path !== './package.json')
      .map((path) => `hanoi${path.slice(1)}`);
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('holds both builds of each source and the documents, and nothing else', async () => {
    const sources = (await readdir(join(root, 'lib'), { recursive: true }))
      .filter((path) => path.endsWith('.ts'))
      .map((path) => path.slice(0, -'.ts'.length));
    const built = ['esm', 'cjs'].flatMap((build) =>
      sources.flatMap((source) => [`dist/${build}/${source}.js`, `dist/${build}/${source}.d.ts`]),
    );
    const page = 'http/page/assets';
    const assets = (await readdir(join(root, 'lib', page)))
      .flatMap((name) => (name === 'folder.cts' ? ['folder.cjs', 'folder.d.cts'] : [name]))
      .flatMap((name) => ['esm', 'cjs'].map((build) => `dist/${build}/${page}/${name}`));
    const files = ['CHANGELOG.md', 'LICENSE', 'SECURITY.md', 'package.json'];
    const documents = [...files, ...PAGES, 'docs/screenshot.png'];
    const own = ['dist/cjs/package.json', ...assets, ...documents];
    expect(packed.sort()).toEqual([...built, ...own].sort());
  });

  it('runs no script when it is installed, nor does what it depends on', async () => {
    const tree = await readFile(join(folder, 'node_modules/.package-lock.json'), 'utf8');
    const packages: [string, { hasInstallScript?: true }][] = Object.entries(
      JSON.parse(tree).packages,
    );
    expect(packages.map(([path]) => path)).toContain('node_modules/hanoi');
    expect(packages.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
  });

  describe.each(compilers)('under %s', (_, tsc) => {
    it.each(['mts', 'cts'])('is typed and runs from a .%s file', async (extension) => {
      await write(`consumer.${extension}`, consumer);
      await compile(tsc, `consumer.${extension}`);
      expect(await node(`consumer.${extension.replace('t', 'j')}`)).toEqual(answers);
    });
  });

  it.each(PROGRAMS)('is what %s says: its %s is typed, and runs', async (page, kind) => {
    await mkdir(join(folder, 'node_modules/@types'), { recursive: true });
    for (const name of ['express', 'fastify', 'koa', '@types/express', '@types/koa']) {
      const place = join(folder, 'node_modules', name);
      await rm(place, { recursive: true, force: true });
      await symlink(join(root, 'node_modules', name), place);
    }
    await write(
      'page.mts',
      `${program(page, kind)}
      function expectSame(actual: unknown, stated: unknown, heading: string): void {
        deepStrictEqual(actual, stated, heading);
      }
      import { deepStrictEqual } from 'node:assert';
      console.log('\\nthe page runs');`,
    );
    // The frameworks' own types are not all without errors.
    await compile(compilers[0][1], 'page.mts', { skipLibCheck: true });
    const served = await serveUrls(redis.server.url);
    const env = { ...process.env, ...served.urls };
    const { stdout } = await run(process.execPath, ['page.mjs'], { cwd: folder, env }).finally(() =>
      served.stop(),
    );
    expect(stdout).toContain('\nthe page runs\n');
  });

  it.each(['mts', 'cts'])('runs on Nest 11 as the docs say of it, from a .%s file', async (it) => {
    // In a function: CommonJS has no await at the top level.
    const [imports = '', ...rest] = program('docs/frameworks.md', 'ts nest').split(/^(?=const )/m);
    await write(
      `nest.${it}`,
      `${imports}
      import { deepStrictEqual } from 'node:assert';
      async function main() {
        ${rest.join('')}
        console.log('true');
      }
      function expectSame(actual: unknown, stated: unknown, heading: string): void {
        deepStrictEqual(actual, stated, heading);
      }
      main();`,
    );
    const decorators = { experimentalDecorators: true, emitDecoratorMetadata: true };
    await compile(compilers[0][1], `nest.${it}`, { ...decorators, skipLibCheck: true });
    expect(await node(`nest.${it.replace('t', 'j')}`)).toBe(true);
  });

  it.each(['ioredis', 'ioredis-6'])('takes the clients of %s by their types', async (ioredis) => {
    const place = join(folder, 'node_modules/ioredis');
    await rm(place, { recursive: true });
    await cp(join(root, 'node_modules', ioredis), place, { recursive: true });
    await write(
      'clients.mts',
      `import { Cluster, Redis } from 'ioredis';
      import { readRedis } from 'hanoi/import';
      import { RedisBackend, RedisSetBackend } from 'hanoi/redis';
      export const all = (redis: Redis, cluster: Cluster) => [
        new RedisBackend(redis),
        new RedisBackend(cluster, { namespace: 'shop' }),
        new RedisSetBackend(redis, { reuse: true }),
        new RedisSetBackend(cluster),
        readRedis(redis, 'hanoi'),
        // @ts-expect-error no such option
        new RedisBackend(redis, { nameSpace: 'shop' }),
      ];`,
    );
    await compile(compilers[0][1], 'clients.mts');
  });

  it('types its middleware without the frameworks', async () => {
    await write(
      'middleware.mts',
      `import { createServer } from 'node:http';
      import { Rollout } from 'hanoi';
      import { expressGuard, expressMiddleware, fastifyGuard, fastifyPlugin, honoGuard, honoMiddleware, koaGuard, koaMiddleware } from 'hanoi/middleware';
      const rollout = new Rollout<{ chat: boolean }>();
      const pinning = expressMiddleware(rollout, async (request: { headers: object } & NodeJS.EventEmitter) => request.headers);
      const guard = expressGuard(rollout, 'chat');
      createServer((request, response) => pinning(request, response, () => guard(request, response, () => response.end())));
      export const guards = [fastifyGuard(rollout, 'chat'), honoGuard(rollout, ['chat']), koaGuard(rollout, 'chat')];
      // @ts-expect-error there is no such feature
      koaGuard(rollout, 'caht');
      export const all = [fastifyPlugin(rollout, () => null), honoMiddleware(rollout, () => 7), koaMiddleware(rollout, () => 'ann')];`,
    );
    await compile(compilers[0][1], 'middleware.mts');
  });

  it('can be required in a jest test that is CommonJS', async () => {
    await write(
      'consumer.test.js',
      `const { Rollout } = require('hanoi');
      test('requires', async () => {
        const rollout = new Rollout();
        await rollout.addFeature('chat', { percentage: 100 });
        expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
      });`,
    );
    const { numPassedTests } = await jestRun('consumer');
    expect(numPassedTests).toBe(1);
  });

  it('fails no jest test file for what the one before it has left to the collector', async () => {
    // Many, so that some are left for the next file, whenever the collector comes.
    await write(
      'a-leaving.test.js',
      `const { Rollout } = require('hanoi');
      const { withFeatures } = require('hanoi/testing');
      test('is on', async () => {
        const rollout = new Rollout();
        for (let n = 0; n < 1000; n++) {
          await withFeatures({ chat: true }, async () => expect(await rollout.isEnabled('chat')).toBe(true));
        }
      });`,
    );
    await write(
      'b-collecting.test.js',
      `const { setFlagsFromString } = require('node:v8');
      const { runInNewContext } = require('node:vm');
      test('collects', async () => {
        setFlagsFromString('--expose-gc');
        const collect = runInNewContext('gc');
        for (let n = 0; n < 10; n++) {
          collect();
          await new Promise((done) => setTimeout(done, 5));
        }
      });`,
    );
    const { numPassedTests, numRuntimeErrorTestSuites } = await jestRun('leaving|collecting');
    expect([numPassedTests, numRuntimeErrorTestSuites]).toEqual([2, 0]);
  });

  it('gives the same names from each entry point to import and to require', async () => {
    await write(
      'names.mjs',
      `import { createRequire } from 'node:module';
      const require = createRequire(import.meta.url);
      const names = {};
      for (const path of process.argv.slice(2)) {
        names[path] = [Object.keys(await import(path)), Object.keys(require(path)).sort()];
      }
      console.log(JSON.stringify(names));`,
    );
    const names: Record<string, [string[], string[]]> = await node('names.mjs', ...entryPoints);
    expect(Object.keys(names)).toEqual(expect.arrayContaining(['hanoi', 'hanoi/import']));
    for (const [imported, required] of Object.values(names)) {
      expect(imported).not.toEqual([]);
      expect(required).toEqual(imported);
    }
  });

  it('has one current user, also where both builds are loaded', async () => {
    await write(
      'both.mjs',
      `import { createRequire } from 'node:module';
      import { Rollout } from 'hanoi';
      const required = createRequire(import.meta.url)('hanoi');
      const [esm, cjs] = [new Rollout(), new required.Rollout()];
      const later = (rollout) => new Promise((done) => setTimeout(() => done(rollout.currentSubject()), 1));
      await Promise.all([esm, cjs].map((each) => each.addFeature('chat', { percentage: 100 })));
      const pinned = async () => {
        await Promise.all([esm, cjs].map((each) => each.disable('chat')));
        return [esm, cjs].map((each) => each.isEnabledSync('chat'));
      };
      console.log(JSON.stringify({
        twoCopies: Rollout !== required.Rollout,
        atOnce: esm.runAs('ann', () => cjs.currentSubject()),
        later: await esm.runAs('ann', () => later(cjs)),
        back: await cjs.runAs('bob', () => later(esm)),
        outside: cjs.currentSubject() ?? null,
        pinned: await esm.runAs('ann', () => cjs.runAs('ann', pinned, { pinned: true }), { pinned: true }),
      }));`,
    );
    const expected = {
      twoCopies: true,
      atOnce: 'ann',
      later: 'ann',
      back: 'bob',
      outside: null,
      pinned: [true, true],
    };
    expect(await node('both.mjs')).toEqual(expected);
  });

  it('lets a test say what features are to every Rollout, whichever build it and the helper are of', async () => {
    await write(
      'overriding.mjs',
      `import { createRequire } from 'node:module';
      import { Rollout } from 'hanoi';
      import * as esm from 'hanoi/testing';
      const require = createRequire(import.meta.url);
      const cjs = require('hanoi/testing');
      const rollouts = [new Rollout(), new (require('hanoi').Rollout)()];
      const variants = () => rollouts.map((each) => each.decideSync('chat').variant ?? null);
      const codes = () => rollouts.map((each) => {
        try {
          return each.isEnabledSync('typo');
        } catch ({ code }) {
          return code;
        }
      });
      const told = {
        twoCopies: esm.withFeatures !== cjs.withFeatures,
        esm: esm.withFeatures({ chat: 'a' }, variants),
        cjs: cjs.withFeatures({ chat: 'b' }, variants),
        inner: await esm.withFeatures({ chat: 'a', typo: true }, async () => {
          await new Promise((done) => setTimeout(done, 1));
          return cjs.withFeatures({ chat: 'b' }, () => [variants(), codes()]);
        }),
        after: [variants(), codes()],
      };
      const stop = cjs.failOnUndefined();
      told.failing = codes();
      stop();
      console.log(JSON.stringify({ ...told, stopped: codes() }));`,
    );
    expect(await node('overriding.mjs')).toEqual({
      twoCopies: true,
      esm: ['a', 'a'],
      cjs: ['b', 'b'],
      inner: [
        ['b', 'b'],
        [true, true],
      ],
      after: [
        [null, null],
        [false, false],
      ],
      failing: ['FEATURE_NOT_FOUND', 'FEATURE_NOT_FOUND'],
      stopped: [false, false],
    });
  });

  it('leaves nothing that keeps the process alive', async () => {
    await write(
      'ends.mjs',
      `import { Rollout } from 'hanoi';
      const rollout = new Rollout();
      rollout.on('change', () => {});
      await rollout.addFeature('chat', { percentage: 100 });
      console.log(await rollout.isEnabled('chat', 'ann'));`,
    );
    expect(await node('ends.mjs')).toBe(true);
  });

  it('has a command line, which npx finds, and which finds Redis', async () => {
    const url = `${redis.server.url}?namespace=packed`;
    const hanoi = async (...args: string[]) =>
      (await run('npx', ['--no-install', 'hanoi', ...args, '--url', url], { cwd: folder })).stdout;
    await hanoi('add', 'chat', '--percentage', '20');
    const { features } = JSON.parse(await hanoi('list', '--json'));
    expect(features).toMatchObject([{ name: 'chat', percentage: 20 }]);
  });

  it.each([
    ['commander', ['list']],
    ['ioredis', ['list', '--url', 'redis://127.0.0.1:1']],
  ])('says so where %s was left out', async (name, args) => {
    const place = join(folder, 'node_modules', name);
    await rename(place, `${place}-away`);
    try {
      const hanoi = join(folder, 'node_modules/.bin/hanoi');
      const { code, stderr } = await run(hanoi, args, { cwd: folder }).catch((failure) => failure);
      expect([code, stderr]).toEqual([
        2,
        expect.stringMatching(
          new RegExp(`^hanoi: INVALID_ARGUMENT: .* npm install ${name}\\.\\n$`),
        ),
      ]);
    } finally {
      await rename(`${place}-away`, place);
    }
  });

  it('loads none of what its surfaces stand on with its core', async () => {
    // In their place stands what tells that it was loaded.
    const names = [
      ...['ioredis', 'hono', '@hono/node-server', 'zod', 'commander'],
      ...['prom-client', '@openfeature/server-sdk', '@nestjs/common'],
    ];
    for (const name of names) {
      const place = join(folder, 'node_modules', name);
      await rm(place, { recursive: true, force: true });
      await mkdir(place, { recursive: true });
      const exports = { '.': './index.js', './*': './index.js' };
      await writeFile(join(place, 'package.json'), JSON.stringify({ name, exports }));
      await writeFile(join(place, 'index.js'), `(globalThis.loaded ??= []).push('${name}');`);
    }
    await write(
      'loaded.mjs',
      `import { createRequire } from 'node:module';
      const require = createRequire(import.meta.url);
      await import('hanoi');
      require('hanoi');
      // Not before what the core may load by an import() of its own has come in.
      process.once('beforeExit', async () => {
        const byCore = [...(globalThis.loaded ?? [])];
        for (const name of ${JSON.stringify(names)}) require(name);
        console.log(JSON.stringify({ byCore, byHand: globalThis.loaded.slice(byCore.length) }));
      });`,
    );
    expect(await node('loaded.mjs')).toEqual({ byCore: [], byHand: names });
  });
});
