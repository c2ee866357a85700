import { createReadStream, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { HanoiError } from '../errors.js';
import type { Terminal } from './terminal.js';

export interface IdsOptions {
  /** A file, or `-` for stdin. */
  readonly file?: string;
  /** Lines are JSON, as `users list --json` prints them. */
  readonly ndjson?: boolean;
}

/** Ids that come one after the other. */
export interface Ids {
  readonly ids: AsyncIterable<string>;
  /** How far it has come, from 0 to 1, where that can be told. */
  part(): number | undefined;
}

/** A line that is longer was never meant as one. */
const LONGEST_LINE = 1_000_000;

/**
 * Ids from the command line; else from a file or stdin, one a line. They end where `signal` says so.
 * INVALID_ARGUMENT where there is nothing to read from.
 */
export function idsFrom(
  terminal: Terminal,
  given: readonly string[],
  { file, ndjson = false }: IdsOptions,
  signal: AbortSignal,
): Ids {
  if (given.length > 0) {
    if (file !== undefined) throw wrong('ids or `--file`, and both were given');
    return { ids: listed(given, signal), part: () => undefined };
  }
  if (file === undefined || file === '-') {
    if (file === undefined && terminal.stdin.isTTY) {
      throw wrong('ids, `--file`, or ids on stdin, one a line');
    }
    return { ids: linesOf(terminal.stdin, ndjson, signal), part: () => undefined };
  }
  const path = resolve(terminal.folder, file);
  const size = statSync(path, { throwIfNoEntry: false })?.size;
  if (size === undefined) throw wrong(`a file of ids; there is no ${path}`);
  const stream = createReadStream(path);
  return {
    ids: linesOf(stream, ndjson, signal),
    part: () => (size > 0 ? stream.bytesRead / size : undefined),
  };
}

async function* listed(ids: readonly string[], signal: AbortSignal): AsyncGenerator<string> {
  for (const id of ids) {
    if (signal.aborted) return;
    yield id;
  }
}

async function* linesOf(
  stream: Readable,
  isJson: boolean,
  signal: AbortSignal,
): AsyncGenerator<string> {
  addAbortSignal(signal, stream);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  let number = 0;
  const idOf = (line: string) => {
    number++;
    const text = line.endsWith('\r') ? line.slice(0, -1) : line;
    return isJson && text !== '' ? parsed(text, number) : text;
  };
  try {
    for await (const chunk of stream) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer);
      const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n');
      rest = lines.pop() as string;
      if (rest.length > LONGEST_LINE) throw wrong(`lines of ids; line ${number + 1} has no end`);
      for (const line of lines) {
        const id = idOf(line);
        if (id !== '') yield id;
        if (signal.aborted) return;
      }
    }
    const id = idOf(rest + decoder.decode());
    if (id !== '') yield id;
  } catch (cause) {
    if (signal.aborted) return;
    if (cause instanceof HanoiError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    const isNoText = code === 'ERR_ENCODING_INVALID_ENCODED_DATA';
    throw wrong(isNoText ? 'ids in UTF-8, and they are not' : `ids that can be read (${message})`);
  }
}

/** A JSON text, a whole number, or an object with an `id` that is one. */
function parsed(line: string, number: number): string {
  try {
    const value = JSON.parse(line) as unknown;
    const id = (value as { id?: unknown } | null)?.id ?? value;
    if (typeof id === 'string') return id;
    // JSON.parse has made another number of a larger one, which is another user.
    if (Number.isSafeInteger(id)) return String(id);
  } catch {
    // Said below.
  }
  throw wrong(
    `an id, or an object with one, as JSON in line ${number}; a number from 2^53 on or with decimals as text`,
  );
}

function wrong(expected: string): HanoiError {
  return new HanoiError('INVALID_ARGUMENT', `Expected ${expected}.`);
}
