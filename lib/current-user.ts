import { AsyncLocalStorage } from 'node:async_hooks';

interface Current {
  readonly subject: unknown;
}

// One store for the process, whichever copies of the package are loaded: the ESM and the CommonJS
// build, or two versions. So its shape must stay as it is.
const KEY = Symbol.for('hanoi.current-user');
const shared = globalThis as { [KEY]?: AsyncLocalStorage<Current> };
shared[KEY] ??= new AsyncLocalStorage<Current>();
const storage = shared[KEY];

/** Calls `fn` with `subject` as the current one, in all that it starts: awaits, timers, callbacks. */
export function runAs<Result>(subject: unknown, fn: () => Result): Result {
  return storage.run({ subject }, fn);
}

/** The subject of the innermost `runAs` around; undefined where there is none. */
export function currentSubject(): unknown {
  return storage.getStore()?.subject;
}
