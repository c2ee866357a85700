// How long until 1, 10 and 50 other processes with a replica each show a change, next to a bare
// message that is published to them?
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { RedisBackend } from '../dist/esm/backends/redis/index.js';
import { ReplicaBackend, Rollout } from '../dist/esm/index.js';
import { table } from './measure.js';

/** Monotonic, and the same for all processes of a machine. */
const now = () => Number(process.hrtime.bigint()) / 1e6;

if (process.send === undefined) await lead();
else await follow();

async function lead() {
  const { RedisServer } = await import('./servers.js');
  const quick = process.argv.includes('--quick');
  const changes = quick ? 50 : 300;
  const rows = [['processes', 'message p50', 'message p99', 'change p50', 'change p99', 'polls/s']];
  for (const count of [1, 10, 50]) {
    const server = await RedisServer.start();
    const redis = new Redis(server.port);
    const writer = new Rollout(new RedisBackend(redis));
    await writer.addFeature('counter', { percentage: 100, variants: [{ name: 'v', value: -1 }] });
    for (let n = 0; n < 99; n++) await writer.addFeature(`other-${n}`, { percentage: n });
    const followers = Array.from({ length: count }, () =>
      fork(fileURLToPath(import.meta.url), [String(server.port)]),
    );
    await Promise.all(followers.map((follower) => once(follower, 'message')));
    const heard = { message: [], change: [] };
    let sentAt = [];
    for (const follower of followers) {
      follower.on('message', ({ kind, at, value }) => heard[kind].push(at - sentAt[value]));
    }
    for (const kind of ['message', 'change']) {
      sentAt = [];
      for (let value = 0; value < changes; value++) {
        sentAt.push(now());
        if (kind === 'message') await redis.publish('bare', String(value));
        else await writer.update('counter', { variants: [{ name: 'v', value }] });
        // One at a time: until all have it.
        for (let waited = 0; heard[kind].length < count * (value + 1); waited++) {
          if (waited > 5_000) throw new Error(`Not all have heard of ${kind} ${value}.`);
          await delay(1);
        }
        await delay(Math.random() * 5);
      }
    }
    const commands = async () =>
      Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))[1]);
    const before = await commands();
    await delay(3_000);
    const polls = ((await commands()) - before) / 3;
    rows.push([
      count,
      ...[heard.message, heard.change].flatMap((times) => [at(times, 0.5), at(times, 0.99)]),
      Math.round(polls),
    ]);
    for (const follower of followers) follower.kill();
    await writer.close();
    redis.disconnect();
    await server.stop();
  }
  console.log('ms from before the call that sends it; commands a second while nothing changes:\n');
  console.log(table(rows));
}

function at(times, share) {
  const sorted = times.toSorted((one, other) => one - other);
  return sorted[Math.floor((sorted.length - 1) * share)].toFixed(2);
}

async function follow() {
  const port = Number(process.argv[2]);
  const redis = new Redis(port);
  const bare = new Redis(port);
  const rollout = new Rollout(new ReplicaBackend(new RedisBackend(redis)));
  await rollout.ready();
  await bare.subscribe('bare');
  bare.on('message', (_, value) => {
    process.send({ kind: 'message', at: now(), value: Number(value) });
  });
  rollout.on('change', () => {
    const { value } = rollout.decideSync('counter', 'ann');
    process.send({ kind: 'change', at: now(), value });
  });
  process.send('ready');
}
