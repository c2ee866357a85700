import { setTimeout as delay } from 'node:timers/promises';
import { Cluster as Cluster5, Redis as Redis5 } from 'ioredis';
import { Cluster as Cluster6, Redis as Redis6 } from 'ioredis-6';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { useRedis } from '../../redis-server.js';
import { backendContract } from '../contract.js';

const redis = useRedis();
const node = useRedis(['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']);

// A cluster of one node: it refuses what is not in one slot as a larger one does.
beforeAll(async () => {
  const client = new Redis5(node.server.port);
  await client.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16_383);
  while (!(await client.cluster('INFO')).includes('cluster_state:ok')) await delay(10);
  client.disconnect();
});

const CLIENTS: [string, () => Redis5 | Cluster5][] = [
  ['ioredis 5', () => new Redis5(redis.server.port)],
  ['ioredis 6', () => new Redis6(redis.server.port) as unknown as Redis5],
  ['a cluster of ioredis 5', () => new Cluster5([{ host: '127.0.0.1', port: node.server.port }])],
  [
    'a cluster of ioredis 6',
    () => new Cluster6([{ host: '127.0.0.1', port: node.server.port }]) as unknown as Cluster5,
  ],
];

/** On the app's own connection, which goes by its options: one of each kind tells. */
const REUSED: readonly string[] = ['ioredis 5', 'a cluster of ioredis 6'];

describe.each(CLIENTS)('with %s', (name, connect) => {
  let client: Redis5 | Cluster5;
  beforeAll(() => {
    client = connect();
  });
  afterAll(() => client.disconnect());
  beforeEach(() => client.flushall());

  for (const Backend of [RedisBackend, RedisSetBackend]) {
    backendContract(Backend.name, { open: async () => new Backend(client) });
    if (!REUSED.includes(name)) continue;
    backendContract(`${Backend.name} on the app's connection`, {
      open: async () => new Backend(client, { reuse: true }),
    });
  }
});
