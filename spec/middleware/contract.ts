import { Agent, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisBackend } from '../../lib/backends/redis/index.js';
import { Rollout } from '../../lib/index.js';
import { useMonitoredRedis } from '../redis-monitor.js';
import { freePort } from '../redis-server.js';

/** What a framework serves for the specs: `POST /` with a JSON body. */
export interface Served {
  readonly rollout: Rollout;
  /** Mounted as the app's middleware, given the value of the header `x-user`. */
  readonly subjectOf: (
    user: string | undefined,
  ) => Promise<string | undefined> | string | undefined;
  /** Called with the parsed body; its result is answered as JSON. */
  readonly handler: (body: { text: string }) => Promise<unknown>;
  /** Called by the app's own error handling, which answers 500 with the message as JSON. */
  readonly onError: (error: unknown) => void;
}

/** One way of putting a framework together; resolves once it listens on loopback. */
export type Serve = (served: Served) => Promise<Server>;

/** A body of many chunks. */
const TEXT_LENGTH = 600_000;
const BODY = JSON.stringify({ text: 'x'.repeat(TEXT_LENGTH) });

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

export function listening(server: Server): Promise<Server> {
  return new Promise((resolve) => server.once('listening', () => resolve(server)));
}

/** Posts as this user, a long body in pieces. */
export function post(
  server: Server,
  user: string | undefined,
  options: { agent?: Agent; body?: string | Buffer; type?: string } = {},
): Promise<{ status: number | undefined; body: unknown }> {
  const { agent = false, body = BODY, type = 'application/json' } = options;
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      port: portOf(server),
      host: '127.0.0.1',
      method: 'POST',
      agent,
      headers: { 'content-type': type, ...(user !== undefined && { 'x-user': user }) },
    });
    const read = async (response: IncomingMessage) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      return { status: response.statusCode, body: JSON.parse(text) };
    };
    request.once('response', (response) => read(response).then(resolve, reject));
    request.once('error', reject);
    if (body.length < 1_000) {
      request.end(body);
      return;
    }
    const half = Math.ceil(body.length / 2);
    request.write(body.slice(0, half), () => {
      setTimeout(() => request.end(body.slice(half)), 2);
    });
  });
}

/** What every middleware keeps, in each of the ways in which its framework can be put together. */
export function itPinsRequests(ways: Record<string, Serve>): void {
  const redis = useMonitoredRedis();
  let rollout: Rollout;
  let other: Rollout;
  beforeEach(async () => {
    await redis.client.flushall();
    rollout = new Rollout(new RedisBackend(redis.client));
    other = new Rollout(new RedisBackend(redis.client));
    await other.addFeature('odd', { patterns: [/[13579]$/] });
    await other.addFeature('everyone', { percentage: 100 });
    await rollout.snapshot(undefined); // holds the definitions
  });
  afterEach(async () => {
    await rollout.close();
    await other.close();
  });

  describe.each(Object.entries(ways))('given %s', (_, serve) => {
    const running: Server[] = [];
    const start = async (served: Partial<Served>): Promise<Server> => {
      const server = await serve({
        rollout,
        subjectOf: (user) => user,
        handler: async () => null,
        onError: () => {},
        ...served,
      });
      running.push(server);
      return server;
    };
    afterEach(async () => {
      for (const server of running.splice(0)) {
        await new Promise((resolve) => server.close(resolve));
      }
    });

    it('answers a whole request from one revision, and the next from the next', async () => {
      const server = await start({
        handler: async ({ text }) => {
          const ask = async () => [
            rollout.isEnabledSync('odd'),
            await rollout.isEnabled('odd', 'user-1'),
          ];
          const before = await ask();
          await other.deactivate('odd');
          await delay(5);
          return [text.length, rollout.currentSubject(), ...before, ...(await ask())];
        },
      });
      const about = [TEXT_LENGTH, 'user-1'];
      expect((await post(server, 'user-1')).body).toEqual([...about, true, true, true, true]);
      expect((await post(server, 'user-1')).body).toEqual([...about, false, false, false, false]);
    });

    it('asks Redis once a request', async () => {
      const server = await start({
        handler: async () => {
          await rollout.isEnabled('odd');
          await rollout.variant('everyone');
          await rollout.decide('nothing');
          return rollout.snapshot();
        },
      });
      const commands = await redis.sent(async () => {
        expect((await post(server, 'user-1')).body).toEqual({
          odd: { enabled: true, value: true },
          everyone: { enabled: true, value: true },
        });
      });
      expect(commands.map(([name]) => name)).toEqual(['evalsha']);
    });

    it('keeps requests apart that overlap, also one after the other on a connection', async () => {
      let open = 0;
      let most = 0;
      const server = await start({
        subjectOf: async (user) => {
          await delay(Math.random() * 5);
          return user;
        },
        handler: async () => {
          most = Math.max(most, ++open);
          const seen = [rollout.currentSubject(), rollout.isEnabledSync('odd')];
          await delay(Math.random() * 20);
          seen.push(rollout.currentSubject(), await rollout.isEnabled('odd'));
          open--;
          return seen;
        },
      });
      const agent = new Agent({ keepAlive: true, maxSockets: 20 });
      try {
        const answers = await Promise.all(
          Array.from({ length: 60 }, (_, n) => post(server, `user-${n}`, { agent })),
        );
        expect(answers.map(({ body }) => body)).toEqual(
          Array.from({ length: 60 }, (_, n) => {
            const isOdd = n % 2 === 1;
            return [`user-${n}`, isOdd, `user-${n}`, isOdd];
          }),
        );
        expect(most).toBeGreaterThan(3);
      } finally {
        agent.destroy();
      }
    });

    it('keeps requests apart that come in one packet', async () => {
      const server = await start({
        handler: async ({ text }) => {
          await delay(2);
          return [rollout.currentSubject() ?? null, rollout.isEnabledSync('odd'), text];
        },
      });
      const users = ['user-1', 'user-2', undefined, 'user-3', 'user-4'];
      const requests = users.map((user, n) => {
        const body = JSON.stringify({ text: `${n}` });
        const headers = [
          'POST / HTTP/1.1',
          'host: a',
          'content-type: application/json',
          `content-length: ${body.length}`,
          ...(user === undefined ? [] : [`x-user: ${user}`]),
          ...(n === users.length - 1 ? ['connection: close'] : []),
        ];
        return `${headers.join('\r\n')}\r\n\r\n${body}`;
      });
      const socket = connect(portOf(server), '127.0.0.1');
      try {
        socket.write(requests.join(''));
        let text = '';
        for await (const chunk of socket) text += chunk;
        expect(text.match(/\[[^\]]*\]/g)?.map((each) => JSON.parse(each))).toEqual(
          users.map((user, n) => [user ?? null, /[13]$/.test(user ?? ''), `${n}`]),
        );
      } finally {
        socket.destroy();
      }
    });

    it('takes a request without a subject for nobody, pinned too', async () => {
      const server = await start({
        handler: async () => {
          await other.disable('everyone');
          return [
            rollout.currentSubject() === undefined,
            rollout.isEnabledSync('odd'),
            rollout.isEnabledSync('everyone'),
            await rollout.isEnabled('everyone', undefined),
          ];
        },
      });
      expect((await post(server, undefined)).body).toEqual([true, false, true, true]);
    });

    const throwing = () => {
      throw new Error('who?');
    };
    it.each([
      ['throws', throwing, 'who?'],
      ['rejects', async () => throwing(), 'who?'],
      [
        'rejects with nothing',
        () => Promise.reject(undefined),
        'Reading the subject of a request threw what is no error. See `cause`.',
      ],
    ])('leaves it to the error handling where the subject %s', async (_, subjectOf, message) => {
      let calls = 0;
      const errors: unknown[] = [];
      const server = await start({
        subjectOf,
        handler: async () => ++calls,
        onError: (error) => errors.push([(error as Error).message, rollout.currentSubject()]),
      });
      // Short: a server may close on what it has not read.
      expect(await post(server, 'user-1', { body: '{"text":""}' })).toEqual({
        status: 500,
        body: { error: message },
      });
      expect(calls).toBe(0);
      expect(errors).toEqual([[message, undefined]]);
    });

    it('leaves errors of the handler to the error handling, once', async () => {
      const errors: unknown[] = [];
      const failure = new Error('failing');
      const server = await start({
        handler: async () => {
          await delay(1);
          throw failure;
        },
        onError: (error) => errors.push(error),
      });
      expect(await post(server, 'user-1')).toEqual({ status: 500, body: { error: 'failing' } });
      expect(errors).toEqual([failure]);
    });

    it('goes on where the store is down, closed and saying why', async () => {
      const client = new Redis(await freePort(), { lazyConnect: true });
      const down = new Rollout(new RedisBackend(client, { timeoutMs: 100 }));
      try {
        const server = await start({
          rollout: down,
          handler: async () => [down.currentSubject(), down.decideSync('everyone').code],
        });
        expect((await post(server, 'user-1')).body).toEqual(['user-1', 'STORE_UNAVAILABLE']);
      } finally {
        await down.close();
        client.disconnect();
      }
    });
  });
}

/** Refused when it is set up, not at the first request. */
export function itRefusesWhatItCanNotTake(
  make: (rollout: never, subjectOf: never) => unknown,
): void {
  const subject = (): string => 'ann';
  it.each([
    ['no rollout', {}, subject],
    ['nothing', undefined, subject],
    ['no function', new Rollout(), 'user'],
  ])('refuses %s when it is set up', (_, rollout, subjectOf) => {
    const making = () => make(rollout as never, subjectOf as never);
    expect(making).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
}
