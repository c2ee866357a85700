import { isEveryone, isNobody } from '../domain/group.js';
import {
  entriesOf,
  type Imported,
  type ImportedFeature,
  readRecords,
  type StoredData,
  splitList,
} from './imported.js';

export interface RolloutGemOptions {
  /** The gem's option of that name, which the data doesn't tell. Default false. */
  randomizePercentage?: boolean;
}

const PREFIX = 'feature:';
const INDEX = 'feature:__features__';

/**
 * Reads what the rollout gem (2.x) keeps in Redis: `feature:NAME` with
 * `percentage|users|groups|data`, and the index `feature:__features__`. Every subject that the gem
 * let in is let in, and nobody else, given the same groups. One exception: at 100% the gem keeps
 * out the ids whose CRC-32 is 4294967295, and this package doesn't.
 */
export function readRolloutGem(
  data: StoredData,
  { randomizePercentage = false }: RolloutGemOptions = {},
): Imported {
  const entries = entriesOf(data);
  const index = entries.get(INDEX);
  const names = new Set(typeof index === 'string' ? splitList(index) : []);
  // The gem answers also for records that its index has lost.
  for (const [key, value] of entries) {
    if (key !== INDEX && key.startsWith(PREFIX) && typeof value === 'string') {
      names.add(key.slice(PREFIX.length));
    }
  }
  return readRecords(
    Array.from(names, (name) => [PREFIX + name, name] as const),
    (key, name) => {
      const record = entries.get(key);
      if (typeof record !== 'string')
        throw new Error('the index names it, but there is no record.');
      return { ...parse(record, randomizePercentage), name };
    },
  );
}

function parse(record: string, randomize: boolean): Omit<ImportedFeature, 'name'> {
  const [percentage, users, groups, ...data] = record.split('|');
  // Before 2.3 there was no data.
  if (percentage === undefined || users === undefined || groups === undefined) {
    throw new Error('expected percentage|users|groups|data; it is cut short.');
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
    throw new Error(`expected a percentage, got ${JSON.stringify(text)}.`);
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
