import { bodyParser } from '@koa/bodyparser';
import Koa from 'koa';
import mount from 'koa-mount';
import { createHandler, koaMount } from '../../../lib/http/index.js';
import { Rollout } from '../../../lib/index.js';
import { itServes, listening, type Way } from './contract.js';

/** What a client has broken off: without this it goes to the console. */
const ignore = () => {};

function way(path: string, prepare: (app: Koa) => void = () => {}): Way {
  return {
    path,
    mount: (handler) => {
      const app = new Koa();
      app.on('error', ignore);
      prepare(app);
      app.use(koaMount(handler, path));
      app.use((context) => {
        context.status = 418;
      });
      return listening(app.listen(0, '127.0.0.1'));
    },
  };
}

describe('Koa 3', () => {
  itServes('Koa 3', way(''));
  itServes('Koa 3 at a path', { ...way('/some/flags'), isFlooded: true });
  itServes('Koa 3, by koa-mount', {
    path: '/some/flags',
    mount: (handler) => {
      const app = new Koa().use(mount('/some', mount('/flags', koaMount(handler))));
      app.on('error', ignore);
      return listening(app.listen(0, '127.0.0.1'));
    },
  });
  itServes('Koa 3 at a path, behind @koa/bodyparser', {
    ...way('/flags', (app) => app.use(bodyParser())),
    refusesItself: {
      // By the parser.
      'refuses what is no JSON, or too deep, or twice, with what is wrong':
        'text/plain; charset=utf-8',
    },
  });

  it('goes on to what comes after where a path is another', async () => {
    const rollout = new Rollout();
    const handler = createHandler(rollout, { anonymous: 'read' });
    const app = await way('/flags').mount(handler);
    try {
      const statusOf = async (path: string) =>
        (await fetch(`http://127.0.0.1:${app.port}${path}`)).status;
      for (const path of ['/', '/flagship', '/flag', '/a/flags/health']) {
        expect([path, await statusOf(path)]).toEqual([path, 418]);
      }
      for (const path of ['/flags/health', '/flags/health?', '/flags/openapi.json']) {
        expect([path, await statusOf(path)]).not.toEqual([path, 418]);
      }
      expect(() => koaMount(handler, 'flags')).toThrow('/flags');
      expect(() => koaMount(handler, '/flags/')).toThrow('/flags');
    } finally {
      await app.close();
      await rollout.close();
    }
  });
});
