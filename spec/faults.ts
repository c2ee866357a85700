import { mkdirSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisBackend } from '../lib/backends/redis/index.js';
import type { Decision } from '../lib/domain/decision.js';
import type { Feature } from '../lib/domain/feature.js';
import { Rollout } from '../lib/rollout.js';
import { RedisServer } from './redis-server.js';
import { TcpProxy } from './tcp-proxy.js';
import { until } from './until.js';

/** A server that can be hurt, and a proxy in front of it. */
export class Site {
  /** Whom nothing keeps out. */
  private readonly admin: Redis;

  private constructor(
    readonly server: RedisServer,
    readonly proxy: TcpProxy,
  ) {
    this.admin = this.clientOf(server.port, {
      username: 'admin',
      password: 'any',
      enableReadyCheck: false,
      retryStrategy: () => 20,
    });
  }

  static async open(): Promise<Site> {
    const server = await RedisServer.start([
      ...['--appendonly', 'yes', '--appendfsync', 'always', '--enable-protected-configs', 'yes'],
      ...['--enable-debug-command', 'yes', '--user', 'admin', 'on', 'nopass', '~*', '&*', '+@all'],
    ]);
    return new Site(server, await TcpProxy.start(server.port));
  }

  /** A client as an app has one, by way of the proxy unless told otherwise. */
  clientOf(port = this.proxy.port, options: object = {}): Redis {
    const client = new Redis({ port, ...options });
    client.on('error', () => {});
    return client;
  }

  /** Runs commands as the admin, one after the other. */
  async tell(...commands: readonly (readonly (string | number)[])[]): Promise<void> {
    for (const [name, ...args] of commands) await this.admin.call(name as string, args);
  }

  /** Writes all that there is to the disk, also what was put there for debugging. */
  async rewrite(): Promise<void> {
    const isUnderway = async () =>
      /aof_rewrite_(in_progress|scheduled):1/.test(await this.admin.info('persistence'));
    while (await isUnderway()) await delay(20);
    await this.tell(['BGREWRITEAOF']);
    while (await isUnderway()) await delay(20);
  }

  async close(): Promise<void> {
    this.admin.disconnect();
    await this.proxy.stop();
    await this.server.stop();
  }
}

export interface Fault {
  readonly name: string;
  begin(site: Site): Promise<unknown>;
  /** Undefined where it passes by itself. */
  heal?(site: Site): Promise<unknown>;
  /** Whether what was stored is gone after it. */
  readonly losesData?: boolean;
}

const setConfig = (name: string, value: string | number) => ['CONFIG', 'SET', name, value] as const;
/** Everyone but the admin: `skipme` keeps whoever says it. */
const KILL_ALL = ['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'] as const;

/** What happens to a Redis, and to the way there. */
export const FAULTS: readonly Fault[] = [
  {
    name: 'killed, and started again with its data',
    begin: ({ server }) => server.kill(),
    heal: ({ server }) => server.restart(),
  },
  {
    name: 'stopped (SIGSTOP)',
    begin: async ({ server }) => server.signal('SIGSTOP'),
    heal: async ({ server }) => server.signal('SIGCONT'),
  },
  { name: 'half-open links', begin: async ({ proxy }) => proxy.halfOpen() },
  {
    name: 'connections refused',
    begin: ({ proxy }) => proxy.refuse(),
    heal: ({ proxy }) => proxy.accept(),
  },
  {
    name: 'a black hole',
    begin: async ({ proxy }) => {
      proxy.isBlackHole = true;
    },
    heal: async ({ proxy }) => {
      proxy.isBlackHole = false;
    },
  },
  {
    name: 'a latency of 400 ms',
    begin: async ({ proxy }) => {
      proxy.delayMs = 400;
    },
    heal: async ({ proxy }) => {
      proxy.delayMs = 0;
    },
  },
  {
    name: 'replies that are garbage',
    begin: async ({ proxy }) => {
      proxy.mischief = 'garble';
    },
    heal: async ({ proxy }) => {
      proxy.mischief = 'none';
    },
  },
  {
    name: 'replies that are cut',
    begin: async ({ proxy }) => {
      proxy.mischief = 'cut';
    },
    heal: async ({ proxy }) => {
      proxy.mischief = 'none';
    },
  },
  {
    name: 'LOADING',
    begin: async (site) => {
      const { server } = site;
      await site.tell(['DEBUG', 'POPULATE', 2_000, 'filler']);
      await site.rewrite();
      await server.kill();
      // One key after the other, with a pause of so many us after each.
      const more = ['--key-load-delay', '1000', '--loading-process-events-interval-bytes', '1024'];
      await server.restart({ isReady: 'Server initialized', more });
    },
    heal: async (site) => {
      // By itself, once all is loaded.
      const isLoading = () =>
        site.tell(['GET', 'any']).then(
          () => false,
          () => true,
        );
      while (await isLoading()) await delay(20);
    },
  },
  {
    name: 'BUSY with a script',
    begin: async (site) => {
      await site.tell(setConfig('busy-reply-threshold', 10));
      const busy = site.clientOf(site.server.port, { retryStrategy: null });
      busy.eval('while true do end', 0).catch(() => busy.disconnect());
      await delay(50);
    },
    heal: (site) => site.tell(['SCRIPT', 'KILL']),
  },
  {
    name: 'READONLY: a replica by now',
    begin: (site) => site.tell(['REPLICAOF', '127.0.0.1', 1]),
    heal: (site) => site.tell(['REPLICAOF', 'NO', 'ONE']),
  },
  {
    name: 'MASTERDOWN: a replica that has lost its master',
    begin: (site) =>
      site.tell(setConfig('replica-serve-stale-data', 'no'), ['REPLICAOF', '127.0.0.1', 1]),
    heal: (site) => site.tell(['REPLICAOF', 'NO', 'ONE']),
  },
  {
    name: 'OOM',
    begin: (site) => site.tell(setConfig('maxmemory', 1)),
    heal: (site) => site.tell(setConfig('maxmemory', 0)),
  },
  {
    name: 'MISCONF: it cannot save',
    begin: async (site) => {
      await site.tell(setConfig('save', '3600 1'), setConfig('appendonly', 'no'));
      rmSync(site.server.folder, { recursive: true });
      await site.tell(['BGSAVE']);
      await delay(300);
    },
    heal: async (site) => {
      mkdirSync(site.server.folder, { recursive: true });
      await site.tell(setConfig('save', ''), setConfig('dir', site.server.folder));
      await site.tell(setConfig('appendonly', 'yes'));
      // Killed before all of it is on the disk again, it would come back empty.
      await site.rewrite();
    },
  },
  {
    name: 'NOAUTH: a password that nobody was told',
    begin: (site) => site.tell(setConfig('requirepass', 'secret'), KILL_ALL),
    heal: (site) => site.tell(['ACL', 'SETUSER', 'default', 'nopass']),
  },
  {
    name: 'NOPERM: commands forbidden',
    begin: (site) =>
      site.tell(['ACL', 'SETUSER', 'default', '-@all', '+ping', '+info', '+subscribe']),
    heal: (site) => site.tell(['ACL', 'SETUSER', 'default', '+@all']),
  },
  {
    name: 'NOPERM: the channel forbidden',
    begin: (site) => site.tell(['ACL', 'SETUSER', 'default', 'resetchannels']),
    heal: (site) => site.tell(['ACL', 'SETUSER', 'default', 'allchannels']),
  },
  {
    name: 'maxclients',
    begin: (site) => site.tell(setConfig('maxclients', 1), KILL_ALL),
    heal: (site) => site.tell(setConfig('maxclients', 10_000)),
  },
  {
    name: 'killed, and started again empty',
    losesData: true,
    begin: async ({ server }) => {
      await server.kill();
      rmSync(server.folder, { recursive: true });
      mkdirSync(server.folder);
      await server.restart();
    },
  },
  { name: 'FLUSHALL', losesData: true, begin: (site) => site.tell(['FLUSHALL']) },
];

/** Someone who is asked while a fault lasts. */
export interface Patient {
  readonly name: string;
  readonly rollout: Rollout;
  /** Whether checks are to be answered at once, without I/O. */
  readonly isSync: boolean;
}

/** How one patient came through one fault. */
export interface Course {
  readonly fault: string;
  readonly patient: string;
  readonly checks: number;
  readonly thrown: number;
  /** Answers that nobody should have had. */
  readonly wrong: number;
  /** How many said that they were of what was known before, and how many that they were none. */
  readonly stale: number;
  readonly failed: number;
  readonly slowestMs: number;
  /** What became of the writes: 'applied' or a code, each once. */
  readonly writes: string;
  /** From the healing until a change made elsewhere was seen; undefined where it never was. */
  readonly healedMs: number | undefined;
}

const ROUNDS = 10;
const CHECKS = 50;

/** What there is to be asked about: 'on' for ann, 'list' for ann, 'shut' for ann, 'probe' for nobody. */
export async function furnish(rollout: Rollout): Promise<void> {
  await rollout.addFeature('on', { percentage: 100 });
  await rollout.addFeature('list');
  await rollout.register('list', ['ann', 'bob']);
  await rollout.addFeature('shut', { percentage: 100, excluded: ['ann'] });
  await rollout.addFeature('probe');
}

/** Lets the fault happen to them, all at once, while they are asked 500 times each. */
export async function suffer(
  site: Site,
  fault: Fault,
  patients: readonly Patient[],
  giveUpMs = 6_000,
): Promise<Course[]> {
  await fault.begin(site);
  const outcomes = patients.map(() => ({
    ...{ checks: 0, thrown: 0, wrong: 0, stale: 0, failed: 0, slowestMs: 0 },
    writes: new Set<string>(),
  }));
  const waiting: Promise<unknown>[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const [at, { rollout, isSync }] of patients.entries()) {
      const outcome = outcomes[at] as (typeof outcomes)[number];
      if (round % 3 === 0) {
        const write = rollout.register('list', `user-${round}`).then(
          () => 'applied',
          ({ code }) => String(code),
        );
        waiting.push(write.then((what) => outcome.writes.add(what)));
      }
      for (let n = 0; n < CHECKS; n++) {
        const name = ['on', 'list', 'shut', 'nope'][n % 4] as string;
        const note = ({ enabled, reason, errorCode }: Decision) => {
          // That there is none, the store itself has said.
          if (name === 'nope' && errorCode === 'FLAG_NOT_FOUND') return;
          if (name === 'on' ? !enabled : name !== 'list' && enabled) outcome.wrong++;
          if (reason === 'STALE') outcome.stale++;
          if (reason === 'ERROR' && name !== 'nope') outcome.failed++;
        };
        const beganAt = performance.now();
        const took = () => {
          outcome.checks++;
          outcome.slowestMs = Math.max(outcome.slowestMs, performance.now() - beganAt);
        };
        try {
          if (isSync) note(rollout.decideSync(name, 'ann'));
          else {
            const check = rollout.decide(name, 'ann').then(note, () => {
              outcome.thrown++;
            });
            waiting.push(check.then(took));
            continue;
          }
        } catch {
          outcome.thrown++;
        }
        took();
      }
    }
    await delay(50);
  }
  await Promise.all(waiting);

  await fault.heal?.(site);
  const healedAt = performance.now();
  const healed = await seen(site, fault, patients, healedAt, giveUpMs);
  return patients.map(({ name }, at) => {
    const { writes, ...counts } = outcomes[at] as (typeof outcomes)[number];
    return {
      ...{ fault: fault.name, patient: name, ...counts },
      ...{ writes: [...writes].sort().join(' '), healedMs: healed[at] },
    };
  });
}

/** Makes a change past the proxy; how long after the healing each has seen it. */
async function seen(
  site: Site,
  { losesData }: Fault,
  patients: readonly Patient[],
  healedAt: number,
  giveUpMs: number,
): Promise<(number | undefined)[]> {
  const client = site.clientOf(site.server.port, { retryStrategy: () => 20 });
  const writer = new Rollout(new RedisBackend(client));
  try {
    // A script that was killed can go on for a moment.
    await until(() => client.ping());
    if (losesData) await furnish(writer);
    const { percentage } = (await writer.get('probe')) as Feature;
    const next = percentage === 0 ? 100 : 0;
    await writer.setPercentage('probe', next);
    return await Promise.all(
      patients.map(async ({ rollout, isSync }) => {
        for (;;) {
          const { enabled, reason } = isSync
            ? rollout.decideSync('probe', 'ann')
            : await rollout.decide('probe', 'ann');
          const afterMs = performance.now() - healedAt;
          const isFresh = reason !== 'STALE' && reason !== 'ERROR';
          if (isFresh && enabled === (next === 100)) return afterMs;
          if (afterMs > giveUpMs) return undefined;
          await delay(1);
        }
      }),
    );
  } finally {
    await writer.close();
    client.disconnect();
  }
}
