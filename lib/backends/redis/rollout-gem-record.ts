import { isEveryone, isNobody } from '../../domain/group.js';
import type { FeatureSettings } from '../../domain/validate.js';
import { splitList } from '../comma-list.js';

/** In this package's terms. */
export interface RolloutGemRecord {
  readonly settings: FeatureSettings;
  readonly members: readonly string[];
}

/**
 * What the rollout gem (2.4.2 and later) keeps of a feature: `percentage|users|groups|data`. Throws
 * with why it can't be read.
 */
export function parseRolloutGemRecord(record: string, randomize: boolean): RolloutGemRecord {
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
