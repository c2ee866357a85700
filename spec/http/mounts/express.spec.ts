import { createServer } from 'node:http';
import express, { type Express } from 'express';
import express4 from 'express-4';
import helmet from 'helmet';
import type { HttpHandler } from '../../../lib/http/index.js';
import { itServes, listening, type Way } from './contract.js';

function way(path: string, prepare: (app: Express) => void = () => {}, make = express): Way {
  return {
    path,
    mount: (handler: HttpHandler) => {
      const app = make();
      prepare(app);
      app.use(path === '' ? '/' : path, handler.node);
      app.use((_request: unknown, response: { sendStatus(status: number): void }) => {
        response.sendStatus(418);
      });
      return listening(createServer(app).listen(0, '127.0.0.1'));
    },
  };
}

const parsers = (app: Express) => {
  app.use(express.json({ strict: false }));
  app.use(express.urlencoded({ extended: true }));
  app.use(express.text());
};

/** By express.json(), of which the app makes a page. */
const refusesItself = {
  'refuses what is no JSON, or too deep, or twice, with what is wrong': 'text/html; charset=utf-8',
};

describe('Express 5', () => {
  itServes('Express 5', way(''));
  itServes('Express 5 at a path', { ...way('/some/flags'), isFlooded: true });
  itServes(
    'Express 5 at a path, behind helmet',
    way('/flags', (app) => app.use(helmet())),
  );
  itServes('Express 5 at a path, behind parsers', {
    ...way('/flags', parsers),
    refusesItself,
  });
  itServes('Express 5, behind parsers of text and bytes of all types', {
    ...way('/flags', (app) => {
      app.use(express.raw({ type: 'application/json' }));
      app.use(express.text({ type: '*/*' }));
    }),
  });
  itServes('Express 5, under a path that the handler is told', {
    path: '/flags',
    options: { basePath: '/flags' },
    mount: ({ node }) => listening(createServer(express().use(node)).listen(0, '127.0.0.1')),
  });
  itServes('Express 5, in a router within a router', {
    path: '/a/b',
    mount: ({ node }) => {
      const inner = express.Router().use('/b/', node);
      return listening(createServer(express().use('/a', inner)).listen(0, '127.0.0.1'));
    },
  });
});

describe('Express 4', () => {
  const make = express4 as unknown as typeof express;
  itServes('Express 4 at a path', way('/flags', undefined, make));
  itServes('Express 4 at a path, behind parsers', {
    ...way('/flags', (app) => app.use(express4.json()), make),
    refusesItself,
  });
});
