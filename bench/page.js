// How long does the page take with 1,000 features, the first time and again?
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { FileBackend } from '../dist/esm/backends/file/index.js';
import { RedisBackend } from '../dist/esm/backends/redis/index.js';
import { createHandler } from '../dist/esm/http/index.js';
import { MemoryBackend, Rollout } from '../dist/esm/index.js';
import { median, table } from './measure.js';
import { RedisServer } from './servers.js';

const COUNT = 1_000;
const TOKEN = 'a token of the bench, for itself alone'.replaceAll(' ', '-');
const AGAIN = process.argv.includes('--quick') ? 5 : 41;

const server = await RedisServer.start();
const redis = new Redis(server.port);
const folder = await mkdtemp(join(tmpdir(), 'hanoi-page-'));
const backends = {
  memory: () => new MemoryBackend(),
  file: () => new FileBackend(join(folder, 'features.json')),
  Redis: () => new RedisBackend(redis),
};

async function fill(rollout) {
  const add = async (n) => {
    const name = `team-${n % 20}.feature-${n}`;
    await rollout.addFeature(
      name,
      {
        percentage: n % 4 === 0 ? 100 : n % 101,
        ...(n % 5 === 0 && { variants: ['control', 'treatment'] }),
        ...(n % 7 === 0 && {
          rules: [
            { id: 'pro', when: { attribute: 'plan', op: 'equals', value: 'pro' }, serve: 'on' },
          ],
        }),
        data: { owner: `team-${n % 20}`, description: 'What this feature is for, in a sentence.' },
      },
      { actor: 'ann', note: 'It begins' },
    );
    if (n % 10 !== 0) return;
    const users = Array.from({ length: 100 }, (_, m) => `user-${m}`);
    await rollout.register(name, users);
  };
  for (let from = 0; from < COUNT; from += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, n) => add(from + n)));
  }
}

/** One who looks: the ms until the first byte, and all of it. */
async function look(url) {
  const at = performance.now();
  const response = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } });
  const first = performance.now() - at;
  const text = await response.text();
  if (response.status !== 200 || !text.includes('1,000 features')) throw new Error(text);
  return { first, whole: performance.now() - at, bytes: Buffer.byteLength(text) };
}

const rows = [['backend', 'first response, ms', 'again, ms', 'whole page, ms', 'KB']];
for (const [name, backendOf] of Object.entries(backends)) {
  const filled = new Rollout(backendOf());
  await fill(filled);
  // Memory is in the one that filled it; the others begin anew, as a server does.
  const rollout = name === 'memory' ? filled : new Rollout(backendOf());
  if (rollout !== filled) await filled.close();
  await rollout.ready();
  const handler = createHandler(rollout, { tokens: [{ token: TOKEN, access: 'read' }] });
  const http = createServer(handler.node);
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${http.address().port}/`;
  // The connection is there, as it is when somebody comes from signing in.
  await fetch(`${url}health`).then((response) => response.text());
  const { first } = await look(url);
  const again = [];
  for (let n = 0; n < AGAIN; n++) again.push(await look(url));
  rows.push([
    name,
    first.toFixed(0),
    median(again.map((each) => each.first)).toFixed(1),
    median(again.map((each) => each.whole)).toFixed(1),
    (again[0].bytes / 1_024).toFixed(0),
  ]);
  handler.close();
  http.closeAllConnections();
  http.close();
  await rollout.close();
}
console.log(table(rows));
redis.disconnect();
await server.stop();
await rm(folder, { recursive: true });
