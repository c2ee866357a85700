import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster, Redis } from 'ioredis';
import { RedisBackend } from '../lib/backends/redis/index.js';
import type { Decision } from '../lib/domain/decision.js';
import type { HanoiError } from '../lib/errors.js';
import { Rollout } from '../lib/rollout.js';
import type { RedisServer } from './redis-server.js';

/** Several servers, of which another takes over when the master is gone. */
export interface Site {
  /** A client as an app has one. */
  connect(): Redis | Cluster;
  /** The server that takes the writes now. */
  master(): Promise<RedisServer>;
  /** Until all is as it was at first, with the roles that there are now. */
  settle(): Promise<void>;
}

/** The namespace that the failovers are about. */
export const KEY = '{hanoi}:features';

export function quiet<Client extends Redis | Cluster>(client: Client): Client {
  client.on('error', () => {});
  return client;
}

/** What the load has seen, with times by `performance.now()`. */
export class Load {
  checks = 0;
  rejected = 0;
  /** Answers that nobody should have had. */
  wrong = 0;
  slow = 0;
  slowestMs = 0;
  /** When the last check was answered otherwise than from the store. */
  lastStaleAt = 0;
  /** How many such answers there were. */
  stale = 0;
  /** Ids of writes by what became of them: 'applied', or a code. */
  readonly writes = new Map<string, string>();
  /** Of unknown outcomes: under which id to ask again. */
  readonly requests = new Map<string, string>();
  /** When writes were acknowledged, in order. */
  readonly acknowledgedAt: number[] = [];
  private isOver: boolean = false;
  private readonly work: Promise<unknown>;

  /** `feature` is on for ann, as the list is for whom is written. */
  constructor(
    private readonly rollout: Rollout,
    private readonly prefix: string,
    { checksPerSecond = 200, writers = 4, limitMs = 300 } = {},
  ) {
    const writing = Array.from({ length: writers }, (_, n) => this.write(n));
    this.work = Promise.all([this.check(1_000 / checksPerSecond, limitMs), ...writing]);
  }

  async end(): Promise<void> {
    this.isOver = true;
    await this.work;
  }

  /** Until checks come from the store and writes are acknowledged, both for so long. */
  async isBack(sinceAt: number, forMs = 500, giveUpMs = 15_000): Promise<void> {
    const isFit = () => {
      const now = performance.now();
      const recent = this.acknowledgedAt.filter((at) => at > now - forMs);
      return (
        now - Math.max(sinceAt, this.lastStaleAt) > forMs && (recent[0] ?? now) < now - forMs / 2
      );
    };
    while (!isFit() && performance.now() - sinceAt < giveUpMs) await delay(10);
  }

  /** Until a check was not answered from the store, since then. */
  async isStruck(sinceAt: number, giveUpMs = 5_000): Promise<void> {
    while (this.lastStaleAt < sinceAt && performance.now() - sinceAt < giveUpMs) await delay(10);
  }

  /** The end of the longest time without an acknowledged write, since then; undefined: it lasts. */
  acknowledgedAgainAt(sinceAt: number): number | undefined {
    let longest = 0;
    let end: number | undefined;
    let last = sinceAt;
    for (const at of [...this.acknowledgedAt.filter((each) => each > sinceAt), performance.now()]) {
      if (at - last > longest) {
        longest = at - last;
        end = at;
      }
      last = at;
    }
    return end === last && this.acknowledgedAt.at(-1) !== end ? undefined : end;
  }

  ids(outcome: string): string[] {
    return [...this.writes].flatMap(([id, each]) => (each === outcome ? [id] : []));
  }

  private async check(pauseMs: number, limitMs: number): Promise<void> {
    const waiting = new Set<Promise<unknown>>();
    while (!this.isOver) {
      const beganAt = performance.now();
      this.checks++;
      const note = ({ enabled, reason }: Decision) => {
        const tookMs = performance.now() - beganAt;
        if (!enabled) this.wrong++;
        if (tookMs > limitMs) this.slow++;
        this.slowestMs = Math.max(this.slowestMs, tookMs);
        if (reason !== 'STALE' && reason !== 'ERROR') return;
        this.stale++;
        this.lastStaleAt = performance.now();
      };
      const check = this.rollout.decide('on', 'ann').then(note, () => {
        this.rejected++;
      });
      waiting.add(check);
      void check.finally(() => waiting.delete(check));
      await delay(pauseMs);
    }
    await Promise.all(waiting);
  }

  private async write(writer: number): Promise<void> {
    for (let n = 0; !this.isOver; n++) {
      const id = `${this.prefix}-${writer}-${n}`;
      try {
        await this.rollout.register('list', id);
        this.writes.set(id, 'applied');
        this.acknowledgedAt.push(performance.now());
        await delay(1);
      } catch (error) {
        const { code, requestId } = error as HanoiError;
        this.writes.set(id, code);
        if (requestId !== undefined) this.requests.set(id, requestId);
        await delay(10);
      }
    }
  }
}

/** What there is to be asked about. */
export async function furnish(rollout: Rollout): Promise<void> {
  await rollout.addFeature('on', { percentage: 100 });
  await rollout.addFeature('list');
}

/** How one failover went. */
export interface Course {
  readonly signal: string;
  readonly checks: number;
  readonly rejected: number;
  readonly wrong: number;
  readonly slow: number;
  readonly slowestMs: number;
  /** From the signal until the last check that was not answered from the store. */
  readonly checksBackMs: number;
  /** From the signal until writes were acknowledged again; undefined: they never were. */
  readonly writesBackMs: number | undefined;
  readonly acknowledged: number;
  readonly notApplied: number;
  readonly unknown: number;
  /** Acknowledged, and not there afterwards. */
  readonly lost: readonly string[];
  /** Said to be NOT_APPLIED, and there afterwards. */
  readonly ghosts: readonly string[];
  /** What became of writes otherwise; empty where there is no such code. */
  readonly others: readonly string[];
}

/**
 * Kills or stops the master under a load; brings it back some time after another one has taken
 * over; and looks at what is there in the end.
 */
export async function failOver(
  site: Site,
  rollout: Rollout,
  signal: 'SIGKILL' | 'SIGSTOP',
  prefix: string,
): Promise<Course> {
  const load = new Load(rollout, prefix);
  await delay(500);
  const master = await site.master();
  const at = performance.now();
  if (signal === 'SIGKILL') await master.kill();
  else master.signal('SIGSTOP');
  await load.isStruck(at);
  await load.isBack(at);
  // Who took over is known by now to those that decide.
  while ((await site.master().catch(() => master)) === master) await delay(50);
  const writesAt = load.acknowledgedAgainAt(at);
  const checksBackMs = load.lastStaleAt - at;
  if (signal === 'SIGKILL') await master.restart();
  else master.signal('SIGCONT');
  await delay(1_500);
  await load.end();
  await site.settle();

  const { lost, ghosts } = await compare(site, load);
  const codes = new Set(load.writes.values());
  for (const known of ['applied', 'NOT_APPLIED', 'OUTCOME_UNKNOWN']) codes.delete(known);
  return {
    ...{ signal, checks: load.checks, rejected: load.rejected, wrong: load.wrong },
    ...{ slow: load.slow, slowestMs: load.slowestMs, checksBackMs },
    writesBackMs: writesAt === undefined ? undefined : writesAt - at,
    acknowledged: load.ids('applied').length,
    notApplied: load.ids('NOT_APPLIED').length,
    unknown: load.ids('OUTCOME_UNKNOWN').length,
    lost,
    ghosts,
    others: [...codes],
  };
}

/** What was said of the writes, held against what there is in the end. */
export async function compare(
  site: Pick<Site, 'connect'>,
  load: Load,
): Promise<{ lost: string[]; ghosts: string[] }> {
  const there = new Set<string>();
  const client = site.connect();
  const rollout = new Rollout(new RedisBackend(client));
  try {
    await rollout.ready();
    for await (const id of rollout.members('list')) there.add(id);
  } finally {
    await rollout.close();
    client.disconnect();
  }
  return {
    lost: load.ids('applied').filter((id) => !there.has(id)),
    ghosts: load.ids('NOT_APPLIED').filter((id) => there.has(id)),
  };
}
