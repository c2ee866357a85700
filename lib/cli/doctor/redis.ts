import type { Cluster, Redis } from 'ioredis';
import type { Loaded, Source } from '../../backends/backend.js';
import { Keys } from '../../backends/redis/keys.js';
import type { Finding } from './finding.js';

/** What was measured and read of the server. */
export interface ServerFacts {
  /** The median of five pings, in ms. */
  readonly roundTripMs: number;
  /** The server's clock less this machine's, in ms; within half a round trip. */
  readonly clockDifferenceMs: number;
  /** `redis 7.2.4`. Null, as what follows, where the server does not say it to this user. */
  readonly version: string | null;
  readonly evictionPolicy: string | null;
  readonly appendOnly: boolean | null;
  /** `scanned` keys of sets, of which so many belong to no feature. */
  readonly sets: { readonly scanned: number; readonly orphaned: number } | null;
}

const PINGS = 5;

/** Ramps and windows begin by each process's clock. */
const LARGE_DIFFERENCE_MS = 1_000;

const SLOW_MS = 50;

/** Keys come in pages of about so many. */
const PAGE = 1_000;

/** So many orphans are named. */
const MOST_NAMED = 10;

/** Looks at the server itself. What the user may not ask is null, and said in a note. */
export async function serverFindings(
  client: Redis | Cluster,
  source: Source,
  namespace: string,
): Promise<{ readonly facts: ServerFacts; readonly findings: readonly Finding[] }> {
  // The nodes of a cluster are known from then on.
  if (client.status === 'wait') await client.connect();
  const [node] = 'nodes' in client ? client.nodes('master') : [client];
  const findings: Finding[] = [];
  const server = node as Redis;
  const { roundTripMs, clockDifferenceMs } = await timed(server);
  const info = parseInfo(await allowed(() => server.info()));
  if (info === undefined) {
    findings.push({
      ...{ severity: 'note', kind: 'permissions', features: [] },
      message: 'This user may not call INFO: version, eviction and persistence are not known.',
      fix: 'Run doctor as a user with `+info`.',
    });
  }
  findings.push(...infoFindings(info), ...timeFindings(roundTripMs, clockDifferenceMs));
  const sets = await orphans(client, source, namespace);
  findings.push(...sets.findings);
  const isValkey = info?.server_name === 'valkey';
  const version = isValkey ? info?.valkey_version : info?.redis_version;
  const facts: ServerFacts = {
    ...{ roundTripMs, clockDifferenceMs },
    version: version === undefined ? null : `${isValkey ? 'valkey' : 'redis'} ${version}`,
    evictionPolicy: info?.maxmemory_policy ?? null,
    appendOnly: info?.aof_enabled === undefined ? null : info.aof_enabled === '1',
    sets: sets.counts,
  };
  return { facts, findings };
}

async function timed(server: Redis) {
  const trips: number[] = [];
  let clockDifferenceMs = 0;
  let shortest = Number.POSITIVE_INFINITY;
  for (let ping = 0; ping < PINGS; ping++) {
    const [begun, wall] = [performance.now(), Date.now()];
    const time = await allowed(() => server.time());
    if (time === undefined) await server.ping();
    const trip = performance.now() - begun;
    trips.push(trip);
    // The quickest answer tells the time best.
    if (time === undefined || trip >= shortest) continue;
    shortest = trip;
    const [seconds, microseconds] = time.map(Number) as [number, number];
    clockDifferenceMs = seconds * 1000 + microseconds / 1000 - (wall + trip / 2);
  }
  trips.sort((one, other) => one - other);
  return {
    roundTripMs: rounded(trips[Math.floor(PINGS / 2)] as number),
    clockDifferenceMs: rounded(clockDifferenceMs),
  };
}

function timeFindings(roundTripMs: number, differenceMs: number): Finding[] {
  const found: Finding[] = [];
  if (Math.abs(differenceMs) >= LARGE_DIFFERENCE_MS) {
    found.push({
      ...{ severity: 'warning', kind: 'clock', features: [] },
      message: `The server's clock is ${Math.abs(differenceMs)} ms ${differenceMs > 0 ? 'ahead of' : 'behind'} this machine's. Ramps and windows go by the clock of each process, the history by the server's.`,
      fix: 'Set both by NTP.',
    });
  }
  if (roundTripMs >= SLOW_MS) {
    found.push({
      ...{ severity: 'warning', kind: 'round trip', features: [] },
      message: `One round trip takes ${roundTripMs} ms, which each check on this Redis takes too.`,
      fix: 'Put a ReplicaBackend around it, which checks without I/O.',
    });
  }
  return found;
}

/** By what INFO says; undefined where it was not told. */
export function infoFindings(info: Info | undefined): Finding[] {
  if (info === undefined) return [];
  const found: Finding[] = [];
  const { redis_version: version, maxmemory_policy: policy, role } = info;
  const [major = 0, minor = 0] = (version ?? '').split('.').map(Number);
  if (version !== undefined && (major < 6 || (major === 6 && minor < 2))) {
    found.push({
      ...{ severity: 'error', kind: 'version', features: [] },
      message: `Redis ${version} is older than 6.2, from which on it works.`,
      fix: 'Upgrade the server.',
    });
  }
  if (policy !== undefined && policy !== 'noeviction') {
    const isLimited = info.maxmemory !== undefined && info.maxmemory !== '0';
    // The keys that expire are members of removed features, and replies to writes.
    const isVolatile = policy.startsWith('volatile');
    found.push({
      ...{
        severity: isLimited && !isVolatile ? 'error' : 'warning',
        kind: 'eviction',
        features: [],
      },
      message: `Its maxmemory-policy is ${policy}: ${isVolatile ? 'members of removed features can go before their time' : 'when memory is short it evicts features and members'}${isLimited ? '' : ' (there is no maxmemory now)'}.`,
      fix: 'CONFIG SET maxmemory-policy noeviction, and in its configuration file.',
    });
  }
  if (info.aof_enabled === '0') {
    found.push({
      ...{ severity: 'note', kind: 'persistence', features: [] },
      message: 'It keeps no append-only file: a crash loses the writes since the last snapshot.',
      fix: 'CONFIG SET appendonly yes, or accept it.',
    });
  }
  const broken = [info.rdb_last_bgsave_status, info.aof_last_write_status].includes('err');
  if (broken) {
    found.push({
      ...{ severity: 'error', kind: 'persistence', features: [] },
      message: 'Its last saving to disk has failed; writes may be refused.',
      fix: "Look for the reason in the server's log: mostly the disk is full.",
    });
  }
  if (role === 'slave') {
    found.push({
      ...{ severity: 'warning', kind: 'role', features: [] },
      message: 'This server is a replica: writes are refused, and what is read can be late.',
      fix: 'Name its master, or the Sentinels: redis://sentinel-1,sentinel-2?sentinel=mymaster.',
    });
  }
  return found;
}

/** Sets of members, and what is assigned, of ids that no document has, and that never expire. */
async function orphans(client: Redis | Cluster, source: Source, namespace: string) {
  const keys = new Keys(namespace, '');
  const prefixes = [keys.users, keys.assigned, keys.weights];
  const found = new Set<string>();
  const nodes = 'nodes' in client ? client.nodes('master') : [client];
  const scanned = await allowed(async () => {
    for (const node of nodes) {
      for (const prefix of prefixes) {
        let cursor = '0';
        do {
          const match = `${prefix.replace(/[\\*?[\]]/g, '\\$&')}*`;
          const [next, some] = await node.scan(cursor, 'MATCH', match, 'COUNT', PAGE);
          for (const key of some) found.add(key);
          cursor = next;
        } while (cursor !== '0');
      }
    }
    return found.size;
  });
  if (scanned === undefined) {
    const note: Finding = {
      ...{ severity: 'note', kind: 'permissions', features: [] },
      message: 'This user may not call SCAN: sets that belong to no feature were not looked for.',
      fix: 'Run doctor as a user with `+scan +pttl`.',
    };
    return { counts: null, findings: [note] };
  }
  // Read after them, so that what was created meanwhile is not taken for one.
  const { features } = await source.loadAll();
  const known = idsOf(features);
  // Without the head of a document, whose its members are can't be told.
  if (known === undefined) return { counts: { scanned, orphaned: 0 }, findings: [] };
  const orphaned: string[] = [];
  for (const key of found) {
    const prefix = prefixes.find((each) => key.startsWith(each)) as string;
    if (known.has(key.slice(prefix.length))) continue;
    const left = await allowed(() => client.pttl(key));
    if (left === -1) orphaned.push(key);
  }
  const counts = { scanned, orphaned: orphaned.length };
  if (orphaned.length === 0) return { counts, findings: [] };
  orphaned.sort((one, other) => (one < other ? -1 : 1));
  const named = orphaned.slice(0, MOST_NAMED).join(' ');
  const more = orphaned.length > MOST_NAMED ? ` and ${orphaned.length - MOST_NAMED} more` : '';
  const finding: Finding = {
    ...{ severity: 'warning', kind: 'orphaned', features: [] },
    message: `${orphaned.length} keys belong to no feature and never expire: ${named}${more}.`,
    fix: 'Where nothing else uses this namespace, UNLINK them: no feature can get them back.',
  };
  return { counts, findings: [finding] };
}

/** Undefined where one is not known. */
function idsOf(features: Loaded['features']): ReadonlySet<string> | undefined {
  const ids = new Set<string>();
  for (const { head } of features.values()) {
    if (head === undefined) return undefined;
    ids.add(head.id);
  }
  return ids;
}

type Info = { readonly [field: string]: string | undefined };

function parseInfo(text: string | undefined): Info | undefined {
  if (text === undefined) return undefined;
  const lines = text.split('\r\n').map((line) => line.split(':', 2) as [string, string?]);
  return Object.fromEntries(lines.filter(([, value]) => value !== undefined));
}

/** Undefined where the server refuses that to this user. */
async function allowed<Result>(ask: () => Promise<Result>): Promise<Result | undefined> {
  try {
    return await ask();
  } catch (error) {
    if (/^(NOPERM|ERR unknown command)/.test((error as Error).message)) return undefined;
    throw error;
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100;
}
