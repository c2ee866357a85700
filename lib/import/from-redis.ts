import { HanoiError, shown } from '../errors.js';

/** As much of an ioredis client as reading takes. */
export interface RedisReader {
  readonly options: { readonly keyPrefix?: unknown };
  scan(
    cursor: string,
    match: 'MATCH',
    pattern: string,
    count: 'COUNT',
    size: number,
  ): Promise<[cursor: string, keys: string[]]>;
  sscan(
    key: string,
    cursor: string,
    count: 'COUNT',
    size: number,
  ): Promise<[cursor: string, members: string[]]>;
  type(key: string): Promise<string>;
  get(key: string): Promise<string | null>;
}

export interface RedisDataOptions {
  /** What the other system puts before its keys: `myapp` where they are `myapp:feature:…`. */
  namespace?: string;
  /** Called after each page of the scan: how many keys of the system were found and read so far. */
  onProgress?: (progress: { readonly keys: number }) => void;
}

const SYSTEMS = { 'rollout-gem': 'feature:', hanoi: 'h:' } as const;

/** Keys and members come in pages of about so many. */
const PAGE = 1_000;

/**
 * What the rollout gem or hanoi has in Redis, by key, as `readRolloutGem` and `readHanoi` take it.
 * It only reads, and in pages (SCAN, SSCAN): a large database goes on serving. What changes
 * meanwhile may be read before or after; stop the other system's writers to have all of it.
 * INVALID_ARGUMENT for another system.
 */
export async function readRedis(
  redis: RedisReader,
  system: keyof typeof SYSTEMS,
  { namespace, onProgress }: RedisDataOptions = {},
): Promise<Map<string, string | string[]>> {
  if (!Object.hasOwn(SYSTEMS, system)) {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `Expected one of ${Object.keys(SYSTEMS).join(', ')}, got ${shown(system)}.`,
    );
  }
  const before = namespace === undefined ? '' : `${namespace}:`;
  const pattern = `${escaped(before + SYSTEMS[system])}*`;
  const prefix = String(redis.options.keyPrefix ?? '');
  const data = new Map<string, string | string[]>();
  let cursor = '0';
  do {
    // SCAN knows nothing of the client's prefix, neither in the pattern nor in what it finds.
    const [next, keys] = await redis.scan(
      cursor,
      'MATCH',
      escaped(prefix) + pattern,
      'COUNT',
      PAGE,
    );
    const read = async (found: string) => {
      const key = found.slice(prefix.length);
      const value = await valueAt(redis, key);
      if (value !== undefined) data.set(key.slice(before.length), value);
    };
    await Promise.all(keys.map(read));
    onProgress?.({ keys: data.size });
    cursor = next;
  } while (cursor !== '0');
  return data;
}

/** A text, or the members of a set; undefined for what is neither, or gone meanwhile. */
async function valueAt(redis: RedisReader, key: string): Promise<string | string[] | undefined> {
  const type = await redis.type(key);
  if (type === 'string') return (await redis.get(key)) ?? undefined;
  if (type !== 'set') return undefined;
  const members = new Set<string>();
  let cursor = '0';
  do {
    const [next, some] = await redis.sscan(key, cursor, 'COUNT', PAGE);
    for (const member of some) members.add(member);
    cursor = next;
  } while (cursor !== '0');
  return [...members];
}

/** The text as SCAN matches it by itself. */
function escaped(text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&');
}
