#!/usr/bin/env node
import { Terminal } from './terminal.js';

async function main(): Promise<void> {
  // A promise that never settles, of a config file, ends the process: that is no success.
  process.exitCode = 70;
  process.once('beforeExit', unsettled);
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    // Whoever reads has closed the pipe, and has what it wanted.
    if (code === 'EPIPE') process.exit(0);
    process.stderr.write(`hanoi: INTERNAL: The output can't be written (${code}).\n`);
    process.exit(74);
  });
  process.stderr.on('error', () => {});
  let run: typeof import('./run.js').run;
  try {
    ({ run } = await import('./run.js'));
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes('commander')) throw cause;
    process.stderr.write(
      'hanoi: INVALID_ARGUMENT: Expected the package commander, which is not installed (--omit=optional): npm install commander.\n',
    );
    end(2);
    return;
  }
  end(await run(process.argv.slice(2), new Terminal(process, process.env, process.cwd())));
}

function end(exitCode: number): void {
  process.off('beforeExit', unsettled);
  process.exitCode = exitCode;
}

function unsettled(): void {
  process.stderr.write(
    'hanoi: INTERNAL: It ended before it was done: something, such as `define` of the config file, never settles.\n',
  );
}

void main();
