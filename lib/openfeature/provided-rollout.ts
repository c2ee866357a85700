import type { Health } from '../backends/backend.js';
import type { Decision } from '../domain/decision.js';
import type { Subject } from '../domain/subject.js';
import type { EventName, Listener } from '../events.js';

/** A `Rollout`, whatever it was told of its features, and of whichever copy of the package. */
export interface ProvidedRollout {
  decide(name: string, subject: Subject | null | undefined): Promise<Decision>;
  use(name: string, subject: Subject | null | undefined): Promise<Decision>;
  used(name: string, variant: string, subject: Subject | null | undefined): Promise<void>;
  ready(options?: { timeoutMs?: number }): Promise<Health>;
  health(): Health;
  on<Name extends EventName>(event: Name, listener: Listener<Name>): unknown;
  off<Name extends EventName>(event: Name, listener: Listener<Name>): unknown;
  close(): Promise<void>;
}
