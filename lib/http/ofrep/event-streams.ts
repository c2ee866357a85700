import { randomBytes } from 'node:crypto';
import type { Rollout } from '../../rollout.js';
import { configEtagOf } from './config-etag.js';

/** Changes that come so close are told as one: 100 ms. Other processes hear of them meanwhile. */
const TOGETHER_MS = 100;

/** So often something is sent, so that no proxy takes the connection for dead: 25 s. */
const BEAT_MS = 25_000;

/** A client that has taken nothing for so many beats is given up. */
const MOST_MISSED = 2;

/** After so long a client connects again that has lost its connection. */
const RETRY_MS = 2_000;

interface Limits {
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
  /** What the client was told last, by the id of an event; undefined where it does not say. */
  readonly seen: string | undefined;
  /** Ends the connection of a client that takes nothing any more. */
  readonly hangUp: () => void;
}

/**
 * Streams that tell clients when to evaluate anew: after each change of a feature, of its users, and
 * of what features refer to. What they get then is for the next request to say.
 */
export class EventStreams {
  private readonly open = new Set<Stream>();
  private readonly byCaller = new Map<string, number>();
  private readonly epoch = randomBytes(6).toString('base64url');
  private count = 0;
  private last: Event | undefined;
  private etag: string | undefined;
  private isListening: boolean = false;
  private isClosed: boolean = false;
  private telling: NodeJS.Timeout | undefined;
  private beating: NodeJS.Timeout | undefined;

  constructor(
    private readonly rollout: Rollout,
    private readonly limits: Limits,
    private readonly now: () => number = Date.now,
  ) {}

  /** The id of what was told last. From the first time that it is asked for, changes are heard. */
  get position(): string {
    this.listen();
    return `${this.epoch}-${this.count}`;
  }

  get size(): number {
    return this.open.size;
  }

  hasRoom(caller: string): boolean {
    const { most, mostOfOne } = this.limits;
    if (this.isClosed || this.open.size >= most) return false;
    return (this.byCaller.get(caller) ?? 0) < mostOfOne;
  }

  /** Undefined where there is no room. Ends when the reader cancels it. */
  stream(listener: Listener): ReadableStream<Uint8Array> | undefined {
    if (!this.hasRoom(listener.caller)) return undefined;
    const { position } = this;
    const stream = new Stream(listener, (each) => this.remove(each));
    this.open.add(stream);
    this.byCaller.set(listener.caller, (this.byCaller.get(listener.caller) ?? 0) + 1);
    this.beating ??= setInterval(() => this.beat(), BEAT_MS).unref();
    const isBehind = listener.seen !== position;
    return stream.begin(
      // An id alone is no event, and all the same what the client names when it comes back.
      `retry: ${RETRY_MS}\nid: ${position}\n\n`,
      isBehind ? this.event(position) : undefined,
    );
  }

  /** Ends all streams, for good. */
  close(): void {
    this.isClosed = true;
    this.rollout.off('change', this.changed).off('missed', this.changed);
    this.rollout.off('recovered', this.changed);
    clearTimeout(this.telling);
    for (const stream of this.open) stream.end();
  }

  private listen(): void {
    if (this.isListening || this.isClosed) return;
    this.isListening = true;
    this.etag = configEtagOf(this.rollout);
    this.rollout.on('change', this.changed).on('missed', this.changed);
    this.rollout.on('recovered', this.changed);
  }

  private readonly changed = (): void => {
    this.telling ??= setTimeout(() => this.tell(), TOGETHER_MS).unref();
  };

  private tell(): void {
    this.telling = undefined;
    this.count++;
    const etag = configEtagOf(this.rollout);
    this.last = {
      // One that does not go with the changes would name no state.
      etag: etag === this.etag ? undefined : etag,
      lastModified: Math.floor(this.now() / 1_000),
    };
    this.etag = etag;
    const event = this.event(this.position);
    for (const stream of this.open) stream.tell(event);
  }

  private event(id: string): string {
    const data = JSON.stringify({ type: 'refetchEvaluation', ...this.last });
    return `id: ${id}\nevent: message\ndata: ${data}\n\n`;
  }

  private beat(): void {
    const now = this.now();
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

interface Event {
  readonly etag: string | undefined;
  readonly lastModified: number;
}

const utf8 = new TextEncoder();

/** One client. Of what it does not take in time, only the last is kept. */
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

  tell(event: string): void {
    if (this.isTaking) this.controller?.enqueue(utf8.encode(event));
    else this.waiting = event;
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
