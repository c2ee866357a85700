import { readFileSync } from 'node:fs';
import { link, open, rename, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Source } from '../../backends/backend.js';
import { MemoryBackend } from '../../backends/memory.js';
import { copyFeatures } from '../../copy-features.js';
import { HanoiError, invalid, withoutValue } from '../../errors.js';
import type { Imported } from '../../import/index.js';
import { Rollout } from '../../rollout.js';
import { readName } from '../../stored-name.js';
import { EXIT, Interrupted } from '../failure.js';
import { interruptible } from '../interruption.js';
import {
  clientOf,
  notReached,
  openPlace,
  type Place,
  parsePlace,
  titleOf,
  writable,
} from '../place.js';
import { printable } from '../printable.js';
import { Progress } from '../progress.js';
import type { Session } from '../session.js';
import type { Terminal } from '../terminal.js';
import { sure } from './undo.js';

export interface TransferOptions {
  readonly dryRun?: boolean;
  /** Also features that are there otherwise. */
  readonly replace?: boolean;
  readonly yes?: boolean;
}

export interface ExportOptions {
  readonly output?: string;
  readonly force?: boolean;
}

/** As the file that `FileBackend` keeps: all that is there, or these features with what they go by. */
export async function exportFeatures(
  session: Session,
  names: readonly string[],
  { output, force = false }: ExportOptions,
): Promise<number> {
  const { source, terminal } = session;
  // The history stays where it is.
  const whole = new MemoryBackend({ historyLength: 0 });
  const report = await copyFeatures(source, whole, names.length > 0 ? { names } : {});
  const text = whole.contents();
  if (output === undefined || output === '-') await terminal.write(text);
  else {
    await save(resolve(terminal.folder, output), text, force);
    const { features } = await whole.loadAll();
    terminal.warn(`${countsOf(features.keys())} in ${printable(output)}.\n`);
  }
  return tellProblems(terminal, report.problems) ? EXIT.no : EXIT.done;
}

/** `8 features, 1 group are`. */
function countsOf(stored: Iterable<string>): string {
  const counts = new Map<string, number>([['feature', 0]]);
  for (const name of stored) {
    const [kind] = readName(name);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const { size } = counts;
  const words = Array.from(counts, ([kind, count]) => `${count} ${kind}${count === 1 ? '' : 's'}`);
  const isOne = size === 1 && counts.get('feature') === 1;
  return `${words.join(', ')} ${isOne ? 'is' : 'are'}`;
}

/** Whole or not at all. INVALID_ARGUMENT where there is a file, unless `force`. */
async function save(path: string, text: string, force: boolean): Promise<void> {
  const begun = join(dirname(path), `.${process.pid}.hanoi-export`);
  try {
    // It names users.
    const file = await open(begun, 'w', 0o600);
    await file.writeFile(text);
    await file.sync();
    await file.close();
    if (force) await rename(begun, path);
    else await link(begun, path);
  } catch (cause) {
    const { code = '' } = cause as NodeJS.ErrnoException;
    throw new HanoiError(
      'INVALID_ARGUMENT',
      code === 'EEXIST'
        ? `Expected a file that is not there yet: ${path}. \`--force\` replaces it.`
        : `Expected a file that can be written: ${path} (${code}).`,
      { cause },
    );
  } finally {
    await unlink(begun).catch(() => {});
  }
}

/** The systems of which features can be imported. */
export type System = 'hanoi-file' | 'rollout-gem' | 'hanoi' | 'slowroll' | 'pyrollout';

export interface ImportCommandOptions extends TransferOptions {
  readonly from: System;
  /** What the other system puts before its keys. */
  readonly namespace?: string;
  /** The gem's option. */
  readonly randomizePercentage?: boolean;
}

/** From another system's Redis or a file, or a file of ours. */
export async function importFeatures(
  session: Session,
  from: string,
  options: ImportCommandOptions,
): Promise<number> {
  const { terminal } = session;
  const { from: system, namespace, randomizePercentage = false } = options;
  const place = parsePlace(from, terminal.folder);
  // To overlook it could deal everyone again.
  if (randomizePercentage && system !== 'rollout-gem') {
    throw invalid('`--randomize-percentage` with `--from rollout-gem` alone', system);
  }
  if (namespace !== undefined && place.kind !== 'redis') {
    throw invalid('`--namespace` with a Redis alone', namespace);
  }
  if (system === 'hanoi-file') {
    if (place.kind === 'redis') {
      throw new HanoiError(
        'INVALID_ARGUMENT',
        'Expected a file of ours: from one Redis of ours to another it is `hanoi copy`.',
      );
    }
    return copy(session, from, [], options);
  }
  const { features, problems } = await readSystem(session, place, options);
  const { importInto } = await import('../../import/index.js');
  const read = new MemoryBackend({ historyLength: 0 });
  await importInto(new Rollout(read), { features, problems });
  return transfer(session, read, problems, options);
}

async function readSystem(
  { terminal }: Session,
  place: Place,
  { from: system, namespace, randomizePercentage = false }: ImportCommandOptions,
): Promise<Imported> {
  const reading = await import('../../import/index.js');
  if (place.kind === 'http')
    throw new HanoiError('INVALID_ARGUMENT', 'Expected a Redis URL or a file to import from.');
  if (place.kind === 'redis') {
    if (system !== 'rollout-gem' && system !== 'hanoi') {
      throw new HanoiError('INVALID_ARGUMENT', `Expected a file: ${system} is not kept in Redis.`);
    }
    const client = await clientOf(place);
    const progress = new Progress(terminal, 'keys read');
    try {
      await client.connect();
      const options = {
        ...((namespace ?? place.namespace) && {
          namespace: (namespace ?? place.namespace) as string,
        }),
        onProgress: ({ keys }: { keys: number }) => progress.at(keys),
      };
      // A cluster has no SCAN of its own; neither system is kept on one.
      const data = await reading.readRedis(client as never, system, options);
      if (data.size === 0) {
        const where = `${titleOf(place).replace(/ \(.*$/, '')}${namespace ? ` under ${namespace}:` : ''}`;
        throw new HanoiError('INVALID_RECORD', `There is nothing of ${system} at ${where}.`);
      }
      return system === 'hanoi'
        ? reading.readHanoi(data)
        : reading.readRolloutGem(data, { randomizePercentage });
    } catch (cause) {
      throw notReached(place, cause);
    } finally {
      progress.end();
      client.disconnect();
    }
  }
  const data = jsonIn(place.path);
  switch (system) {
    case 'hanoi':
      return reading.readHanoi(data as never);
    case 'slowroll':
      return reading.readSlowroll(data as never);
    case 'pyrollout':
      return reading.readPyrollout(data as never);
    default:
      return reading.readRolloutGem(data as never, { randomizePercentage });
  }
}

function jsonIn(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8').replace(/^\uFEFF/, ''));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code ?? withoutValue(cause);
    throw new HanoiError('INVALID_ARGUMENT', `Expected a file of JSON at ${path} (${why}).`, {
      cause,
    });
  }
}

/** Between two places; `from` and `to` as `--url` takes them. */
export async function copy(
  session: Session,
  from: string,
  names: readonly string[],
  options: TransferOptions,
): Promise<number> {
  const { terminal, timeoutMs } = session;
  const place = parsePlace(from, terminal.folder);
  const opened = await openPlace(place, {
    ...{ timeoutMs, mustExist: true },
    readToken: terminal.env.HANOI_READ_TOKEN,
  });
  try {
    return await transfer(session, opened.source, [], options, names);
  } finally {
    await opened.close();
  }
}

/** Into where the session is. */
async function transfer(
  session: Session,
  from: Source,
  unread: readonly HanoiError[],
  { dryRun = false, replace = false, yes = false }: TransferOptions,
  names: readonly string[] = [],
): Promise<number> {
  const { source, terminal, actor, about, place } = session;
  const to = writable(source);
  if (about.requestId !== undefined) {
    // It is of one write, and here are many.
    throw new HanoiError(
      'INVALID_ARGUMENT',
      'Expected no `--request-id`: repeat the command as it was.',
    );
  }
  if (replace && !dryRun && !yes) {
    const question = `Replace features at ${titleOf(place)} that are there otherwise?`;
    if (!(await sure(session, question))) return EXIT.no;
  }
  const progress = new Progress(terminal, 'features copied');
  let far = '0 features';
  const report = await interruptible((signal) => {
    const interrupted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => {
        reject(
          new Interrupted(`Interrupted after ${far}. Repeat the command: it goes on from there.`),
        );
      });
    });
    const copying = copyFeatures(from, to, {
      ...(names.length > 0 && { names }),
      ...{ dryRun, onConflict: replace ? 'replace' : 'skip', actor },
      ...(about.note !== undefined && { note: about.note }),
      onProgress: ({ done, of }) => {
        far = `${done} of ${of} features`;
        progress.at(done, done / of);
      },
    });
    // What is left of it ends when its places are closed.
    return Promise.race([copying, interrupted]);
  }).finally(() => progress.end());
  const problems = [...unread, ...report.problems];
  const { copied, replaced, same, skipped } = report;
  if (session.isJson) {
    await terminal.printJson({
      ...{ dryRun, copied, replaced, same, skipped },
      problems: problems.map(({ code, message, feature }) => ({
        ...{ code, message, feature: feature ?? null },
      })),
    });
  } else {
    const line = (title: string, list: readonly string[]) =>
      list.length === 0 ? [] : [`${title.padEnd(10)} ${list.map(printable).join(', ')}`];
    await terminal.print(
      ...(dryRun ? ['Nothing was written; this is what would be done:'] : []),
      ...line('copied', copied),
      ...line('replaced', replaced),
      ...line('same', same),
      ...line('skipped', skipped),
    );
    if (skipped.length > 0) {
      terminal.warn('What was skipped is there otherwise: `--replace` would replace it.\n');
    }
    tellProblems(terminal, problems);
  }
  return problems.length + skipped.length > 0 ? EXIT.no : EXIT.done;
}

function tellProblems(terminal: Terminal, problems: readonly HanoiError[]): boolean {
  for (const { code, message } of problems) terminal.warn(`${code}: ${printable(message)}\n`);
  return problems.length > 0;
}
