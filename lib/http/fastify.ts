import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpHandler } from './handler.js';

/** As much of Fastify as is needed. */
interface App {
  readonly prefix: string;
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(
    type: string,
    parser: (request: never, payload: never, done: (error: null) => void) => void,
  ): unknown;
  all(path: string, handler: (request: Asked, reply: Reply) => void): unknown;
}

interface Asked {
  readonly raw: IncomingMessage;
}

interface Reply {
  readonly raw: ServerResponse;
  hijack(): unknown;
}

/**
 * A plugin for Fastify: `app.register(fastifyMount(handler), { prefix: '/flags' })`. What is under the
 * prefix goes by the app's `onRequest` hooks; its bodies are read here, whatever the app parses.
 */
export function fastifyMount(handler: HttpHandler): (app: never) => Promise<void> {
  return async (given: App) => {
    const { prefix } = given;
    given.removeAllContentTypeParsers();
    // Left where it is, to be read as it comes.
    given.addContentTypeParser('*', (_request, _payload, done) => done(null));
    const answer = ({ raw }: Asked, reply: Reply) => {
      reply.hijack();
      const { url = '/' } = raw;
      const inner = url.slice(prefix.length);
      Object.assign(raw, { originalUrl: url, url: inner.startsWith('/') ? inner : `/${inner}` });
      handler.node(raw, reply.raw);
    };
    given.all('/', answer);
    given.all('/*', answer);
  };
}
