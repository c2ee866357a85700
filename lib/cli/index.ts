#!/usr/bin/env node
import { Terminal } from './terminal.js';

async function main(): Promise<void> {
  // Whoever reads has closed the pipe, and has what it wanted.
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    process.exit(code === 'EPIPE' ? 0 : 5);
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
    process.exitCode = 2;
    return;
  }
  process.exitCode = await run(
    process.argv.slice(2),
    new Terminal(process, process.env, process.cwd()),
  );
}

void main();
