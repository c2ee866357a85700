import type { Redis } from 'ioredis';
import RedisMock from 'ioredis-mock';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { Rollout } from '../../../lib/rollout.js';

// Nothing that counts is shown here: it is for apps that test on ioredis-mock.
describe.each([RedisBackend, RedisSetBackend])('an app that tests a %p on ioredis-mock', (Kind) => {
  let rollout: Rollout;
  beforeEach(async () => {
    const redis = new RedisMock() as unknown as Redis;
    await redis.flushall();
    rollout = new Rollout(new Kind(redis));
  });
  afterEach(() => rollout.close());

  it('gets the answers that Redis gives', async () => {
    await rollout.addFeature('chat', { percentage: 1, variants: ['a', 'b'] });
    expect(await rollout.register('chat', ['ann', 'bob'])).toBe(2);
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
    expect(await rollout.isEnabled('chat', 'eve')).toBe(false);
    expect((await rollout.snapshot('ann')).isEnabled('chat')).toBe(true);
    await rollout.setPercentage('chat', 2, { actor: 'ann' });
    await expect(rollout.addFeature('chat')).rejects.toMatchObject({ code: 'FEATURE_EXISTS' });
    expect((await rollout.history('chat')).map(({ kind }) => kind)).toEqual([
      'updated',
      'members',
      'created',
    ]);
    await rollout.undo('chat');
    expect((await rollout.get('chat'))?.percentage).toBe(1);
    await rollout.remove('chat');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
  });

  it('does not get a history page by page: the ids of its stream entries are none', async () => {
    await rollout.addFeature('chat');
    await rollout.setPercentage('chat', 1);
    const [last] = await rollout.history('chat', { limit: 1 });
    await expect(rollout.history('chat', { before: last?.id })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });
});
