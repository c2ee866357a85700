import { splitList } from '../backends/comma-list.js';
import {
  entriesOf,
  type Imported,
  type ImportedFeature,
  readRecords,
  type StoredData,
  textOf,
} from './imported.js';

const PREFIX = 'h:';
const USERS = 'h:users:';

const CUT_SHORT = 'expected enabled|percentage|field|users|variants; it is cut short.';

/**
 * Reads what hanoi (Python, 0.0.4) keeps in Redis: `h:NAME` with
 * `enabled|percentage|field|users|variants`, or without users and with a set `h:users:NAME` beside
 * it. Every subject gets what it got. Without a subject the answer is stricter: hanoi's was the
 * switch alone, here a feature at 1% stays off for a forgotten user. INVALID_ARGUMENT for data of
 * another shape.
 */
export function readHanoi(data: StoredData): Imported {
  const entries = entriesOf(data, PREFIX);
  const records: [key: string, name: string][] = [];
  for (const [key, value] of entries) {
    if (key.startsWith(PREFIX) && !(key.startsWith(USERS) && typeof value !== 'string')) {
      records.push([key, key.slice(PREFIX.length)]);
    }
  }
  // One backend of hanoi writes five fields and the other four: beside five, four is one cut short.
  const most = Math.max(...records.map(([key]) => String(entries.get(key)).split('|').length));
  return readRecords(records, (key, name) => {
    const record = textOf(entries.get(key));
    if (most === 5 && record.split('|').length < most) throw new Error(CUT_SHORT);
    const users = entries.get(USERS + name);
    // A text there is the record of a feature that is called so.
    return { ...parse(record, typeof users === 'string' ? [] : users), name };
  });
}

function parse(record: string, users: Iterable<string> = []): Omit<ImportedFeature, 'name'> {
  const fields = record.split('|');
  if (fields.length < 4 || fields.length > 5) {
    throw new Error(CUT_SHORT);
  }
  const [enabled, percentage, field] = fields as [string, string, string];
  const listed = fields.length === 5 ? (fields[3] as string) : '';
  if (enabled !== '0' && enabled !== '1') {
    throw new Error('its first field is neither 0 nor 1.');
  }
  return {
    settings: {
      enabled: enabled === '1',
      percentage: sharpened(percentage),
      bucketing: 'hanoi',
      ...(field !== '' && { subjectKey: field }),
      variants: (fields.at(-1) as string) === '' ? [] : (fields.at(-1) as string).split(','),
    },
    members: [...new Set([...splitList(listed), ...users])],
  };
}

/**
 * hanoi lets in `CRC-32 % 100 <= percentage`, one point more than it says; 0 is nobody and 100
 * everyone.
 */
function sharpened(text: string): number {
  if (!/^\d+$/.test(text)) throw new Error('its percentage is not a number.');
  const percentage = Number(text);
  return percentage > 0 && percentage < 100 ? percentage + 1 : percentage;
}
