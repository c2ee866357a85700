import type { RolloutEvents } from '../../events.js';
import type { Rollout } from '../../rollout.js';
import { Refusal } from '../problem.js';

/** More of them are refused: each holds a connection. */
const MOST_STREAMS = 100;

/** Afterwards the browser comes again, and is asked again who it is. */
const LASTS_MS = 15 * 60_000;

/** Often enough that nobody on the way takes the connection for dead. */
const BEAT_MS = 20_000;

/** Events that one may be behind; then it is ended, and begins anew. */
const MOST_BEHIND = 100;

const HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-accel-buffering': 'no',
} as const;

interface Stream {
  send(text: string): void;
  end(): void;
}

/** Tells browsers what changes, without saying how: they look for themselves. */
export class ChangeStreams {
  private readonly streams = new Set<Stream>();
  private isClosed: boolean = false;

  constructor(private readonly rollout: Rollout) {}

  /** TOO_MANY_REQUESTS, CLOSED. */
  open({ method, signal }: Pick<Request, 'method' | 'signal'>): Response {
    if (this.isClosed) throw new Refusal('CLOSED');
    // Nobody would read it, or end it.
    if (method === 'HEAD') return new Response(null, { headers: HEADERS });
    if (this.streams.size >= MOST_STREAMS) {
      throw new Refusal('TOO_MANY_REQUESTS', 'Too many look on already.', {
        headers: { 'retry-after': '30' },
      });
    }
    const text = new TextEncoder();
    let stream: Stream | undefined;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          const timers = [
            setInterval(() => stream?.send(': \n\n'), BEAT_MS),
            setTimeout(() => stream?.end(), LASTS_MS),
          ];
          for (const timer of timers) timer.unref();
          const end = () => {
            if (stream === undefined) return;
            this.forget(stream);
            stream = undefined;
            for (const timer of timers) clearTimeout(timer);
            signal.removeEventListener('abort', end);
            try {
              controller.close();
            } catch {
              // The browser has gone before.
            }
          };
          stream = {
            send: (event) => {
              if ((controller.desiredSize ?? 0) < -MOST_BEHIND) end();
              else controller.enqueue(text.encode(event));
            },
            end,
          };
          this.add(stream);
          signal.addEventListener('abort', end);
          stream.send('retry: 2000\n: \n\n');
        },
        cancel: () => stream?.end(),
      },
      { highWaterMark: 1 },
    );
    return new Response(body, { headers: HEADERS });
  }

  /** Ends all of them. */
  close(): void {
    this.isClosed = true;
    for (const stream of [...this.streams]) stream.end();
  }

  private add(stream: Stream): void {
    this.streams.add(stream);
    if (this.streams.size === 1) this.rollout.on('change', this.tell);
  }

  private forget(stream: Stream): void {
    this.streams.delete(stream);
    if (this.streams.size === 0) this.rollout.off('change', this.tell);
  }

  private readonly tell = ({ of, name, kind, head }: RolloutEvents['change']): void => {
    const data = JSON.stringify({ of, name, kind, revision: head.revision });
    for (const stream of [...this.streams]) stream.send(`event: change\ndata: ${data}\n\n`);
  };
}
