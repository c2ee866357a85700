import { setTimeout as delay } from 'node:timers/promises';
import { HanoiError, hasCode } from '../../errors.js';
import { REQUEST_MEMORY_MS } from '../backend.js';
import { type Command, type Connection, now, Refusal } from './connection.js';

/**
 * How long the server is asked to wait at first; then it is asked again, for twice as long, as far as
 * the connection takes silence. Each time asks about more: where replicas are far, it has to be long.
 */
const PATIENCE_MS = 100;
const MOST_PATIENCE_MS = 900;

/** After an answer that does not count: the replicas are behind, or the master is another one. */
const PAUSE_MS = 10;

interface Waiting {
  /** One of them was written by the write that this is about. */
  readonly keys: readonly string[];
  readonly deadline: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Finds out whether writes are on so many replicas, where they outlast their master. What is asked
 * while an answer is underway is asked next, together: WAIT keeps a connection from all else, so
 * this has one of its own.
 */
export class Replicas {
  private waiting: Waiting[] = [];
  private isAsking: boolean = false;

  constructor(
    private readonly connection: Connection,
    private readonly count: number,
  ) {}

  /** Rejects with why it is not certain. */
  confirm(keys: readonly string[], deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ keys, deadline, resolve, reject });
      if (!this.isAsking) void this.ask();
    });
  }

  private async ask(): Promise<void> {
    this.isAsking = true;
    let patienceMs = PATIENCE_MS;
    while (this.waiting.length > 0) {
      const asked = this.waiting;
      this.waiting = [];
      const open = await this.askAbout(asked, patienceMs);
      patienceMs = open.length === 0 ? PATIENCE_MS : Math.min(2 * patienceMs, MOST_PATIENCE_MS);
      if (open.length === 0) continue;
      this.waiting.unshift(...open);
      await delay(PAUSE_MS);
    }
    this.isAsking = false;
  }

  /** Those of which it is not known yet. */
  private async askAbout(asked: readonly Waiting[], patienceMs: number): Promise<Waiting[]> {
    const deadline = Math.min(...asked.map((each) => each.deadline));
    let replies: unknown[] = [];
    let problem = behind(this.count);
    try {
      await this.connection.ready(deadline, true);
      replies = await this.connection.by(
        deadline,
        this.touch(asked, Math.min(deadline, now() + patienceMs)),
      );
    } catch (error) {
      problem = error as HanoiError;
    }
    const isThere = Number(replies.pop()) >= this.count;
    return asked.filter(({ keys, resolve, reject, deadline: until }) => {
      const found = replies.splice(0, keys.length);
      const isWritten = found.some((reply) => Number(reply) === 1);
      if (isThere && isWritten) resolve();
      else if (found.length > 0 && found.every((reply) => Number(reply) === 0)) reject(gone());
      else if (now() >= until || hasCode(problem, 'CLOSED')) reject(problem);
      else return true;
      return false;
    });
  }

  /**
   * Writes something anew: what replicas have of a connection's last write, they have of all before
   * it. It goes to the server that has the keys, and so does what follows.
   */
  private async touch(asked: readonly Waiting[], until: number): Promise<unknown[]> {
    const sentAt = now();
    const ms = Math.max(1, Math.floor(until - sentAt));
    const touches = asked
      .flatMap(({ keys }) => keys)
      .map((key): Command => ['pexpire', key, REQUEST_MEMORY_MS]);
    const replies = await this.connection.inOneGo([...touches, ['wait', this.count, ms]]);
    const problem = replies.find((reply) => reply instanceof Error);
    if (problem === undefined) return replies;
    // Alone it is led to where its key is by now, which is remembered.
    if (problem instanceof Refusal && problem.word === 'READONLY') this.connection.leave(sentAt);
    else if (problem instanceof Refusal) await this.connection.send(...(touches[0] as Command));
    throw problem;
  }
}

function behind(count: number): HanoiError {
  return new HanoiError('STORE_TIMEOUT', `It is not on ${count} replicas yet.`);
}

function gone(): HanoiError {
  return new HanoiError('STORE_UNAVAILABLE', 'It went with the master that had it.');
}
