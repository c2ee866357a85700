import { Cluster, Redis as Redis5 } from 'ioredis';
import { Redis as Redis6 } from 'ioredis-6';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { quiet } from '../../failover.js';
import { RedisCluster } from '../../redis-cluster.js';
import { findValkey, RedisServer } from '../../redis-server.js';
import { ask } from '../../replication.js';
import { backendContract } from '../contract.js';
import { makeEveryCall } from './every-call.js';

const BACKENDS = [RedisBackend, RedisSetBackend];
const program = findValkey();

// Debian has it from trixie on, and for bookworm among the backports.
const where = program === undefined ? describe.skip : describe;
where(`on Valkey${program === undefined ? ': there is no valkey-server here' : ''}`, () => {
  let server: RedisServer;
  let cluster: RedisCluster;
  beforeAll(async () => {
    server = await RedisServer.start([], undefined, program);
    cluster = await RedisCluster.start(program === undefined ? {} : { program });
  }, 60_000);
  afterAll(async () => {
    await server.stop();
    await cluster.stop();
  });

  const clients: [string, () => Redis5 | Cluster][] = [
    ['ioredis 5', () => new Redis5(server.port)],
    ['ioredis 6', () => new Redis6(server.port) as unknown as Redis5],
    ['a cluster of ioredis 5', () => new Cluster(cluster.startupNodes)],
  ];
  let namespaces = 0;

  it('is Valkey', async () => {
    expect(await ask(server, 'INFO', 'server')).toContain('valkey_version:');
  });

  describe.each(clients)('with %s', (name, connect) => {
    let client: Redis5 | Cluster;
    beforeAll(() => {
      client = quiet(connect());
    });
    afterAll(() => client.disconnect());

    // What a client does on a server is held to the contract elsewhere.
    for (const Backend of name === 'ioredis 6' ? BACKENDS : []) {
      backendContract(Backend.name, {
        open: async () => new Backend(client, { namespace: `spec-${namespaces++}` }),
      });
    }

    it.each(BACKENDS)('makes every call of the API with %p', async (Backend) => {
      const own = { namespace: `spec-${namespaces++}` };
      await makeEveryCall(() => new Backend(client, own));
    });
  });
});
