import { CommanderError } from 'commander';
import { printableJson } from './printable.js';
import { type Parsed, programFor } from './program.js';
import type { Terminal } from './terminal.js';

/**
 * Runs the command line; resolves with what the process ends with. What goes wrong is one line on
 * stderr, or with `--json` an object.
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  const parsed: Parsed = { exitCode: 0 };
  try {
    const program = programFor(terminal, parsed);
    if (args.length === 0) {
      terminal.warn(program.helpInformation());
      return 2;
    }
    await program.parseAsync(args, { from: 'user' });
    return parsed.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const { failureLine, failureOf } = await import('./failure.js');
    const failure = error instanceof CommanderError ? await misused(error, args) : error;
    const isJson = beforeRest(args).includes('--json');
    const told = isJson
      ? `${printableJson({ error: failureOf(failure) })}\n`
      : failureLine(failure);
    terminal.warn(told);
    return failureOf(failure).exitCode;
  }
}

/** As an error of ours: INVALID_ARGUMENT. */
async function misused({ code, message }: CommanderError, args: readonly string[]): Promise<Error> {
  const { HanoiError } = await import('../errors.js');
  const said = message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ');
  const what = code === 'commander.help' ? helpless(args) : said;
  const sentence = `${what[0]?.toUpperCase()}${what.slice(1)}`.replace(/[.]?$/, '.');
  return new HanoiError('INVALID_ARGUMENT', `${sentence} \`hanoi help\` shows how it goes.`);
}

/** Help is shown for a family without a subcommand, and where it was asked for of what there isn't. */
function helpless(args: readonly string[]): string {
  const asked = args[args.indexOf('help') + 1];
  if (args.includes('help') && asked !== undefined) return `unknown command '${asked}'`;
  const [family] = args.filter((each) => !each.startsWith('-'));
  return `expected a subcommand of \`hanoi ${family}\``;
}

function beforeRest(args: readonly string[]): readonly string[] {
  const at = args.indexOf('--');
  return at < 0 ? args : args.slice(0, at);
}
