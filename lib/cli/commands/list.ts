import { batchesOf } from '../../batches.js';
import type { Feature } from '../../domain/feature.js';
import type { Leftover } from '../../domain/leftover.js';
import { hasCode, invalid } from '../../errors.js';
import { leftoversIn } from '../../leftovers.js';
import { isOfFeature } from '../../stored-name.js';
import { audienceOf, leftoverWords } from '../audience.js';
import { EXIT } from '../failure.js';
import { titleOf } from '../place.js';
import { printable } from '../printable.js';
import { barOf } from '../progress.js';
import type { Session } from '../session.js';
import { type Cell, table } from '../table.js';
import { type Listed, listedOf } from './show.js';

export interface ListOptions {
  readonly enabled?: boolean;
  readonly disabled?: boolean;
  readonly ramping?: boolean;
  readonly leftOver?: boolean;
  /** `owner=checkout`, or `owner` alone. */
  readonly data?: readonly string[];
}

interface Unreadable {
  readonly name: string;
  readonly problem: string;
}

/** So many counts are asked for at once. */
const AT_ONCE = 500;

export async function list(
  session: Session,
  pattern: string | undefined,
  options: ListOptions,
): Promise<number> {
  const { source, terminal } = session;
  const now = Date.now();
  const loaded = await source.loadAll();
  const { features } = loaded;
  const leftovers = new Map<string, Leftover[]>();
  for (const each of await leftoversIn(source, now, loaded)) {
    leftovers.set(each.name, [...(leftovers.get(each.name) ?? []), each]);
  }
  const matches = matcherOf(pattern);
  const hasData = dataFilterOf(options.data ?? []);
  const unreadable: Unreadable[] = [];
  const wanted: [Feature, boolean][] = [];
  for (const [name, { head, feature, problem }] of features) {
    if (!isOfFeature(name) || !matches(name)) continue;
    if (problem !== undefined) unreadable.push({ name, problem: problem.message });
    else if (hasData(feature)) wanted.push([feature, head.members > 0]);
  }
  const isFiltered = options.enabled || options.disabled || options.ramping || options.leftOver;
  const listed: Listed[] = [];
  for await (const batch of batchesOf(wanted, AT_ONCE)) {
    const some = batch.map(async ([feature, hasHad]) => {
      const { name } = feature;
      // Removed meanwhile, it is still listed.
      const members = hasHad ? await source.countMembers(name).catch(unlessRemoved) : 0;
      return listedOf(feature, members, leftovers.get(name) ?? [], now);
    });
    listed.push(...(await Promise.all(some)));
  }
  const shown = listed.filter(
    (each) =>
      (!options.enabled || each.enabled) &&
      (!options.disabled || !each.enabled) &&
      (!options.ramping || each.ramp === 'running' || each.ramp === 'paused') &&
      (!options.leftOver || each.leftOver.length > 0),
  );
  const inOrder = (one: { name: string }, other: { name: string }) =>
    one.name < other.name ? -1 : one.name > other.name ? 1 : 0;
  shown.sort(inOrder);
  const broken = isFiltered || options.data ? [] : unreadable.sort(inOrder);
  if (session.isJson) {
    await terminal.printJson({ features: shown, unreadable: broken });
    return EXIT.done;
  }
  if (shown.length + broken.length === 0) {
    const which = features.size === 0 ? 'There are no features' : 'No feature matches';
    terminal.warn(`${which} at ${titleOf(session.place)}.\n`);
    return EXIT.done;
  }
  const rows = [
    ...shown.map((each) => rowOf(each, now)),
    ...broken.map(({ name }): Cell[] => [
      [printable(name), 'bold'],
      ['broken', 'red'],
      '',
      ['its document can not be read: `hanoi doctor` says why', 'red'],
    ]),
  ];
  await terminal.print(...table(terminal, ['FEATURE', '', 'SHARE', 'WHO GETS IT'], rows));
  return EXIT.done;
}

function rowOf(
  { name, enabled, percentage, members, feature, leftOver }: Listed,
  now: number,
): Cell[] {
  const words = audienceOf(feature, members, now);
  const stale = leftOver.map((each) => leftoverWords({ name, ...each }));
  const who =
    words.length > 0
      ? words.join(', ')
      : percentage >= 100
        ? 'everyone'
        : percentage > 0
          ? ''
          : 'nobody';
  const isPlain = stale.length === 0;
  return [
    [printable(name), 'bold'],
    enabled ? ['on', 'green'] : ['off', 'red'],
    [`${barOf(percentage / 100, 10)} ${percentage}%`, ...(enabled ? [] : (['dim'] as const))],
    [
      [...stale.map((each) => `[${each}]`), enabled ? who : `kill switch (${who || 'a share'})`]
        .filter((each) => each !== '')
        .join(' '),
      ...(isPlain ? [] : (['yellow'] as const)),
    ],
  ];
}

function unlessRemoved(error: unknown): number {
  if (hasCode(error, 'FEATURE_NOT_FOUND')) return 0;
  throw error;
}

/** A part of a name, or with `*` a whole one. */
function matcherOf(pattern: string | undefined): (name: string) => boolean {
  if (pattern === undefined) return () => true;
  if (!pattern.includes('*')) return (name) => name.includes(pattern);
  const [first = '', ...rest] = pattern.split('*');
  const last = rest.pop() ?? '';
  return (name) => {
    if (!name.startsWith(first)) return false;
    let at = first.length;
    for (const part of rest) {
      const found = name.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return name.length - last.length >= at && name.endsWith(last);
  };
}

function dataFilterOf(conditions: readonly string[]): (feature: Feature) => boolean {
  const wanted = conditions.map((condition) => {
    const at = condition.indexOf('=');
    const key = at < 0 ? condition : condition.slice(0, at);
    if (key === '') throw invalid('`--data` to be like owner=checkout', condition);
    return [key, at < 0 ? undefined : condition.slice(at + 1)] as const;
  });
  return ({ data }) =>
    wanted.every(([key, value]) => {
      if (!Object.hasOwn(data, key)) return false;
      const own = data[key];
      if (value === undefined) return true;
      const isText = typeof own === 'string';
      const isListed = Array.isArray(own) && own.includes(value);
      return isListed || (isText ? own : JSON.stringify(own)) === value;
    });
}
