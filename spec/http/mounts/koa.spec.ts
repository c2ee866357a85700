import { bodyParser } from '@koa/bodyparser';
import Koa from 'koa';
import mount from 'koa-mount';
import { koaMount } from '../../../lib/http/index.js';
import { itServes, listening, type Way } from './contract.js';

function way(path: string, prepare: (app: Koa) => void = () => {}): Way {
  return {
    path,
    mount: (handler) => {
      const app = new Koa();
      // What a client has broken off: else it goes to the console.
      app.on('error', () => {});
      prepare(app);
      app.use(path === '' ? koaMount(handler) : mount(path, koaMount(handler)));
      return listening(app.listen(0, '127.0.0.1'));
    },
  };
}

describe('Koa 3', () => {
  itServes('Koa 3', way(''));
  itServes('Koa 3 at a path', { ...way('/some/flags'), isFlooded: true });
  itServes('Koa 3 at a path, behind @koa/bodyparser', {
    ...way('/flags', (app) => app.use(bodyParser())),
    deviations: {
      'refuses what is no JSON, or too deep, or twice, with what is wrong':
        'the parser answers what it can not parse by itself',
      'goes on when clients hang up in the middle': 'the parser tells the app of each',
    },
  });
});
