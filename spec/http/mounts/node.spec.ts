import { createServer } from 'node:http';
import { itServes, listening } from './contract.js';

itServes('node:http', {
  isFlooded: true,
  mount: ({ node }) => listening(createServer(node).listen(0, '127.0.0.1')),
});

itServes('node:http under a path that the handler is told', {
  path: '/some/flags',
  options: { basePath: '/some/flags' },
  mount: ({ node }) => listening(createServer(node).listen(0, '127.0.0.1')),
});
