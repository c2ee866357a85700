import { holdCurrent } from '../current-user.js';

/** What emits events: a request or a response of Node. */
export interface Emitting {
  // biome-ignore lint/suspicious/noExplicitAny: what an event brings along is its own affair
  emit(event: string | symbol, ...args: any[]): boolean;
}

const held = new WeakMap<Emitting, ReturnType<typeof holdCurrent>>();

/**
 * Has these emit in what is current now. Node emits a body's chunks, and the end of a request and
 * of a response, as things of the socket: who listens, and goes on from there as many body parsers
 * do, would have lost the current user. The last call counts.
 */
export function emitAsNow(...emitters: readonly Emitting[]): void {
  const within = holdCurrent();
  for (const emitter of emitters) {
    if (!held.has(emitter)) {
      const { emit } = emitter;
      emitter.emit = function (this: Emitting, ...args) {
        return withinEventsOf(emitter, () => emit.apply(this, args));
      };
    }
    held.set(emitter, within);
  }
}

/** Calls `fn` in what the emitter emits in. */
export function withinEventsOf<Result>(emitter: Emitting, fn: () => Result): Result {
  const within = held.get(emitter);
  return within === undefined ? fn() : within(fn);
}
