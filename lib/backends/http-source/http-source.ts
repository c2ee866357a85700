import { createHash } from 'node:crypto';
import { HanoiError, refuseUnknownOptions } from '../../errors.js';
import { located, type Read, read, readInTurns } from '../features-file.js';
import { PolledSource } from '../polled-source.js';
import { problemsOf, State } from '../state.js';
import { Store } from '../store.js';
import type { Latest, LatestVersion } from './latest.js';
import { overHttp, parseUrl, placeOf, type RequestHeaders, refuseHeaders } from './request.js';
import { SavedVersion, type Version } from './saved-version.js';

export interface HttpSourceOptions {
  /** How often to ask, in ms, 10% more or less. From 10; default 30,000. */
  pollMs?: number;
  /** How long an answer may take, to its last byte, in ms. From 1; default 5,000. */
  timeoutMs?: number;
  /** How old what is held may get, in ms, before its answers say STALE. Default four times `pollMs`. */
  maxStaleMs?: number;
  /** Sent to the origin of the URL, and to no other where it redirects. */
  headers?: RequestHeaders;
  /**
   * Where the last good version is kept on the disk, to start with while the source is down. The
   * file is readable for its owner alone; its folder has to be there.
   */
  cacheFile?: string;
}

const DEFAULTS = {
  pollMs: 30_000,
  timeoutMs: 5_000,
  maxStaleMs: undefined,
  headers: {},
  cacheFile: undefined,
};

/** A server that is down is asked after this pause, and then less and less often, as far as `pollMs`. */
const RETRY_MS = 1_000;

/** A version, and what it says. */
class VersionState extends State {
  constructor(
    store: Store,
    confirmedAt: number,
    /** Only where it is to be saved. */
    readonly text: string,
    readonly digest: string,
    public etag: string | undefined,
  ) {
    super(store, confirmedAt);
  }
}

/**
 * Follows features that are kept as one JSON document elsewhere, in the format of a FileBackend's
 * file: at a URL, or wherever a function gets it from. Read-only, and checks need no I/O.
 */
export class HttpSource extends PolledSource<VersionState> {
  private readonly latest: Latest;
  private readonly place: string;
  private readonly cache: SavedVersion | undefined;
  /** What could not be read last: the same again is not looked into. */
  private refused: { readonly digest: string; readonly problem: HanoiError } | undefined;
  private cacheProblem: HanoiError | undefined;

  /** INVALID_ARGUMENT. */
  constructor(from: string | URL | Latest, options: HttpSourceOptions = {}) {
    refuseUnknownOptions(options, Object.keys(DEFAULTS));
    const { pollMs, timeoutMs, maxStaleMs, headers, cacheFile } = { ...DEFAULTS, ...options };
    super(
      new VersionState(new Store(0, Date.now), Number.NEGATIVE_INFINITY, '', '', undefined),
      true,
      { pollMs, timeoutMs, maxStaleMs, retryMs: RETRY_MS },
    );
    let id: string;
    if (typeof from === 'function') {
      if (options.headers !== undefined) {
        throw new HanoiError('INVALID_ARGUMENT', 'Expected no `headers` with a function.');
      }
      this.latest = from;
      this.place = 'The function';
      id = 'a function';
    } else {
      const { url, credentials } = parseUrl(from);
      refuseHeaders(headers);
      this.latest = overHttp(url, headers, credentials);
      this.place = placeOf(url);
      id = url.href;
    }
    if (cacheFile !== undefined) {
      this.cache = new SavedVersion(cacheFile, id, (error) => this.cacheFailed(error));
      this.startFrom(this.cache);
    }
    this.begin();
  }

  protected async fetch(
    sentAt: number,
    _deadline: number,
    signal: AbortSignal,
    arrived: () => void,
  ): Promise<VersionState | undefined> {
    const held = this.state;
    const found = await this.ask(held.etag, signal);
    arrived();
    if (found === undefined) {
      if (!this.isNothing) return undefined;
      throw new HanoiError('STORE_UNAVAILABLE', `${this.place} has given nothing yet.`);
    }
    const text = textOf(found.body);
    const digest = digestOf(text);
    if (digest === held.digest) {
      held.etag = found.etag;
      return undefined;
    }
    if (digest === this.refused?.digest) throw this.refused.problem;
    try {
      return this.stateOf(await readInTurns(text), text, digest, found.etag, sentAt);
    } catch (error) {
      const { message } = await located(text, error);
      const problem = new HanoiError(
        'STORE_UNAVAILABLE',
        `${this.place} gave what can't be read: ${message}`,
      );
      this.refused = { digest, problem };
      throw problem;
    }
  }

  protected override accepted(): void {
    this.refused = undefined;
    const { text, etag, confirmedAt } = this.state;
    this.cache?.save({ text, etag, confirmedAt: toUnix(confirmedAt) });
  }

  protected override async end(): Promise<void> {
    await super.end();
    await this.cache?.settled();
  }

  private async ask(
    etag: string | undefined,
    signal: AbortSignal,
  ): Promise<LatestVersion | undefined> {
    const found = await this.latest({ etag, signal });
    if (found === undefined) return undefined;
    const { body, etag: given } = (found ?? {}) as Partial<LatestVersion>;
    const unread = [found, body].map(kindOf).find((kind) => UNREAD.has(kind));
    if (unread !== undefined) {
      throw new HanoiError(
        'STORE_UNAVAILABLE',
        `${this.place} gave a ${unread}: read it, and give { body: await response.text() }.`,
      );
    }
    if (
      body === undefined ||
      body === null ||
      !(given === undefined || typeof given === 'string')
    ) {
      throw new HanoiError(
        'STORE_UNAVAILABLE',
        `${this.place} gave something else than { body, etag } or undefined.`,
      );
    }
    return found;
  }

  private stateOf(
    { kept }: Read,
    text: string,
    digest: string,
    etag: string | undefined,
    confirmedAt: number,
  ): VersionState {
    // What the document tells of its history is all there is.
    const store = Store.of(kept, Number.POSITIVE_INFINITY, Date.now, this.state.store);
    return new VersionState(store, confirmedAt, this.cache ? text : '', digest, etag);
  }

  /** Puts what was saved in the place of nothing, as old as it is. */
  private startFrom(cache: SavedVersion): void {
    let saved: Version | undefined;
    try {
      saved = cache.load();
      if (saved === undefined) return;
      const { text, etag, confirmedAt } = saved;
      // By a clock that was put back, it is of any age.
      const agoMs = Date.now() - confirmedAt;
      const at = agoMs >= 0 ? performance.now() - agoMs : Number.NEGATIVE_INFINITY;
      const state = this.stateOf(read(text), text, digestOf(text), etag, at);
      state.spoil(new HanoiError('STORE_UNAVAILABLE', `${this.place} was not read yet.`));
      this.take(state);
      this.tellLater('corrupt', problemsOf(new Store(0, Date.now), state.store));
    } catch (error) {
      const problem =
        saved === undefined && error instanceof HanoiError
          ? error
          : new HanoiError('INVALID_RECORD', 'The `cacheFile` holds what can not be read.');
      this.cacheProblem = problem;
      this.tellLater('error', [problem]);
    }
  }

  /** Not before somebody can listen. */
  private tellLater(kind: 'corrupt' | 'error', problems: readonly HanoiError[]): void {
    setImmediate(() => {
      for (const problem of problems) this.tell(kind, problem);
    });
  }

  private cacheFailed(error: HanoiError | undefined): void {
    if (error !== undefined && error.message !== this.cacheProblem?.message) {
      this.tell('error', error);
    }
    this.cacheProblem = error;
  }
}

/** What has the body of an answer, and is not it. */
const UNREAD = new Set(['Response', 'ReadableStream', 'Promise']);

/** By its name: fetch can be another one than Node's own. */
function kindOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1);
}

function textOf(body: LatestVersion['body']): string {
  if (typeof body === 'string') return body;
  if (!(body instanceof Uint8Array)) return String(JSON.stringify(body));
  return new TextDecoder('utf-8', { fatal: true }).decode(body);
}

function digestOf(text: string): string {
  return createHash('sha1').update(text).digest('hex');
}

/** Of the monotonic clock's time. */
function toUnix(at: number): number {
  return Math.floor(Date.now() - (performance.now() - at));
}
