import type { IncomingMessage, ServerResponse } from 'node:http';
import { invalid } from '../errors.js';
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

/**
 * A middleware for Koa that answers what is under the path, and all that comes to it where none is
 * given, as within koa-mount: `app.use(koaMount(handler, '/flags'))`. INVALID_ARGUMENT.
 */
export function koaMount(
  handler: HttpHandler,
  path: string = '',
): (context: Context, next: () => Promise<unknown>) => Promise<unknown> {
  if (typeof path !== 'string' || !/^(\/[^/?#]+)*$/.test(path)) {
    throw invalid('a path like /flags, without a slash at the end', path);
  }
  return (context, next) => {
    const { req, res, originalUrl, request } = context;
    const { url = '/' } = req;
    const inner = url.slice(path.length);
    if (!url.startsWith(path) || (path !== '' && !/^[/?]|^$/.test(inner))) return next();
    // Koa would answer by itself once this is done.
    context.respond = false;
    return new Promise((resolve) => {
      const body = request.rawBody ?? request.body;
      Object.assign(req, { originalUrl, body, url: inner.startsWith('/') ? inner : `/${inner}` });
      res.once('close', resolve);
      handler.node(req, res);
      req.url = url;
    });
  };
}
