#!/usr/bin/env node
import { printable, printableJson } from './printable.js';
import { Terminal } from './terminal.js';

async function main(): Promise<void> {
  const terminal = new Terminal(process, process.env, process.cwd());
  // A promise that never settles ends the process: that is no success.
  process.exitCode = 70;
  process.once('beforeExit', unsettled);
  // Rejections that nobody handles come here too. Node would end with 1, which is `off` for scripts.
  process.on('uncaughtException', (error: unknown) => {
    const what = error instanceof Error ? error.message : String(error);
    tell(
      'INTERNAL',
      `Something beside the command failed, as code of the config file can: ${what}`,
      70,
    );
    process.exit(70);
  });
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') {
      terminal.isUnread = true;
      return;
    }
    tell('INTERNAL', `The output can't be written (${code}).`, 74);
    process.exit(74);
  });
  process.stderr.on('error', () => {});
  let run: typeof import('./run.js').run;
  try {
    ({ run } = await import('./run.js'));
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes('commander')) throw cause;
    tell(
      'INVALID_ARGUMENT',
      'Expected the package commander, which is not installed (--omit=optional): npm install commander.',
      2,
    );
    end(2);
    return;
  }
  end(await run(process.argv.slice(2), terminal));
}

function end(exitCode: number): void {
  process.off('beforeExit', unsettled);
  process.exitCode = exitCode;
}

function unsettled(): void {
  tell('INTERNAL', 'It ended before it was done: something that it waits for never settles.', 70);
}

/** What went wrong, as commands tell it. */
function tell(code: string, message: string, exitCode: number): void {
  const isJson = process.argv.includes('--json');
  const told = isJson
    ? printableJson({ error: { code, message, exitCode } })
    : `hanoi: ${code}: ${printable(message)}`;
  process.stderr.write(`${told}\n`);
}

void main();
