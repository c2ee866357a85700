// Two processes on one Redis (REDIS_URL): this one raises the percentage, the other one's answers
// change.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Rollout } from 'hanoi';
import { RedisBackend } from 'hanoi/redis';
import { Redis } from 'ioredis';

const FEATURE = 'new_checkout';
const USERS = Array.from({ length: 1_000 }, (_, n) => `user-${n}`);

const isOther = process.argv[2] === 'other';
// A namespace of the demo's own, so that it touches nothing that is there.
const namespace = isOther ? process.argv[3] : `hanoi-demo-${process.pid}`;
const redis = new Redis(process.env.REDIS_URL);
redis.on('error', () => {});
const rollout = new Rollout(new RedisBackend(redis, { namespace }));

if (isOther) await answer();
else await raise();
await rollout.close();
redis.disconnect();

/** The other process: counts who is in, whenever it hears of a change. */
async function answer() {
  const count = async () => {
    const answers = await Promise.all(USERS.map((user) => rollout.isEnabled(FEATURE, user)));
    process.send(answers.filter((isIn) => isIn).length);
  };
  rollout.on('change', count);
  await count();
  await new Promise((resolve) => process.once('disconnect', resolve));
}

async function raise() {
  try {
    await rollout.addFeature(FEATURE);
  } catch (error) {
    console.error(`\nNo Redis at REDIS_URL: ${error.message}`);
    process.exitCode = 1;
    return;
  }
  const other = fork(fileURLToPath(import.meta.url), ['other', namespace]);
  const counted = () => new Promise((resolve) => other.once('message', resolve));
  console.log(`\nOn Redis, process ${process.pid} writes and process ${other.pid} answers:`);
  console.log(`  at 0%: ${await counted()} of 1,000 users are in`);
  for (const percentage of [10, 50, 100]) {
    const change = counted();
    await rollout.setPercentage(FEATURE, percentage);
    console.log(`  at ${percentage}%: ${await change} of 1,000 users are in`);
  }
  const change = counted();
  await rollout.disable(FEATURE);
  console.log(`  disabled: ${await change} of 1,000 users are in`);
  other.disconnect();
  const keys = await redis.keys(`{${namespace}}:*`);
  await redis.del(keys);
}
