import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify';
import { fastifyMount } from '../../../lib/http/index.js';
import { itServes, type Way } from './contract.js';

function way(
  prefix: string,
  prepare: (app: FastifyInstance) => void = () => {},
  options: FastifyServerOptions = {},
): Way {
  return {
    path: prefix,
    // Before any route of the app.
    refusesItself: { 'refuses a path that cannot be read': 'application/json' },
    mount: async (handler) => {
      const app = fastify({ forceCloseConnections: true, ...options });
      prepare(app);
      app.register(fastifyMount(handler), { prefix });
      app.post('/own', (request) => ({ body: request.body }));
      await app.listen({ port: 0, host: '127.0.0.1' });
      return { port: (app.server.address() as AddressInfo).port, close: () => app.close() };
    },
  };
}

describe('Fastify 5', () => {
  itServes('Fastify 5', way(''));
  itServes('Fastify 5 under a prefix', { ...way('/some/flags'), isFlooded: true });
  itServes(
    'Fastify 5 under a prefix, with parsers and hooks of its own',
    way('/flags', (app) => {
      app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) =>
        done(null, body),
      );
      for (const hook of ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const) {
        app.addHook(hook, async () => {
          await new Promise((resolve) => setImmediate(resolve));
        });
      }
    }),
  );
  itServes(
    'Fastify 5, whose paths are read loosely',
    way('/flags', undefined, {
      routerOptions: {
        ignoreTrailingSlash: true,
        ignoreDuplicateSlashes: true,
        caseSensitive: false,
      },
    }),
  );
});
