import { HanoiError, notFound } from '../../errors.js';
import type { RestoreOptions, RollbackOptions } from '../../history.js';
import { EXIT } from '../failure.js';
import { printable } from '../printable.js';
import type { Session } from '../session.js';
import { momentOf, type OfOptions, referenceOf } from './history.js';
import { tellFeature } from './show.js';

export async function undo(
  session: Session,
  name: string,
  change: string | undefined,
  { of }: OfOptions,
): Promise<number> {
  const { rollout, terminal, about } = session;
  const id = change?.replace(/^change:/, '');
  const feature = await rollout.undo(referenceOf(name, of), id, about);
  if (feature !== undefined) await tellFeature(session, feature, 'change taken back');
  else if (session.isJson) await terminal.printJson({ feature: null });
  else await terminal.print(`${printable(name)}: its creation was taken back; it is removed.`);
  return EXIT.done;
}

export interface RollbackCommandOptions extends OfOptions {
  readonly members?: RollbackOptions['members'];
}

export async function rollback(
  session: Session,
  name: string,
  to: string,
  { of, members }: RollbackCommandOptions,
): Promise<number> {
  const { rollout, about } = session;
  const feature = await rollout.rollback(referenceOf(name, of), momentOf(to), {
    ...about,
    ...(members !== undefined && { members }),
  });
  await tellFeature(session, feature, `as it was at ${printable(to)}`);
  return EXIT.done;
}

export interface RestoreCommandOptions extends OfOptions {
  readonly members?: RestoreOptions['members'];
}

export async function restore(
  session: Session,
  name: string,
  { of, members }: RestoreCommandOptions,
): Promise<number> {
  const { rollout, about } = session;
  const feature = await rollout.restore(referenceOf(name, of), {
    ...about,
    ...(members !== undefined && { members }),
  });
  await tellFeature(session, feature, 'restored');
  return EXIT.done;
}

export interface RemoveOptions {
  readonly yes?: boolean;
}

/** Asks before; without a terminal it takes `--yes`. */
export async function remove(
  session: Session,
  name: string,
  { yes = false }: RemoveOptions,
): Promise<number> {
  const { rollout, source, terminal, about } = session;
  const stored = await source.load(name);
  if (stored === undefined) throw notFound(name);
  if (!yes) {
    const members = await rollout.countMembers(name);
    const question = `Remove ${printable(name)} and its ${members.toLocaleString('en')} members? \`hanoi restore\` brings it back for 7 days.`;
    if (!(await sure(session, question))) return EXIT.no;
  }
  await rollout.remove(name, about);
  if (session.isJson) await terminal.printJson({ removed: name });
  else await terminal.print(`${printable(name)}: removed. \`hanoi restore\` brings it back.`);
  return EXIT.done;
}

/** False where somebody says no. INVALID_ARGUMENT where nobody can be asked. */
export async function sure({ terminal }: Session, question: string): Promise<boolean> {
  if (!terminal.isInteractive) {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      'This removes or replaces what is there: say `--yes` where nobody can be asked.',
    );
  }
  const isSure = await terminal.confirm(question);
  if (!isSure) terminal.warn('Nothing was changed.\n');
  return isSure;
}
