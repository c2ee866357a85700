import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpHandler } from './handler.js';

/** As much of Koa's context as is needed. */
interface Context {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly originalUrl: string;
  /** What a body parser before this leaves: the text, and what it has made of it. */
  readonly request: { readonly rawBody?: unknown; readonly body?: unknown };
  respond?: boolean;
}

/** A middleware for Koa that answers all that comes to it: `mount('/flags', koaMount(handler))`. */
export function koaMount(handler: HttpHandler): (context: Context) => Promise<void> {
  return (context) =>
    new Promise((resolve) => {
      const { req, res, originalUrl, request } = context;
      // Koa would answer by itself once this resolves.
      context.respond = false;
      Object.assign(req, { originalUrl, body: request.rawBody ?? request.body });
      res.once('close', resolve);
      handler.node(req, res);
    });
}
