import type { Program } from './debian-program.js';
import { freePort, RedisServer } from './redis-server.js';
import { ask, isInSync, untilFollowed } from './replication.js';
import { until } from './until.js';

const MASTERS = 3;
const SLOTS = 16_384;

type SlotRange = [first: number, last: number, ...nodes: [ip: string, port: number, id: string][]];

/** A Redis Cluster on loopback: three masters with as many replicas each. */
export class RedisCluster {
  private constructor(
    readonly nodes: readonly RedisServer[],
    private readonly replicas: number,
  ) {}

  /** Starts one whose slots are all served, and whose replicas are in sync. */
  static async start({
    replicas = 1,
    nodeTimeoutMs = 1_500,
    program,
  }: {
    replicas?: number;
    nodeTimeoutMs?: number;
    program?: Program;
  } = {}): Promise<RedisCluster> {
    const starting = Array.from({ length: (1 + replicas) * MASTERS }, () =>
      startNode(nodeTimeoutMs, program),
    );
    const started = await Promise.allSettled(starting);
    const nodes = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const cluster = new RedisCluster(nodes, replicas);
    try {
      await Promise.all(starting);
      await cluster.form();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** As a client is told where to begin. */
  get startupNodes(): { host: string; port: number }[] {
    return this.nodes.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** The slot of a key, and the nodes that serve it: the master first. As most nodes see it. */
  async ownersOf(key: string): Promise<{ slot: number; owners: RedisServer[] }> {
    const views = await Promise.allSettled(
      this.nodes.map(async (node) => {
        const slot = (await ask(node, 'CLUSTER', 'KEYSLOT', key)) as number;
        const ranges = (await ask(node, 'CLUSTER', 'SLOTS')) as SlotRange[];
        const range = ranges.find(([first, last]) => first <= slot && slot <= last);
        const owners = (range?.slice(2) as [string, number][] | undefined)?.map(([, port]) => port);
        return { slot, ports: owners ?? [] };
      }),
    );
    const seen = views.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const masters = seen.map(({ ports }) => ports[0]);
    const votes = (port: number | undefined) => masters.filter((each) => each === port).length;
    const best = seen.reduce((one, other) =>
      votes(other.ports[0]) > votes(one.ports[0]) ? other : one,
    );
    const owners = best.ports.map((port) => this.nodes.find((node) => node.port === port));
    return { slot: best.slot, owners: owners as RedisServer[] };
  }

  /** A master that does not serve the key. */
  async otherMaster(key: string): Promise<RedisServer> {
    const owners = (await this.ownersOf(key)).owners;
    for (const node of this.nodes) {
      if (owners.includes(node)) continue;
      const [role] = (await ask(node, 'ROLE')) as [string];
      if (role === 'master') return node;
    }
    throw new Error('There is only one master.');
  }

  /**
   * Gives the key's slot to another master; `underway` is called when those of its keys are there
   * that are not after this one.
   */
  async reshard(key: string, underway: () => Promise<void>): Promise<RedisServer> {
    const { slot, owners } = await this.ownersOf(key);
    const from = owners[0] as RedisServer;
    const to = await this.otherMaster(key);
    const [fromId, toId] = await Promise.all([idOf(from), idOf(to)]);
    await ask(to, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId);
    await ask(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
    const move = (keys: readonly string[]) =>
      ask(from, 'MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...keys);
    const left = async () =>
      (await ask(from, 'CLUSTER', 'GETKEYSINSLOT', slot, 100_000)) as string[];
    const first = await left();
    const middle = first.toSorted(bytewise).findIndex((each) => each > key);
    await move(first.toSorted(bytewise).slice(0, middle));
    await underway();
    // Also what was written meanwhile.
    for (let keys = await left(); keys.length > 0; keys = await left()) await move(keys);
    await ask(to, 'CLUSTER', 'SETSLOT', slot, 'NODE', toId);
    await ask(from, 'CLUSTER', 'SETSLOT', slot, 'NODE', toId);
    return to;
  }

  /** Until every node sees all slots served and each master has its replicas in sync. */
  async settle(): Promise<void> {
    const masters = new Set<RedisServer>();
    await until(async () => {
      masters.clear();
      for (const node of this.nodes) {
        const info = String(await ask(node, 'CLUSTER', 'INFO'));
        if (!/cluster_state:ok/.test(info) || !/cluster_slots_ok:16384/.test(info)) return false;
        if (!info.includes(`cluster_size:${MASTERS}`)) return false;
        if (/fail/.test(String(await ask(node, 'CLUSTER', 'NODES')))) return false;
        const [role] = (await ask(node, 'ROLE')) as [string];
        if (role === 'master') masters.add(node);
        else if (!(await isInSync(node))) return false;
      }
      return masters.size === MASTERS;
    });
    await Promise.all(Array.from(masters, (master) => untilFollowed(master, this.replicas)));
  }

  /** Ends all nodes at once, with their files. Idempotent. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  private async form(): Promise<void> {
    const { nodes } = this;
    const share = Math.ceil(SLOTS / MASTERS);
    await Promise.all(
      nodes.map(async (node, at) => {
        await ask(node, 'CLUSTER', 'SET-CONFIG-EPOCH', at + 1);
        if (at < MASTERS) {
          const last = Math.min(SLOTS, (at + 1) * share) - 1;
          await ask(node, 'CLUSTER', 'ADDSLOTSRANGE', at * share, last);
        }
      }),
    );
    // Each is told of each: word of mouth takes a second or more.
    for (const one of nodes) {
      for (const other of nodes) {
        if (one !== other) await meet(one, other);
      }
    }
    const isKnown = async (node: RedisServer) => {
      const lines = String(await ask(node, 'CLUSTER', 'NODES'))
        .trim()
        .split('\n');
      return lines.length === nodes.length && !lines.some((line) => line.includes('handshake'));
    };
    await until(async () => (await Promise.all(nodes.map(isKnown))).every(Boolean));
    const masters = nodes.slice(0, MASTERS);
    await Promise.all(
      nodes.slice(MASTERS).map(async (node, at) => {
        await ask(node, 'CLUSTER', 'REPLICATE', await idOf(masters[at % MASTERS] as RedisServer));
      }),
    );
    await this.settle();
  }
}

async function startNode(timeoutMs: number, program: Program | undefined): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    const options = [
      ...['--cluster-enabled', 'yes', '--cluster-port', `${await freePort()}`],
      ...['--cluster-announce-ip', '127.0.0.1', '--cluster-node-timeout', `${timeoutMs}`],
      // However long its master was away: here it is always worth a vote.
      ...['--cluster-replica-validity-factor', '0'],
      ...['--repl-diskless-sync-delay', '0', '--repl-ping-replica-period', '1'],
    ];
    try {
      return await RedisServer.start(options, undefined, program);
    } catch (error) {
      // The second port too may have been taken in between.
      if (attempt === 3) throw error;
    }
  }
}

function bytewise(one: string, other: string): number {
  return one < other ? -1 : 1;
}

function idOf(node: RedisServer): Promise<string> {
  return ask(node, 'CLUSTER', 'MYID') as Promise<string>;
}

async function meet(one: RedisServer, other: RedisServer): Promise<void> {
  const [bus] = ((await ask(other, 'CONFIG', 'GET', 'cluster-port')) as string[]).slice(1);
  await ask(one, 'CLUSTER', 'MEET', '127.0.0.1', other.port, bus as string);
}
