import { EXIT, Interrupted } from '../failure.js';
import { type IdsOptions, idsFrom } from '../ids.js';
import { interruptible } from '../interruption.js';
import { printable } from '../printable.js';
import { Progress } from '../progress.js';
import type { Session } from '../session.js';

export interface ListUsersOptions {
  readonly limit?: number;
}

/** A stream: one id a line; with `--json`, `{"id":"ann"}` a line. */
export async function listUsers(
  session: Session,
  name: string,
  { limit = Number.POSITIVE_INFINITY }: ListUsersOptions,
): Promise<number> {
  await printIds(session, session.rollout.members(name), limit);
  return EXIT.done;
}

export async function printIds(
  { terminal, isJson }: Session,
  ids: AsyncIterable<string>,
  limit: number,
): Promise<void> {
  let left = limit;
  if (left <= 0) return;
  for await (const id of ids) {
    if (isJson) await terminal.printJsonLine({ id });
    else await terminal.print(printable(id));
    if (--left <= 0 || terminal.isUnread) break;
  }
}

export async function addUsers(
  session: Session,
  name: string,
  given: readonly string[],
  options: IdsOptions,
): Promise<number> {
  return change(session, name, given, options, 'add');
}

export async function removeUsers(
  session: Session,
  name: string,
  given: readonly string[],
  options: IdsOptions,
): Promise<number> {
  return change(session, name, given, options, 'remove');
}

async function change(
  session: Session,
  name: string,
  given: readonly string[],
  options: IdsOptions,
  kind: 'add' | 'remove',
): Promise<number> {
  const { rollout, terminal, about, isJson } = session;
  const [verb, changedWord] = kind === 'add' ? ['added', 'new'] : ['removed', 'taken out'];
  let done = 0;
  let changed = 0;
  const far = () =>
    `${done.toLocaleString('en')} ids were taken, ${changed.toLocaleString('en')} of them ${changedWord}`;
  await interruptible(async (signal) => {
    const { ids, part } = idsFrom(terminal, given, options, signal);
    const progress = new Progress(terminal, `ids ${verb}`);
    const onProgress = (at: { readonly done: number; readonly changed: number }) => {
      ({ done, changed } = at);
      progress.at(done, part());
    };
    const options_ = { ...about, onProgress };
    try {
      if (kind === 'add') await rollout.register(name, ids, options_);
      else await rollout.unregister(name, ids, options_);
    } catch (error) {
      progress.end();
      if (done > 0 && !isJson)
        terminal.warn(`${far()} before that; the command can be repeated.\n`);
      throw error;
    }
    progress.end();
    if (signal.aborted) {
      throw new Interrupted(
        `Interrupted: ${far()}. Repeat the command: what is done is not done twice.`,
      );
    }
  });
  if (isJson) await terminal.printJson({ feature: name, done, changed });
  else await terminal.print(`${printable(name)}: ${far()}.`);
  return EXIT.done;
}
