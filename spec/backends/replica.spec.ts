import { Redis } from 'ioredis';
import { MemoryBackend } from '../../lib/backends/memory.js';
import { RedisBackend, RedisSetBackend } from '../../lib/backends/redis/index.js';
import { ReplicaBackend } from '../../lib/backends/replica.js';
import { useRedis } from '../redis-server.js';
import { backendContract } from './contract.js';

const redis = useRedis();
let client: Redis;
beforeAll(() => {
  client = new Redis(redis.server.port);
});
afterAll(() => client.disconnect());
beforeEach(() => client.flushall());

const loaded = async (replica: ReplicaBackend) => {
  await replica.ready(5_000);
  return replica;
};

backendContract('ReplicaBackend of a MemoryBackend', {
  open: () => loaded(new ReplicaBackend(new MemoryBackend())),
});
backendContract('ReplicaBackend that has not loaded yet', {
  open: async () => new ReplicaBackend(new MemoryBackend()),
});
for (const Backend of [RedisBackend, RedisSetBackend]) {
  backendContract(`ReplicaBackend of a ${Backend.name}`, {
    open: () => loaded(new ReplicaBackend(new Backend(client))),
  });
}
