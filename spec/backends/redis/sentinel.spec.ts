import { Redis as Redis5 } from 'ioredis';
import { Redis as Redis6 } from 'ioredis-6';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { Rollout } from '../../../lib/rollout.js';
import { expectToWorkAt } from '../../cli/shell.js';
import { failOver, furnish, quiet, type Site } from '../../failover.js';
import { SentinelTrio } from '../../redis-sentinel.js';
import { backendContract } from '../contract.js';
import { makeEveryCall } from './every-call.js';

const BACKENDS = [RedisBackend, RedisSetBackend];

let trio: SentinelTrio;
beforeAll(async () => {
  trio = await SentinelTrio.start();
}, 60_000);
afterAll(() => trio.stop());

const CLIENTS: [string, () => Redis5][] = [
  ['ioredis 5', () => new Redis5(trio.clientOptions)],
  ['ioredis 6', () => new Redis6(trio.clientOptions) as unknown as Redis5],
];

it('is found by the command line', async () => {
  const { sentinels = [], name } = trio.clientOptions;
  const nodes = sentinels.map(({ host, port }) => `${host}:${port}`).join(',');
  await expectToWorkAt(`redis://${nodes}?sentinel=${name}&namespace=by-sentinel`);
});

describe.each(CLIENTS)('through Sentinel, with %s', (name, connect) => {
  let client: Redis5;
  beforeAll(() => {
    client = quiet(connect());
  });
  afterAll(() => client.disconnect());
  beforeEach(() => client.flushall());

  // Each backend with each client on one server is held to it elsewhere.
  const Backend = name === 'ioredis 5' ? RedisBackend : RedisSetBackend;
  backendContract(Backend.name, { open: async () => new Backend(client) });

  it.each(BACKENDS)('makes every call of the API with %p', async (Backend) => {
    await makeEveryCall(() => new Backend(client));
  });

  it.each(['SIGKILL', 'SIGSTOP'] as const)(
    'answers all the while and writes again after %s of the master',
    async (signal) => {
      const site: Site = {
        connect: () => quiet(connect()),
        master: () => trio.master(),
        settle: () => trio.settle(),
      };
      const rollout = new Rollout(new RedisBackend(client, { waitForReplicas: 1 }));
      try {
        await rollout.ready();
        await furnish(rollout);
        await rollout.decide('on', 'ann');
        const course = await failOver(site, rollout, signal, signal);
        expect(course).toMatchObject({ rejected: 0, wrong: 0, ghosts: [], lost: [] });
        expect(course.checks).toBeGreaterThan(500);
        // The deadline is 250 ms; this allows for a machine that is busy.
        expect(course.slowestMs).toBeLessThan(1_000);
        expect(course.checksBackMs).toBeLessThan(6_000);
        expect(course.writesBackMs).toBeLessThan(6_000);
      } finally {
        await rollout.close();
      }
    },
    40_000,
  );
});
