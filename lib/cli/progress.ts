import type { Terminal } from './terminal.js';

/** So often at most, in ms. */
const DRAW_EVERY_MS = 100;

const BAR = 24;

/** A line on stderr that says how far something has come; nothing where that is no terminal. */
export class Progress {
  private drawnAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly terminal: Terminal,
    private readonly what: string,
  ) {}

  /** `part` from 0 to 1 where that is known. */
  at(done: number, part?: number): void {
    const now = performance.now();
    if (!this.terminal.isDrawing || now - this.drawnAt < DRAW_EVERY_MS) return;
    this.drawnAt = now;
    const bar = part === undefined ? '' : `${barOf(part, BAR)} ${Math.floor(part * 100)}%  `;
    this.terminal.warn(`\r\u001b[K${bar}${done.toLocaleString('en')} ${this.what}`);
  }

  /** Takes the line away. */
  end(): void {
    if (this.drawnAt > Number.NEGATIVE_INFINITY) this.terminal.warn('\r\u001b[K');
  }
}

/** A share from 0 to 1 in so many characters: empty only at 0, and full only at 1. */
export function barOf(part: number, width: number): string {
  const exact = Math.min(1, Math.max(0, part)) * width;
  const full =
    part >= 1 ? width : Math.min(width - 1, part > 0 ? Math.max(1, Math.round(exact)) : 0);
  return '█'.repeat(full) + '░'.repeat(width - full);
}
