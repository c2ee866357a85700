import { AsyncLocalStorage } from 'node:async_hooks';
import { isSameSubject } from './domain/subject.js';

interface Current {
  readonly subject: unknown;
  /** What was decided for this subject beforehand, by the rollout that did. */
  readonly pins?: ReadonlyMap<object, unknown> | undefined;
}

// One store for the process, whichever copies of the package are loaded: the ESM and the CommonJS
// build, or two versions. So its shape must stay as it is.
const KEY = Symbol.for('hanoi.current-user');
const shared = globalThis as { [KEY]?: AsyncLocalStorage<Current> };
shared[KEY] ??= new AsyncLocalStorage<Current>();
const storage = shared[KEY];

// Where nothing is pinned, a check does not even look. Nobody can tell when the last thing that was
// started under a pin has ended, but the collector: until then it is counted.
let pinned = 0;
const ended = new FinalizationRegistry<void>(() => pinned--);

/** Calls `fn` with `subject` as the current one, in all that it starts: awaits, timers, callbacks. */
export function runAs<Result>(subject: unknown, fn: () => Result): Result {
  return storage.run({ subject }, fn);
}

/**
 * The same, and there `pinnedFor(owner, subject)` gives `pin`. What other owners have pinned
 * around holds on where it is for the same subject.
 */
export function runPinned<Result>(
  subject: unknown,
  owner: object,
  pin: unknown,
  fn: () => Result,
): Result {
  const around = storage.getStore();
  const kept = around?.pins !== undefined && isSameSubject(around.subject, subject);
  const current: Current = {
    subject,
    pins: new Map(kept ? around.pins : undefined).set(owner, pin),
  };
  pinned++;
  ended.register(current);
  return storage.run(current, fn);
}

/** The subject of the innermost `runAs` around; undefined where there is none. */
export function currentSubject(): unknown {
  return storage.getStore()?.subject;
}

/** What `owner` has pinned in the innermost `runAs` around, if that is for this subject. */
export function pinnedFor<Pin>(owner: object, subject: unknown): Pin | undefined {
  if (pinned === 0) return undefined;
  const current = storage.getStore();
  const pin = current?.pins?.get(owner);
  return pin !== undefined && isSameSubject(current?.subject, subject) ? (pin as Pin) : undefined;
}

/** A function that calls others with what is current now. */
export function holdCurrent(): <Result>(fn: () => Result) => Result {
  const current = storage.getStore() as Current;
  return (fn) => storage.run(current, fn);
}
