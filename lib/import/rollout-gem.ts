import { splitList } from '../backends/comma-list.js';
import { parseRolloutGemRecord } from '../backends/redis/rollout-gem-record.js';
import { HanoiError, shown } from '../errors.js';
import { entriesOf, type Imported, readRecords, type StoredData, textOf } from './imported.js';

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
      return { ...parseRolloutGemRecord(textOf(record), randomizePercentage), name };
    },
  );
}
