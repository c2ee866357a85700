import type { Json } from './feature.js';

/** One thing that differs between two documents. */
export interface Difference {
  /** `percentage`, `data.owner`, `rules["old-apps"].serve`; of lists without names the list itself: `excluded`. */
  readonly path: string;
  /** `moved`: a list has the same items in another order; `before` and `after` are their names. */
  readonly kind: 'changed' | 'added' | 'removed' | 'moved';
  /** Absent of what was added. */
  readonly before?: Json;
  /** Absent of what was removed. */
  readonly after?: Json;
}

/** A document, of whatever kind: JSON, in which undefined is absent. */
type Document = object;

type Fields = { readonly [key: string]: Json | undefined };

/**
 * What differs between two documents, path by path: of lists what was added and removed, whether it
 * stands there by an id (rules), a name (variants) or itself (ids, groups, patterns), rather than
 * the places. The `revision` is left out: it tells two states apart, and is nothing of either. Empty
 * where they say the same. Undefined is a document that is not there.
 */
export function diff(
  before: Document | undefined,
  after: Document | undefined,
): readonly Difference[] {
  const found: Difference[] = [];
  compareFields(settingsOf(before), settingsOf(after), '', found);
  return Object.freeze(found.map((each) => Object.freeze(each)));
}

/** The present document as it would be without one change of the past, or what is in the way. */
export type Unchanged =
  | { readonly document: Fields; readonly conflicts?: never }
  /** The paths that something later has changed too. */
  | { readonly document?: never; readonly conflicts: readonly string[] };

/**
 * Takes back what led from `before` to `after`, and nothing else of `present`. What counts as one
 * thing is a field, a key of `data`, an item of a list, or a field of an item that has a name.
 * `buckets` are one: they were chosen together, for one percentage.
 */
export function withoutChange(present: Document, before: Document, after: Document): Unchanged {
  const conflicts: string[] = [];
  const document = undoFields(
    ...([present, before, after].map(settingsOf) as [Fields, Fields, Fields]),
    ['', partsOf],
    conflicts,
  );
  return conflicts.length > 0 ? { conflicts } : { document };
}

function partsOf(field: string): 'fields' | 'items' | undefined {
  if (field === 'data') return 'fields';
  return field === 'buckets' ? undefined : 'items';
}

/** Whether both say the same, in whatever order of their fields. */
export function isSame(one: Json | undefined, other: Json | undefined): boolean {
  if (isList(one) && isList(other)) {
    return one.length === other.length && one.every((item, at) => isSame(item, other[at]));
  }
  if (isFields(one) && isFields(other)) {
    const keys = keysOf(one, other);
    return keys.every((key) => isSame(own(one, key), own(other, key)));
  }
  return one === other;
}

/** All but the number by which states are told apart. */
function settingsOf(document: Document | undefined): Fields {
  const { revision: _, ...settings } = (document ?? {}) as { revision?: number };
  return settings as Fields;
}

function compare(
  before: Json | undefined,
  after: Json | undefined,
  path: string,
  found: Difference[],
): void {
  if (isSame(before, after)) return;
  if (before === undefined) found.push({ path, kind: 'added', after: after as Json });
  else if (after === undefined) found.push({ path, kind: 'removed', before });
  else if (isFields(before) && isFields(after)) compareFields(before, after, path, found);
  else if (!isList(before) || !isList(after) || !compareItems(before, after, path, found)) {
    found.push({ path, kind: 'changed', before, after });
  }
}

function compareFields(before: Fields, after: Fields, path: string, found: Difference[]): void {
  for (const key of keysOf(before, after)) {
    compare(own(before, key), own(after, key), fieldPath(path, key), found);
  }
}

/** False where the items can't be told apart but by their places. */
function compareItems(
  before: readonly Json[],
  after: readonly Json[],
  path: string,
  found: Difference[],
): boolean {
  const lists = namedItems([before, after]);
  if (lists === undefined) return false;
  const [old, now] = lists.items as [Items, Items];
  const at = (name: string) => (lists.areNamed ? itemPath(path, name) : path);
  for (const [name, item] of old) compare(item, now.get(name), at(name), found);
  for (const [name, item] of now) if (!old.has(name)) compare(undefined, item, at(name), found);
  const [kept, stayed] = [inBoth(old, now), inBoth(now, old)];
  if (!isSame(kept, stayed)) {
    const shown = (names: readonly string[]) =>
      lists.areNamed ? names : names.map((name) => JSON.parse(name) as Json);
    found.push({ path, kind: 'moved', before: shown(kept), after: shown(stayed) });
  }
  return true;
}

/** How the fields of something divide further, by their name: into fields, items, or not at all. */
type Division = readonly [path: string, divide: (field: string) => 'fields' | 'items' | undefined];

function undoFields(
  present: Fields,
  before: Fields,
  after: Fields,
  [path, divide]: Division,
  conflicts: string[],
): Fields {
  const entries: [string, Json][] = [];
  for (const key of keysOf(present, before, after)) {
    const states = [present, before, after].map((each) => own(each, key)) as States;
    const value = undo(states, fieldPath(path, key), divide(key), conflicts);
    if (value !== undefined) entries.push([key, value]);
  }
  return Object.fromEntries(entries);
}

type States = [present: Json | undefined, before: Json | undefined, after: Json | undefined];

function undo(
  states: States,
  path: string,
  parts: 'fields' | 'items' | undefined,
  conflicts: string[],
): Json | undefined {
  const [present, before, after] = states;
  if (isSame(before, after)) return present;
  if (isSame(present, after)) return before;
  if (parts === 'fields' && states.every(isFields)) {
    const whole = () => undefined;
    return undoFields(...(states as [Fields, Fields, Fields]), [path, whole], conflicts) as Json;
  }
  if (parts === 'items' && states.every(isList)) {
    const items = undoItems(states as [Json[], Json[], Json[]], path, conflicts);
    if (items !== undefined) return items;
  }
  conflicts.push(path);
  return present;
}

/** Undefined where the items can't be told apart, or were put in another order. */
function undoItems(
  lists: [readonly Json[], readonly Json[], readonly Json[]],
  path: string,
  conflicts: string[],
): Json | undefined {
  const named = namedItems(lists);
  if (named === undefined) return undefined;
  const [present, before, after] = named.items as [Items, Items, Items];
  let order = [...present.keys()];
  if (isSame(order, [...after.keys()])) order = [...before.keys()];
  else if (!isSame(inBoth(before, after), inBoth(after, before))) return undefined;
  else order = withReturned(order, [...before.keys()], after);
  const found = new Map<string, Json>();
  for (const name of new Set([...present.keys(), ...before.keys(), ...after.keys()])) {
    const states: States = [present.get(name), before.get(name), after.get(name)];
    const at = named.areNamed ? itemPath(path, name) : path;
    const item = undo(states, at, named.areNamed ? 'fields' : undefined, conflicts);
    if (item !== undefined) found.set(name, item);
  }
  return order.filter((name) => found.has(name)).map((name) => found.get(name) as Json);
}

/** With those that `before` had and `after` has not, each behind the one that it was behind. */
function withReturned(order: string[], before: readonly string[], after: Items): string[] {
  const names = [...order];
  for (const [at, name] of before.entries()) {
    if (after.has(name) || names.includes(name)) continue;
    const neighbour = before.slice(0, at).findLast((each) => names.includes(each));
    names.splice(neighbour === undefined ? 0 : names.indexOf(neighbour) + 1, 0, name);
  }
  return names;
}

type Items = ReadonlyMap<string, Json>;

/** What items of lists are known by, if they all have it. */
const NAMES = ['id', 'name', 'feature'];

/** The items of lists by what they are known by; undefined where two of one list are the same. */
function namedItems(
  lists: readonly (readonly Json[])[],
): { readonly items: readonly Items[]; readonly areNamed: boolean } | undefined {
  const nameOf = NAMES.find((each) =>
    lists.every((list) => list.every((item) => typeof own(item, each) === 'string')),
  );
  // Of empty lists alone, any will do.
  const areNamed = nameOf !== undefined;
  const items = lists.map(
    (list) =>
      new Map(
        list.map((item) => [areNamed ? (own(item, nameOf) as string) : JSON.stringify(item), item]),
      ),
  );
  return items.every(({ size }, at) => size === lists[at]?.length)
    ? { items, areNamed }
    : undefined;
}

function inBoth(one: Items, other: Items): readonly string[] {
  return [...one.keys()].filter((name) => other.has(name));
}

function keysOf(...all: readonly Fields[]): readonly string[] {
  return [...new Set(all.flatMap((each) => Object.keys(each)))];
}

/** Names come from outside: `constructor` is one like any other. */
function own(value: Json | Fields | undefined, key: string): Json | undefined {
  return isFields(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function fieldPath(path: string, key: string): string {
  if (!/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(key)) return itemPath(path, key);
  return path === '' ? key : `${path}.${key}`;
}

function itemPath(path: string, name: string): string {
  return `${path}[${JSON.stringify(name)}]`;
}
