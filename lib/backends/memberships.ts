import type { Facts } from '../domain/decide.js';

/**
 * What is known here of one feature's members: all of them, or the answers that were given to those
 * who were asked about, as many as there is room for.
 */
export class Memberships implements Facts {
  private young = new Map<string, boolean>();
  private old = new Map<string, boolean>();
  private youngAssigned = new Map<string, string>();
  private oldAssigned = new Map<string, string>();

  constructor(
    /** Moves with each change to the members; what is known is known of this state. */
    readonly stamp: number,
    /** All the members; undefined where there are too many to be held. */
    readonly ids: Set<string> | undefined,
    private readonly room: Room,
  ) {}

  isMember(id: string): boolean | undefined {
    const { ids } = this;
    // Most features have none, and an id that was never hashed needn't be.
    return ids === undefined ? this.remembered(id) : ids.size > 0 && ids.has(id);
  }

  remember(id: string, isMember: boolean): void {
    if (this.young.has(id)) return;
    this.young.set(id, isMember);
    this.room.take(this);
  }

  /** Undefined also where nothing was assigned: that can change at any time. */
  assigned(id: string): string | undefined {
    const young = this.youngAssigned.get(id);
    if (young !== undefined) return young;
    const old = this.oldAssigned.get(id);
    if (old !== undefined) this.rememberAssigned(id, old);
    return old;
  }

  rememberAssigned(id: string, value: string): void {
    if (this.youngAssigned.has(id)) return;
    this.youngAssigned.set(id, value);
    this.room.take(this);
  }

  /** With another document, others can have been released. */
  forgetAssigned(): void {
    this.youngAssigned.clear();
    this.oldAssigned.clear();
  }

  /** What was not used since the last time goes; what was stays until the next. */
  age(): void {
    this.old = this.young;
    this.young = new Map();
    this.oldAssigned = this.youngAssigned;
    this.youngAssigned = new Map();
  }

  private remembered(id: string): boolean | undefined {
    const young = this.young.get(id);
    if (young !== undefined) return young;
    const old = this.old.get(id);
    if (old !== undefined) this.remember(id, old);
    return old;
  }
}

/**
 * The room that the answers of all features share: at most so many, the least recently used of
 * which go first, by halves. A strict order of use would cost each check a write to it.
 */
export class Room {
  private taken = 0;
  private readonly users = new Set<Memberships>();

  constructor(private readonly most: number) {}

  take(user: Memberships): void {
    this.users.add(user);
    if (++this.taken < this.most / 2) return;
    this.taken = 0;
    for (const each of this.users) each.age();
  }

  /** These are no longer asked: their features changed or went. */
  keep(users: ReadonlySet<Memberships>): void {
    for (const each of this.users) if (!users.has(each)) this.users.delete(each);
  }
}
