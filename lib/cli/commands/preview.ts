import type { Subject } from '../../domain/subject.js';
import { HanoiError } from '../../errors.js';
import { EXIT, Interrupted } from '../failure.js';
import { type IdsOptions, idsFrom } from '../ids.js';
import { interruptible } from '../interruption.js';
import { printable } from '../printable.js';
import { Progress } from '../progress.js';
import type { Session } from '../session.js';
import { table } from '../table.js';

export interface PreviewCommandOptions extends IdsOptions {
  /** Of those who are registered, instead of ids. */
  readonly population?: boolean;
  /** How many ids to name of each kind. */
  readonly ids?: number;
}

/** Who would gain or lose the feature by another percentage, which is not set. */
export async function preview(
  session: Session,
  name: string,
  percentage: number,
  options: PreviewCommandOptions,
): Promise<number> {
  const { rollout, terminal, isJson } = session;
  const { population = false, ids: named = 10, ...from } = options;
  if (population && from.file !== undefined) {
    throw new HanoiError('INVALID_ARGUMENT', 'Expected `--population` or `--file`, not both.');
  }
  const result = await interruptible(async (signal) => {
    const read = population ? undefined : idsFrom(terminal, [], from, signal);
    const progress = new Progress(terminal, 'ids looked at');
    let done = 0;
    async function* subjects(): AsyncGenerator<Subject> {
      for await (const each of read?.ids ?? registered(session)) {
        if (signal.aborted) return;
        yield each;
        progress.at(++done, read?.part());
      }
    }
    try {
      const seen = await rollout.preview(name, { percentage }, subjects(), { ids: named });
      if (signal.aborted) throw new Interrupted(`Interrupted: ${done} ids were looked at.`);
      return seen;
    } finally {
      progress.end();
    }
  });
  const { gains, loses, changes, stays, unknown, ids } = result;
  const all = gains + loses + changes + stays + unknown;
  if (all === 0) {
    // A pipe that gave nothing would look like a change that moves nobody.
    const whom = population
      ? 'somebody in the population; it is empty'
      : 'ids, and there were none';
    throw new HanoiError('INVALID_ARGUMENT', `Expected ${whom}.`);
  }
  if (isJson) {
    await terminal.printJson({ feature: name, percentage, ...result });
    return EXIT.done;
  }
  const some = (kind: 'gains' | 'loses' | 'changes') =>
    ids[kind].map(printable).join(', ') + (result[kind] > ids[kind].length ? ', …' : '');
  await terminal.print(
    `${printable(name)} at ${percentage}%, of ${all.toLocaleString('en')}:`,
    ...table(
      terminal,
      ['', '', ''],
      [
        ['gain it', gains.toLocaleString('en'), [some('gains'), 'green']],
        ['lose it', loses.toLocaleString('en'), [some('loses'), 'red']],
        ['change variant', changes.toLocaleString('en'), [some('changes'), 'yellow']],
        ['stay as they are', stays.toLocaleString('en'), ''],
        ...(unknown > 0 ? [["can't be told", unknown.toLocaleString('en'), '']] : []),
      ],
    ),
  );
  return EXIT.done;
}

async function* registered({ rollout }: Session): AsyncGenerator<Subject> {
  for await (const subject of rollout.population.subjects()) yield subject;
}
