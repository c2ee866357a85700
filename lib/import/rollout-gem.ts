import { isEveryone, isNobody } from '../domain/group.js';
import { HanoiError, shown } from '../errors.js';
import {
  entriesOf,
  type Imported,
  type ImportedFeature,
  readRecords,
  type StoredData,
  splitList,
  textOf,
} from './imported.js';

export interface RolloutGemOptions {
  /** The gem's option of that name, which the data doesn't tell. Default false. */
  randomizePercentage?: boolean;
}

const PREFIX = 'feature:';
const INDEX = 'feature:__features__';
const LOG = ':logging:events';

/**
 * Reads what the rollout gem (2.4.2 and later) keeps in Redis: `feature:NAME` with
 * `percentage|users|groups|data`, and the index `feature:__features__`. Every subject that the gem
 * let in is let in, and nobody else, given the same groups. INVALID_ARGUMENT for data of another
 * shape.
 */
export function readRolloutGem(data: StoredData, options: RolloutGemOptions = {}): Imported {
  const { randomizePercentage = false, ...others } = options;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined || typeof randomizePercentage !== 'boolean') {
    // To overlook it would deal everyone again.
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `Expected the option randomizePercentage, true or false, got ${shown(options)}.`,
    );
  }
  const entries = entriesOf(data, PREFIX);
  const index = entries.get(INDEX);
  const names = new Set(index === undefined ? [] : splitList(textOf(index)));
  // The gem answers also for records that its index has lost.
  for (const key of entries.keys()) {
    if (key !== INDEX && key.startsWith(PREFIX) && !key.endsWith(LOG)) {
      names.add(key.slice(PREFIX.length));
    }
  }
  return readRecords(
    Array.from(names, (name) => [PREFIX + name, name] as const),
    (key, name) => {
      const record = entries.get(key);
      if (record === undefined) throw new Error('the index names it, but there is no record.');
      return { ...parse(textOf(record), randomizePercentage), name };
    },
  );
}

function parse(record: string, randomize: boolean): Omit<ImportedFeature, 'name'> {
  const [percentage, users, groups, ...data] = record.split('|');
  if (
    percentage === undefined ||
    users === undefined ||
    groups === undefined ||
    data.length === 0
  ) {
    throw new Error('expected percentage|users|groups|data; it is cut short, or from before 2.4.');
  }
  const listed = splitList(groups);
  const reserved = listed.find(
    (group) => group !== 'all' && (isEveryone(group) || isNobody(group)),
  );
  if (reserved !== undefined) throw new Error(`group ${reserved} has a meaning of its own here.`);
  return {
    settings: {
      percentage: parseFloatOfRuby(percentage),
      bucketing: randomize ? 'rollout-gem-randomized' : 'rollout-gem',
      groups: listed,
      data: parseData(data.join('|')),
    },
    members: splitList(users),
  };
}

/** What Ruby's `to_f` makes of the text, for texts that are a number as a whole. */
function parseFloatOfRuby(text: string): number {
  if (text === '') return 0;
  if (!/^[-+]?\d+(\.\d+)?(e[-+]?\d+)?$/i.test(text)) {
    throw new Error('its percentage is not a number.');
  }
  return Number(text);
}

function parseData(text: string): { readonly [key: string]: unknown } {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error('its data is not JSON; it may be cut short.', { cause });
  }
}
