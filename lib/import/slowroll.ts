import { parseDuration } from '../domain/duration.js';
import type { Json } from '../domain/feature.js';
import { instantOf, parseInstant } from '../domain/instant.js';
import { isoOf } from '../domain/ramp.js';
import type { FeatureSettings } from '../domain/validate.js';
import { HanoiError, shown } from '../errors.js';
import { type Imported, readRecords } from './imported.js';

/** slowroll's config as its JSON is: sections with keys. */
export interface SlowrollConfig {
  readonly [section: string]: { readonly [key: string]: unknown };
}

/**
 * Reads a config of slowroll (0.0.1) as features `section.key`: the value `new` is that of variant
 * `new`, `stable` the off value (and all there is without a `new`), early adopters are members. Each host switches at the instant at
 * which it did under slowroll, which ignores `end_pct`; so does this. INVALID_ARGUMENT for another
 * shape.
 */
export function readSlowroll(config: SlowrollConfig): Imported {
  const items = new Map<string, unknown>();
  for (const [section, keys] of Object.entries(recordOf(config))) {
    for (const [key, item] of Object.entries(recordOf(keys))) items.set(`${section}.${key}`, item);
  }
  return readRecords(
    Array.from(items.keys(), (name) => [name, name] as const),
    (name) => ({ name, ...parse(items.get(name)) }),
  );
}

function parse(item: unknown): { settings: FeatureSettings; members: string[] } {
  const given = item as {
    stable?: Json;
    new?: Json;
    end_time?: unknown;
    duration?: unknown;
    start_pct?: unknown;
    early_adopters?: unknown;
  } | null;
  if (given?.stable === undefined) throw new Error('expected `stable`.');
  // Without a new value slowroll looks at nothing else.
  if (given.new === undefined) return { settings: { offValue: given.stable }, members: [] };
  const { start_pct: startPct = 0, early_adopters: adopters = [] } = given;
  if (typeof startPct !== 'number' || !(startPct >= 0 && startPct <= 100)) {
    throw new Error('its start_pct is not a number from 0 to 100.');
  }
  if (!Array.isArray(adopters) || !adopters.every((each) => typeof each === 'string')) {
    throw new Error('its early_adopters are not a list of names.');
  }
  const end = instantOf(parseInstant(given.end_time, 'end_time')) as number;
  const duration = parseDuration(closedUp(given.duration), 'duration');
  // It begins at start_pct: the line from 0 has begun so much earlier.
  const begin = end - duration - (duration * startPct) / 100;
  return {
    settings: {
      bucketing: 'slowroll',
      percentage: {
        points: [
          { at: isoOf(begin), percentage: 0 },
          { at: isoOf(begin + duration), percentage: 100 },
        ],
      },
      variants: [{ name: 'new', value: given.new }],
      offValue: given.stable,
    },
    members: adopters,
  };
}

/** slowroll takes spaces where durations here have none: `14 d`. */
function closedUp(duration: unknown): unknown {
  return typeof duration === 'string' ? duration.trim().replace(/\s+(?=[a-z\s])/g, '') : duration;
}

function recordOf(value: unknown): { readonly [key: string]: unknown } {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as { readonly [key: string]: unknown };
  }
  throw new HanoiError(
    'INVALID_ARGUMENT',
    `Expected slowroll's config, { section: { key: { stable, new, … } } }, got ${shown(value)}.`,
  );
}
