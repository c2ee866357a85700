import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { useBuilt } from '../built.js';
import { answerWith, HttpServer } from '../http-server.js';
import { useRedis } from '../redis-server.js';

// The real program, as a shell meets it.
const redis = useRedis();
const built = useBuilt();

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hanoi-cli-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

function start(
  args: readonly string[],
  env: { readonly [name: string]: string } = {},
  stdout: number | 'pipe' = 'pipe',
) {
  const program = fileURLToPath(JSON.parse(built.at('cli/index.js')));
  const { HANOI_URL: _, HANOI_ACTOR: __, ...own } = process.env;
  const child = spawn(process.execPath, [program, ...args], {
    cwd: folder,
    env: { ...own, ...env },
    stdio: ['pipe', stdout, 'pipe'],
  }) as ChildProcessWithoutNullStreams;
  let [out, err] = ['', ''];
  child.stdout?.on('data', (data) => {
    out += data;
  });
  child.stderr.on('data', (data) => {
    err += data;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, out, err }));
  });
  return { child, ended, said: () => out + err };
}

async function hanoi(args: readonly string[], input = '', env = {}): Promise<Ended> {
  const { child, ended } = start(args, env);
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return ended;
}

const placeOf = (namespace: string) => `${redis.server.url}?namespace=${namespace}`;

describe('the program', () => {
  it('does not end as done where something never settles', async () => {
    // Of the rollout itself: to what the config file does there is a limit.
    writeFileSync(
      join(folder, 'hanoi.config.mjs'),
      `export default {
        define(rollout) { Object.getPrototypeOf(rollout).decide = () => new Promise(() => {}); },
      };`,
    );
    expect(await hanoi(['check', 'chat'])).toMatchObject({
      ...{ code: 70, out: '', err: expect.stringContaining('never settles') },
    });
  });

  it.each([
    ['on Redis', true],
    ['in a file', false],
  ])('waits for a config file no longer than it may, %s', async (_, isRedis) => {
    const url = isRedis ? placeOf('waiting') : 'features.json';
    for (const text of [
      'export default { define: () => new Promise(() => {}) };',
      'export default await new Promise(() => {});',
    ]) {
      writeFileSync(join(folder, 'hanoi.config.mjs'), text);
      expect(await hanoi(['list', '-u', url, '--timeout', '300'])).toMatchObject({
        ...{ code: 2, out: '', err: expect.stringContaining('did not settle within 300 ms') },
      });
    }
  });

  it.each([
    ['setTimeout(() => { throw new Error("lost\\u001b"); }, 10)', []],
    ['Promise.reject(new Error("lost"))', []],
    ['setImmediate(() => { throw "lost"; })', ['--json']],
  ])('takes what fails later in a config file for no answer: %s', async (code, options) => {
    const define = 'define: () => new Promise((resolve) => setTimeout(resolve, 300))';
    writeFileSync(join(folder, 'hanoi.config.mjs'), `${code}; export default { ${define} };`);
    const ended = await hanoi(['check', 'chat', 'ann', ...options]);
    expect([ended.code, ended.out]).toEqual([70, '']);
    expect(ended.err).toMatch(/^.*INTERNAL.*Something beside the command failed.*: lost.*\n$/);
    if (options.length > 0) expect(JSON.parse(ended.err).error.exitCode).toBe(70);
  });

  it('says where its output can not be written', async () => {
    if (!existsSync('/dev/full')) return;
    const full = openSync('/dev/full', 'w');
    try {
      const { child, ended } = start(['add', 'chat'], {}, full);
      child.stdin.end();
      expect(await ended).toMatchObject({
        ...{ code: 74, err: "hanoi: INTERNAL: The output can't be written (ENOSPC).\n" },
      });
      // It was done all the same.
      expect((await hanoi(['show', 'chat'])).code).toBe(0);
    } finally {
      closeSync(full);
    }
  });

  it('ends with what happened, for scripts', async () => {
    expect(await hanoi(['add', 'chat', '-p', '100'])).toMatchObject({ code: 0, err: '' });
    const ended = await Promise.all([
      hanoi(['check', 'chat', 'ann']),
      hanoi(['check', 'chat']),
      hanoi(['check', 'nope', 'ann']),
      hanoi(['percentage', 'chat', 'many']),
      hanoi(['add', 'chat']),
      hanoi(['list', '--url', 'redis://127.0.0.1:1']),
    ]);
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 3, 2, 4, 5]);
    const [, , missing, , , unreachable] = ended;
    expect(missing).toMatchObject({
      out: '',
      err: expect.stringMatching(/^hanoi: FEATURE_NOT_FOUND: .+\n$/),
    });
    expect(unreachable?.err).toMatch(/^hanoi: STORE_UNAVAILABLE: .+\n$/);
  });

  it('reads ids from stdin, and says nothing on a pipe while it does', async () => {
    const ids = Array.from({ length: 2_500 }, (_, n) => `user-${n}`).join('\n');
    const url = placeOf('stdin');
    await hanoi(['add', 'chat', '-u', url]);
    expect(await hanoi(['users', 'add', 'chat', '-u', url], ids)).toEqual({
      ...{ code: 0, signal: null, err: '' },
      out: 'chat: 2,500 ids were taken, 2,500 of them new.\n',
    });
  });

  it('ends quietly where nobody reads on', async () => {
    const members = Array.from({ length: 100_000 }, (_, n) => `user-${n}`);
    writeFileSync(
      join(folder, 'features.json'),
      JSON.stringify({ features: { chat: {} }, members: { chat: members } }),
    );
    const { child, ended } = start(['users', 'list', 'chat']);
    child.stdout.once('data', () => child.stdout.destroy());
    expect(await ended).toMatchObject({ code: 0, signal: null, err: '' });
  });

  it.each([
    ['check', ['check', 'chat', 'ann'], 1],
    ['check', ['check', 'other', 'ann'], 0],
    ['doctor', ['doctor'], 1],
    ['diff', ['diff', 'chat'], 1],
    ['users', ['users', 'add', 'chat', 'ann'], 0],
  ])('ends a %s as it would, where nobody reads: %j', async (_, args, code) => {
    await hanoi(['add', 'chat', '-p', '20', '--data', 'expiresAt=2026-01-01']);
    await hanoi(['add', 'other', '-p', '100']);
    const { child, ended } = start(args);
    child.stdout.destroy();
    child.stdin.end();
    expect(await ended).toMatchObject({ code, signal: null, err: '' });
  });

  it('says at Ctrl-C how far it came, and can go on', async () => {
    const url = placeOf('interrupted');
    await hanoi(['add', 'chat', '-u', url]);
    const { child, ended } = start(['users', 'add', 'chat', '-u', url, '--json']);
    // Stdin stays open: nobody knows how much is to come.
    child.stdin.write(Array.from({ length: 3_000 }, (_, n) => `user-${n}\n`).join(''));
    for (;;) {
      const { out } = await hanoi(['show', 'chat', '--json', '-u', url]);
      if (JSON.parse(out).members === 3_000) break;
    }
    child.kill('SIGINT');
    const { code, out, err } = await ended;
    expect([code, out]).toEqual([130, '']);
    expect(JSON.parse(err).error).toEqual({
      ...{ code: 'INTERRUPTED', exitCode: 130 },
      message:
        'Interrupted: 3,000 ids were taken, 3,000 of them new. Repeat the command: what is done is not done twice.',
    });
  });

  it('defines the groups and segments of a config file that is code', async () => {
    writeFileSync(
      join(folder, 'hanoi.config.mjs'),
      `export default {
        url: 'mine.json',
        define(rollout) {
          rollout.defineGroup('staff', (user) => user.id?.startsWith('staff-'));
          rollout.defineSegment('country', (user) => user.place);
        },
      };`,
    );
    const rules = [{ id: 'de', when: { segment: 'country', in: ['DE'] }, serve: 'on' }];
    const settings = JSON.stringify({ groups: ['staff'], rules });
    await hanoi(['add', 'chat', '--settings', settings]);
    const codes = await Promise.all([
      hanoi(['check', 'chat', 'staff-1', '-a', 'x=1']),
      hanoi(['check', 'chat', 'ann', '-a', 'place=DE']),
      hanoi(['check', 'chat', 'ann', '-a', 'place=FR']),
      hanoi(['doctor']),
    ]);
    expect(codes.map(({ code }) => code)).toEqual([0, 0, 1, 0]);
    expect(codes[3]?.out).toContain('mine.json: 1 features\n\nNothing was found.\n');
  });

  it.each([
    ['js', 'module.exports = { url: "own.json" };', 0, 'own.json'],
    ['mjs', 'throw new Error("broken");', 2, 'broken'],
    [
      'mjs',
      'export default { define() { throw new Error("no such table"); } };',
      2,
      'no such table',
    ],
    ['json', '{ "url": "redis://:hunter2@", }', 2, 'it is not JSON'],
  ])('takes a config file in .%s: %s', async (extension, text, code, said) => {
    writeFileSync(join(folder, `hanoi.config.${extension}`), text);
    const ended = await hanoi(['list']);
    expect(ended.code).toBe(code);
    expect(ended.err).toContain(said);
    expect(ended.err.trimEnd().split('\n')).toHaveLength(1);
    expect(ended.err).not.toContain('hunter2');
  });

  it('reads what is published at a URL, and writes nothing there', async () => {
    const everyone = answerWith('{ "features": { "chat": { "percentage": 100 } } }');
    const server = await HttpServer.start(everyone);
    try {
      const url = `${server.url.replace('http://', 'http://app:hunter2@')}/features.json?key=hunter2`;
      const [listed, refused] = await Promise.all([
        hanoi(['list', '-u', url]),
        hanoi(['disable', 'chat', '-u', url]),
      ]);
      expect(listed).toMatchObject({ code: 0, out: expect.stringContaining('everyone') });
      expect(refused).toMatchObject({ code: 2, err: expect.stringContaining('READ_ONLY') });
      server.answer = answerWith('{ "features": {} }');
      const empty = await hanoi(['list', '-u', url]);
      expect(empty.err).toContain('There are no features at http');
      expect(listed.err + refused.err + empty.err).not.toContain('hunter2');
    } finally {
      await server.stop();
    }
  });

  it('shows the token of the environment to an API, and to nobody else', async () => {
    const token = 'of-the-environment-0123456789abcdef';
    const everyone = '{ "features": { "chat": { "percentage": 100 } } }';
    const elsewhere = await HttpServer.start(answerWith(everyone));
    const api = await HttpServer.start((response, { url, headers }) => {
      if (url.startsWith('/moved')) {
        response.writeHead(302, { location: `${elsewhere.url}/v1/export` }).end();
        return;
      }
      const isKnown = headers.authorization === `Bearer ${token}`;
      response.writeHead(isKnown ? 200 : url.startsWith('/shop') ? 403 : 401);
      response.end(isKnown ? everyone : '');
    });
    const env = { HANOI_READ_TOKEN: token };
    const list = (url: string, given: object) => hanoi(['list', '-u', url], '', given);
    try {
      const [read, copied, ...refused] = await Promise.all([
        list(`${api.url}/shop/v1/export`, env),
        hanoi(['copy', `${api.url}/v1/export`, 'to.json'], '', env),
        list(`${api.url}/v1/export`, {}),
        list(`${api.url}/shop/v1/export`, { HANOI_READ_TOKEN: 'another' }),
        list(`${api.url}/features.json`, env),
        list(`${api.url.replace('http://', 'http://ann:pw@')}/v1/export`, env),
      ]);
      expect(read).toMatchObject({ code: 0, out: expect.stringContaining('everyone') });
      expect(copied).toMatchObject({ code: 0, out: 'copied     chat\n' });
      for (const { code, err } of refused) {
        expect(code).toBe(5);
        expect(err).toMatch(
          /^hanoi: STORE_DENIED: .+ answered 40[13]\. HANOI_READ_TOKEN takes .+\n$/,
        );
        expect(err).not.toMatch(/of-the-environment|another/);
      }
      expect(await list(`${api.url}/moved/v1/export`, env)).toMatchObject({ code: 0 });
      expect(elsewhere.asked.length).toBeGreaterThan(0);
      for (const { headers } of elsewhere.asked) expect(headers.authorization).toBeUndefined();
      const broken = await list(`${api.url}/v1/export`, { HANOI_READ_TOKEN: 'a b' });
      expect(broken).toMatchObject({ code: 2, err: expect.stringContaining('HANOI_READ_TOKEN') });
    } finally {
      await Promise.all([api.stop(), elsewhere.stop()]);
    }
  });

  it('serves, by the token that it prints or by those of the environment, until it is told to end', async () => {
    const url = placeOf('served');
    await hanoi(['add', 'chat', '-p', '100', '-u', url]);
    const statusOf = async (at: string, token: string, method = 'GET') => {
      const headers = { authorization: `Bearer ${token}` };
      return (await fetch(`${at}/v1/features/chat`, { method, headers })).status;
    };
    const given = 'of-the-environment-0123456789abcdef';
    const servers = [
      start(['serve', '--port', '0', '-u', url, '--json']),
      start(
        [
          ...['serve', '--port', '0', '-u', url, '--json', '--admin', '--anonymous', 'evaluate'],
          ...['--allow-host', 'flags.example.com', '--origin', 'https://app.example.com'],
        ],
        { HANOI_ADMIN_TOKEN: given, HANOI_EVALUATE_TOKEN: given.replace('of', 'by') },
      ),
    ];
    const [own, other] = await Promise.all(
      servers.map(async ({ child, said }) => {
        while (!said().includes('\n') && child.exitCode === null) await delay(20);
        return JSON.parse(said());
      }),
    );
    expect([await statusOf(own.url, own.token), await statusOf(own.url, given)]).toEqual([
      200, 401,
    ]);
    expect(own.url).not.toContain(own.token);
    expect(await statusOf(own.url, own.token, 'DELETE')).toBe(403);
    expect(other.token).toBeNull();
    expect(await statusOf(other.url, given.replace('of', 'by'))).toBe(403);
    const asked = (headers: { [name: string]: string }) =>
      new Promise<IncomingMessage>((resolve, reject) => {
        get(`${other.url}/health`, { headers, agent: false }, resolve).on('error', reject);
      });
    const [known, unknown] = await Promise.all([
      asked({ host: 'flags.example.com', origin: 'https://app.example.com' }),
      asked({ host: 'other.example.com' }),
    ]);
    expect([known.statusCode, unknown.statusCode]).toEqual([200, 421]);
    expect(known.headers['access-control-allow-origin']).toBe('https://app.example.com');
    const evaluated = await fetch(`${other.url}/ofrep/v1/evaluate/flags/chat`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: '{"context":{"targetingKey":"ann"}}',
    });
    expect(evaluated.status).toBe(200);
    expect(await statusOf(other.url, given)).toBe(200);
    for (const { child } of servers) child.kill('SIGTERM');
    for (const { ended } of servers) expect(await ended).toMatchObject({ code: 0, err: '' });
    const open = await hanoi(['serve', '--host', '0.0.0.0', '--port', '0', '-u', url]);
    expect(open).toMatchObject({ code: 2, err: expect.stringContaining('INVALID_ARGUMENT') });
  });
});
