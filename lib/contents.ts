import { createHash } from 'node:crypto';
import type { Loaded, Source, Stored, Token } from './backends/backend.js';
import { printContents } from './backends/features-file.js';
import type { KeptFeature } from './backends/store.js';
import { batchesOf } from './batches.js';

/** Of a store that changes while it is read: then what was read last is given. */
const MOST_READINGS = 3;

/** Of so many features what is kept beside them is asked for at once: over a network, one round trip. */
const AT_ONCE = 100;

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
  const names = [...features.keys()].sort(byCode);
  for await (const batch of batchesOf(names, AT_ONCE)) {
    const found = await Promise.all(batch.map((name) => besides(source, name, features.get(name))));
    for (const [at, each] of found.entries()) if (each) kept.set(batch[at] as string, each);
  }
  return { kept, unreadable: new Map() };
}

/** A document with what is kept beside it; undefined where it can't be read, and is no part of it. */
async function besides(
  source: Source,
  name: string,
  stored: Stored | undefined,
): Promise<KeptFeature | undefined> {
  if (stored?.feature === undefined) return undefined;
  const { head, feature } = stored;
  const [members, assignments] = await Promise.all([
    head.members === 0 ? [] : all(source.members(name)),
    all(source.assignments(name)),
  ]);
  return {
    head,
    feature,
    problem: undefined,
    members: [...new Set(members)].sort(byCode),
    assignments: assignments.sort((one, other) => byCode(one.id, other.id)),
  };
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
