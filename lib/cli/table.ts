import { fitted, widthOf } from './printable.js';
import type { Style, Terminal } from './terminal.js';

/** Printable text, and how it looks. */
export type Cell = string | readonly [text: string, ...styles: Style[]];

const GAP = '  ';

/** Of a terminal's width, for each column but the last: one long name would make every row wrap. */
const LARGEST = 0.4;

/** Rows as lines, in columns of one width; on a terminal they are cut to it. */
export function table(
  terminal: Terminal,
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
): string[] {
  const titles = header.map((title): Cell => [title, 'dim']);
  const all = header.some((title) => title !== '') ? [titles, ...rows] : rows;
  const columns = terminal.columns ?? Number.POSITIVE_INFINITY;
  const most = Math.max(20, Math.floor(columns * LARGEST));
  const widths = header.map((_, at) =>
    all.reduce((width, row) => Math.max(width, Math.min(most, widthOf(textOf(row[at])))), 0),
  );
  return all.map((row) => {
    let left = columns;
    return row
      .map((cell, at) => {
        const width = widths[at] as number;
        const isLast = at === row.length - 1;
        const text = fitted(textOf(cell), isLast ? Math.max(left, 10) : most);
        left -= width + GAP.length;
        const styles = typeof cell === 'string' ? [] : (cell.slice(1) as Style[]);
        const padding = isLast ? '' : ' '.repeat(width - widthOf(text));
        return terminal.styled(text, ...styles) + padding;
      })
      .join(GAP)
      .trimEnd();
  });
}

function textOf(cell: Cell | undefined): string {
  return typeof cell === 'string' ? cell : (cell?.[0] ?? '');
}
