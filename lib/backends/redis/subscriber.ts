import type { Redis } from 'ioredis';
import { atDeadline, type Connection, now, retryDelay } from './connection.js';

/** A hung server, or a link that is half open, is found out by what does not come to this. */
const PING_MS = 500;

/** How long the server may take to answer, or to connect. */
const PATIENCE_MS = 1_000;

/** A connection that hears what is published on one channel, and looks after itself. */
export class Subscriber {
  /** Settled once the first attempt to subscribe has succeeded or failed. */
  readonly begun: Promise<void>;
  private begin: () => void = () => {};
  private client: Redis | undefined;
  private attempts = 0;
  private isClosed = false;
  private timer: NodeJS.Timeout | undefined;
  private cancel = () => {};

  /** `missed` is called at each subscription: what was published before it was not heard. */
  constructor(
    private readonly connection: Connection,
    private readonly channel: string,
    private readonly hear: (message: string) => void,
    private readonly missed: () => void,
  ) {
    this.begun = new Promise((resolve) => {
      this.begin = resolve;
    });
    this.open();
  }

  close(): void {
    this.isClosed = true;
    this.drop();
    this.begin();
  }

  private open(): void {
    const client = this.connection.single();
    this.client = client;
    if (client === undefined) {
      this.again();
      return;
    }
    client.on('message', (from: string, message: string) => {
      if (from === this.channel) this.hear(message);
    });
    client.on('error', () => {});
    client.on('end', () => this.again(client));
    client.on('ready', () => void this.listen(client));
    this.expect(client);
  }

  /** Subscribes by hand: where ioredis does it of itself, nobody could catch what comes of it. */
  private async listen(client: Redis): Promise<void> {
    try {
      await client.subscribe(this.channel);
      if (client !== this.client) return;
      this.cancel();
      this.attempts = 0;
      this.begin();
      this.missed();
      this.ping(client);
    } catch {
      this.again(client);
    }
  }

  private ping(client: Redis): void {
    this.timer = setTimeout(async () => {
      this.expect(client);
      try {
        await client.ping().catch(refusalIsLife);
        if (client !== this.client) return;
        this.cancel();
        this.ping(client);
      } catch {
        this.again(client);
      }
    }, PING_MS);
    this.timer.unref();
  }

  /** Something has to come of this client soon. */
  private expect(client: Redis): void {
    this.cancel();
    this.cancel = atDeadline(now() + PATIENCE_MS, () => this.again(client));
  }

  /** Starts anew, after a while: of a cluster perhaps on another node. */
  private again(client?: Redis): void {
    if (client !== this.client || this.isClosed) return;
    this.drop();
    this.begin();
    this.timer = setTimeout(() => this.open(), retryDelay(++this.attempts));
    this.timer.unref();
  }

  private drop(): void {
    this.cancel();
    clearTimeout(this.timer);
    this.client?.disconnect();
    this.client = undefined;
  }
}

/** A server that refuses has answered. */
function refusalIsLife(error: Error): void {
  if (error.name !== 'ReplyError') throw error;
}
