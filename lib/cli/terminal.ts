import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import { printableJson } from './printable.js';

export interface Streams {
  readonly stdin: Readable & { readonly isTTY?: boolean | undefined };
  readonly stdout: Output;
  readonly stderr: Output;
}

type Output = Writable & {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
};

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow';

const CODES: { readonly [style in Style]: number } = {
  bold: 1,
  dim: 2,
  red: 31,
  green: 32,
  yellow: 33,
};

/** Where a command reads and prints, and what it knows of its surroundings. */
export class Terminal {
  constructor(
    private readonly streams: Streams,
    readonly env: { readonly [name: string]: string | undefined },
    readonly folder: string,
  ) {}

  /** Whether nobody reads on what is printed: then nothing is any more. */
  isUnread: boolean = false;

  get stdin(): Streams['stdin'] {
    return this.streams.stdin;
  }

  /** Undefined where it is no terminal: then nothing is cut. */
  get columns(): number | undefined {
    const { isTTY, columns } = this.streams.stdout;
    // Some terminals say 0.
    return isTTY ? columns || 80 : undefined;
  }

  /** Whether somebody can be asked. */
  get isInteractive(): boolean {
    return this.streams.stdin.isTTY === true && this.streams.stderr.isTTY === true;
  }

  /** Whether progress can be drawn beside the output. */
  get isDrawing(): boolean {
    return this.streams.stderr.isTTY === true && this.env.TERM !== 'dumb';
  }

  styled(text: string, ...styles: readonly Style[]): string {
    const isPlain = (this.env.NO_COLOR ?? '') !== '' || this.env.TERM === 'dumb';
    if (isPlain || !this.streams.stdout.isTTY || text === '' || styles.length === 0) return text;
    return `${styles.map((style) => `\u001b[${CODES[style]}m`).join('')}${text}\u001b[0m`;
  }

  /** Printable lines. Resolves once there is room for more. */
  async print(...lines: readonly string[]): Promise<void> {
    if (lines.length > 0) await this.write(`${lines.join('\n')}\n`);
  }

  /** One document. */
  async printJson(value: unknown): Promise<void> {
    await this.write(`${printableJson(value, 2)}\n`);
  }

  /** One of a stream: JSON in one line. */
  async printJsonLine(value: unknown): Promise<void> {
    await this.write(`${printableJson(value)}\n`);
  }

  async write(text: string): Promise<void> {
    const { stdout } = this.streams;
    if (this.isUnread || stdout.write(text)) return;
    try {
      await once(stdout, 'drain');
    } catch (error) {
      // Whoever reads has what it wanted; how the command ends is another matter.
      if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
      this.isUnread = true;
    }
  }

  /** For what is short. */
  writeNow(text: string): void {
    this.streams.stdout.write(text);
  }

  /** Beside the output: what is no result. */
  warn(text: string): void {
    this.streams.stderr.write(text);
  }

  /** True where the answer is yes. */
  async confirm(question: string): Promise<boolean> {
    const asking = createInterface({ input: this.streams.stdin, output: this.streams.stderr });
    try {
      // Where the input ends, or by Ctrl-C, there is no answer: in one Node the question rejects, in
      // another it stays open.
      const ended = once(asking, 'close').then(() => '');
      const asked = asking.question(`${question} [y/N] `).catch(() => '\n');
      const answer = await Promise.race([asked, ended]);
      return /^y(es)?$/i.test(answer.trim());
    } finally {
      asking.close();
    }
  }
}
