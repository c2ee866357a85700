import type { Server } from 'node:http';
import { serve as serveHono } from '@hono/node-server';
import express from 'express';
import express4 from 'express-4';
import fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import { type Context, Hono } from 'hono';
import { Redis } from 'ioredis';
import Koa from 'koa';
import { RedisBackend } from '../../lib/backends/redis/index.js';
import { Rollout } from '../../lib/index.js';
import {
  expressGuard,
  expressMiddleware,
  fastifyGuard,
  fastifyPlugin,
  honoGuard,
  honoMiddleware,
  koaGuard,
  koaMiddleware,
} from '../../lib/middleware/index.js';
import { freePort } from '../redis-server.js';
import { itRefusesWhatItCanNotTake, listening, portOf } from './contract.js';

/** An app with a guarded `/chat`, and nothing else. */
interface Guarded {
  readonly rollout: Rollout;
  readonly features: string | string[];
  readonly variant?: string | string[];
  /** Who asks is found out by the middleware before the guard, by the guard, or by nobody. */
  readonly asked: 'by the middleware' | 'by the guard' | 'by nobody';
  readonly subjectOf: (user: string | undefined) => unknown;
  /** Whether the app answers 404 with a page of its own, or leaves it to the framework. */
  readonly hasPage: boolean;
  /** Whether who is refused is told the price instead. */
  readonly hasOffer: boolean;
  readonly onError: (error: unknown) => void;
}

type Start = (guarded: Guarded) => Promise<Server>;

const PAGE = 'nothing here';
const OFFER = 'buy it';

type App = express.Express;
type ExpressGuard = express.RequestHandler;
const chat: ExpressGuard = (_request, response) => {
  response.send('chat');
};

function inExpress(
  make: typeof express,
  mount: (app: App, guard: ExpressGuard) => unknown,
  extra: { readonly showsPage: boolean } = { showsPage: true },
): Start {
  return ({ rollout, features, variant, asked, subjectOf, hasPage, hasOffer, onError }) => {
    const app = make();
    const userOf = (request: express.Request) => subjectOf(request.get('x-user')) as string;
    if (asked === 'by the middleware') app.use(expressMiddleware(rollout, userOf));
    const guard = expressGuard(rollout, features, {
      variant,
      subjectOf: asked === 'by the guard' ? userOf : undefined,
      otherwise: hasOffer
        ? (_request, response: express.Response) => response.status(402).send(OFFER)
        : undefined,
    });
    mount(app, guard);
    if (hasPage && extra.showsPage)
      app.use((_request, response) => void response.status(404).send(PAGE));
    const failed: express.ErrorRequestHandler = (error, _request, response, _next) => {
      onError(error);
      response.status(500).send('failed');
    };
    app.use(failed);
    return listening(app.listen(0, '127.0.0.1'));
  };
}

// Version 4 is another package by its types; what is used of it here is the same.
const versions = { 5: express, 4: express4 as unknown as typeof express };
const ways: Record<string, Start> = {};
for (const [version, make] of Object.entries(versions)) {
  Object.assign(ways, {
    [`a route of Express ${version}`]: inExpress(make, (app, guard) =>
      app.get('/chat', guard, chat),
    ),
    [`a route of Express ${version}, after another handler`]: inExpress(make, (app, guard) => {
      app
        .route('/chat')
        .all((_request, _response, next) => next())
        .get([guard, chat]);
    }),
    [`a router of Express ${version}`]: inExpress(make, (app, guard) => {
      app.use('/chat', make.Router().use(guard).get('/', chat));
    }),
    [`a route of a router of Express ${version}`]: inExpress(make, (app, guard) => {
      app.use('/chat', make.Router().get('/', guard, chat));
    }),
    [`an app in an app of Express ${version}`]: inExpress(make, (app, guard) => {
      app.use('/chat', make().use(guard).get('/', chat));
    }),
    // Where a guard is not before a handler or a router, the page comes after it too.
    [`app.use() of Express ${version}`]: inExpress(
      make,
      (app, guard) => app.use('/chat', guard, chat),
      { showsPage: false },
    ),
  });
}

function inFastify(mount: 'route' | 'instance'): Start {
  return async ({ rollout, features, variant, asked, subjectOf, hasPage, hasOffer, onError }) => {
    const app = fastify();
    const userOf = (request: FastifyRequest) =>
      subjectOf(request.headers['x-user'] as string) as string;
    if (asked === 'by the middleware') await app.register(fastifyPlugin(rollout, userOf));
    const guard = fastifyGuard(rollout, features, {
      variant,
      subjectOf: asked === 'by the guard' ? userOf : undefined,
      otherwise: hasOffer
        ? (_request, reply: FastifyReply) => {
            reply.status(402);
            return OFFER;
          }
        : undefined,
    });
    app.setErrorHandler((error, _request, reply) => {
      onError(error);
      reply.status(500).send('failed');
    });
    if (hasPage) app.setNotFoundHandler((_request, reply) => reply.status(404).send(PAGE));
    if (mount === 'route') app.get('/chat', { preHandler: guard }, async () => 'chat');
    else {
      await app.register(async (part) => {
        part.addHook('onRequest', guard);
        part.get('/chat', async () => 'chat');
      });
    }
    await app.listen({ port: 0, host: '127.0.0.1' });
    return app.server;
  };
}

Object.assign(ways, {
  'a route of Fastify': inFastify('route'),
  'a part of Fastify': inFastify('instance'),
  Koa: ({ rollout, features, variant, asked, subjectOf, hasPage, hasOffer, onError }: Guarded) => {
    const app = new Koa();
    const userOf = (context: Koa.Context) =>
      subjectOf(context.get('x-user') || undefined) as string;
    app.use(async (context, next) => {
      try {
        await next();
      } catch (error) {
        onError(error);
        context.status = 500;
      }
      if (hasPage && context.status === 404) {
        context.body = PAGE;
        context.status = 404;
      }
    });
    if (asked === 'by the middleware') app.use(koaMiddleware(rollout, userOf));
    const guard = koaGuard(rollout, features, {
      variant,
      subjectOf: asked === 'by the guard' ? userOf : undefined,
      otherwise: hasOffer
        ? (context: Koa.Context) => {
            context.status = 402;
            context.body = OFFER;
          }
        : undefined,
    });
    app.use(async (context, next) => {
      if (context.path !== '/chat') return next();
      return guard(context, async () => {
        context.body = 'chat';
      });
    });
    return listening(app.listen(0, '127.0.0.1'));
  },
  Hono: ({ rollout, features, variant, asked, subjectOf, hasPage, hasOffer, onError }: Guarded) => {
    const app = new Hono();
    const userOf = (context: Context) => subjectOf(context.req.header('x-user')) as string;
    app.onError((error, context) => {
      onError(error);
      return context.text('failed', 500);
    });
    if (hasPage) app.notFound((context) => context.text(PAGE, 404));
    if (asked === 'by the middleware') app.use(honoMiddleware(rollout, userOf));
    const guard = honoGuard(rollout, features, {
      variant,
      subjectOf: asked === 'by the guard' ? userOf : undefined,
      otherwise: hasOffer ? (context: Context) => context.text(OFFER, 402) : undefined,
    });
    app.get('/chat', guard, (context) => context.text('chat'));
    return listening(serveHono({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server);
  },
} satisfies Record<string, Start>);

/** What a response says that would tell one 404 from another. */
interface Answer {
  readonly status: number;
  readonly type: string | null;
  readonly body: string;
}

const get = async (server: Server, path: string, user?: string): Promise<Answer> => {
  const headers = { connection: 'close', ...(user !== undefined && { 'x-user': user }) };
  const response = await fetch(`http://127.0.0.1:${portOf(server)}${path}`, { headers });
  const body = await response.text();
  // The frameworks' pages name what was asked for.
  const type = response.headers.get('content-type');
  return { status: response.status, type, body: body.replaceAll(path, '(path)') };
};

const CHAT = expect.objectContaining({ status: 200, body: 'chat' });
const NONE = expect.objectContaining({ status: 404 });

const running: Server[] = [];
afterEach(async () => {
  for (const server of running.splice(0)) await new Promise((end) => server.close(end));
});

describe.each(Object.entries(ways))('given a guard on %s', (way, run) => {
  const rollout = new Rollout();
  beforeAll(async () => {
    await rollout.addFeature('chat', { percentage: 0 });
    await rollout.register('chat', 'ann');
    await rollout.addFeature('video', { patterns: [/b$/] });
    await rollout.register('chat', 'bob');
    await rollout.addFeature('color', { percentage: 100, variants: ['red', 'blue'] });
    await rollout.addFeature('everyone', { percentage: 100 });
  });
  const start = async (guarded: Partial<Guarded> = {}): Promise<Server> => {
    const server = await run({
      rollout,
      features: 'chat',
      asked: 'by the middleware',
      subjectOf: (user) => user,
      hasPage: true,
      hasOffer: false,
      onError: () => {},
      ...guarded,
    });
    running.push(server);
    return server;
  };

  it.each([
    ['the app has', true],
    ['the framework has', false],
  ])(
    'answers those who are not in as if nothing were there, by the page that %s',
    async (_, hasPage) => {
      const server = await start({ hasPage });
      const nowhere = await get(server, '/nowhere', 'eve');
      expect(nowhere.status).toBe(404);
      if (hasPage && !way.startsWith('app.use()')) expect(nowhere.body).toBe(PAGE);
      expect(await get(server, '/chat', 'ann')).toEqual(CHAT);
      expect(await get(server, '/chat', 'eve')).toEqual(nowhere);
      expect(await get(server, '/chat')).toEqual(nowhere);
    },
  );

  it('asks about whom its own option names, where there is no middleware', async () => {
    const server = await start({ asked: 'by the guard' });
    expect(await get(server, '/chat', 'ann')).toEqual(CHAT);
    expect(await get(server, '/chat', 'eve')).toEqual(NONE);
  });

  it('asks about nobody where nobody says who asks', async () => {
    const closed = await start({ asked: 'by nobody' });
    expect(await get(closed, '/chat', 'ann')).toEqual(NONE);
    const open = await start({ asked: 'by nobody', features: 'everyone' });
    expect(await get(open, '/chat', 'ann')).toEqual(CHAT);
  });

  it('lets in who has all of several features', async () => {
    const server = await start({ features: ['chat', 'video'] });
    expect(await get(server, '/chat', 'bob')).toEqual(CHAT);
    expect(await get(server, '/chat', 'ann')).toEqual(NONE);
    expect(await get(server, '/chat', 'rob')).toEqual(NONE);
  });

  it('lets in who gets a variant that it names', async () => {
    const ids = Array.from({ length: 20 }, (_, n) => `user-${n}`);
    const red = ids.find((id) => rollout.decideSync('color', id).variant === 'red');
    const blue = ids.find((id) => rollout.decideSync('color', id).variant === 'blue');
    const server = await start({ features: 'color', variant: 'red' });
    expect(await get(server, '/chat', red)).toEqual(CHAT);
    expect(await get(server, '/chat', blue)).toEqual(NONE);
    const both = await start({ features: 'color', variant: ['green', 'blue'] });
    expect(await get(both, '/chat', red)).toEqual(NONE);
    expect(await get(both, '/chat', blue)).toEqual(CHAT);
    // On, but without variants.
    const without = await start({ features: 'everyone', variant: 'red' });
    expect(await get(without, '/chat', red)).toEqual(NONE);
  });

  it('answers what it is told to instead', async () => {
    const server = await start({ hasOffer: true });
    expect(await get(server, '/chat', 'ann')).toEqual(CHAT);
    expect(await get(server, '/chat', 'eve')).toMatchObject({ status: 402, body: OFFER });
  });

  it('leaves it to the error handling where the subject throws', async () => {
    const errors: unknown[] = [];
    const failure = new Error('who?');
    const server = await start({
      asked: 'by the guard',
      subjectOf: () => {
        throw failure;
      },
      onError: (error) => errors.push(error),
    });
    expect(await get(server, '/chat', 'ann')).toMatchObject({ status: 500 });
    expect(errors).toEqual([failure]);
  });

  it('lets nobody in while the store is away', async () => {
    const client = new Redis(await freePort(), { lazyConnect: true });
    const down = new Rollout(new RedisBackend(client, { timeoutMs: 100 }));
    try {
      const before = await start({ rollout: down });
      expect(await get(before, '/chat', 'ann')).toEqual(NONE);
      const alone = await start({ rollout: down, asked: 'by the guard' });
      expect(await get(alone, '/chat', 'ann')).toEqual(NONE);
    } finally {
      await down.close();
      client.disconnect();
    }
  });
});

describe.each(Object.entries(versions))('given guards of Express %s', (_, make) => {
  const rollout = new Rollout();
  const guard = expressGuard(rollout, 'chat');
  const listen = async (mount: (app: App) => unknown): Promise<Server> => {
    const app = make();
    mount(app);
    const server = await listening(app.listen(0, '127.0.0.1'));
    running.push(server);
    return server;
  };

  it('lets nobody in by another way that the same guard is on', async () => {
    const server = await listen((app) => {
      app.get('/chat', guard, chat);
      app.use(guard);
      app.get('/chat', chat);
    });
    expect(await get(server, '/chat')).toEqual(NONE);
  });

  it('lets nobody in where a route with the guard was left before it came to it', async () => {
    const leaving: ExpressGuard = (_request, _response, next) => next('route');
    const server = await listen((app) => {
      app.get('/chat', leaving, guard, chat);
      app.use('/chat', guard, chat);
    });
    expect(await get(server, '/chat')).toEqual(NONE);
  });

  it('lets nobody in by a handler that calls the guard itself', async () => {
    const calling: ExpressGuard = (request, response, next) =>
      guard(request, response, (error) => next(error as 'router'));
    const routed = await listen((app) => app.get('/chat', calling, chat));
    const used = await listen((app) => app.use('/chat', calling, chat));
    expect(await get(routed, '/chat')).toEqual(NONE);
    expect(await get(used, '/chat')).toEqual(NONE);
  });

  it('goes on with the next route of the same path', async () => {
    const server = await listen((app) => {
      app.get('/chat', guard, chat);
      app.get('/chat', (_request, response) => void response.send('the old one'));
    });
    expect(await get(server, '/chat')).toMatchObject({ status: 200, body: 'the old one' });
  });
});

type Make = (rollout: Rollout, features: string, options: object) => unknown;
const frameworks: Record<string, Make> = {
  expressGuard,
  fastifyGuard,
  honoGuard: honoGuard as Make,
  koaGuard,
};

describe.each(Object.entries(frameworks))('%s', (_, make) => {
  itRefusesWhatItCanNotTake((rollout, subjectOf) => make(rollout, 'chat', { subjectOf }));

  it.each([
    ['no feature', [], {}],
    ['a name that is none', '', {}],
    ['a name that is no text', ['chat', 7], {}],
    ['a variant that is none', 'chat', { variant: [] }],
    ['a variant of several features', ['chat', 'video'], { variant: 'red' }],
    ['an answer that is no function', 'chat', { otherwise: 403 }],
    ['an option that there is not', 'chat', { status: 403 }],
  ])('refuses %s', (_, features, options) => {
    const making = () => make(new Rollout(), features as string, options);
    expect(making).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
});

describe('what is called instead of refusing', () => {
  const rollout = new Rollout();

  it('hands on in Express and in Koa, where it calls next', async () => {
    const own = express().use(
      expressGuard(rollout, 'chat', { otherwise: (_request, _response, next) => next() }),
      chat,
    );
    const koa = new Koa()
      .use(koaGuard(rollout, 'chat', { otherwise: (_context, next) => next() }))
      .use((context) => {
        context.body = 'chat';
      });
    for (const app of [own, koa]) {
      const server = await listening(app.listen(0, '127.0.0.1'));
      running.push(server);
      expect(await get(server, '/')).toMatchObject({ status: 200, body: 'chat' });
    }
  });

  it.each<[string, (reply: FastifyReply) => unknown]>([
    ['gives it', () => OFFER],
    ['gives it later', async () => OFFER],
    ['sends it', (reply) => void reply.send(OFFER)],
    ['gives the reply that has it', (reply) => reply.send(OFFER)],
  ])('answers in Fastify, where it %s', async (_, offer) => {
    const logged: string[] = [];
    const app = fastify({
      logger: { level: 'warn', stream: { write: (line) => logged.push(line) } },
    });
    const otherwise = (_request: FastifyRequest, reply: FastifyReply) => offer(reply.code(402));
    app.get('/', { preHandler: fastifyGuard(rollout, 'chat', { otherwise }) }, async () => 'chat');
    await app.listen({ port: 0, host: '127.0.0.1' });
    running.push(app.server);
    expect(await get(app.server, '/')).toMatchObject({ status: 402, body: OFFER });
    expect(logged).toEqual([]);
  });
});

describe('the guards', () => {
  it('are typed by the frameworks, and by the features', () => {
    const rollout = new Rollout<{ chat: boolean; color: 'red' | 'blue' }>();
    express().get('/', expressGuard(rollout, 'chat'), chat);
    express().use(expressGuard(rollout, ['chat', 'color'], { subjectOf: (it) => it.get('x') }));
    express4().use(expressGuard(rollout, 'chat', { otherwise: (_, it) => it.send('') }));
    fastify().get('/', { preHandler: fastifyGuard(rollout, 'chat') }, async () => '');
    const userOf = async (request: FastifyRequest) => request.ip;
    fastify().addHook('onRequest', fastifyGuard(rollout, 'chat', { subjectOf: userOf }));
    new Hono().get('/', honoGuard(rollout, 'chat'), (context) => context.text(''));
    new Koa().use(koaGuard(rollout, 'chat', { subjectOf: (context: Koa.Context) => context.ip }));
    // @ts-expect-error there is no such feature
    express().use(expressGuard(rollout, 'chta'));
    // @ts-expect-error nor among several
    new Koa().use(koaGuard(rollout, ['chat', 'colour']));
    // @ts-expect-error a boolean is nobody
    express().use(expressGuard(rollout, 'chat', { subjectOf: () => true }));
    expect(rollout.decideSync('chat').enabled).toBe(false);
  });
});
