import http, { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { type Served, type ServeOptions, serve } from '../../lib/http/index.js';
import { Rollout } from '../../lib/index.js';

const TOKEN = 'evaluate-0123456789abcdef0123456789abcdef';

interface Answered {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** As `fetch`, but for headers that it does not let one say. */
function ask(url: string, headers: Record<string, string> = {}, agent?: Agent): Promise<Answered> {
  return new Promise((resolve, reject) => {
    httpRequest(url, { headers, ...(agent && { agent }) }, async (response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode, headers: response.headers, text });
    })
      .once('error', reject)
      .end();
  });
}

describe('serve', () => {
  let rollout: Rollout;
  const running: Served[] = [];
  const start = async (options: ServeOptions = {}): Promise<Served> => {
    const served = await serve(rollout, { port: 0, ...options });
    running.push(served);
    return served;
  };

  beforeEach(async () => {
    rollout = new Rollout();
    await rollout.addFeature('chat', { percentage: 100 });
  });
  afterEach(async () => {
    for (const served of running.splice(0)) await served.close();
    await rollout.close();
  });

  describe('on loopback, where nobody is named who may come in', () => {
    it('makes a token of 32 random bytes, another each time, and lets in by it alone', async () => {
      const [one, other] = [await start(), await start()];
      expect(one.token).toMatch(/^[\w-]{43}$/);
      expect(other.token).not.toBe(one.token);
      const asked = `${one.url}/v1/features/chat`;
      expect((await ask(asked, { authorization: `Bearer ${one.token}` })).status).toBe(200);
      expect((await ask(asked, { authorization: `Bearer ${other.token}` })).status).toBe(401);
      expect((await ask(asked)).status).toBe(401);
      expect(one.url).not.toContain(one.token);
    });

    it('writes nothing, unless it is told to', async () => {
      const write = async ({ url, token }: Served) => {
        const init = { method: 'POST', headers: { authorization: `Bearer ${token}` } };
        return (await fetch(`${url}/v1/features/chat/disable`, init)).status;
      };
      expect(await write(await start())).toBe(403);
      expect(await rollout.isEnabled('chat')).toBe(true);
      expect(await write(await start({ mode: 'admin' }))).toBe(200);
      expect(await rollout.isEnabled('chat')).toBe(false);
    });

    it('makes none where somebody is named', async () => {
      const tokens = [{ token: TOKEN, access: 'read' as const }];
      expect((await start({ tokens })).token).toBeUndefined();
      expect((await start({ authorize: () => undefined })).token).toBeUndefined();
    });
  });

  describe('off loopback', () => {
    it.each(['0.0.0.0', '::', 'flags.example.com', '10.0.0.1'])(
      'does not start on %s where nobody is named who may come in',
      async (host) => {
        for (const options of [{}, { tokens: [] }, { anonymous: 'evaluate' as const }]) {
          await expect(serve(rollout, { host, port: 0, ...options })).rejects.toMatchObject({
            code: 'INVALID_ARGUMENT',
            message: expect.stringContaining('`tokens` or `authorize`'),
          });
        }
      },
    );

    it('answers under all addresses of the machine, and under no other name', async () => {
      const tokens = [{ token: TOKEN, access: 'read' as const }];
      const { url } = await start({ host: '0.0.0.0', tokens, hosts: ['flags.example.com'] });
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
      const { port } = new URL(url);
      const own = Object.values(networkInterfaces())
        .flatMap((each) => each ?? [])
        .filter(({ family }) => family === 'IPv4')
        .map(({ address }) => `${address}:${port}`);
      for (const host of [...own, `localhost:${port}`, 'flags.example.com']) {
        expect([host, (await ask(`${url}/health`, { host })).status]).toEqual([host, 200]);
      }
      expect((await ask(`${url}/health`, { host: 'evil.example' })).status).toBe(421);
    });
  });

  it.each([
    ['127.0.0.1', 'http://127.0.0.1'],
    ['localhost', 'http://localhost'],
    ['127.0.0.2', 'http://127.0.0.2'],
  ])('says where it listens, on %s, and answers there', async (host, expected) => {
    const { url } = await start({ host, basePath: '/flags' });
    expect(url).toMatch(new RegExp(`^${expected}:\\d+/flags$`));
    expect((await ask(`${url}/health`)).status).toBe(200);
  });

  it('is reached by the names of loopback with its port, and by no other', async () => {
    const { url } = await start({ hosts: ['flags.example.com'] });
    const { port } = new URL(url);
    const statusOf = async (host: string) => (await ask(`${url}/health`, { host })).status;
    for (const host of [`localhost:${port}`, `LOCALHOST:${port}`, `[::1]:${port}`]) {
      expect([host, await statusOf(host)]).toEqual([host, 200]);
    }
    expect(await statusOf('flags.example.com')).toBe(200);
    for (const host of ['localhost', 'localhost:1', `evil.example:${port}`, `localhost.:${port}`]) {
      expect([host, await statusOf(host)]).toEqual([host, 421]);
    }
  });

  it.each([
    [{ prot: 1 }, 'prot'],
    [{ host: '' }, '`host`'],
    [{ port: -1 }, '`port`'],
    [{ port: 65_536 }, '`port`'],
    [{ maxConnections: 0 }, '`maxConnections`'],
    [{ closeTimeoutMs: 0.5 }, '`closeTimeoutMs`'],
    [{ mode: 'all' }, '`mode`'],
    [{ hosts: 'a' }, '`hosts`'],
  ])('refuses %j', async (options, named) => {
    await expect(
      serve(rollout, { port: 0, ...options } as unknown as ServeOptions),
    ).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(named),
    });
  });

  it('says of a port that is taken what to do', async () => {
    const { url } = await start();
    await expect(serve(rollout, { port: Number(new URL(url).port) })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/EADDRINUSE.*Choose another/),
    });
  });

  it('takes no more connections than it is told', async () => {
    const { url } = await start({ maxConnections: 1 });
    const first = await opened(Number(new URL(url).port));
    try {
      await expect(ask(`${url}/health`)).rejects.toThrow();
    } finally {
      first.destroy();
    }
  });

  it('waits for no slow client: headers come within 5 s, and all else in a time of its own', async () => {
    const created = jest.spyOn(http, 'createServer');
    const { url } = await start();
    const [server] = created.mock.results;
    created.mockRestore();
    expect(server?.value).toMatchObject({
      ...{ headersTimeout: 5_000, requestTimeout: 10_000 },
      ...{ keepAliveTimeout: 65_000, timeout: 120_000 },
    });
    const begun = performance.now();
    const socket = await opened(Number(new URL(url).port));
    try {
      socket.write('GET /health HTTP/1.1\r\nhost:');
      let answered = '';
      for await (const chunk of socket) answered += chunk;
      expect(answered).toMatch(/^HTTP\/1\.1 408 /);
      expect(performance.now() - begun).toBeLessThan(15_000);
    } finally {
      socket.destroy();
    }
  }, 30_000);

  describe('closing', () => {
    it('lets a request come to its end, ends idle connections, and takes no more', async () => {
      let release = () => {};
      const asked = new Promise<void>((resolve) => {
        release = resolve;
      });
      let isAsked = () => {};
      const begun = new Promise<void>((resolve) => {
        isAsked = resolve;
      });
      const served = await start({
        authorize: async () => {
          isAsked();
          await asked;
          return { access: 'read', actor: 'ann' };
        },
      });
      const agent = new Agent({ keepAlive: true });
      try {
        await ask(`${served.url}/health`, {}, agent);
        const answer = ask(`${served.url}/v1/features/chat`, {}, agent);
        await begun;
        const closing = served.close();
        expect(served.close()).toBe(closing);
        await expect(ask(`${served.url}/health`)).rejects.toThrow('ECONNREFUSED');
        release();
        expect((await answer).status).toBe(200);
        await closing;
      } finally {
        release();
        agent.destroy();
      }
    });

    it('waits no longer than its deadline for those who send nothing more', async () => {
      const served = await start({ closeTimeoutMs: 50 });
      const socket = await opened(Number(new URL(served.url).port));
      try {
        const { host } = new URL(served.url);
        const head = [
          ...['POST /v1/features/chat/decide HTTP/1.1', `host: ${host}`],
          ...[`authorization: Bearer ${served.token}`, 'content-type: application/json'],
          ...['content-length: 9', '', '{'],
        ];
        socket.write(head.join('\r\n'));
        await delay(20);
        let answered = '';
        socket.on('data', (chunk) => {
          answered += chunk;
        });
        const ended = new Promise((resolve) => socket.once('close', resolve));
        await served.close();
        await ended;
        expect(answered).toBe('');
      } finally {
        socket.destroy();
      }
    });

    it('leaves the rollout open', async () => {
      const served = await start();
      await served.close();
      expect(await rollout.isEnabled('chat')).toBe(true);
    });
  });
});

function opened(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket));
    socket.on('error', reject);
  });
}
