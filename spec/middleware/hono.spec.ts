import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { serve as serveHono } from '@hono/node-server';
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { streamSSE, streamText } from 'hono/streaming';
import { Rollout } from '../../lib/index.js';
import { honoMiddleware } from '../../lib/middleware/index.js';
import {
  itPinsRequests,
  itRefusesWhatItCanNotTake,
  listening,
  portOf,
  type Serve,
  type Served,
} from './contract.js';

function start(app: Hono): Promise<Server> {
  return listening(serveHono({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server);
}

/** Reads the body before anything else does; Hono keeps it for the next who asks. */
const reading: MiddlewareHandler = async (context, next) => {
  await context.req.json();
  await next();
};

function serve(middleware: (pinning: MiddlewareHandler) => MiddlewareHandler[]): Serve {
  return ({ rollout, subjectOf, handler, onError }: Served) => {
    const app = new Hono();
    app.onError((error, context) => {
      onError(error);
      return context.json({ error: error.message }, 500);
    });
    const pinning = honoMiddleware(rollout, (context: Context) =>
      subjectOf(context.req.header('x-user')),
    );
    app.use(...middleware(pinning));
    app.post('/', async (context) =>
      context.body(JSON.stringify(await handler(await context.req.json()))),
    );
    return start(app);
  };
}

describe('the middleware for Hono', () => {
  itPinsRequests({
    'Hono, the body read before it': serve((pinning) => [reading, pinning]),
    'Hono, the body read after it': serve((pinning) => [pinning]),
  });
  itRefusesWhatItCanNotTake(honoMiddleware);

  it('is typed by Hono', () => {
    const rollout = new Rollout<{ chat: boolean }>();
    type Env = { Variables: { user: { id: string } | undefined } };
    const app = new Hono<Env>();
    const userOf = (context: Context<Env>) => context.get('user');
    expect(() => app.use(honoMiddleware(rollout, userOf))).not.toThrow();
    // @ts-expect-error a boolean is nobody
    expect(() => app.use(honoMiddleware(rollout, () => true))).not.toThrow();
  });
});

describe('given a streamed answer', () => {
  const rollout = new Rollout();
  let server: Server;
  beforeAll(async () => {
    await rollout.addFeature('chat', { percentage: 100 });
    const app = new Hono();
    app.use(honoMiddleware(rollout, (context: Context) => context.req.header('x-user')));
    const line = () => `${rollout.currentSubject()} ${rollout.isEnabledSync('chat')}\n`;
    app.get('/text', (context) =>
      streamText(context, async (stream) => {
        for (let n = 0; n < 3; n++) {
          await stream.write(line());
          await rollout.toggle('chat');
          await stream.sleep(2);
        }
      }),
    );
    app.get('/events', (context) =>
      streamSSE(context, async (stream) => {
        for (let n = 0; n < 3; n++) {
          await delay(2);
          await stream.writeSSE({ data: line() });
        }
      }),
    );
    server = await start(app);
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  it.each(['text', 'events'])('goes on as the subject, by one revision (%s)', async (path) => {
    await rollout.activate('chat');
    const users = ['ann', 'bob', 'eve'];
    const texts = await Promise.all(
      users.map(async (user) => {
        const url = `http://127.0.0.1:${portOf(server)}/${path}`;
        const response = await fetch(url, { headers: { 'x-user': user, connection: 'close' } });
        return response.text();
      }),
    );
    const lines = texts.map((text) => text.match(/\w+ (true|false)/g));
    expect(lines).toEqual(
      // Each had begun with the feature on or off, as the others had left it.
      users.map((user, n) => Array(3).fill(`${user} ${lines[n]?.[0]?.split(' ')[1]}`)),
    );
  });
});
