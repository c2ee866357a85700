import { createServer, type Server } from 'node:http';
import { Readable } from 'node:stream';
import { serve as serveByHono } from '@hono/node-server';
import { Hono } from 'hono';
import { itServes, listening } from './contract.js';

// As servers of the fetch standard do it, which know nothing of Node: Next's route handlers, Deno, Bun.
itServes('a server of the fetch standard', {
  path: '/flags',
  options: { basePath: '/flags' },
  // A Request has none.
  isNormalizing: true,
  mount: (handler) =>
    listening(
      createServer(async (incoming, outgoing) => {
        const { method = 'GET', headers, url, socket } = incoming;
        const hasBody = method !== 'GET' && method !== 'HEAD';
        const request = new Request(`http://${headers.host}${url}`, {
          method,
          headers: headers as Record<string, string>,
          ...(hasBody && { body: Readable.toWeb(incoming) as ReadableStream, duplex: 'half' }),
        });
        const response = await handler.fetch(request, { address: socket.remoteAddress });
        outgoing.writeHead(response.status, Object.fromEntries(response.headers));
        outgoing.end(await response.text());
      }).listen(0, '127.0.0.1'),
    ),
});

itServes('Hono', {
  path: '/flags',
  options: { basePath: '/flags' },
  // A Request has none.
  isNormalizing: true,
  mount: ({ fetch }) => {
    const app = new Hono<{ Bindings: { incoming: { socket: { remoteAddress?: string } } } }>();
    app.all('/flags/*', ({ req, env }) =>
      fetch(req.raw, { address: env.incoming.socket.remoteAddress }),
    );
    const server = serveByHono({
      fetch: app.fetch,
      port: 0,
      hostname: '127.0.0.1',
      overrideGlobalObjects: false,
    });
    return listening(server as Server);
  },
});
