import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpHandler } from './handler.js';

/** As much of Fastify as is needed. */
interface App {
  readonly prefix: string;
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(type: string, parser: Hook): unknown;
  all(path: string, handler: Hook): unknown;
}

// biome-ignore lint/suspicious/noExplicitAny: of the app's own request and reply
type Hook = (request: any, reply: any, ...rest: any[]) => void;

interface Reply {
  readonly raw: ServerResponse;
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
    const answer: Hook = ({ raw }: { raw: IncomingMessage }, reply: Reply) => {
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
