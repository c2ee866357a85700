/** More of them are not told apart: the oldest are forgotten. */
const MOST_KEYS = 10_000;

const MINUTE_MS = 60_000;

interface Bucket {
  /** How many are still free, as of `at`. */
  free: number;
  at: number;
}

/** So many a minute for each key, all at once or spread out (a token bucket). */
export class RateLimit {
  private readonly buckets = new Map<string, Bucket>();

  constructor(
    private readonly perMinute: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Takes one. Undefined where there is one; else in how many seconds there will be. */
  take(key: string): number | undefined {
    const bucket = this.bucketOf(key);
    if (bucket.free >= 1) {
      bucket.free--;
      return undefined;
    }
    return Math.max(1, Math.ceil(((1 - bucket.free) * MINUTE_MS) / this.perMinute / 1_000));
  }

  private bucketOf(key: string): Bucket {
    const now = this.now();
    const known = this.buckets.get(key);
    // The last used is the last of the map.
    this.buckets.delete(key);
    const bucket = known ?? { free: this.perMinute, at: now };
    bucket.free = Math.min(
      this.perMinute,
      bucket.free + ((now - bucket.at) * this.perMinute) / MINUTE_MS,
    );
    bucket.at = now;
    this.buckets.set(key, bucket);
    if (this.buckets.size > MOST_KEYS) {
      const [oldest] = this.buckets.keys();
      this.buckets.delete(oldest as string);
    }
    return bucket;
  }
}
