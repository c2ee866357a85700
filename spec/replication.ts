import { Redis } from 'ioredis';
import type { RedisServer } from './redis-server.js';

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

/** Until it holds; what it rejects with counts as not yet. Rejects after `giveUpMs`. */
export async function until(
  what: string,
  holds: () => Promise<boolean>,
  giveUpMs = 20_000,
): Promise<void> {
  const end = performance.now() + giveUpMs;
  while (!(await holds().catch(() => false))) {
    if (performance.now() > end) throw new Error(`Waited ${giveUpMs} ms in vain until ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
