import type { Cluster, Redis } from 'ioredis';
import { duplicate } from './connection.js';

/** A connection that hears what is published on one channel, for as long as it is open. */
export class Subscriber {
  /** Settled once the first attempt to subscribe has succeeded or failed. */
  readonly begun: Promise<void>;
  private readonly client: Redis | Cluster;

  constructor(app: Redis | Cluster, channel: string, hear: (message: string) => void) {
    this.client = duplicate(app);
    this.client.on('message', (from: string, message: string) => {
      if (from === channel) hear(message);
    });
    this.begun = new Promise((resolve) => {
      this.client.on('error', () => resolve());
      this.client.on('end', () => resolve());
      // At every connection anew, and by hand: what ioredis does of itself nobody could catch.
      this.client.on('ready', () => {
        this.client
          .subscribe(channel)
          .catch(() => {})
          .finally(() => resolve());
      });
    });
  }

  close(): void {
    this.client.disconnect();
  }
}
