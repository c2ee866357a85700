import type { Change, Loaded, Source, Stored } from './backends/backend.js';
import { batchesOf } from './batches.js';
import { experimentOf } from './domain/experiment.js';
import type { Feature } from './domain/feature.js';
import { instantOf } from './domain/instant.js';
import { expiryOf, LEFT_OVER_MS, type Leftover } from './domain/leftover.js';
import { reachOf } from './domain/reach.js';
import { isOfFeature, readName, storedName } from './stored-name.js';

/** Histories read at once. */
const AT_ONCE = 200;

/** As many changes of a document are looked into, where the last one doesn't tell. */
const PAGE = 50;

/**
 * The features that are left over at `now` (Unix ms), by name; one can be so for two reasons. By the
 * documents, and of those that reach everyone or nobody by the last change, which nearly always
 * tells; where it doesn't, by the last 50. What the history doesn't tell of is not left over.
 */
export async function leftoversIn(
  source: Source,
  now: number,
  loaded?: Loaded,
): Promise<Leftover[]> {
  const { features } = loaded ?? (await source.loadAll());
  const endOf = endsOfExperiments(features);
  const found: Leftover[] = [];
  const asked: (() => Promise<Leftover | undefined>)[] = [];
  for (const [name, { head, feature }] of features) {
    if (feature === undefined || !isOfFeature(name)) continue;
    const expiry = expiryOf(feature);
    if (expiry !== undefined && expiry <= now) {
      found.push({ name, why: 'expired', since: expiry, isExact: true });
    }
    const { kind } = reachOf(feature, now, endOf);
    if (kind === 'everyone') asked.push(() => everyone(source, feature, now, endOf));
    if (kind === 'nobody') asked.push(() => unchanged(source, feature, now, endOf));
    if (kind === 'members') {
      // 0: it never had any, so that they need not be counted.
      const isEmpty = async () => head.members === 0 || (await source.countMembers(name)) === 0;
      asked.push(async () =>
        (await isEmpty()) ? unchanged(source, feature, now, endOf) : undefined,
      );
    }
  }
  for await (const batch of batchesOf(asked, AT_ONCE)) {
    for (const leftover of await Promise.all(batch.map((ask) => ask()))) {
      if (leftover !== undefined) found.push(leftover);
    }
  }
  return found.sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
}

/** A feature, and what says whether it can be left over. */
export async function loadedOf(source: Source, name: string): Promise<Loaded> {
  const features = new Map<string, Stored>();
  const load = async (stored: string) => {
    const found = await source.load(stored);
    if (found !== undefined) features.set(stored, found);
    return found?.feature;
  };
  const { experiments = [] } = (await load(name)) ?? {};
  await Promise.all(experiments.map((each) => load(storedName('experiment', each))));
  return { token: undefined, features };
}

/** Of one that reaches everyone now: back to what made it so. */
async function everyone(
  source: Source,
  { name }: Feature,
  now: number,
  endOf: (name: string) => number,
): Promise<Leftover | undefined> {
  const since = (at: number, isExact: boolean) =>
    at <= now - LEFT_OVER_MS ? ({ name, why: 'everyone', since: at, isExact } as const) : undefined;
  let next: Change | undefined;
  for (const limit of [1, PAGE]) {
    const page = await source.history(name, { limit, before: next?.id, kind: 'documents' });
    for (const change of page) {
      const { at, kind, before, after } = change;
      // By this document it reached them at the latest when the next one came.
      const ended = after && reachOf(after, next?.at ?? now, endOf).since;
      if (ended !== undefined && ended > at) return since(ended, true);
      const reached = before && reachOf(before, at, endOf).kind === 'everyone';
      if (!reached) return since(at, before !== undefined || kind === 'created');
      next = change;
    }
  }
  return next && since(next.at, false);
}

/** Of one that reaches nobody now. */
async function unchanged(
  source: Source,
  feature: Feature,
  now: number,
  endOf: (name: string) => number,
): Promise<Leftover | undefined> {
  const { name } = feature;
  const [last] = await source.history(name, { limit: 1 });
  if (last === undefined) return undefined;
  const since = Math.max(last.at, reachOf(feature, now, endOf).since);
  return since <= now - LEFT_OVER_MS ? { name, why: 'nobody', since, isExact: true } : undefined;
}

/** When each experiment is over, planned ones too. */
function endsOfExperiments(features: Loaded['features']): (name: string) => number {
  const ends = new Map<string, number>();
  for (const [stored, { feature }] of features) {
    const [kind, name] = readName(stored);
    if (kind !== 'experiment') continue;
    const until = feature && instantOf(experimentOf(name, feature).until);
    ends.set(name, until ?? Number.POSITIVE_INFINITY);
  }
  return (name) => ends.get(name) ?? Number.NEGATIVE_INFINITY;
}
