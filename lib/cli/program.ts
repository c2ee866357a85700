import { Command, InvalidArgumentError, Option } from 'commander';
import type { Kind } from '../stored-name.js';
import type { System } from './commands/transfer.js';
import { SEVERITIES } from './doctor/finding.js';
import type { CommonOptions, Session } from './session.js';
import type { Terminal } from './terminal.js';
import { VERSION } from './version.js';

/**
 * A command, given what it works with, its arguments and its own options; resolves with how it ends.
 * What it takes is for those who call it to know: what stands beside it here has parsed that.
 */
type Task = (session: Session, ...given: never[]) => Promise<number>;

/** What is left to do once the arguments are parsed. */
export interface Parsed {
  exitCode: number;
}

const EXAMPLES = `
Where the features are: --url, else HANOI_URL, else \`url\` in hanoi.config.json, .js or .mjs, else
./features.json. It is a path, file:…, redis://user:password@host:6379/0?namespace=shop (also rediss,
cluster=true, sentinel=mymaster, backend=redis-set, redis or rollout-gem), or https://… to read only;
to https://…/v1/export goes the token in HANOI_READ_TOKEN.

Ends with 0 done (of a check: on), 1 off, differences or findings, 2 wrong usage or input, 3 not
found, 4 conflict, 5 store unavailable, 6 outcome unknown.`;

/** The whole command line. What a command needs is loaded when it is called. */
export function programFor(terminal: Terminal, parsed: Parsed): Command {
  const program = new Command('hanoi')
    .description('Who gets which feature: look at it, and change it.')
    .version(VERSION, '-V, --version')
    .option('-u, --url <url>', 'where the features are: a Redis, a file or a document at a URL')
    .option('--json', 'print JSON: a document, or one a line where it is a stream')
    .option('--actor <name>', 'who makes the change (default: HANOI_ACTOR, else the system user)')
    .option('--note <text>', 'why, for the history')
    .option('--request-id <id>', 'repeat a write whose outcome was unknown')
    .addOption(
      new Option('--timeout <ms>', 'how long the store may take').argParser(millisecondsOf),
    )
    .addHelpText('after', EXAMPLES)
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.writeNow(text),
      writeErr: () => {},
      getOutHelpWidth: () => terminal.columns ?? 100,
    });

  const perform =
    (load: () => Promise<Task>, placeOf?: (args: readonly string[]) => string, isServing = false) =>
    async (...given: unknown[]) => {
      const command = given.at(-1) as Command;
      const common: CommonOptions = command.optsWithGlobals();
      const [{ inSession }, task] = await Promise.all([import('./session.js'), load()]);
      const args = command.processedArgs;
      const url = placeOf?.(args);
      if (url !== undefined && common.url !== undefined) {
        command.error('expected no --url: the arguments say both places');
      }
      const options = url === undefined ? common : { ...common, url };
      parsed.exitCode = await inSession(
        terminal,
        options,
        (session) => task(session, ...([...args, command.opts()] as never[])),
        isServing,
      );
    };

  const change = () => import('./commands/change.js');
  const users = () => import('./commands/users.js');
  const history = () => import('./commands/history.js');
  const undo = () => import('./commands/undo.js');

  program.commandsGroup('Look:');
  program
    .command('list')
    .description('all features, and at a glance who gets what')
    .argument('[pattern]', 'a part of the name, or with * a whole one')
    .option('--enabled', 'only those that are not switched off')
    .option('--disabled', 'only those that are')
    .option('--ramping', 'only those with a ramp underway, or paused')
    .option('--left-over', 'only those that have expired, or have been on or off for 30 days')
    .option('--data <key=value>', 'only those with this in their data', collected)
    .action(perform(async () => (await import('./commands/list.js')).list));
  program
    .command('show')
    .description('one feature, whole')
    .argument('<feature>')
    .action(perform(async () => (await import('./commands/show.js')).show));
  withSubject(program.command('check'))
    .description('whether somebody gets it: ends with 0 if on, 1 if off')
    .action(perform(async () => (await import('./commands/check.js')).check));
  withSubject(program.command('explain'))
    .description('why it is on or off for somebody, step by step')
    .action(perform(async () => (await import('./commands/check.js')).explain));
  withIds(program.command('preview'))
    .description('who would gain or lose it at another percentage, of ids from a file or stdin')
    .argument('<feature>')
    .argument('<percentage>', 'from 0 to 100', percentageOf)
    .option('--population', 'of those who are registered')
    .option('--ids <n>', 'how many ids to name of each kind', countOf)
    .action(perform(async () => (await import('./commands/preview.js')).preview));

  program.commandsGroup('Change:');
  program
    .command('add')
    .description('add a feature')
    .argument('<feature>')
    .option('-p, --percentage <n>', 'from 0 to 100', percentageOf)
    .option('--variant <name[=weight]>', 'a variant; can be repeated', collected)
    .option('--group <group>', 'a group to let in; can be repeated', collected)
    .option('--bucketing <bucketing>', 'how a percentage chooses: modulo, independent, population')
    .option('--subject-key <attribute>', 'go by this attribute instead of the id')
    .option('--data <key=value>', 'description, owner, expiresAt; can be repeated', collected)
    .option('--settings <json>', 'more of it, as JSON, @file, or - for stdin')
    .option('--disabled', 'with the kill switch on')
    .action(perform(async () => (await change()).add));
  program
    .command('update')
    .description('replace some settings, as addFeature takes them')
    .argument('<feature>')
    .argument('<settings>', 'JSON, @file, or - for stdin')
    .action(perform(async () => (await change()).update));
  program
    .command('enable')
    .description('take back `disable`')
    .argument('<feature>')
    .action(perform(async () => (await change()).enable));
  program
    .command('disable')
    .description('the kill switch: off for everyone, all else is kept')
    .argument('<feature>')
    .action(perform(async () => (await change()).disable));
  program
    .command('percentage')
    .description('set the percentage')
    .argument('<feature>')
    .argument('<percentage>', 'from 0 to 100', percentageOf)
    .action(perform(async () => (await change()).percentage));
  const ramp = program.command('ramp').description('let the percentage go with time');
  ramp
    .command('start')
    .description('from where it is to 100, or as the options say')
    .argument('<feature>')
    .option('--over <duration>', 'how long it takes: 14d, 36h')
    .option('--to <n>', 'where it ends (default: 100)', percentageOf)
    .option('--from <n>', 'where it begins (default: where it is)', percentageOf)
    .option('--start <instant>', 'such as 2026-11-30T09:00:00Z (default: now)')
    .option('--end <instant>', 'instead of --over')
    .option('--steps <n>', 'in so many steps instead of a line', countOf)
    .action(perform(async () => (await change()).startRamp));
  ramp
    .command('pause')
    .description('keep it where it is')
    .argument('<feature>')
    .action(perform(async () => (await change()).pauseRamp));
  ramp
    .command('resume')
    .description('go on from there')
    .argument('<feature>')
    .action(perform(async () => (await change()).resumeRamp));
  ramp
    .command('rewind')
    .description('take it back to where it was so long ago')
    .argument('<feature>')
    .argument('<duration>', 'such as 2d')
    .action(perform(async () => (await change()).rewindRamp));
  ramp
    .command('jump')
    .description('take it to where it has this percentage')
    .argument('<feature>')
    .argument('<percentage>', 'from 0 to 100', percentageOf)
    .action(perform(async () => (await change()).jumpRamp));
  const members = program.command('users').description('who is let in by name');
  members
    .command('list')
    .description('the ids, one a line')
    .argument('<feature>')
    .option('--limit <n>', 'at most so many', countOf)
    .action(perform(async () => (await users()).listUsers));
  withIds(members.command('add'))
    .description('let ids in: from arguments, a file or stdin, one a line')
    .argument('<feature>')
    .argument('[ids...]')
    .action(perform(async () => (await users()).addUsers));
  withIds(members.command('remove'))
    .description('take ids out again')
    .argument('<feature>')
    .argument('[ids...]')
    .action(perform(async () => (await users()).removeUsers));
  program
    .command('exclude')
    .description('keep ids out, whatever else lets them in')
    .argument('<feature>')
    .argument('<ids...>')
    .action(perform(async () => (await change()).exclude));
  program
    .command('unexclude')
    .description('take back `exclude`')
    .argument('<feature>')
    .argument('<ids...>')
    .action(perform(async () => (await change()).unexclude));
  program
    .command('remove')
    .description('remove a feature and its members; `restore` brings them back for 7 days')
    .argument('<feature>')
    .option('-y, --yes', 'without asking')
    .action(perform(async () => (await undo()).remove));

  program.commandsGroup('Past:');
  withOf(program.command('history'))
    .description('what was changed, by whom and why; without a name, of everything')
    .argument('[feature]')
    .option('--limit <n>', 'at most so many', countOf)
    .option('--before <change>', 'only what came before that change')
    .addOption(
      new Option('--kind <kind>', 'only changes of this kind').choices(['documents', 'members']),
    )
    .action(perform(async () => (await history()).history));
  withOf(program.command('diff'))
    .description('what differs: by the last change, or since, or between two states')
    .argument('<feature>')
    .argument('[from]', 'a revision, or a change')
    .argument('[to]', 'the same (default: now)')
    .action(perform(async () => (await history()).diff));
  withOf(program.command('undo'))
    .description('take back one change, the last or another')
    .argument('<feature>')
    .argument('[change]')
    .action(perform(async () => (await undo()).undo));
  withOf(program.command('rollback'))
    .description('bring back all of it as it was')
    .argument('<feature>')
    .argument('<to>', 'a revision, or a change')
    .addOption(
      new Option('--members <which>', 'which members').choices(['restore', 'keep', 'none']),
    )
    .action(perform(async () => (await undo()).rollback));
  withOf(program.command('restore'))
    .description('bring back what was removed, with its members')
    .argument('<feature>')
    .addOption(new Option('--members <which>', 'which members').choices(['keep', 'none']))
    .action(perform(async () => (await undo()).restore));

  program.commandsGroup('Groups and experiments:');
  const groups = program.command('groups').description('stored groups');
  groups
    .command('list')
    .description('all stored groups')
    .action(perform(async () => (await import('./commands/groups.js')).listGroups));
  groups
    .command('show')
    .description('one group: who is in it, and which features go by it')
    .argument('<group>')
    .option('--limit <n>', 'at most so many ids', countOf)
    .action(perform(async () => (await import('./commands/groups.js')).showGroup));
  const experiments = program.command('experiments').description('A/B tests');
  experiments
    .command('list')
    .description('all experiments')
    .action(perform(async () => (await import('./commands/experiments.js')).listExperiments));
  experiments
    .command('show')
    .description('one experiment, its counts, and whether they fit')
    .argument('<experiment>')
    .action(perform(async () => (await import('./commands/experiments.js')).showExperiment));

  program.commandsGroup('Move and operate:');
  program
    .command('export')
    .description('everything, or some features, as a file of hanoi')
    .argument('[features...]')
    .option('-o, --output <file>', 'where to (default: stdout)')
    .option('--force', 'replace the file')
    .action(perform(async () => (await import('./commands/transfer.js')).exportFeatures));
  withTransfer(program.command('import'))
    .description('bring in what another system has, or an exported file')
    .argument('<source>', 'a Redis URL, or a file')
    .addOption(
      new Option('--from <system>', 'what it is of')
        .choices(['hanoi-file', 'rollout-gem', 'hanoi', 'slowroll', 'pyrollout'] satisfies System[])
        .makeOptionMandatory(),
    )
    .option('--namespace <namespace>', 'what the other system puts before its keys')
    .option('--randomize-percentage', "the gem's option of that name")
    .action(perform(async () => (await import('./commands/transfer.js')).importFeatures));
  withTransfer(program.command('copy'))
    .description('copy features with all that is kept of them, from one place to another')
    .argument('<from>', 'as --url takes it')
    .argument('<to>', 'the same')
    .argument('[features...]')
    .action(
      perform(
        async () => async (session: Session, from, _to, names, options) =>
          (await import('./commands/transfer.js')).copy(session, from, names, options),
        ([, to]) => to as string,
      ),
    );
  program
    .command('doctor')
    .description('what is wrong, or soon may be: ends with 1 where more than notes are found')
    .addOption(new Option('--severity <least>', 'only those, and graver ones').choices(SEVERITIES))
    .action(perform(async () => (await import('./commands/doctor.js')).doctor));
  program
    .command('serve')
    .description(
      'the HTTP API, with a token for this run, or those of HANOI_ADMIN_TOKEN and the like',
    )
    .option('--host <host>', 'where to listen (default: 127.0.0.1)')
    .option('--port <port>', '0 takes a free one (default: 4200)', countOf)
    .option('--admin', 'writes too')
    .addOption(
      new Option('--anonymous <access>', 'what everybody may do').choices(['evaluate', 'read']),
    )
    .option('--allow-host <host>', 'a name by which requests come; can be repeated', collected)
    .option('--origin <origin>', 'a site whose pages may ask; can be repeated', collected)
    .action(
      perform(async () => (await import('./commands/serve.js')).serveFeatures, undefined, true),
    );
  return program;
}

function withSubject(command: Command): Command {
  return command
    .argument('<feature>')
    .argument('[id]', 'who is asked about (default: nobody)')
    .option('-a, --attribute <name=value>', 'an attribute of theirs; can be repeated', collected)
    .option('--attributes <json>', 'all of them, as an object');
}

function withIds(command: Command): Command {
  return command
    .option('-f, --file <file>', 'ids, one a line; - for stdin')
    .option('--ndjson', 'lines are JSON, as `users list --json` prints them');
}

function withOf(command: Command): Command {
  return command.addOption(
    new Option('--of <kind>', 'what it is that has the name (default: feature)').choices([
      'feature',
      'group',
      'experiment',
      'population',
    ] satisfies Kind[]),
  );
}

function withTransfer(command: Command): Command {
  return command
    .option('-n, --dry-run', 'say what would be done, and do nothing')
    .option('--replace', 'also features that are there otherwise')
    .option('-y, --yes', 'without asking');
}

function collected(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** Written with or without its sign. */
function percentageOf(text: string): number {
  const digits = text.endsWith('%') ? text.slice(0, -1) : text;
  const percentage = Number(digits);
  if (/^(\d+(\.\d*)?|\.\d+)$/.test(digits) && percentage <= 100) return percentage;
  throw new InvalidArgumentError('Expected a number from 0 to 100.');
}

function countOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a whole number.');
}

function millisecondsOf(text: string): number {
  const ms = countOf(text);
  if (ms >= 1) return ms;
  throw new InvalidArgumentError('Expected a whole number of ms from 1.');
}
