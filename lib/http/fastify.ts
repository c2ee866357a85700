import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpHandler } from './handler.js';

/** As much of Fastify as is needed. */
interface App {
  readonly prefix: string;
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(type: string, parser: Parser): unknown;
  all(path: string, handler: (request: Raw<IncomingMessage>, reply: Reply) => void): unknown;
}

type Parser = (request: unknown, payload: unknown, done: (error: null) => void) => void;

interface Raw<Message> {
  readonly raw: Message;
}

interface Reply extends Raw<ServerResponse> {
  hijack(): unknown;
}

/**
 * A plugin for Fastify: `app.register(fastifyMount(handler), { prefix: '/flags' })`. What is under the
 * prefix goes by the app's `onRequest` hooks; its bodies are read here, whatever the app parses.
 */
export function fastifyMount(handler: HttpHandler): (app: App) => Promise<void> {
  return async (app) => {
    const { prefix } = app;
    app.removeAllContentTypeParsers();
    // Left where it is, to be read as it comes.
    app.addContentTypeParser('*', (_request, _payload, done) => done(null));
    const answer = ({ raw }: Raw<IncomingMessage>, reply: Reply) => {
      reply.hijack();
      const { url = '/' } = raw;
      const inner = url.slice(prefix.length);
      Object.assign(raw, { originalUrl: url, url: inner.startsWith('/') ? inner : `/${inner}` });
      handler.node(raw, reply.raw);
    };
    app.all('/', answer);
    app.all('/*', answer);
  };
}
