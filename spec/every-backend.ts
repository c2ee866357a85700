import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Backend } from '../lib/backends/backend.js';
import { FileBackend } from '../lib/backends/file/index.js';
import { RedisBackend, RedisSetBackend } from '../lib/backends/redis/index.js';
import { MemoryBackend, ReplicaBackend, Rollout, type RolloutOptions } from '../lib/index.js';
import { useRedis } from './redis-server.js';

export const BACKENDS = [
  'MemoryBackend',
  'FileBackend',
  'RedisBackend',
  'RedisSetBackend',
  'ReplicaBackend',
] as const;

type Kind = (typeof BACKENDS)[number];

/** Backends of every kind while the file's specs run, those on Redis on one server; each is empty. */
export function useEveryBackend() {
  const redis = useRedis();
  const opened: Rollout[] = [];
  let client: Redis;
  let folder: string;
  let count = 0;
  beforeAll(() => {
    client = new Redis(redis.server.port);
    folder = mkdtempSync(join(tmpdir(), 'hanoi-every-'));
  });
  afterEach(async () => {
    for (const rollout of opened.splice(0)) await rollout.close();
  });
  afterAll(() => {
    client.disconnect();
    rmSync(folder, { recursive: true, force: true });
  });
  const makers: { readonly [Name in Kind]: (place: string) => Backend } = {
    MemoryBackend: () => new MemoryBackend(),
    FileBackend: (place) => new FileBackend(join(folder, `${place}.json`)),
    RedisBackend: (namespace) => new RedisBackend(client, { namespace }),
    RedisSetBackend: (namespace) => new RedisSetBackend(client, { namespace }),
    ReplicaBackend: (namespace) => new ReplicaBackend(new RedisBackend(client, { namespace })),
  };
  return {
    redis,
    open(kind: Kind, options: RolloutOptions = {}) {
      const place = `store-${count++}`;
      const backend = makers[kind](place);
      const rollout = new Rollout(backend, options);
      opened.push(rollout);
      return { backend, rollout, place };
    },
    /** A replica of what a Redis backend has in that namespace, with a copy of its own. */
    async replicaOf(namespace: string) {
      const rollout = new Rollout(
        new ReplicaBackend(new RedisSetBackend(client, { namespace }), { pollMs: 20 }),
      );
      opened.push(rollout);
      await rollout.ready();
      return rollout;
    },
  };
}
