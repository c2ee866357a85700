import { bodyParser } from '@koa/bodyparser';
import Koa from 'koa';
import { Rollout } from '../../lib/index.js';
import { koaMiddleware } from '../../lib/middleware/index.js';
import {
  itPinsRequests,
  itRefusesWhatItCanNotTake,
  listening,
  type Serve,
  type Served,
} from './contract.js';

interface WithBody {
  readonly body: { text: string };
}

const parser = (): Koa.Middleware => bodyParser({ jsonLimit: '1mb' });

/** Collects the body by the request's events, and goes on from the last. */
const byEvents: Koa.Middleware = (context, next) =>
  new Promise((resolve, reject) => {
    let text = '';
    context.req.setEncoding('utf8');
    context.req.on('data', (chunk) => {
      text += chunk;
    });
    context.req.on('end', () => {
      Object.assign(context.request, { body: JSON.parse(text) });
      next().then(resolve, reject);
    });
  });

function serve(middleware: (pinning: Koa.Middleware) => Koa.Middleware[]): Serve {
  return ({ rollout, subjectOf, handler, onError }: Served) => {
    const app = new Koa();
    app.use(async (context, next) => {
      try {
        await next();
      } catch (error) {
        onError(error);
        context.status = 500;
        context.body = { error: (error as Error).message };
      }
    });
    const pinning = koaMiddleware(rollout, (context: Koa.Context) =>
      subjectOf(context.get('x-user') || undefined),
    );
    for (const each of middleware(pinning)) app.use(each);
    app.use(async (context) => {
      const { body } = context.request as unknown as WithBody;
      context.body = JSON.stringify(await handler(body));
    });
    return listening(app.listen(0, '127.0.0.1'));
  };
}

describe('the middleware for Koa', () => {
  itPinsRequests({
    'Koa, the body parser before it': serve((pinning) => [parser(), pinning]),
    'Koa, the body parser after it': serve((pinning) => [pinning, parser()]),
    'Koa, a parser by events after it': serve((pinning) => [pinning, byEvents]),
  });
  itRefusesWhatItCanNotTake(koaMiddleware);

  it('is typed by Koa', () => {
    const rollout = new Rollout<{ chat: boolean }>();
    const userOf = (context: Koa.Context) => context.get('x');
    expect(() => new Koa().use(koaMiddleware(rollout, userOf))).not.toThrow();
    // @ts-expect-error a boolean is nobody
    expect(() => new Koa().use(koaMiddleware(rollout, () => true))).not.toThrow();
  });
});
