import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../../lib/backends/redis/index.js';
import { type Backend, MemoryBackend, Rollout } from '../../lib/index.js';
import { useRedis } from '../redis-server.js';

const redis = useRedis();
let client: Redis;
beforeAll(() => {
  client = new Redis(redis.server.port);
});
afterAll(() => {
  client.disconnect();
});
afterEach(() => {
  jest.useRealTimers();
});

describe.each<[string, () => Backend]>([
  ['memory', () => new MemoryBackend()],
  ['Redis', () => new RedisBackend(client, { namespace: 'one' })],
  ['Redis sets', () => new RedisSetBackend(client, { namespace: 'other' })],
])('under timers that a test has put in the place of the real ones, on %s', (_, open) => {
  it('all goes on', async () => {
    const rollout = new Rollout(open());
    await rollout.ready();
    await rollout.addFeature('text', {
      variants: ['submit', 'save'],
      rules: [{ id: 'all', when: { group: 'all' }, serve: 'on', sticky: true }],
    });
    jest.useFakeTimers();
    expect(await rollout.register('text', 'ann')).toBe(1);
    expect(await rollout.register('text', ['bob', 'cid'])).toBe(2);
    const { variant = '' } = await rollout.use('text', 'ann');
    await rollout.update('text', { variants: [{ name: variant, weight: 0 }, 'another'] });
    expect(await rollout.variant('text', 'ann')).toBe(variant);
    expect(await rollout.preview('text', { enabled: false }, ['ann'])).toMatchObject({ loses: 1 });
    jest.useRealTimers();
    await rollout.close();
  }, 10_000);
});
