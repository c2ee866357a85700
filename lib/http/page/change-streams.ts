import type { RolloutEvents } from '../../events.js';
import type { Rollout } from '../../rollout.js';
import type { Arrival } from '../arrival.js';
import { EventStreams, STREAM_HEADERS } from '../event-streams.js';
import { Refusal } from '../problem.js';

/** More of them are refused: each holds a connection. */
const MOST_STREAMS = 100;

/** Afterwards the browser comes again, and is asked again who it is. */
const LASTS_MS = 15 * 60_000;

/** Something was changed, and nobody knows what. */
const MISSED = 'event: missed\ndata: {}\n\n';

/** Tells browsers what changes, without saying how: they look for themselves. */
export class ChangeStreams extends EventStreams {
  constructor(private readonly rollout: Rollout) {
    super({ most: MOST_STREAMS, mostOfOne: MOST_STREAMS });
  }

  /** TOO_MANY_REQUESTS, CLOSED. */
  answer({ method }: Request, { incoming }: Arrival): Response {
    if (this.isClosed) throw new Refusal('CLOSED');
    // Nobody would read it, or end it.
    if (method === 'HEAD') return new Response(null, { headers: STREAM_HEADERS });
    const stream = this.begin({
      caller: '',
      until: Date.now() + LASTS_MS,
      hangUp: () => incoming?.destroy(),
    });
    if (stream === undefined) {
      throw new Refusal('TOO_MANY_REQUESTS', 'Too many look on already.', {
        headers: { 'retry-after': '30' },
      });
    }
    this.rollout.on('change', this.changed).on('missed', this.missed);
    return new Response(stream, { headers: STREAM_HEADERS });
  }

  override close(): void {
    super.close();
    this.rollout.off('change', this.changed).off('missed', this.missed);
  }

  private readonly changed = ({ of, name, kind, head }: RolloutEvents['change']): void => {
    const data = JSON.stringify({ of, name, kind, revision: head.revision });
    this.send(`event: change\ndata: ${data}\n\n`, MISSED);
  };

  private readonly missed = (): void => this.send(MISSED);
}
