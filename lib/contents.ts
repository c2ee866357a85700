import { createHash } from 'node:crypto';
import type { Loaded, Source, Token } from './backends/backend.js';
import { printContents } from './backends/features-file.js';
import type { KeptFeature } from './backends/store.js';

/** Of a store that changes while it is read: then what was read last is given. */
const MOST_READINGS = 3;

/**
 * All there is now as one text, as `MemoryBackend`, `FileBackend` and `HttpSource` read it: documents,
 * members, and what was assigned to ids; not the history. The same text as long as nothing changes.
 * Of one moment, unless it changes faster than it can be read. STORE_DENIED for more than can be read
 * again: 20,000 features, a million members, 50 million characters.
 */
export async function contentsOf(source: Source): Promise<string> {
  for (let reading = 1; ; reading++) {
    const loaded = await source.loadAll();
    const features = await keptIn(source, loaded);
    const isOne = isSame(loaded.token, await source.token());
    if (isOne || reading === MOST_READINGS) return printed(features);
  }
}

async function keptIn(
  source: Source,
  { features }: Loaded,
): Promise<{ kept: Map<string, KeptFeature>; unreadable: Map<string, unknown> }> {
  const kept = new Map<string, KeptFeature>();
  for (const name of [...features.keys()].sort(byCode)) {
    const stored = features.get(name);
    // What can't be read is no part of what others are to read.
    if (stored?.feature === undefined) continue;
    const { head, feature } = stored;
    const members = head.members === 0 ? [] : await all(source.members(name));
    const assignments = await all(source.assignments(name));
    kept.set(name, {
      head,
      feature,
      problem: undefined,
      members: [...new Set(members)].sort(byCode),
      assignments: assignments.sort((one, other) => byCode(one.id, other.id)),
    });
  }
  return { kept, unreadable: new Map() };
}

function printed({ kept, unreadable }: Awaited<ReturnType<typeof keptIn>>): string {
  const hash = createHash('sha256');
  for (const [name, each] of kept) hash.update(JSON.stringify([name, each]));
  return printContents(
    {
      epoch: hash.digest('base64url').slice(0, 22),
      origin: undefined,
      documentWrites: 1,
      memberWrites: 1,
      lastChange: 0,
      features: kept,
      setAside: [],
      requests: [],
      changes: [],
    },
    unreadable,
  );
}

async function all<Item>(batches: AsyncIterable<readonly Item[]>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const batch of batches) items.push(...batch);
  return items;
}

function isSame(one: Token | undefined, other: Token | undefined): boolean {
  return (
    one?.epoch === other?.epoch &&
    one?.documents === other?.documents &&
    one?.members === other?.members
  );
}

function byCode(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
