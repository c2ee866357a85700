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
 * with why it can't be read, or is not what the gem itself would have written.
 */
export function parseRolloutGemRecord(record: string, randomize: boolean): RolloutGemRecord {
  const [percentage = '', ...others] = record.split('|');
  if (others.length < 3) {
    throw new Error('expected percentage|users|groups|data; it is cut short, or from before 2.4.');
  }
  return recordOf(record, parsePercentage(percentage), randomize);
}

/**
 * The same as the gem (2.5.0) reads it, whoever wrote it: what is missing is empty, and any text
 * is a percentage. Throws where the gem does, and for groups that mean something else here.
 */
export function readRolloutGemRecord(record: string, randomize: boolean): RolloutGemRecord {
  const [percentage = ''] = record.split('|');
  // Above and below, the gem lets in everyone and nobody.
  return recordOf(record, Math.min(Math.max(floatOfRuby(percentage), 0), 100), randomize);
}

function recordOf(record: string, percentage: number, randomize: boolean): RolloutGemRecord {
  const [, users = '', groups = '', ...data] = record.split('|');
  const listed = splitList(groups);
  const reserved = listed.find(
    (group) => group !== 'all' && (isEveryone(group) || isNobody(group)),
  );
  if (reserved !== undefined) throw new Error(`group ${reserved} has a meaning of its own here.`);
  return {
    settings: {
      percentage,
      bucketing: randomize ? 'rollout-gem-randomized' : 'rollout-gem',
      groups: listed,
      data: parseData(data.join('|')),
    },
    members: splitList(users),
  };
}

/** Of a text that is a number as a whole. */
function parsePercentage(text: string): number {
  if (text === '') return 0;
  if (!/^[-+]?\d+(\.\d+)?(e[-+]?\d+)?$/i.test(text)) {
    throw new Error('its percentage is not a number.');
  }
  return Number(text);
}

const DIGITS = '\\d+(?:_\\d+)*';
const NUMBER = new RegExp(
  `^[ \\t\\n\\v\\f\\r]*([-+]?(?:${DIGITS}(?:\\.${DIGITS})?|\\.${DIGITS})(?:e[-+]?${DIGITS})?)`,
  'i',
);

/** What Ruby's `to_f` makes of a text: the number that it begins with, or 0. */
function floatOfRuby(text: string): number {
  return Number(NUMBER.exec(text)?.[1]?.replaceAll('_', '') ?? 0);
}

function parseData(text: string): { readonly [key: string]: unknown } {
  if (text.trim() === '') return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error('its data is not JSON; it may be cut short.', { cause });
  }
}
