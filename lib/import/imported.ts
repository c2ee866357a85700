import type { Feature } from '../domain/feature.js';
import { createFeature, type FeatureSettings } from '../domain/validate.js';
import { HanoiError, hasCode, shown } from '../errors.js';
import type { FeatureMap } from '../feature-map.js';
import type { Rollout } from '../rollout.js';
import type { MembersOptions } from '../writer.js';

/** A feature as another system had it, in this one's terms. */
export interface ImportedFeature {
  readonly name: string;
  readonly settings: FeatureSettings;
  readonly members: readonly string[];
}

/** What was read from another system's data. Nothing is written yet. */
export interface Imported {
  readonly features: readonly ImportedFeature[];
  /** Records that can't be taken over as they are (INVALID_RECORD), each with why. */
  readonly problems: readonly HanoiError[];
}

/** Stored data by key: a string's text, or a set's members. */
export type StoredData =
  | ReadonlyMap<string, string | Iterable<string>>
  | { readonly [key: string]: string | Iterable<string> };

/** What an import did with each feature. */
export interface ImportReport {
  readonly imported: readonly string[];
  /** Those that were left alone: there is a feature of that name (FEATURE_EXISTS). */
  readonly skipped: readonly string[];
}

export interface ImportOptions extends Pick<MembersOptions, 'actor' | 'note'> {
  /** Say what would be done, and do nothing. */
  dryRun?: boolean;
  /** Called after each feature. */
  onProgress?: (progress: { readonly done: number; readonly of: number }) => void;
}

/**
 * Adds the imported features. A feature with members is off until all of them are there, so that
 * nobody meets a half of it; if that fails it is removed again, and the error thrown.
 */
export async function importInto<Features extends FeatureMap>(
  into: Rollout<Features>,
  { features }: Imported,
  { dryRun = false, onProgress, ...options }: ImportOptions = {},
): Promise<ImportReport> {
  // What is imported is found at run time, whatever features the compiler was told of.
  const rollout = into as unknown as Rollout;
  const imported: string[] = [];
  const skipped: string[] = [];
  for (const feature of features) {
    const isAdded = dryRun
      ? (await rollout.get(feature.name)) === undefined
      : await add(rollout, feature, options);
    (isAdded ? imported : skipped).push(feature.name);
    onProgress?.({ done: imported.length + skipped.length, of: features.length });
  }
  return { imported, skipped };
}

/** False where there is a feature of that name. */
async function add(
  rollout: Rollout,
  { name, settings, members }: ImportedFeature,
  options: Pick<MembersOptions, 'actor' | 'note'>,
): Promise<boolean> {
  const hasMembers = members.length > 0;
  const enabled = settings.enabled ?? true;
  let added: Feature;
  try {
    const first = hasMembers ? { ...settings, enabled: false } : settings;
    added = await rollout.addFeature(name, first, options);
  } catch (error) {
    if (hasCode(error, 'FEATURE_EXISTS')) return false;
    throw error;
  }
  if (!hasMembers) return true;
  try {
    await rollout.register(name, members, options);
    await rollout.update(name, { enabled }, { ...options, expect: added });
    return true;
  } catch (error) {
    // Only what was added here, and the first error is the one to tell.
    await rollout.remove(name, { ...options, expect: added }).catch(() => {});
    throw error;
  }
}

/** Reads each record; what throws becomes a problem that names the key. */
export function readRecords(
  records: Iterable<readonly [key: string, name: string]>,
  read: (key: string, name: string) => ImportedFeature,
): Imported {
  const features: ImportedFeature[] = [];
  const problems: HanoiError[] = [];
  for (const [key, name] of records) {
    try {
      const feature = read(key, name);
      createFeature(name, 'imported', feature.settings);
      features.push(feature);
    } catch (cause) {
      problems.push(
        new HanoiError(
          'INVALID_RECORD',
          `Record ${JSON.stringify(key)} can't be imported: ${(cause as Error).message}`,
          { feature: name, path: key, cause },
        ),
      );
    }
  }
  return { features, problems };
}

/**
 * What is stored, by key. INVALID_ARGUMENT where it is not of that shape, or has no key of the
 * system: nothing at all is rather a mistake than an empty database.
 */
export function entriesOf(
  data: StoredData,
  prefix: string,
): Map<string, string | Iterable<string>> {
  if (!isByKey(data)) {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `Expected what is stored as a Map or an object by key, got ${shown(data)}.`,
    );
  }
  // By shape: a Map of another realm is one too.
  const isMap = typeof (data as { entries?: unknown }).entries === 'function';
  const entries = new Map(isMap ? (data as Map<string, string>) : Object.entries(data));
  const keys = [...entries.keys()];
  if (keys.length > 0 && !keys.some((key) => key.startsWith(prefix))) {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `Expected keys that start with \`${prefix}\`, got ${shown(keys)}. Strip what your namespace puts before.`,
    );
  }
  return entries;
}

/** The value of a key that should hold text. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new Error(`expected text, got ${typeof value}.`);
}

function isByKey(data: unknown): boolean {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}
