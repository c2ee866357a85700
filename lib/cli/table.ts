import { fitted, widthOf } from './printable.js';
import type { Style, Terminal } from './terminal.js';

/** Printable text, and how it looks. */
export type Cell = string | readonly [text: string, ...styles: Style[]];

const GAP = '  ';

/** Rows as lines, in columns of one width; on a terminal the last column is cut to it. */
export function table(
  terminal: Terminal,
  header: readonly string[],
  rows: readonly (readonly Cell[])[],
): string[] {
  const titles = header.map((title): Cell => [title, 'dim']);
  const all = header.some((title) => title !== '') ? [titles, ...rows] : rows;
  const widths = header.map((_, at) => Math.max(...all.map((row) => widthOf(textOf(row[at])))));
  return all.map((row) => {
    let left = terminal.columns ?? Number.POSITIVE_INFINITY;
    return row
      .map((cell, at) => {
        const width = widths[at] as number;
        const isLast = at === row.length - 1;
        const text = isLast ? fitted(textOf(cell), Math.max(left, 10)) : textOf(cell);
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
