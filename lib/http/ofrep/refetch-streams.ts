import { randomBytes } from 'node:crypto';
import type { Rollout } from '../../rollout.js';
import { EventStreams, type Limits, type Listener } from '../event-streams.js';
import { configEtagOf } from './config-etag.js';

/** Changes that come so close are told as one: 100 ms. Other processes hear of them meanwhile. */
const TOGETHER_MS = 100;

interface Event {
  readonly etag: string | undefined;
  readonly lastModified: number;
}

/**
 * Streams that tell clients when to evaluate anew: after each change of a feature, of its users, and
 * of what features refer to. What they get then is for the next request to say.
 */
export class RefetchStreams extends EventStreams {
  private readonly epoch = randomBytes(6).toString('base64url');
  private count = 0;
  private last: Event | undefined;
  private etag: string | undefined;
  private isListening: boolean = false;
  private telling: NodeJS.Timeout | undefined;

  constructor(
    private readonly rollout: Rollout,
    limits: Limits,
  ) {
    super(limits);
  }

  /** The id of what was told last. From the first time that it is asked for, changes are heard. */
  get position(): string {
    this.listen();
    return `${this.epoch}-${this.count}`;
  }

  /**
   * `seen` is what the client was told last, by the id of an event; undefined where it does not say.
   * Undefined where there is no room.
   */
  stream({
    seen,
    ...listener
  }: Listener & { readonly seen: string | undefined }): ReadableStream<Uint8Array> | undefined {
    const { position } = this;
    const event = seen === position ? undefined : this.event(position);
    // An id alone is no event, and all the same what the client names when it comes back.
    return this.begin(listener, `id: ${position}\n`, event);
  }

  override close(): void {
    super.close();
    this.rollout.off('change', this.changed).off('missed', this.changed);
    this.rollout.off('recovered', this.changed);
    clearTimeout(this.telling);
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
      lastModified: Math.floor(Date.now() / 1_000),
    };
    this.etag = etag;
    this.send(this.event(this.position));
  }

  private event(id: string): string {
    const data = JSON.stringify({ type: 'refetchEvaluation', ...this.last });
    return `id: ${id}\nevent: message\ndata: ${data}\n\n`;
  }
}
