import type { Backend, MembersWrite, Write, Written } from './backends/backend.js';
import type { Decision } from './domain/decision.js';
import { codeOf, type ErrorCode, HanoiError, invalid } from './errors.js';

/** What a write was to do. Nothing else is told of it. */
export type WriteKind = 'created' | 'updated' | 'removed' | 'members' | 'assigned';

/**
 * Is told of all that one rollout does in this process, at once and in the caller's turn: it has to
 * be quick. What it throws harms nobody, and is reported as LISTENER_FAILED.
 */
export interface Observer {
  /** Asked before each check, whether to time this one: to time each costs more than most take. */
  isTimed(): boolean;
  /**
   * Somebody was given this decision: by a check, a guard, a use, or out of a snapshot. Of a check that
   * was timed, `ms` says how long it took, and `isLookup` whether the store was asked for it.
   */
  decided(decision: Decision, ms: number | undefined, isLookup: boolean): void;
  /** The store was asked for a write, and has applied it, or it failed with this code. */
  written(kind: WriteKind, failure: ErrorCode | undefined): void;
  /** As the events `error` and `corrupt`, and `degraded`, `stale` and `dataLoss` by why; each one. */
  failed(error: HanoiError): void;
  /** The rollout was closed; nothing more is told. */
  closed(): void;
}

const METHODS = ['isTimed', 'decided', 'written', 'failed', 'closed'] as const;

/** Those that observe one rollout. */
export class Observers {
  /** What is done costs no more than a look at this where nobody observes. */
  isIdle: boolean = true;

  private all: readonly Observer[] = [];
  private isClosed: boolean = false;

  constructor(private readonly report: (error: HanoiError) => void) {}

  /** INVALID_ARGUMENT. Call what it returns to end it. */
  add(observer: Observer): () => void {
    for (const method of METHODS) {
      if (typeof (observer as Partial<Observer> | undefined)?.[method] === 'function') continue;
      throw invalid(`an observer with the method \`${method}\``, observer);
    }
    if (this.isClosed) {
      observer.closed();
      return () => {};
    }
    this.set([...this.all.filter((each) => each !== observer), observer]);
    return () => this.set(this.all.filter((each) => each !== observer));
  }

  isTimed(): boolean {
    let isTimed = false;
    // Each is asked: one that counts must not miss any.
    for (const observer of this.all) {
      try {
        isTimed = observer.isTimed() || isTimed;
      } catch (cause) {
        this.threw(cause);
      }
    }
    return isTimed;
  }

  decided(decision: Decision, ms: number | undefined, isLookup: boolean): void {
    // No closure: it is called at each check.
    for (const observer of this.all) {
      try {
        observer.decided(decision, ms, isLookup);
      } catch (cause) {
        this.threw(cause);
      }
    }
  }

  failed(error: HanoiError): void {
    for (const observer of this.all) {
      try {
        observer.failed(error);
      } catch {
        // Nobody is left to tell.
      }
    }
  }

  close(): void {
    this.isClosed = true;
    this.each((observer) => observer.closed());
    this.set([]);
  }

  /** The backend, whose writes are told. */
  writesOf(backend: Pick<Backend, 'write'>): Pick<Backend, 'write'> {
    return {
      write: (write) => {
        const written = backend.write(write);
        return this.isIdle ? written : this.told(write, written);
      },
    };
  }

  private async told(write: Write, written: Promise<Written>): Promise<Written> {
    const kind = kindOf(write);
    if (kind === undefined) return written;
    try {
      const result = await written;
      this.each((observer) => observer.written(kind, undefined));
      return result;
    } catch (error) {
      const failure = codeOf(error);
      this.each((observer) => observer.written(kind, failure));
      throw error;
    }
  }

  private set(all: readonly Observer[]): void {
    this.all = all;
    this.isIdle = all.length === 0;
  }

  private each(tell: (observer: Observer) => void): void {
    for (const observer of this.all) {
      try {
        tell(observer);
      } catch (cause) {
        this.threw(cause);
      }
    }
  }

  private threw(cause: unknown): void {
    this.report(new HanoiError('LISTENER_FAILED', 'An observer threw. See `cause`.', { cause }));
  }
}

/** Undefined of one that only asks whether something is so. */
function kindOf(write: Write): WriteKind | undefined {
  if ('assign' in write) return 'assigned';
  if (write.document === null) return 'removed';
  if (write.document !== undefined) return write.expect === 'absent' ? 'created' : 'updated';
  const { add = [], remove = [] } = write as MembersWrite;
  return add.length + remove.length > 0 ? 'members' : undefined;
}
