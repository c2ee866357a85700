import type { IncomingMessage } from 'node:http';

/** How a request came here: what the request itself does not say. */
export interface Arrival {
  /** Where this is mounted: `/flags`, or nothing. */
  readonly base: string;
  /** Of the other end, where that is known. */
  readonly address: string | undefined;
  /** On Node, the request that it was made of: its body can be read faster there. */
  readonly incoming: IncomingMessage | undefined;
}
