import { Agent, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { createHandler, type HttpHandler, type HttpOptions } from '../../../lib/http/index.js';
import { type Backend, Rollout } from '../../../lib/index.js';
import { ALL_TOKENS, TOKENS } from '../client.js';
import { Contract } from '../documented.js';

/** An app that a handler is mounted in, listening on loopback. */
export interface Mounted {
  readonly port: number;
  close(): Promise<unknown>;
}

/** One way of mounting; at the path, or at the root where that is empty. */
export interface Way {
  /** Where it is mounted. Default the root. */
  readonly path?: string;
  /** What the handler has to be told. */
  readonly options?: HttpOptions;
  mount(handler: HttpHandler): Promise<Mounted>;
  /** Where the app has its features, if it runs elsewhere, with a handler of its own. */
  readonly backend?: () => Backend;
  /** It also takes what is far too long: that is slow. */
  readonly isFlooded?: true;
  /** By the name of a test: the type of a 400 that the app gives there, before a request comes here. */
  readonly refusesItself?: Readonly<Record<string, string>>;
  /** What a request comes through takes `.` and `..` out of paths: another one is asked for. */
  readonly isNormalizing?: true;
}

export async function listening(server: Server): Promise<Mounted> {
  if (!server.listening) await new Promise((resolve) => server.once('listening', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      return closed;
    },
  };
}

interface Asked {
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly agent?: Agent;
}

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: of each operation another
  readonly body: any;
  readonly isReused: boolean;
}

/** Of each handler that is mounted. */
export const OPTIONS = { mode: 'admin', tokens: ALL_TOKENS, writesPerMinute: 1_000 } as const;

const ADMIN = { authorization: `Bearer ${TOKENS.admin}` };
const JSON_TYPE = { 'content-type': 'application/json' };

/** Of a body that is far too long. */
const LONG = 100 * 1024 * 1024;
/** By so much the memory of this process, which is the client too, may grow meanwhile. */
const GROWTH = 64 * 1024 * 1024;

/** Names that paths, queries and parsers are tempted to change. */
const NAMES = [
  'a/b',
  'ünï ☃ 𝒳',
  '%25',
  '%2525',
  '100%',
  'a+b c',
  'a?b#c&d=e',
  '..a',
  'a\\b',
  "it's;(x),",
];

/** What holds in whatever a handler is mounted in. */
export function itServes(name: string, way: Way): void {
  const { path = '', refusesItself = {} } = way;

  describe(`mounted in ${name}`, () => {
    let rollout: Rollout;
    let handler: HttpHandler;
    let contract: Contract;
    let app: Mounted;
    /** Of the test that runs: the type of what the app refuses itself, and how often it did. */
    let own: { readonly type: string | undefined; count: number };
    const errors: unknown[] = [];
    const logged: jest.SpyInstance[] = [];

    beforeAll(async () => {
      rollout = new Rollout(way.backend?.());
      handler = createHandler(rollout, {
        ...OPTIONS,
        onError: (error) => errors.push(error),
        ...way.options,
      });
      contract = await Contract.of(handler, `http://localhost${way.options?.basePath ?? ''}`);
      app = await way.mount(handler);
      for (const level of ['log', 'info', 'warn', 'error'] as const) {
        logged.push(jest.spyOn(console, level));
      }
    });
    afterAll(async () => {
      await app.close();
      await rollout.close();
      const said = logged.flatMap(({ mock }) => mock.calls);
      for (const each of logged.splice(0)) each.mockRestore();
      expect({ said, errors }).toEqual({ said: [], errors: [] });
    });
    beforeEach(async () => {
      for (const { name: each } of await rollout.features()) await rollout.remove(each);
      await rollout.addFeature('chat', { percentage: 10 });
    });

    /** Asks by node:http, which changes nothing of the path, and holds the answer to the document. */
    const ask = (asked: string, { body, headers, agent }: Asked = {}): Promise<Reply> =>
      new Promise((resolve, reject) => {
        const [method = '', target = ''] = asked.split(/ (.*)/);
        const isRaw = body === undefined || typeof body === 'string' || body instanceof Uint8Array;
        const sent = isRaw ? body : JSON.stringify(body);
        const request = httpRequest(
          {
            ...{ port: app.port, host: '127.0.0.1', method, path: `${path}${target}` },
            ...(agent === undefined ? { agent: false } : { agent }),
            headers: { ...ADMIN, ...(body !== undefined && JSON_TYPE), ...headers },
          },
          async (response) => {
            let text = '';
            for await (const chunk of response.setEncoding('utf8')) text += chunk;
            const status = response.statusCode ?? 0;
            const get = (header: string) => {
              const value = response.headers[header.toLowerCase()];
              return value === undefined ? null : String(value);
            };
            try {
              if (status === 400 && get('content-type') === own.type) own.count++;
              else contract.check(method, target, { status, headers: { get }, text });
              const isJson = /json/.test(get('content-type') ?? '') && text !== '';
              const parsed = isJson ? JSON.parse(text) : undefined;
              const { reusedSocket: isReused } = request;
              resolve({ status, headers: response.headers, text, body: parsed, isReused });
            } catch (error) {
              reject(error);
            }
          },
        );
        request.once('error', reject);
        request.end(sent);
      });

    const test = (title: string, fn: () => Promise<void>) => {
      it(title, async () => {
        own = { type: refusesItself[title], count: 0 };
        await fn();
        expect(own.count > 0).toBe(own.type !== undefined);
      });
    };

    test('writes and reads by JSON', async () => {
      const added = await ask('POST /v1/features', { body: { name: 'search', data: { ü: '☃' } } });
      expect([added.status, added.body.data]).toEqual([201, { ü: '☃' }]);
      const patched = await ask('PATCH /v1/features/search', { body: { percentage: 12.5 } });
      expect([patched.status, patched.body.percentage]).toEqual([200, 12.5]);
      const decided = await ask('POST /v1/features/search/decide', { body: { subject: 42 } });
      expect([decided.status, decided.body.feature]).toEqual([200, 'search']);
      const switched = await ask('POST /v1/features/search/disable');
      expect([switched.status, switched.body.enabled]).toEqual([200, false]);
      expect((await ask('DELETE /v1/features/search')).status).toBe(204);
      expect((await rollout.history('search'))[0]?.actor).toBe('the admin token');
    });

    test('says where what was added is, so that it is found there', async () => {
      const added = await ask('POST /v1/features', { body: { name: 'a/b' } });
      const base = `http://127.0.0.1:${app.port}${path}`;
      const there = new URL(added.headers.location ?? '', `${base}/v1/features`);
      expect(there.pathname).toBe(`${path}/v1/features/a%2Fb`);
      const read = await fetch(there, { headers: ADMIN });
      expect(((await read.json()) as { name: string }).name).toBe('a/b');
    });

    test('decodes each segment of a path once', async () => {
      for (const each of [...NAMES, '☃'.repeat(200)]) {
        const encoded = encodeURIComponent(each);
        await ask('POST /v1/features', { body: { name: each } });
        const { status, body } = await ask(`GET /v1/features/${encoded}`);
        expect([each, status, body.name]).toEqual([each, 200, each]);
        const users = await ask(`POST /v1/features/${encoded}/users`, { body: { users: ['ann'] } });
        expect(users.body.changed).toBe(1);
      }
      const { body } = await ask(`GET /v1/features?prefix=${encodeURIComponent('a+b ')}`);
      expect(body.features).toMatchObject([{ name: 'a+b c' }]);
    });

    test('refuses a path that cannot be read', async () => {
      for (const segment of ['%', '%zz', '%ff', '%c3%28']) {
        for (const asked of [
          `GET /v1/features/${segment}`,
          `DELETE /v1/features/chat/rules/${segment}`,
        ]) {
          const { status } = await ask(asked);
          expect([asked, status]).toEqual([asked, 400]);
        }
      }
    });

    test('refuses a path with control characters', async () => {
      for (const segment of ['%00', 'a%0Ab', '%1F', '%7f', '%c2%85']) {
        const { status } = await ask(`GET /v1/features/${segment}`);
        expect([segment, status]).toEqual([segment, 400]);
      }
      // What is stored beside features, under names with a control character.
      await rollout.addToGroup('friends', ['ann']);
      expect((await ask('DELETE /v1/features/group%1Ffriends')).status).toBe(400);
      expect(await rollout.countGroup('friends')).toBe(1);
    });

    test('refuses a path that would become another', async () => {
      for (const segment of ['.', '..', '%2e%2E', '.%2e']) {
        for (const asked of [
          `GET /v1/features/${segment}/history`,
          `DELETE /v1/groups/${segment}`,
        ]) {
          const { status, body } = await ask(asked);
          const [expected, code] = way.isNormalizing
            ? [404, expect.stringMatching(/^NO_SUCH_ROUTE$|^FEATURE_NOT_FOUND$/)]
            : [400, 'INVALID_REQUEST'];
          expect([asked, status, body.code]).toEqual([asked, expected, code]);
        }
      }
    });

    test('answers HEAD as GET, without a body', async () => {
      const get = await ask('GET /v1/features/chat');
      const head = await ask('HEAD /v1/features/chat');
      expect([head.status, head.text]).toEqual([200, '']);
      expect(head.headers.etag).toBe(get.headers.etag);
      expect((await ask('HEAD /v1/features/none')).status).toBe(404);
    });

    test('tells what there is not from what is not done there', async () => {
      const missing = await ask('GET /v1/nothing');
      expect([missing.status, missing.body.code]).toEqual([404, 'NO_SUCH_ROUTE']);
      expect(missing.headers['content-type']).toBe('application/problem+json');
      const wrong = await ask('PUT /v1/features', { body: {} });
      expect([wrong.status, wrong.body.code]).toEqual([405, 'METHOD_NOT_ALLOWED']);
      expect(wrong.headers.allow).toBe('HEAD, GET, POST');
      expect((await ask('GET /v1/features/none')).body).toMatchObject({
        code: 'FEATURE_NOT_FOUND',
        feature: 'none',
      });
    });

    test('shows its page at the mount itself, with and without a slash, with all that it needs', async () => {
      for (const each of ['', '/']) {
        const { status, text } = await ask(`GET ${each}`);
        expect([each, status]).toEqual([each, 200]);
        const needed = [...text.matchAll(/(?:<link [^>]*href|<script [^>]*src)="([^"]+)"/g)];
        expect(needed.length).toBeGreaterThan(1);
        for (const [, href = ''] of needed) {
          const there = new URL(href, `http://127.0.0.1:${app.port}${path}${each}`);
          expect([href, (await fetch(there)).status]).toEqual([href, 200]);
        }
      }
    });

    test('takes the forms of its page', async () => {
      const shown = await ask('GET /sign-in', { headers: { authorization: '' } });
      const cookie = String(shown.headers['set-cookie']).split(';')[0] ?? '';
      const [, form = ''] = /name="form" value="([^"]+)"/.exec(shown.text) ?? [];
      const body = new URLSearchParams({ form, secret: TOKENS.read, next: '/' }).toString();
      const headers = { 'content-type': 'application/x-www-form-urlencoded', cookie };
      const { status, headers: told } = await ask('POST /sign-in', { body, headers });
      expect([status, told.location]).toEqual([303, `${path}/`]);
      expect(told['set-cookie']?.join()).toMatch(/^hanoi_session=/);
    });

    test('writes what has been seen alone, by ETag and If-Match', async () => {
      const { headers } = await ask('GET /v1/features/chat');
      const seen = { 'if-match': String(headers.etag) };
      expect((await ask('POST /v1/features/chat/activate', { headers: seen })).status).toBe(200);
      const stale = await ask('PATCH /v1/features/chat', {
        body: { percentage: 1 },
        headers: seen,
      });
      expect([stale.status, stale.body.code]).toEqual([412, 'CONFLICT']);
      expect((await rollout.get('chat'))?.percentage).toBe(100);
      const known = { 'if-none-match': String((await ask('GET /v1/features/chat')).headers.etag) };
      expect((await ask('GET /v1/features/chat', { headers: known })).status).toBe(304);
    });

    test('refuses what is no JSON, or too deep, or twice, with what is wrong', async () => {
      const deep = '['.repeat(30_000) + ']'.repeat(30_000);
      for (const body of [
        '',
        '{',
        '{"name":}',
        'null',
        '[]',
        '"a"',
        deep,
        Buffer.from([0x22, 0xff, 0x22]),
      ]) {
        const { status } = await ask('POST /v1/features', { body });
        expect([body.toString().slice(0, 20), status]).toEqual([body.toString().slice(0, 20), 400]);
      }
      const named = await ask('POST /v1/features', { body: { name: 'x', percentage: 101 } });
      expect([named.status, named.body.path]).toEqual([400, 'percentage']);
      const unknown = await ask('POST /v1/features', { body: { name: 'x', color: 'red' } });
      expect(unknown.status).toBe(400);
      expect(await rollout.features()).toHaveLength(1);
    });

    test('takes JSON alone', async () => {
      const body = '{"name":"x"}';
      for (const type of [
        'text/plain',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x',
        'application/jsonp',
      ]) {
        const { status } = await ask('POST /v1/features', {
          body,
          headers: { 'content-type': type },
        });
        expect([type, status]).toEqual([type, 415]);
      }
      const type = { 'content-type': 'application/json; charset=utf-8' };
      expect((await ask('POST /v1/features', { body, headers: type })).status).toBe(201);
    });

    test('refuses bodies by the bytes that came', async () => {
      const most = 65_536;
      const padded = (bytes: number) => {
        const start = '{"name":"x","data":{"text":"';
        const rest = bytes - start.length - 3;
        return `${start}${'é'.repeat(Math.floor(rest / 2))}${rest % 2 === 1 ? 'x' : ''}"}}`;
      };
      expect(Buffer.byteLength(padded(most))).toBe(most);
      const chunked = { 'transfer-encoding': 'chunked' };
      for (const headers of [{}, chunked]) {
        const large = await ask('POST /v1/features', { body: padded(most + 1), headers });
        expect([large.status, large.body.code]).toEqual([413, 'TOO_LARGE']);
        expect(await rollout.get('x')).toBeUndefined();
        expect((await ask('POST /v1/features', { body: padded(most), headers })).status).toBe(201);
        await rollout.remove('x');
      }
    });

    const flooding = 'takes 100 MB for no more than what it refuses';
    (way.isFlooded ? test : () => {})(flooding, async () => {
      for (const framing of [
        `content-length: ${LONG}`,
        'transfer-encoding: chunked',
        'content-length: 60000\r\n',
      ]) {
        const socket = await opened(app.port);
        try {
          const { answer, growth } = await flooded(socket, path, framing);
          expect(growth).toBeLessThan(GROWTH);
          // Of a length that lies, the rest is no request.
          const expected = framing.includes('60000') ? /^HTTP\/1\.1 400 / : /^HTTP\/1\.1 413 /;
          expect(answer).toMatch(expected);
        } finally {
          socket.destroy();
        }
      }
      expect((await ask('GET /v1/features/chat')).status).toBe(200);
    });

    test('goes on when clients hang up in the middle', async () => {
      const head = [
        ...[`POST ${path}/v1/features HTTP/1.1`, `host: 127.0.0.1:${app.port}`],
        ...[`authorization: ${ADMIN.authorization}`, 'content-type: application/json'],
      ].join('\r\n');
      for (const cut of [
        `${head}\r\ncontent-length: 20\r\n\r\n{"na`,
        `${head}\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"nam`,
        `${head}\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`,
        `${head}\r\nconte`,
      ]) {
        for (const end of ['destroy', 'resetAndDestroy', 'end'] as const) {
          const socket = await opened(app.port);
          await new Promise((resolve) => socket.write(cut, resolve));
          await delay(2);
          const closed = new Promise((resolve) => socket.once('close', resolve));
          socket.resume();
          socket[end]();
          await closed;
        }
      }
      expect((await ask('GET /v1/features/chat')).status).toBe(200);
      expect(await rollout.features()).toHaveLength(1);
    });

    test('keeps a connection after an answer that came before the body was read', async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      try {
        const body = { name: 'x'.repeat(60_000) };
        const early = { body, headers: { authorization: 'Bearer wrong' }, agent };
        const first = await ask('POST /v1/features/chat/decide', {
          ...early,
          headers: { 'content-type': 'text/plain' },
        });
        expect(first.status).toBe(415);
        const next = await ask('GET /v1/features/chat', { agent });
        expect([next.status, next.isReused]).toEqual([200, true]);
      } finally {
        agent.destroy();
      }
    });

    test('counts failures by the address of the other end', async () => {
      const wrong = { headers: { authorization: 'Bearer wrong' } };
      const statuses: number[] = [];
      for (let n = 0; n < 11; n++) statuses.push((await ask('GET /v1/features', wrong)).status);
      expect(statuses).toEqual([...new Array(10).fill(401), 429]);
      // Of others, nothing is counted.
      expect((await ask('GET /v1/features')).status).toBe(200);
      const elsewhere = { address: '192.0.2.7' };
      const base = way.options?.basePath ?? '';
      const request = new Request(`http://localhost${base}/v1/features`, wrong);
      expect((await handler.fetch(request, elsewhere)).status).toBe(401);
    });
  });
}

function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
  });
}

/** Sends 100 MB, as far as they are taken; what was answered, and by how much memory grew. */
async function flooded(
  socket: Socket,
  path: string,
  framing: string,
): Promise<{ answer: string; growth: number }> {
  let answer = '';
  let isClosed = false;
  const before = process.memoryUsage().rss;
  let most = before;
  socket.on('data', (data) => {
    answer += data;
  });
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      isClosed = true;
      resolve();
    });
  });
  // It may well be that the other end has had enough.
  socket.on('error', () => {});
  socket.write(
    [
      ...[
        `POST ${path}/v1/features HTTP/1.1`,
        'host: localhost',
        `authorization: ${ADMIN.authorization}`,
      ],
      ...['content-type: application/json', framing.trim(), '', ''],
    ].join('\r\n'),
  );
  const part = Buffer.alloc(64 * 1024, 'x');
  const chunk = framing.startsWith('transfer')
    ? Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')])
    : part;
  for (let sent = 0; sent < LONG && !isClosed; sent += part.length) {
    if (!socket.write(chunk)) {
      await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
      most = Math.max(most, process.memoryUsage().rss);
    }
  }
  if (chunk !== part && !isClosed) socket.write('0\r\n\r\n');
  for (let waited = 0; answer === '' && waited < 200; waited++) await delay(5);
  return { answer, growth: most - before };
}
