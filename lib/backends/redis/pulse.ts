import type { HanoiError } from '../../errors.js';
import type { HealthEvent } from '../backend.js';
import { now } from './connection.js';

/** So many failures in a row open the breaker. */
const MOST_FAILURES = 5;

/** How long it is open; then one attempt is let through, and so on. */
const OPEN_MS = 1_000;

/** Whether the store answers, as what was asked of it tells; and the breaker of checks. */
export class Pulse {
  /** When the last question was sent that was answered; undefined before the first. */
  answeredAt: number | undefined;
  /** Why the last attempt failed, if it did. */
  problem: HanoiError | undefined;
  isDegraded: boolean = false;
  private failures = 0;
  private openUntil = 0;

  constructor(private readonly tell: (kind: HealthEvent['kind'], cause?: HanoiError) => void) {}

  /** Why a check need not even try; undefined where it has to. */
  refusal(): HanoiError | undefined {
    if (this.problem === undefined || this.failures < MOST_FAILURES) return undefined;
    const time = now();
    if (time < this.openUntil) return this.problem;
    // This one finds out; those that come meanwhile are not to wait for it.
    this.openUntil = time + OPEN_MS;
    return undefined;
  }

  succeeded(sentAt: number): void {
    this.answeredAt = sentAt;
    if (this.problem === undefined) return;
    this.problem = undefined;
    this.failures = 0;
    if (!this.isDegraded) return;
    this.isDegraded = false;
    this.tell('recovered');
  }

  failed(error: HanoiError): void {
    this.problem = error;
    if (++this.failures < MOST_FAILURES) return;
    this.openUntil = now() + OPEN_MS;
    if (this.isDegraded) return;
    this.isDegraded = true;
    this.tell('degraded', error);
  }

  /** There is a new connection: the next check is to try it. */
  reconnected(): void {
    this.openUntil = 0;
  }
}
