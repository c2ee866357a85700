import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisServer } from './redis-server.js';

/** A server for all of the file's specs that hears what is sent to it, and a client to it. */
export interface MonitoredRedis {
  readonly client: Redis;
  /** The commands that were sent while this ran, without those within scripts. */
  sent(run: () => Promise<unknown>): Promise<string[][]>;
}

export function useMonitoredRedis(): MonitoredRedis {
  let server: RedisServer;
  let client: Redis;
  let monitor: Redis;
  let seen: string[][] = [];
  beforeAll(async () => {
    server = await RedisServer.start();
    client = new Redis(server.port);
    // What the client sends while it connects could come to the monitor with the reply to MONITOR,
    // and ioredis would take it for a reply too many.
    await client.ping();
    monitor = await client.monitor();
    monitor.on('monitor', (_time: string, args: string[], source: string) => {
      if (source !== 'lua') seen.push([args[0]?.toLowerCase() as string, ...args.slice(1)]);
    });
  }, 60_000);
  afterAll(async () => {
    monitor.disconnect();
    client.disconnect();
    await server.stop();
  });
  return {
    get client() {
      return client;
    },
    async sent(run) {
      await client.ping('before');
      while (!seen.some((args) => args[1] === 'before')) await delay(1);
      seen = [];
      await run();
      await client.ping('after');
      while (!seen.some((args) => args[1] === 'after')) await delay(1);
      const commands = seen.filter(([name]) => name !== 'ping');
      seen = [];
      return commands;
    },
  };
}
