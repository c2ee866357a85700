import { compileUnreadable } from '../domain/decide.js';
import { HanoiError } from '../errors.js';
import { Aging } from './aging.js';
import type { ChangeEvent, HeldFeature, View } from './backend.js';
import type { Store } from './store.js';

/** In the place of each feature that went with its store. */
const LOST: HeldFeature = {
  head: undefined,
  compiled: compileUnreadable('', new HanoiError('STORE_UNAVAILABLE', 'It was lost.')),
  facts: { isMember: () => false, assigned: () => null },
};

/** What a store elsewhere held at a moment, in this process. */
export class State extends Aging implements View {
  private readonly lost = new Map<string, HeldFeature>();

  constructor(
    readonly store: Store,
    confirmedAt: number,
  ) {
    super(confirmedAt, new HanoiError('STORE_UNAVAILABLE', 'Nothing was read yet.'));
  }

  /**
   * This is another store than the one before: what it lacks was lost with that one, not removed,
   * until it is there again. Whether that is so.
   */
  follow(before: State): boolean {
    const [old, now] = [before.store.token()?.epoch, this.store.token()?.epoch];
    const isAnother = old !== undefined && now !== undefined && old !== now;
    const names = isAnother ? [...before.names(), ...before.lost.keys()] : before.lost.keys();
    for (const name of names) {
      if (this.store.view.get(name) === undefined) this.lost.set(name, LOST);
    }
    return isAnother;
  }

  get(name: string): HeldFeature | undefined {
    return this.store.view.get(name) ?? this.lost.get(name);
  }

  names(): Iterable<string> {
    return this.store.view.names();
  }
}

/** What is new in a state, feature by feature. */
export function eventsOf(before: Store, after: Store): ChangeEvent[] {
  const events: ChangeEvent[] = [];
  const old = before.loadAll().features;
  const now = after.loadAll().features;
  for (const [name, { head }] of now) {
    if (head === undefined) continue;
    const known = old.get(name)?.head;
    const isSame = known?.id === head.id && known.document === head.document;
    if (isSame && known.members === head.members) continue;
    const kind = known === undefined ? 'created' : isSame ? 'members' : 'updated';
    events.push(Object.freeze({ name, kind, head }));
  }
  for (const [name, { head }] of old) {
    if (head !== undefined && !now.has(name)) {
      events.push(Object.freeze({ name, kind: 'removed', head }));
    }
  }
  return events;
}

/** What can't be read in a state, and could before, or not for another reason. */
export function problemsOf(before: Store, after: Store): HanoiError[] {
  const problems: HanoiError[] = [];
  for (const [name, { problem }] of after.loadAll().features) {
    if (problem === undefined) continue;
    if (problem.message !== before.load(name)?.problem?.message) problems.push(problem);
  }
  return problems;
}
