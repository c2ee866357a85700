import type { Program } from './debian-program.js';
import { RedisServer } from './redis-server.js';
import { ask, isInSync, untilFollowed } from './replication.js';
import { until } from './until.js';

const NAME = 'main';

/** A master with two replicas on loopback, and three Sentinels that watch over them. */
export class SentinelTrio {
  private constructor(
    readonly servers: readonly RedisServer[],
    readonly sentinels: readonly RedisServer[],
  ) {}

  /** Starts one whose replicas are in sync, and whose Sentinels know of all. */
  static async start({
    downAfterMs = 1_000,
    program,
  }: {
    downAfterMs?: number;
    program?: Program;
  } = {}): Promise<SentinelTrio> {
    const servers: RedisServer[] = [];
    const sentinels: RedisServer[] = [];
    const trio = new SentinelTrio(servers, sentinels);
    try {
      const data = ['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'];
      const master = await RedisServer.start(data, undefined, program);
      servers.push(master);
      const replicaOf = ['--replicaof', '127.0.0.1', `${master.port}`];
      for (let n = 0; n < 2; n++) {
        servers.push(await RedisServer.start([...data, ...replicaOf], undefined, program));
      }
      await until(async () => (await Promise.all(servers.slice(1).map(isInSync))).every(Boolean));
      for (let n = 0; n < 3; n++) {
        const sentinel = await RedisServer.start(['--sentinel'], undefined, program);
        sentinels.push(sentinel);
        const tell = (...args: string[]) => ask(sentinel, 'SENTINEL', ...args);
        await tell('MONITOR', NAME, '127.0.0.1', `${master.port}`, '2');
        await tell('SET', NAME, 'down-after-milliseconds', `${downAfterMs}`);
        await tell('SET', NAME, 'failover-timeout', '3000');
      }
      await trio.settle();
    } catch (error) {
      await trio.stop();
      throw error;
    }
    return trio;
  }

  /** As a client is told where to begin. */
  get clientOptions(): { name: string; sentinels: { host: string; port: number }[] } {
    const sentinels = this.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
    return { name: NAME, sentinels };
  }

  /** The master, as the Sentinels see it. */
  async master(): Promise<RedisServer> {
    const address = await ask(
      this.sentinels[0] as RedisServer,
      'SENTINEL',
      'GET-MASTER-ADDR-BY-NAME',
      NAME,
    );
    const port = Number((address as string[])[1]);
    return this.servers.find((server) => server.port === port) as RedisServer;
  }

  /** Until every Sentinel sees one master, both replicas in sync with it, and the other two. */
  async settle(): Promise<void> {
    // They ask and tell rarely, and would take half a minute to see it.
    await this.pace({ publishMs: 100, infoMs: 300 });
    await until(async () => {
      const masters = new Set<string>();
      for (const sentinel of this.sentinels) {
        const main = fieldsOf(await ask(sentinel, 'SENTINEL', 'MASTER', NAME));
        if (main.flags !== 'master' || main['num-other-sentinels'] !== '2') return false;
        const replicas = (await ask(sentinel, 'SENTINEL', 'REPLICAS', NAME)) as string[][];
        const isFit = (fields: Record<string, string>) =>
          fields.flags === 'slave' && fields['master-link-status'] === 'ok';
        if (replicas.length !== 2 || !replicas.map(fieldsOf).every(isFit)) return false;
        masters.add(main.port as string);
      }
      if (masters.size !== 1) return false;
      const master = await this.master();
      const replicas = this.servers.filter((server) => server !== master);
      const [role] = (await ask(master, 'ROLE')) as [string];
      if (role !== 'master') return false;
      return (await Promise.all(replicas.map(isInSync))).every(Boolean);
    });
    await untilFollowed(await this.master(), 2);
    await this.pace({ publishMs: 2_000, infoMs: 10_000 });
  }

  /** Ends all of them at once, with their files. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all([...this.sentinels, ...this.servers].map((server) => server.stop()));
  }

  /** How often the Sentinels tell of themselves, and ask the servers; 2 s and 10 s by default. */
  private async pace({ publishMs, infoMs }: { publishMs: number; infoMs: number }): Promise<void> {
    for (const sentinel of this.sentinels) {
      const pace = ['publish-period', publishMs, 'info-period', infoMs];
      await ask(sentinel, 'SENTINEL', 'DEBUG', ...pace);
    }
  }
}

function fieldsOf(reply: unknown): Record<string, string> {
  const flat = reply as string[];
  const fields: Record<string, string> = {};
  for (let at = 0; at < flat.length; at += 2) fields[flat[at] as string] = flat[at + 1] as string;
  return fields;
}
