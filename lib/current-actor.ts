import { AsyncLocalStorage } from 'node:async_hooks';
import { invalid } from './errors.js';

// One for the process, as the current user is: so its shape, a name, must stay as it is.
const KEY = Symbol.for('hanoi.current-actor');
const shared = globalThis as { [KEY]?: AsyncLocalStorage<string> };
shared[KEY] ??= new AsyncLocalStorage<string>();
const storage = shared[KEY];

/** Calls `fn` with `actor` as the one who makes the changes, in all that it starts. */
export function actAs<Result>(actor: string, fn: () => Result): Result {
  return storage.run(actor, fn);
}

/** The actor of the innermost `actAs` around; undefined where there is none. */
export function currentActor(): string | undefined {
  return storage.getStore();
}

/** As long as names are. */
const LONGEST = 200;

/** INVALID_ARGUMENT for what names nobody in a line of a history. */
export function parseActor(actor: unknown): string {
  const isName =
    typeof actor === 'string' &&
    actor !== '' &&
    actor.length <= LONGEST &&
    actor.isWellFormed() &&
    !/\p{Cc}/u.test(actor);
  if (isName) return actor;
  throw invalid(`an actor to be 1-${LONGEST} characters without control characters`, actor);
}
