// What `ofrep.js` asks, in a process of its own: it tells its port, and what CPU it has used when asked.
import { createServer } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { Hono } from 'hono';
import { createHandler } from '../dist/esm/http/index.js';
import { Rollout } from '../dist/esm/index.js';

const [which, token, features] = process.argv.slice(2);

const LISTENERS = {
  /** The least that a route can do: read what was sent, and answer. */
  hono() {
    const app = new Hono();
    app.post('/ofrep/v1/evaluate/flags/:key', async (context) => {
      const { context: asked } = await context.req.json();
      const key = context.req.param('key');
      return context.json({ key, value: asked.targetingKey !== '', reason: 'STATIC' });
    });
    return getRequestListener(app.fetch);
  },
  async hanoi() {
    const rollout = new Rollout();
    for (let n = 0; n < features; n++) {
      await rollout.addFeature(`feature-${n}`, { percentage: n % 3 === 0 ? 100 : 50 });
    }
    return createHandler(rollout, { tokens: [{ token, access: 'evaluate' }] }).node;
  },
};

const server = createServer(await LISTENERS[which]());
process.on('message', () => process.send({ cpu: process.cpuUsage() }));
process.on('disconnect', () => process.exit());
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
