import type { Server } from 'node:http';
import { PassThrough } from 'node:stream';
import express from 'express';
import express4 from 'express-4';
import multer from 'multer';
import { Rollout } from '../../lib/index.js';
import { expressMiddleware } from '../../lib/middleware/index.js';
import {
  itPinsRequests,
  itRefusesWhatItCanNotTake,
  listening,
  post,
  type Serve,
  type Served,
} from './contract.js';

type Middleware = express.RequestHandler;

/** Collects the body by the request's events, and goes on from the last, as many parsers do. */
const byEvents: Middleware = (request, _response, next) => {
  let text = '';
  request.setEncoding('utf8');
  request.on('data', (chunk) => {
    text += chunk;
  });
  request.on('end', () => {
    request.body = JSON.parse(text);
    next();
  });
};

/** The same behind a pipe. */
const byPipe: Middleware = (request, _response, next) => {
  const chunks: Buffer[] = [];
  const piped = request.pipe(new PassThrough());
  piped.on('data', (chunk) => chunks.push(chunk));
  piped.on('end', () => {
    request.body = JSON.parse(Buffer.concat(chunks).toString());
    next();
  });
};

const pinning = ({ rollout, subjectOf }: Served): Middleware =>
  expressMiddleware(rollout, (request) => subjectOf(request.get('x-user')));

function serve(make: typeof express, middleware: (served: Served) => Middleware[]): Serve {
  return (served) => {
    const app = make();
    app.use(...middleware(served));
    app.post('/', (request, response, next) => {
      served.handler(request.body).then((result) => response.json(result), next);
    });
    const onError: express.ErrorRequestHandler = (error, _request, response, _next) => {
      served.onError(error);
      response.status(500).json({ error: error.message });
    };
    app.use(onError);
    return listening(app.listen(0, '127.0.0.1'));
  };
}

// Version 4 is another package by its types; what is used of it here is the same.
const versions = { 5: express, 4: express4 as unknown as typeof express };
const ways: Record<string, Serve> = {};
for (const [version, make] of Object.entries(versions)) {
  const json = make.json({ limit: '1mb' });
  Object.assign(ways, {
    [`Express ${version}, the body parser before it`]: serve(make, (it) => [json, pinning(it)]),
    [`Express ${version}, the body parser after it`]: serve(make, (it) => [pinning(it), json]),
    [`Express ${version}, a parser by events after it`]: serve(make, (it) => [
      pinning(it),
      byEvents,
    ]),
    [`Express ${version}, a parser by a pipe after it`]: serve(make, (it) => [pinning(it), byPipe]),
  });
}

describe('the middleware for Express', () => {
  itPinsRequests(ways);
  itRefusesWhatItCanNotTake(expressMiddleware);

  it('is typed by both versions of Express, without naming the request', () => {
    const rollout = new Rollout<{ chat: boolean }>();
    const inFive = () => express().use(expressMiddleware(rollout, (request) => request.get('x')));
    const inFour = () =>
      express4().use(expressMiddleware(rollout, async (request) => request.header('x')));
    // @ts-expect-error a boolean is nobody
    const wrong = () => express().use(expressMiddleware(rollout, () => true));
    for (const make of [inFive, inFour, wrong]) expect(make).not.toThrow();
  });
});

describe.each(Object.entries(versions))('given Express %s', (_, make) => {
  const rollout = new Rollout();
  const user = expressMiddleware(rollout, (request: express.Request) => request.get('x-user'));
  const running: Server[] = [];
  const start = async (app: express.Express) => {
    const server = await listening(app.listen(0, '127.0.0.1'));
    running.push(server);
    return server;
  };
  afterEach(async () => {
    for (const server of running.splice(0)) await new Promise((end) => server.close(end));
  });

  it('holds behind multer, which reads files', async () => {
    const app = make();
    app.use(user);
    app.post('/', multer().single('file'), (request, response) => {
      response.json([rollout.currentSubject(), request.file?.size]);
    });
    const form = new FormData();
    form.append('file', new Blob(['x'.repeat(300_000)]), 'file.txt');
    const encoded = new Response(form);
    const body = Buffer.from(await encoded.arrayBuffer());
    const type = encoded.headers.get('content-type') as string;
    const { body: answer } = await post(await start(app), 'ann', { body, type });
    expect(answer).toEqual(['ann', 300_000]);
  });

  it('holds when the response has finished', async () => {
    const app = make();
    const finished: Promise<unknown>[] = [];
    app.use(user);
    app.post('/', (_request, response) => {
      finished.push(
        new Promise((resolve) => {
          response.once('finish', () => resolve(rollout.currentSubject()));
        }),
      );
      response.json(null);
    });
    const server = await start(app);
    await Promise.all(['ann', 'bob'].map((who) => post(server, who, { body: '{}' })));
    expect((await Promise.all(finished)).sort()).toEqual(['ann', 'bob']);
  });

  it('gives way to one that is mounted further in, for events too', async () => {
    const other = new Rollout();
    await other.addFeature('chat', { percentage: 100 });
    const app = make();
    const inner = make.Router();
    inner.use(expressMiddleware(rollout, () => 'support'));
    inner.use(expressMiddleware(other, () => rollout.currentSubject()));
    inner.post('/', byEvents, (_request, response, next) => {
      other
        .disable('chat')
        .then(() => response.json([rollout.currentSubject(), other.isEnabledSync('chat')]), next);
    });
    app.use(user, inner);
    expect((await post(await start(app), 'ann')).body).toEqual(['support', true]);
  });
});
