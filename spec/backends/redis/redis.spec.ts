import { Redis as Redis5 } from 'ioredis';
import { Redis as Redis6 } from 'ioredis-6';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { useRedis } from '../../redis-server.js';
import { backendContract } from '../contract.js';

const redis = useRedis();

describe.each([
  ['ioredis 5', Redis5],
  ['ioredis 6', Redis6 as unknown as typeof Redis5],
])('with %s', (_, Redis) => {
  let client: Redis5;
  beforeAll(() => {
    client = new Redis(redis.server.port);
  });
  afterAll(() => client.disconnect());
  beforeEach(() => client.flushall());

  for (const Backend of [RedisBackend, RedisSetBackend]) {
    backendContract(Backend.name, { open: async () => new Backend(client) });
    backendContract(`${Backend.name} on the app's connection`, {
      open: async () => new Backend(client, { reuse: true }),
    });
  }
});
