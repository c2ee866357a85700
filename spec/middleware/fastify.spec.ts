import { EventEmitter } from 'node:events';
import type { Server } from 'node:http';
import fastify, {
  type FastifyInstance,
  type FastifyRequest,
  type onRequestHookHandler,
} from 'fastify';
import { Rollout } from '../../lib/index.js';
import { fastifyPlugin } from '../../lib/middleware/index.js';
import {
  itPinsRequests,
  itRefusesWhatItCanNotTake,
  post,
  type Serve,
  type Served,
} from './contract.js';

const HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const;

const userOf = (request: FastifyRequest) => request.headers['x-user'] as string | undefined;

async function start(app: FastifyInstance): Promise<Server> {
  await app.listen({ port: 0, host: '127.0.0.1' });
  return app.server;
}

/** Emits far from every request: whoever goes on from there has lost where he was. */
const elsewhere = new EventEmitter().setMaxListeners(0);
const ticking = setInterval(() => elsewhere.emit('tick'), 2);
afterAll(() => clearInterval(ticking));

type Prepare = (app: FastifyInstance) => void;

/** Hooks of the app in every phase, on both sides of the plugin's. */
const asyncHooks: Prepare = (app) => {
  for (const hook of HOOKS) {
    app.addHook(hook, async () => {
      await new Promise((resolve) => setImmediate(resolve));
    });
  }
};
const withCallbacks =
  (hook: onRequestHookHandler): Prepare =>
  (app) => {
    app.addHook('onRequest', hook);
    app.addHook('preValidation', hook);
    app.addHook('preHandler', hook);
  };
const callbackHooks = withCallbacks((_request, _reply, done) => {
  setTimeout(done, 1);
});
const losingHooks = withCallbacks((_request, _reply, done) => {
  elsewhere.once('tick', () => done());
});
/** Goes on from the end of the body. */
const byEvents: Prepare = (app) => {
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', (_request, payload, done) => {
    let text = '';
    payload.setEncoding('utf8');
    payload.on('data', (chunk) => {
      text += chunk;
    });
    payload.on('end', () => done(null, JSON.parse(text)));
  });
};

function serve(
  hook: (typeof HOOKS)[number] | undefined,
  { before = [], after = [] }: { before?: Prepare[]; after?: Prepare[] } = {},
): Serve {
  return async ({ rollout, subjectOf, handler, onError }: Served) => {
    const app = fastify({ bodyLimit: 2 ** 20, forceCloseConnections: true });
    app.setErrorHandler((error: Error, _request, reply) => {
      onError(error);
      reply.code(500).send({ error: error.message });
    });
    for (const prepare of before) prepare(app);
    app.register(
      fastifyPlugin(
        rollout,
        (request: FastifyRequest) => subjectOf(userOf(request)),
        hook === undefined ? {} : { hook },
      ),
    );
    // In a part of its own, as most apps have their routes.
    app.register(async (part) => {
      for (const prepare of after) prepare(part);
      part.post('/', async (request, reply) => {
        const result = await handler(request.body as { text: string });
        return reply.type('application/json').send(JSON.stringify(result));
      });
    });
    return start(app);
  };
}

describe('the plugin for Fastify', () => {
  itPinsRequests({
    'Fastify, by default': serve(undefined),
    ...Object.fromEntries(
      HOOKS.map((hook) => [
        `Fastify, in ${hook}, between async hooks`,
        serve(hook, { before: [asyncHooks], after: [asyncHooks] }),
      ]),
    ),
    'Fastify, between hooks with callbacks': serve('onRequest', {
      before: [callbackHooks],
      after: [callbackHooks],
    }),
    'Fastify, after hooks that lose the context': serve('onRequest', { before: [losingHooks] }),
    'Fastify, with a parser by events': serve('onRequest', { after: [byEvents] }),
  });
  itRefusesWhatItCanNotTake(fastifyPlugin);

  it('refuses a hook that it can not begin in, and another option', () => {
    const rollout = new Rollout();
    const subjectOf = () => undefined;
    const code = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
    // @ts-expect-error too late
    expect(() => fastifyPlugin(rollout, subjectOf, { hook: 'onSend' })).toThrow(code);
    // @ts-expect-error no such option
    expect(() => fastifyPlugin(rollout, subjectOf, { hooks: 'onRequest' })).toThrow(code);
  });

  it('holds for routes beside it and below it, not found ones, and until the response', async () => {
    const rollout = new Rollout();
    const seen: unknown[] = [];
    const see = (where: string): void => {
      seen.push([where, rollout.currentSubject()]);
    };
    const app = fastify();
    app.register(fastifyPlugin(rollout, userOf));
    app.addHook('onSend', async () => see('onSend'));
    app.addHook('onResponse', async () => see('onResponse'));
    app.register(async (part) => {
      part.register(async (deeper) => {
        deeper.post('/', async () => {
          see('handler');
          return {};
        });
      });
    });
    app.setNotFoundHandler(async (_request, reply) => {
      see('not found');
      return reply.code(404).send({});
    });
    const server = await start(app);
    try {
      await post(server, 'ann');
      await new Promise((resolve) => setImmediate(resolve));
      expect(seen.splice(0)).toEqual([
        ['handler', 'ann'],
        ['onSend', 'ann'],
        ['onResponse', 'ann'],
      ]);
      await fetch(`http://127.0.0.1:${(server.address() as { port: number }).port}/no`, {
        headers: { 'x-user': 'bob', connection: 'close' },
      });
      expect(seen.slice(0, 2)).toEqual([
        ['not found', 'bob'],
        ['onSend', 'bob'],
      ]);
    } finally {
      await app.close();
    }
  });

  it('knows in a later hook who was found out before', async () => {
    const rollout = new Rollout();
    const app = fastify();
    app.decorateRequest('user', '');
    app.addHook('preValidation', async (request) => {
      request.setDecorator('user', `${(request.body as { text: string }).text} by body`);
    });
    app.register(
      fastifyPlugin(rollout, (request: FastifyRequest) => request.getDecorator<string>('user'), {
        hook: 'preValidation',
      }),
    );
    app.post('/', async () => ({ current: rollout.currentSubject() }));
    const server = await start(app);
    try {
      const { body } = await post(server, undefined, { body: '{"text":"ann"}' });
      expect(body).toEqual({ current: 'ann by body' });
    } finally {
      await app.close();
    }
  });
});
