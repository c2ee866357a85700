import { tmpdir } from 'node:os';
import { PassThrough, Readable, Writable } from 'node:stream';
import { run } from '../../lib/cli/run.js';
import { Terminal } from '../../lib/cli/terminal.js';

interface Given {
  readonly input?: string | readonly Uint8Array[];
  readonly env?: { readonly [name: string]: string };
  /** As on a terminal of 100 columns. */
  readonly isTerminal?: boolean;
}

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The command line in this process, in a folder. */
export function shellIn(folder: () => string, common: Given = {}) {
  const hanoi = async (args: readonly string[], given: Given = {}): Promise<Ended> => {
    const { input = '', env = {}, isTerminal = false } = { ...common, ...given };
    const [out, err] = [collector(isTerminal), collector(isTerminal)];
    const stdin = isTerminal
      ? new PassThrough()
      : Readable.from(typeof input === 'string' ? [Buffer.from(input)] : input);
    if (isTerminal) {
      Object.assign(stdin, { isTTY: true });
      (stdin as PassThrough).end(input);
    }
    const streams = { stdin, stdout: out.stream, stderr: err.stream };
    const code = await run(args, new Terminal(streams, env, folder()));
    return { code, out: out.text(), err: err.text() };
  };
  return {
    hanoi,
    /** What it prints, where it ends with 0. */
    async told(...args: string[]): Promise<string> {
      const { code, out, err } = await hanoi(args);
      expect([code, err]).toEqual([0, expect.anything()]);
      return out;
    },
    /** The same as JSON, however it ends. */
    // biome-ignore lint/suspicious/noExplicitAny: what is looked at says itself
    async json(...args: string[]): Promise<any> {
      return JSON.parse((await hanoi([...args, '--json'])).out);
    },
    /** Its error as JSON, with how it ended. */
    // biome-ignore lint/suspicious/noExplicitAny: what is looked at says itself
    async failure(...args: string[]): Promise<any> {
      const { code, out, err } = await hanoi([...args, '--json']);
      const { error } = JSON.parse(err);
      expect([out, error.exitCode]).toEqual(['', code]);
      return error;
    },
  };
}

function collector(isTerminal: boolean) {
  const chunks: string[] = [];
  const stream = new Writable({
    write(chunk, _, done) {
      chunks.push(String(chunk));
      done();
    },
  });
  if (isTerminal) Object.assign(stream, { isTTY: true, columns: 100 });
  return { stream, text: () => chunks.join('') };
}

/** The command line writes and reads there, and looks at the server; what is there goes by it too. */
export async function expectToWorkAt(url: string): Promise<void> {
  const { hanoi, told, json } = shellIn(tmpdir);
  await told('add', 'by-command-line', '-u', url);
  await told('users', 'add', 'by-command-line', 'ann', '-u', url);
  expect((await hanoi(['check', 'by-command-line', 'ann', '-u', url])).code).toBe(0);
  const { server } = await json('doctor', '-u', url);
  expect(server.sets).toEqual({ scanned: 1, orphaned: 0 });
  await told('remove', 'by-command-line', '--yes', '-u', url);
}
