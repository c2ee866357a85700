import { createHash } from 'node:crypto';
import type { Backend, Write } from '../../../lib/backends/backend.js';
import { print } from '../../../lib/backends/features-file.js';
import { HttpSource } from '../../../lib/backends/http-source/index.js';
import { Store } from '../../../lib/backends/store.js';
import { HanoiError } from '../../../lib/errors.js';
import { answerWith, HttpServer } from '../../http-server.js';
import { backendContract } from '../contract.js';

// The source only reads. What is written goes to a store that is served to it, as it would be by
// whoever writes the document; a write has resolved here once the source has seen it.
let server: HttpServer;
const stores = new Map<string, Store>();
beforeAll(async () => {
  server = await HttpServer.start((response, asked) => {
    const store = stores.get(asked.url) as Store;
    const text = print(store.keep(), new Map());
    // What is assigned moves no token.
    const tag = createHash('sha1').update(text).digest('hex');
    answerWith(text, `"${tag}"`)(response, asked);
  });
});
afterAll(() => server.stop());

async function open(options = {}): Promise<Backend> {
  const path = `/${stores.size}`;
  const store = new Store(100, Date.now);
  stores.set(path, store);
  const source = new HttpSource(server.url + path, options);
  await source.ready(5_000);
  const write = async (each: Write) => {
    if (source.health().state === 'closed') throw new HanoiError('CLOSED', 'Closed.');
    try {
      return store.write(each).written;
    } finally {
      await source.refresh();
    }
  };
  return Object.assign(source, { write });
}

backendContract('HttpSource, written to where it reads', { open });
