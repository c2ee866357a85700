import type { Redis } from 'ioredis';
import RedisMock from 'ioredis-mock';
import { RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { Rollout } from '../../../lib/rollout.js';
import { backendContract } from '../contract.js';

const TIMEOUT_MS = 30_000;
jest.setTimeout(TIMEOUT_MS);

// Nothing that counts is shown here: it is for apps that test on ioredis-mock, and says where that
// is no Redis.
const open = async () => {
  const redis = new RedisMock() as unknown as Redis;
  await redis.flushall();
  return new RedisSetBackend(redis, { operationTimeoutMs: 5_000 });
};

backendContract(
  'RedisSetBackend on ioredis-mock',
  {
    open,
    deviations: [
      {
        test: 'a document › may have any name',
        reason: 'the mock loses a hash field `__proto__`',
      },
      {
        test: 'what is assigned › is any text, of any id',
        reason: 'the mock loses a hash field `__proto__`',
      },
      {
        test: 'the history › can be read on from a change, and by its two kinds',
        reason: "the mock's ids of stream entries are none",
      },
      {
        test: 'the history › can be read page by page',
        reason: "the mock's ids of stream entries are none",
      },
    ],
  },
  TIMEOUT_MS,
);

describe('an app that tests on ioredis-mock', () => {
  it('gets the answers that Redis gives', async () => {
    const rollout = new Rollout(await open());
    await rollout.addFeature('chat', { percentage: 1, variants: ['a', 'b'] });
    await rollout.register('chat', 'ann');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
    expect(await rollout.isEnabled('chat', 'eve')).toBe(false);
    expect((await rollout.snapshot('ann')).isEnabled('chat')).toBe(true);
    await rollout.remove('chat');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
    await rollout.close();
  });
});
