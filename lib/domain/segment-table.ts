import type { Rule } from './feature.js';
import { parseName, refused } from './parse.js';
import type { RuleSettings } from './rule.js';

/** What to serve to whom, by the answers of one or several segments. */
export interface SegmentTable<VariantName extends string = string> {
  /** One segment, or several: then a row has as many values, in their order. */
  segments: string | readonly string[];
  /** The values of each row, and what it serves. A subject is in one row at most. */
  rows: Iterable<
    readonly [values: string | readonly string[], serve: RuleSettings<VariantName>['serve']]
  >;
  /** For those of no row; without it the rules that follow, and the gates, decide. */
  otherwise?: RuleSettings<VariantName>['serve'] | undefined;
}

/** What the ids of a table's rules begin with. */
const PREFIX = 'table/';
const OTHERWISE = `${PREFIX}otherwise`;

/** The feature's rules with this table in the place of the one before, or behind all. INVALID_FEATURE. */
export function rulesWithTable(
  rules: readonly Rule[],
  { segments, rows, otherwise }: SegmentTable,
): RuleSettings[] {
  const names = listed(segments).map((segment, at) => parseName(segment, `segments[${at}]`));
  if (names.length === 0) throw refused('segments', 'to name at least one', segments);
  const table: RuleSettings[] = Array.from(rows, ([values, serve], at) => {
    const wanted = listed(values);
    if (wanted.length !== names.length) {
      throw refused(`rows[${at}]`, `to have ${names.length} values, one for each segment`, values);
    }
    return {
      id: PREFIX + JSON.stringify(wanted),
      when: {
        all: wanted.map((value, index) => ({ segment: names[index] as string, in: [value] })),
      },
      serve,
    };
  });
  if (otherwise !== undefined) {
    table.push({ id: OTHERWISE, when: { group: 'all' }, serve: otherwise });
  }
  const isTable = ({ id }: Rule) => id.startsWith(PREFIX);
  const first = rules.findIndex(isTable);
  const others = rules.filter((rule) => !isTable(rule));
  const at = first === -1 ? others.length : first;
  return [...others.slice(0, at), ...table, ...others.slice(at)];
}

function listed(values: string | readonly string[]): readonly string[] {
  return typeof values === 'string' ? [values] : values;
}
