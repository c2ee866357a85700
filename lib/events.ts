import type { ChangeEvent, Health } from './backends/backend.js';
import { HanoiError, shown } from './errors.js';
import type { Exposure } from './exposure.js';
import type { Observers } from './observers.js';
import type { Kind } from './stored-name.js';

/** What `rollout.on` takes: an event's name and what its listeners are given. */
export interface RolloutEvents {
  /**
   * A feature was created, updated or removed, or its members changed, here or elsewhere; or what
   * features refer to, and then `of` says what that is.
   */
  change: ChangeEvent & { readonly of: Kind };
  /** Changes may have gone unheard: the store was not listened to for a while, as before the first. */
  missed: undefined;
  /**
   * Something went wrong that a check has already answered for, or that none depends on. At most
   * one event a code, feature and message every `REPORT_EVERY_MS`.
   */
  error: HanoiError;
  /**
   * Somebody has used what they were given, for the team's analytics: once for each subject and what
   * it was given, as far as this process remembers (50,000 of them).
   */
  exposure: Exposure;
  /** The store does not answer, or refuses; checks answer by what was known last. */
  degraded: Health;
  /** The store answers again. */
  recovered: Health;
  /** What checks are answered from is older than it may be (`maxStaleMs`). */
  stale: Health;
  /** The store held something, and holds nothing any more; checks answer by what it held. */
  dataLoss: Health;
  /** A document that can't be read is in the store; its feature is off. CORRUPT_FEATURE. */
  corrupt: HanoiError;
}

export type EventName = keyof RolloutEvents;
export type Listener<Name extends EventName> = (event: RolloutEvents[Name]) => void;

/** Checks can fail a million times a second; their reports come no faster than this: 10 s. */
export const REPORT_EVERY_MS = 10_000;

/** Reports remembered at once: beyond it, others wait until one is old. */
const MOST_REPORTS = 1_000;

/** The events of one rollout. A missing or throwing listener harms nobody. */
export class Events {
  private readonly listeners: { readonly [Name in EventName]: Set<Listener<Name>> } = {
    change: new Set(),
    missed: new Set(),
    exposure: new Set(),
    error: new Set(),
    degraded: new Set(),
    recovered: new Set(),
    stale: new Set(),
    dataLoss: new Set(),
    corrupt: new Set(),
  };
  private readonly reported = new Map<string, number>();

  constructor(private readonly observers: Observers) {}

  /** The set of those that listen to this event. INVALID_ARGUMENT for another name. */
  of<Name extends EventName>(name: Name): Set<Listener<Name>> {
    if (!Object.hasOwn(this.listeners, name)) {
      throw new HanoiError(
        'INVALID_ARGUMENT',
        `Expected an event among ${Object.keys(this.listeners).join(', ')}, got ${shown(name)}.`,
      );
    }
    return this.listeners[name];
  }

  /** Tells observers, and emits `error`, or `corrupt`, for the first report of its kind in a while. */
  report(error: HanoiError, name: 'error' | 'corrupt' = 'error'): void {
    this.observers.failed(error);
    const key = `${name}/${error.code}/${String(error.feature)}/${error.message}`;
    const now = performance.now();
    const last = this.reported.get(key);
    if (last !== undefined && now - last < REPORT_EVERY_MS) return;
    if (this.reported.size >= MOST_REPORTS && !this.forgetOld(now)) return;
    // At the end again.
    this.reported.delete(key);
    this.reported.set(key, now);
    this.emit(name, error);
  }

  emit<Name extends EventName>(name: Name, event: RolloutEvents[Name]): void {
    for (const listener of this.listeners[name]) {
      try {
        // A listener can be an async function, whatever its type says.
        Promise.resolve(listener(event)).catch((cause) => this.listenerFailed(name, cause));
      } catch (cause) {
        this.listenerFailed(name, cause);
      }
    }
  }

  /** Whether there is room again: names can come from outside, without end. */
  private forgetOld(now: number): boolean {
    // The oldest come first.
    for (const [key, at] of this.reported) {
      if (now - at < REPORT_EVERY_MS) break;
      this.reported.delete(key);
    }
    return this.reported.size < MOST_REPORTS;
  }

  private listenerFailed(name: EventName, cause: unknown): void {
    if (name === 'error') return; // nobody is left to tell
    this.report(
      new HanoiError('LISTENER_FAILED', `A listener of \`${name}\` threw. See \`cause\`.`, {
        cause,
      }),
    );
  }
}
