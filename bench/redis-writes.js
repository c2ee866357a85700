// How many registrations a second do 1, 8 and 16 processes get through on one feature, each one at
// a time, and is everything there afterwards?
import { fork } from 'node:child_process';
import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../dist/esm/backends/redis/index.js';
import { Rollout } from '../dist/esm/index.js';
import { table } from './measure.js';

const REGISTRATIONS = 1_000;
const BACKENDS = { RedisBackend, RedisSetBackend };

if (process.send === undefined) await main();
else await writer();

async function main() {
  const { RedisServer } = await import('./servers.js');
  const server = await RedisServer.start();
  const redis = new Redis(server.port);
  const rows = [['backend', 'processes', 'writes a second', 'members', 'counted in the token']];
  for (const [name, Backend] of Object.entries(BACKENDS)) {
    for (const processes of [1, 8, 16]) {
      await redis.flushall();
      const backend = new Backend(redis);
      const rollout = new Rollout(backend);
      await rollout.addFeature('list');
      const children = Array.from({ length: processes }, (_, n) =>
        fork(new URL(import.meta.url), [name, `${server.port}`, `${n}`]),
      );
      const heard = (child) => new Promise((resolve) => child.once('message', resolve));
      await Promise.all(children.map(heard));
      const done = Promise.all(children.map(heard));
      const start = performance.now();
      for (const child of children) child.send('go');
      await done;
      const seconds = (performance.now() - start) / 1_000;
      const members = await rollout.countMembers('list');
      const counted = Number((await backend.token()).members.split(':')[1]);
      if (members !== processes * REGISTRATIONS || counted !== members) {
        throw new Error(`Expected ${processes * REGISTRATIONS}, got ${members}, token ${counted}.`);
      }
      const rate = Math.round(members / seconds).toLocaleString('en');
      rows.push([name, processes, rate, members, counted]);
      await rollout.close();
    }
  }
  console.log(table(rows));
  redis.disconnect();
  await server.stop();
}

async function writer() {
  const [name, port, number] = process.argv.slice(2);
  const redis = new Redis(Number(port));
  const rollout = new Rollout(new BACKENDS[name](redis));
  await rollout.register('list', []);
  process.send('ready');
  await new Promise((resolve) => process.once('message', resolve));
  for (let n = 0; n < REGISTRATIONS; n++) await rollout.register('list', `user-${number}-${n}`);
  process.send('done');
  await rollout.close();
  redis.disconnect();
  process.disconnect();
}
