import { AssertionError } from 'node:assert';
import { inspect, types } from 'node:util';

/**
 * Throws an AssertionError, which names the first place that differs, unless both have the same
 * structure: a field that is undefined counts as absent, and Maps and Sets have no order. By
 * structure alone, since a runner that gives each test file globals of its own has objects of
 * several realms, whose prototypes differ.
 */
export function same(actual: unknown, expected: unknown): void {
  refuse(differenceOf(actual, expected, false, ''), actual, expected, same);
}

/**
 * The same where `actual` may have more: of objects the fields that are expected have to be there,
 * also those that are undefined; lists, Maps and Sets have no more and no fewer entries.
 */
export function matches(actual: unknown, expected: unknown): void {
  refuse(differenceOf(actual, expected, true, ''), actual, expected, matches);
}

/** Rejects with an AssertionError unless the promise does, with an error that matches. */
export async function rejects(promise: Promise<unknown>, expected?: object): Promise<void> {
  const settled = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('value' in settled) {
    const what = expected === undefined ? '' : ` with ${shown(expected)}`;
    const message = `Expected a rejection${what}, but it has resolved with ${shown(settled.value)}.`;
    throw new AssertionError({ message, operator: 'rejects', stackStartFn: rejects });
  }
  const { error } = settled;
  if (!types.isNativeError(error)) holds(false, `an Error, but it rejected with ${shown(error)}`);
  const difference = differenceOf(error, expected ?? {}, true, '');
  refuse(difference && `Of the rejection: ${difference}`, error, expected, rejects);
}

/** `what` is what was expected, as the end of a sentence. */
export function holds(isTrue: boolean, what: string): void {
  if (isTrue) return;
  throw new AssertionError({ message: `Expected ${what}.`, stackStartFn: holds });
}

/** How long something may take that follows by itself. */
const PATIENCE_MS = 5_000;

/** Resolves once it holds, or rejects as `holds` throws. */
export async function until(isTrue: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!isTrue()) {
    holds(performance.now() < deadline, `${what}, but ${PATIENCE_MS} ms have passed`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

function refuse(
  difference: string | undefined,
  actual: unknown,
  expected: unknown,
  stackStartFn: (...args: never[]) => unknown,
): void {
  if (difference === undefined) return;
  const error = new AssertionError({
    ...{ message: difference, actual, expected, operator: stackStartFn.name },
    stackStartFn,
  });
  if (types.isNativeError(actual)) error.cause = actual;
  throw error;
}

/** The first one; undefined where there is none. */
function differenceOf(
  actual: unknown,
  expected: unknown,
  isPart: boolean,
  path: string,
): string | undefined {
  if (Object.is(actual, expected)) return undefined;
  const told = `Expected ${path || 'it'} to be ${shown(expected)}, got ${shown(actual)}.`;
  if (!isObject(expected) || !isObject(actual)) return told;
  if (!isPart && kindOf(actual) !== kindOf(expected)) return told;
  if (types.isSet(expected)) {
    if (!types.isSet(actual) || actual.size !== expected.size) return told;
    return [...expected].every((each) => actual.has(each)) ? undefined : told;
  }
  if (types.isMap(expected)) {
    if (!types.isMap(actual) || actual.size !== expected.size) return told;
    return first(expected.keys(), (key) => {
      if (!actual.has(key)) return told;
      return differenceOf(actual.get(key), expected.get(key), isPart, `${path}[${shown(key)}]`);
    });
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return told;
    return first(expected.keys(), (at) =>
      differenceOf(actual[at], expected[at], isPart, `${path}[${at}]`),
    );
  }
  if (isPart) {
    return first(Object.keys(expected), (key) =>
      key in actual
        ? differenceOf(actual[key], expected[key], isPart, fieldOf(path, key))
        : `Expected ${path || 'it'} to have ${key}, got ${shown(actual)}.`,
    );
  }
  return first(new Set([...Object.keys(expected), ...Object.keys(actual)]), (key) =>
    differenceOf(own(actual, key), own(expected, key), isPart, fieldOf(path, key)),
  );
}

function first<Item>(items: Iterable<Item>, differenceAt: (item: Item) => string | undefined) {
  for (const item of items) {
    const difference = differenceAt(item);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function kindOf(value: object): string {
  return Object.prototype.toString.call(value);
}

/** `__proto__` can be a field like any other. */
function own(value: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

function fieldOf(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function shown(value: unknown): string {
  return inspect(value, {
    ...{ depth: 3, breakLength: Number.POSITIVE_INFINITY },
    ...{ maxArrayLength: 20, maxStringLength: 200 },
  });
}
