/** So often something is sent, so that no proxy takes the connection for dead: 25 s. */
const BEAT_MS = 25_000;

/** A client that has taken nothing for so many beats is given up. */
const MOST_MISSED = 2;

/** After so long a client connects again that has lost its connection. */
const RETRY_MS = 2_000;

/** What a stream is sent with. */
export const STREAM_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store, no-transform',
  'x-content-type-options': 'nosniff',
  'x-accel-buffering': 'no',
} as const;

export interface Limits {
  /** How many streams there can be, and how many of one caller. */
  readonly most: number;
  readonly mostOfOne: number;
}

/** Who opens a stream. */
export interface Listener {
  /** By whom streams are counted. */
  readonly caller: string;
  /** Unix ms: the stream ends then. */
  readonly until: number;
  /** Ends the connection of a client that takes nothing any more. */
  readonly hangUp: () => void;
}

/** Server-sent events to clients, of which there can be so many. */
export class EventStreams {
  private readonly open = new Set<Stream>();
  private readonly byCaller = new Map<string, number>();
  private beating: NodeJS.Timeout | undefined;
  protected isClosed: boolean = false;

  constructor(private readonly limits: Limits) {}

  get size(): number {
    return this.open.size;
  }

  hasRoom(caller: string): boolean {
    const { most, mostOfOne } = this.limits;
    if (this.isClosed || this.open.size >= most) return false;
    return (this.byCaller.get(caller) ?? 0) < mostOfOne;
  }

  /** Ends all streams, for good. */
  close(): void {
    this.isClosed = true;
    for (const stream of this.open) stream.end();
  }

  /**
   * Begins with these fields, which make no event, and goes on with an event, if one is given. Ends
   * when the reader cancels it. Undefined where there is no room.
   */
  protected begin(
    listener: Listener,
    fields: string = '',
    event?: string,
  ): ReadableStream<Uint8Array> | undefined {
    const { caller } = listener;
    if (!this.hasRoom(caller)) return undefined;
    const stream = new Stream(listener, (each) => this.remove(each));
    this.open.add(stream);
    this.byCaller.set(caller, (this.byCaller.get(caller) ?? 0) + 1);
    this.beating ??= setInterval(() => this.beat(), BEAT_MS).unref();
    return stream.begin(`retry: ${RETRY_MS}\n${fields}\n`, event);
  }

  /** Who has not taken the event before is kept `late` for, which tells of both. */
  protected send(event: string, late: string = event): void {
    for (const stream of this.open) stream.tell(event, late);
  }

  private beat(): void {
    const now = Date.now();
    for (const stream of this.open) {
      if (now >= stream.listener.until) stream.end();
      else stream.beat();
    }
  }

  private remove(stream: Stream): void {
    if (!this.open.delete(stream)) return;
    const { caller } = stream.listener;
    const left = (this.byCaller.get(caller) ?? 0) - 1;
    if (left > 0) this.byCaller.set(caller, left);
    else this.byCaller.delete(caller);
    if (this.open.size > 0) return;
    clearInterval(this.beating);
    this.beating = undefined;
  }
}

const utf8 = new TextEncoder();

/** One client. Of what it does not take in time, one event is kept. */
class Stream {
  private controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  private waiting: string | undefined;
  private missed = 0;

  constructor(
    readonly listener: Listener,
    private readonly over: (stream: Stream) => void,
  ) {}

  begin(first: string, event: string | undefined): ReadableStream<Uint8Array> {
    this.waiting = event;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.controller = controller;
        controller.enqueue(utf8.encode(first));
      },
      pull: () => {
        this.missed = 0;
        if (this.waiting === undefined) return;
        const event = this.waiting;
        this.waiting = undefined;
        this.controller?.enqueue(utf8.encode(event));
      },
      cancel: () => this.over(this),
    });
  }

  tell(event: string, late: string): void {
    if (this.isTaking) this.controller?.enqueue(utf8.encode(event));
    else this.waiting = this.waiting === undefined ? event : late;
  }

  beat(): void {
    if (this.isTaking) this.controller?.enqueue(utf8.encode(':\n\n'));
    else if (++this.missed >= MOST_MISSED) {
      this.end();
      this.listener.hangUp();
    }
  }

  end(): void {
    this.over(this);
    this.controller?.close();
  }

  private get isTaking(): boolean {
    return (this.controller?.desiredSize ?? 0) > 0;
  }
}
