import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformSync } from '@swc/core';
import { RedisBackend } from '../../lib/backends/redis/index.js';
import { Rollout } from '../../lib/index.js';
import { useBuilt } from '../built.js';
import { itServes, OPTIONS } from '../http/mounts/contract.js';
import { program } from '../readme.js';
import { useMonitoredRedis } from '../redis-monitor.js';
import { freePort } from '../redis-server.js';

// Nest is of ES modules alone, which a spec that is CommonJS can't load: its apps run in another
// process, on the library as it is built, and are compiled as Nest's own tools do.
jest.setTimeout(60_000);

const redis = useMonitoredRedis();
const built = useBuilt();
let nest: ChildProcess;
let ports: Record<string, number>;
let rollout: Rollout;

/** Compiles a module with Nest's kind of decorators; gives what an import statement takes for it. */
function compiled(name: string, source: string): string {
  const { code } = transformSync(source, {
    jsc: {
      target: 'es2022',
      parser: { syntax: 'typescript', decorators: true },
      transform: { legacyDecorator: true, decoratorMetadata: true },
    },
    isModule: true,
  });
  const lib = JSON.parse(built.at('.'));
  writeFileSync(
    fileURLToPath(JSON.parse(built.at(name))),
    code.replaceAll("'../../lib/", `'${lib}/`),
  );
  return built.at(name);
}

beforeAll(async () => {
  const app = compiled('nest-app.js', readFileSync(join(__dirname, 'app.ts'), 'utf8'));
  const env = {
    REDIS_PORT: redis.client.options.port,
    DEAD_PORT: await freePort(),
    HTTP_OPTIONS: JSON.stringify(OPTIONS),
  };
  nest = built.start(`
    Object.assign(process.env, ${JSON.stringify(env)});
    const { start } = await import(${app});
    console.log(JSON.stringify(await start()));`);
  nest.stderr?.pipe(process.stderr);
  const [line] = await once(nest.stdout as NodeJS.EventEmitter, 'data');
  ports = JSON.parse(line);
  rollout = new Rollout(new RedisBackend(redis.client));
});
afterAll(async () => {
  nest?.kill();
  await rollout?.close();
});

beforeEach(async () => {
  await redis.client.flushall();
  await rollout.addFeature('chat');
  await rollout.register('chat', ['ann', 'bob']);
  await rollout.addFeature('video');
  await rollout.register('video', ['bob', 'cid']);
  await rollout.addFeature('color', {
    variants: ['red', 'blue'],
    rules: [
      { id: 'red', when: { users: ['ann'] }, serve: { variant: 'red' } },
      { id: 'blue', when: { users: ['bob'] }, serve: { variant: 'blue' } },
    ],
  });
  await rollout.addFeature('theme', { variants: [{ name: 'tall', value: { height: 90 } }] });
  await rollout.register('theme', 'ann');
  await rollout.addFeature('odd', { patterns: [/[13579]$/] });
  await rollout.addFeature('everyone', { percentage: 100 });
});

interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly body: string;
}

async function ask(
  app: string,
  path: string,
  user?: string,
  { method = 'GET', late }: { method?: string; late?: string } = {},
): Promise<Answer> {
  const headers = {
    ...(user !== undefined && { 'x-user': user }),
    ...(late !== undefined && { 'x-late': late }),
  };
  const response = await fetch(`http://127.0.0.1:${ports[app]}${path}`, { method, headers });
  const type = response.headers.get('content-type');
  return { status: response.status, type, body: await response.text() };
}

const json = async (...args: Parameters<typeof ask>) => JSON.parse((await ask(...args)).body);
const statuses = async (app: string, path: string, users: readonly string[]) =>
  Promise.all(users.map(async (user) => (await ask(app, path, user)).status));

const USERS = ['ann', 'bob', 'cid', 'eve'];

describe.each(['express', 'fastify'])('given Nest on %s', (app) => {
  it('lets in, as who asks, and answers others as where there is no route', async () => {
    expect(await json(app, '/chat', 'ann')).toEqual({ user: 'ann', on: true });
    for (const user of ['eve', undefined]) {
      const refused = await ask(app, '/chat?a=1', user);
      const nowhere = await ask(app, '/nowhere?a=1', user);
      expect(nowhere).toMatchObject({ status: 404 });
      expect(refused).toEqual({ ...nowhere, body: nowhere.body.replace('nowhere', 'chat') });
      expect(JSON.parse(refused.body)).toEqual({
        message: 'Cannot GET /chat?a=1',
        error: 'Not Found',
        statusCode: 404,
      });
    }
  });

  it.each([
    ['/chat/1/above', [200, 200, 404, 404], 'above the route decorator'],
    ['/both', [404, 200, 404, 404], 'all of several'],
    ['/stacked', [404, 200, 404, 404], 'one guard over the other'],
    ['/red', [200, 404, 404, 404], 'a variant'],
    ['/typed', [200, 200, 404, 404], 'one of several variants'],
    ['/beta/open', [404, 200, 200, 404], 'the guard of a controller'],
    ['/beta/chat', [404, 200, 404, 404], 'the guards of a controller and of its method'],
    ['/gamma/chat', [404, 200, 404, 404], 'the guards that a controller inherits'],
    ['/gone', [200, 200, 410, 410], 'another status'],
    ['/paid', [200, 200, 402, 402], 'another exception'],
  ])('guards %s: %j', async (path, expected) => {
    expect(await statuses(app, path, USERS)).toEqual(expected);
  });

  it('refuses with another status as Nest does, or with what is made of the decision', async () => {
    expect(await json(app, '/gone', 'eve')).toEqual({ statusCode: 410, message: 'Gone' });
    expect(await json(app, '/paid', 'eve')).toEqual({
      feature: 'chat',
      detail: 'no gate',
      handler: 'paid',
    });
  });

  it('hands answers to parameters', async () => {
    const { flags, ...anns } = await json(app, '/parameters', 'ann');
    expect(anns).toEqual({
      feature: 'chat',
      detail: 'member',
      enabled: true,
      variant: 'red',
      theme: { height: 90 },
      value: 'a fallback',
    });
    expect(flags).toMatchObject({
      chat: { enabled: true },
      color: { enabled: true, variant: 'red' },
    });
    expect(await json(app, '/parameters', 'eve')).toMatchObject({
      detail: 'no gate',
      enabled: false,
      theme: { height: 1 },
      flags: { chat: { enabled: false }, everyone: { enabled: true } },
    });
  });

  it('asks Redis once a request, for the guards, the parameters and the handler', async () => {
    await ask(app, '/parameters', 'ann'); // holds the definitions
    for (const [path, user] of [
      ['/chat', 'ann'],
      ['/chat', 'eve'],
      ['/beta/chat', 'bob'],
      ['/parameters', 'ann'],
      ['/late', undefined],
    ] as const) {
      const commands = await redis.sent(() => ask(app, path, user));
      expect([path, commands.map(([name]) => name)]).toEqual([path, ['evalsha']]);
    }
  });

  it('answers a whole request from one revision, and the next from the next', async () => {
    const post = { method: 'POST' };
    expect(await json(app, '/pinned', 'user-1', post)).toEqual([true, true, true]);
    expect((await ask(app, '/pinned', 'user-1', post)).status).toBe(404);
  });

  it('keeps requests apart that overlap', async () => {
    const users = Array.from(
      { length: 40 },
      (_, n) => ['ann', 'bob', 'cid', 'eve'][n % 4] as string,
    );
    const answers = await Promise.all(users.map((user) => ask(app, '/chat', user)));
    expect(
      answers.map(({ status, body }) => (status === 404 ? 404 : JSON.parse(body).user)),
    ).toEqual(users.map((user) => (['ann', 'bob'].includes(user) ? user : 404)));
  });

  it('runs the handler as whom a guard after it has found out', async () => {
    expect(await json(app, '/late', undefined, { late: 'ann' })).toEqual({ user: 'ann', on: true });
    expect(await json(app, '/late')).toEqual({ user: null, on: false });
  });

  it('asks about whom a guard below it has found out', async () => {
    expect(await json(app, '/early', undefined, { late: 'ann' })).toEqual({
      user: 'ann',
      on: true,
    });
    expect((await ask(app, '/early', 'ann', { late: 'eve' })).status).toBe(404);
  });

  it('streams as who asks', async () => {
    const { body } = await ask(app, '/stream', 'ann');
    expect(body.match(/^data: .*$/gm)).toEqual(Array(2).fill('data: ["ann",true]'));
  });

  it.each([
    ['an exception of Nest', 'refused', 401, 'who?'],
    ['an error', 'broken', 500, 'Internal server error'],
    ['nothing', 'nothing', 500, 'Internal server error'],
  ])('leaves %s that reading the subject throws to Nest', async (_, user, statusCode, message) => {
    for (const path of ['/chat', '/parameters']) {
      expect(await json(app, path, user)).toMatchObject({ statusCode, message });
    }
  });

  it('keeps the metadata of what it decorates', async () => {
    const { kept, types, names } = await json(app, '/metadata');
    expect(kept).toEqual(['above', 'below']);
    expect(types).toEqual(['Object', 'Boolean', 'Object', 'Object', 'String', 'Object']);
    expect(names).toEqual(['chat', 'above', 'parameters']);
  });
});

describe('given Nest without a subject of its own', () => {
  it('asks about whom the middleware has set', async () => {
    expect(await json('behind', '/chat', 'ann')).toEqual({ user: 'ann', on: true });
    expect((await ask('behind', '/chat', 'eve')).status).toBe(404);
    expect((await ask('behind', '/chat')).status).toBe(404);
    expect(await json('behind', '/parameters', 'ann')).toMatchObject({
      enabled: true,
      variant: 'red',
    });
  });
});

describe('given Nest, and a store that is away', () => {
  it('lets nobody in, and answers what is not guarded', async () => {
    for (const path of ['/chat', '/late', '/beta/open']) {
      expect((await ask('away', path, 'ann')).status).toBe(404);
    }
    expect(await json('away', '/parameters', 'ann')).toMatchObject({
      detail: 'store unavailable',
      enabled: false,
      value: 'a fallback',
    });
  });
});

describe('the page on frameworks', () => {
  it('shows an app that runs, with the answers that it states', async () => {
    const page = program('docs/frameworks.md', 'ts nest')
      .replaceAll("from 'hanoi'", `from ${built.at('index.js')}`)
      .replaceAll("from 'hanoi/nest'", `from ${built.at('nest/index.js')}`);
    const app = compiled(
      'nest-readme.js',
      `import { deepStrictEqual as expectSame } from 'node:assert';
      ${page}
      console.log('the page runs');`,
    );
    expect(page.match(/expectSame\(/g)).toHaveLength(2);
    expect(await built.run(`await import(${app});`)).toBe('the page runs\n');
  });
});

describe('the module for Nest', () => {
  let told: Record<string, unknown>;
  beforeAll(async () => {
    told = JSON.parse(
      await built.run(`
        import { setUp } from ${built.at('nest-app.js')};
        console.log(JSON.stringify(await setUp()));`),
    );
  });

  it.each([
    ['no options', 'none', 'INVALID_ARGUMENT'],
    ['no rollout', 'noRollout', 'INVALID_ARGUMENT'],
    ['a subject that is no function', 'noFunction', 'INVALID_ARGUMENT'],
    ['an option that there is not', 'misspelt', 'INVALID_ARGUMENT'],
    ['a `closesRollout` that is neither', 'neither', 'INVALID_ARGUMENT'],
    ['a guard in an app without the module', 'without', 'UnknownDependenciesException'],
  ])('refuses %s when the app is made', (_, about, expected) => {
    expect(told[about]).toBe(expected);
  });

  it('refuses decorators that would fail at the first request', () => {
    expect(told.decorators).toEqual(Array(9).fill('INVALID_ARGUMENT'));
  });

  it('closes the rollout only where it is told to, when the last request is answered', () => {
    expect(told.closing).toEqual({ answered: 'user-1', isOpen: false });
    expect(told.leaving).toEqual({ answered: 'user-1', isOpen: true });
  });

  it('answers an operation of GraphQL from one revision, and refuses by errors', () => {
    expect(told.graphql).toEqual({
      answers: [[true, 'user-1', true, true], true, 'Not Found', 'Forbidden'],
      asked: 1,
      next: ['Not Found'],
    });
  });

  it.each(['rpc', 'ws'])(
    'answers each message of %s as who sent it, and refuses as Nest does',
    (kind) => {
      const refused = 'Forbidden resource';
      expect(told[kind]).toEqual({
        answers: [[true, 'user-1', true, true], refused, refused, refused],
        asked: 4,
        next: [refused],
      });
    },
  );
});

describe.each([
  ['Express', 'httpOnExpress', {}],
  // Before any route of the app.
  [
    'Fastify',
    'httpOnFastify',
    { 'refuses a path that cannot be read': 'application/json; charset=utf-8' },
  ],
])('given Nest on %s', (_, app, refusesItself) => {
  itServes('its app at a path', {
    path: '/flags',
    backend: () => new RedisBackend(redis.client),
    mount: async () => ({ port: ports[app] as number, close: async () => {} }),
    refusesItself,
  });
});
