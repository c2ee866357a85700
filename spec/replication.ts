import { Redis } from 'ioredis';
import type { RedisServer } from './redis-server.js';
import { until } from './until.js';

/** What a server answers to one command, on a connection of its own. Rejects if it hangs. */
export async function ask(
  { port }: RedisServer,
  ...[name, ...args]: readonly [string, ...(string | number)[]]
): Promise<unknown> {
  const client = new Redis({
    port,
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    connectTimeout: 500,
    commandTimeout: 1_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return await client.call(name, args);
  } finally {
    client.disconnect();
  }
}

/** Whether it is a replica that has all of its master's data. */
export async function isInSync(server: RedisServer): Promise<boolean> {
  const info = String(await ask(server, 'INFO', 'replication'));
  return info.includes('role:slave') && info.includes('master_link_status:up');
}

/**
 * Until so many replicas have what the master has now, and more: its pings. That a link is up, or
 * online, does not say so: after a sync it can take a second until the stream begins.
 */
export async function untilFollowed(master: RedisServer, count: number): Promise<void> {
  const look = async () => {
    const info = String(await ask(master, 'INFO', 'replication'));
    const there = info.matchAll(/^slave\d+:.*state=online,offset=(\d+)/gm);
    const at = Number(/^master_repl_offset:(\d+)/m.exec(info)?.[1]);
    return { at, acknowledged: Array.from(there, ([, offset]) => Number(offset)) };
  };
  const { at } = await look();
  await until(async () => {
    const { acknowledged } = await look();
    return acknowledged.filter((offset) => offset > at).length >= count;
  });
}
