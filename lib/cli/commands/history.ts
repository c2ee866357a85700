import type { Change } from '../../backends/backend.js';
import { type Difference, diff as differencesOf } from '../../domain/diff.js';
import type { Json } from '../../domain/feature.js';
import { HanoiError, notFound } from '../../errors.js';
import type { Moment } from '../../history.js';
import type { Reference } from '../../rollout.js';
import { type Kind, readName } from '../../stored-name.js';
import { timeOf } from '../audience.js';
import { EXIT } from '../failure.js';
import { fitted, printable, printableJson } from '../printable.js';
import type { Session } from '../session.js';

export interface OfOptions {
  /** Default `feature`. */
  readonly of?: Kind;
}

export interface HistoryCommandOptions extends OfOptions {
  readonly limit?: number;
  readonly before?: string;
  readonly kind?: 'documents' | 'members';
}

/** Of one feature; without a name, of everything. */
export async function history(
  session: Session,
  name: string | undefined,
  { limit = 20, of, ...options }: HistoryCommandOptions,
): Promise<number> {
  const { rollout, terminal } = session;
  if (name === undefined && of !== undefined) {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      'Expected a name for `--of`: without one it is of everything.',
    );
  }
  const changes =
    name === undefined
      ? await rollout.log({ limit, ...options })
      : (await rollout.history(referenceOf(name, of), { limit, ...options })).map(asEvent);
  // An empty part of a history and a misspelt name are not the same.
  if (name !== undefined && changes.length === 0 && (of ?? 'feature') === 'feature') {
    const isKept = (await rollout.history(name, { limit: 1 })).length > 0;
    if (!isKept && (await rollout.get(name)) === undefined) throw notFound(name);
  }
  if (session.isJson) {
    await terminal.printJson({ changes });
    return EXIT.done;
  }
  for (const change of changes) await terminal.print(...changeLines(session, change));
  if (changes.length === 0 && limit > 0) {
    const isPart = options.before !== undefined || options.kind !== undefined;
    const what = isPart ? 'No such change is kept' : 'Nothing is kept of what has changed';
    terminal.warn(`${what}.\n`);
  }
  return EXIT.done;
}

/** Ends with 1 where there are differences. */
export async function diff(
  session: Session,
  name: string,
  from: string | undefined,
  to: string | undefined,
  { of }: OfOptions,
): Promise<number> {
  const { rollout, terminal } = session;
  const reference = referenceOf(name, of);
  let differences: readonly Difference[];
  if (from === undefined) {
    const [last] = await rollout.history(reference, { limit: 1, kind: 'documents' });
    if (last === undefined) {
      if (typeof reference === 'string' && (await rollout.get(name)) === undefined) {
        throw notFound(name);
      }
      throw new HanoiError('NOT_KEPT', `No change of ${JSON.stringify(name)} is kept.`);
    }
    differences = differencesOf(last.before, last.after);
  } else {
    const past = to === undefined ? undefined : momentOf(to);
    differences = await rollout.diff(reference, momentOf(from), past);
  }
  if (session.isJson) await terminal.printJson({ differences });
  else await terminal.print(...differences.map((each) => differenceLine(session, each)));
  return differences.length === 0 ? EXIT.done : EXIT.no;
}

/**
 * A revision (`3`), one of a certain id (`<id>@3`), or a change by its id, `change:12` where that is a
 * number too.
 */
export function momentOf(text: string): Moment {
  const [, id, revision] = /^(.+)@(\d+)$/.exec(text) ?? [];
  if (id !== undefined) return { id, revision: Number(revision) };
  const [, change] = /^change:(.+)$/.exec(text) ?? [];
  if (change !== undefined) return change;
  if (/^\d+$/.test(text)) return Number(text);
  return text;
}

export function referenceOf(name: string, of: Kind = 'feature'): string | Reference {
  return of === 'feature' ? name : { of, name };
}

function asEvent(change: Change): Change & { of: Kind } {
  const [of, name] = readName(change.name);
  return { ...change, of, name };
}

function changeLines({ terminal }: Session, change: Change & { of: Kind }): string[] {
  const { of, name, kind, at, actor, note, id, head, before, after, added, removed } = change;
  const title = of === 'feature' ? printable(name) : `${of} ${printable(name)}`;
  const what = kind === 'members' ? 'users' : kind;
  const members = [
    ...added.map((each) => `+${printable(each)}`),
    ...removed.map((each) => `-${printable(each)}`),
  ];
  const differences = kind === 'updated' ? differencesOf(before, after) : [];
  const counts =
    members.length > 5
      ? `+${added.length} -${removed.length} users, ${change.memberCount} now`
      : members.join(' ');
  return [
    [
      terminal.styled(timeOf(at), 'dim'),
      terminal.styled(title, 'bold'),
      what,
      ...(kind === 'removed' ? [] : [`revision ${head.revision}`]),
      ...(actor === undefined ? [] : [`by ${printable(actor)}`]),
      terminal.styled(`change:${printable(id)}`, 'dim'),
    ].join('  '),
    ...(note === undefined || note === '' ? [] : [`    “${printable(note)}”`]),
    ...(counts === '' ? [] : [`    ${counts}`]),
    ...differences.map((each) => `    ${differenceText(each)}`),
  ];
}

function differenceLine({ terminal }: Session, difference: Difference): string {
  const { kind } = difference;
  const style = kind === 'added' ? 'green' : kind === 'removed' ? 'red' : 'yellow';
  return terminal.styled(differenceText(difference), style);
}

function differenceText({ path, kind, before, after }: Difference): string {
  const mark = { added: '+', removed: '-', changed: '~', moved: '~' }[kind];
  const text = (value: Json | undefined) => fitted(printableJson(value), 200);
  const change =
    kind === 'added'
      ? text(after)
      : kind === 'removed'
        ? text(before)
        : `${text(before)} → ${text(after)}`;
  return `${mark} ${printable(path) || 'all'}: ${change}`;
}
