import {
  type BigIntStats,
  type FSWatcher,
  readFileSync,
  type Stats,
  statSync,
  watch,
} from 'node:fs';
import {
  type FileHandle,
  open,
  readFile,
  readlink,
  realpath,
  rename,
  stat,
  unlink,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  HanoiError,
  hasCode,
  invalid,
  notApplied,
  outcomeUnknown,
  refuseNumber,
  refuseUnknownOptions,
} from '../../errors.js';
import { inTime } from '../../in-time.js';
import type { Backend, Health, Write, Written } from '../backend.js';
import { LONGEST_FILE, located, print, type Read, read, readInTurns } from '../features-file.js';
import { Poll } from '../poll.js';
import { State } from '../state.js';
import { closed, StateSource } from '../state-source.js';
import { type Kept, Store } from '../store.js';
import { FileLock } from './lock.js';

export interface FileBackendOptions {
  /**
   * How often the file is looked at, in ms, beside being told of changes by the system. From 10;
   * default 1,000.
   */
  pollMs?: number;
  /** How long a write may take, in ms, most of which is waiting for others. From 1; default 5,000. */
  operationTimeoutMs?: number;
  /** How many changes of documents, and as many of members alone, are kept of each feature. From 0; default 10. */
  historyLength?: number;
}

const DEFAULTS = { pollMs: 1_000, operationTimeoutMs: 5_000, historyLength: 10 };

/** An editor may be writing: what can't be read is read again so much later. */
const SECOND_LOOK_MS = 30;

/** A check waits for a look no longer than that, and is answered by what is held. */
const CHECK_MS = 150;

/** A chain of more links is a circle. */
const MOST_LINKS = 40;

/** The identity of no file. */
const OVERTAKEN = 'overtaken';

/** A state of the file. */
class FileState extends State {
  constructor(
    store: Store,
    readonly unreadable: ReadonlyMap<string, unknown>,
    /** Of the file that this was read from; undefined where there was none. */
    readonly identity: string | undefined,
    confirmedAt: number,
  ) {
    super(store, confirmedAt);
  }
}

interface Queued {
  readonly write: Write;
  readonly resolve: (written: Written) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Keeps everything in one JSON file, which people can read and edit, and which several processes of
 * one machine can share. Checks need no I/O. A write rewrites the file, under a lock, whole or not
 * at all: for hundreds of features and thousands of members.
 */
export class FileBackend extends StateSource<FileState> implements Backend {
  private readonly path: string;
  private readonly operationTimeoutMs: number;
  private readonly historyLength: number;
  private isMissing: boolean = false;
  private readonly polling: Poll;
  /** The state of the file that could not be read, and why: it is not read again. */
  private refused: { readonly identity: string; readonly error: HanoiError } | undefined;
  private queue: Queued[] = [];
  private writing: Promise<void> | undefined;
  /** The request ids, drawn here, of the last writes that were answered: nobody repeats those. */
  private answered: ReadonlySet<string> = new Set();
  private readonly ending = new AbortController();
  /** By folder: the one of the path that was given, and the one that a link there leads to. */
  private readonly folders: Map<string, FSWatcher> = new Map();

  /** The file need not be there yet; its folder has to be. INVALID_ARGUMENT. */
  constructor(path: string, options: FileBackendOptions = {}) {
    refuseUnknownOptions(options, Object.keys(DEFAULTS));
    const { pollMs, operationTimeoutMs, historyLength } = { ...DEFAULTS, ...options };
    super(nothing(), true);
    if (typeof path !== 'string' || path === '') throw invalid('the path of a file', path);
    refuseNumber('pollMs', pollMs, 10);
    refuseNumber('operationTimeoutMs', operationTimeoutMs, 1);
    refuseNumber('historyLength', historyLength, 0);
    this.path = resolve(path);
    if (!statSync(dirname(this.path), { throwIfNoEntry: false })?.isDirectory()) {
      throw invalid(`the folder ${dirname(this.path)} to be there`, path);
    }
    // A file that can't be read is looked at no less often.
    this.polling = new Poll(pollMs, pollMs, () => this.lookOnce().then(() => 0));
    this.operationTimeoutMs = operationTimeoutMs;
    this.historyLength = historyLength;
    this.begin();
    // The next one comes by itself.
    void this.polling.look();
  }

  /** Writes that are asked for while another one is underway become one writing of the file. */
  write(write: Write): Promise<Written> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) {
        reject(closed());
        return;
      }
      this.queue.push({ write, resolve, reject });
      this.writing ??= this.writeAll();
    });
  }

  async ready(timeoutMs: number): Promise<Health> {
    const deadline = performance.now() + timeoutMs;
    while (!this.isClosed) {
      await this.polling.look();
      if (this.health().state === 'ready' || performance.now() >= deadline) break;
      await delay(SECOND_LOOK_MS);
    }
    return this.health();
  }

  protected condition(): Exclude<Health['state'], 'closed'> {
    return this.problem === undefined ? 'ready' : this.isNothing ? 'starting' : 'degraded';
  }

  protected async present(): Promise<Store> {
    await this.polling.look();
    if (this.problem !== undefined) throw this.problem;
    return this.state.store;
  }

  protected async refreshed(): Promise<void> {
    await inTime(this.polling.look(), CHECK_MS, () => {});
  }

  protected async end(): Promise<void> {
    this.polling.stop();
    for (const watcher of this.folders.values()) watcher.close();
    this.ending.abort(closed());
    for (const { reject } of this.queue.splice(0)) reject(closed());
    await this.writing;
    await this.polling.settled;
  }

  /** The first look is taken at once, so that checks can follow; what goes wrong is told later. */
  private begin(): void {
    try {
      const identity = identityOf(statSync(this.path, { bigint: true, throwIfNoEntry: false }));
      const text = identity === undefined ? undefined : readFileSync(this.path, 'utf8');
      this.take(this.stateOf(text === undefined ? undefined : read(text), identity));
    } catch {
      // The next look says why.
    }
    void this.follow();
  }

  /** Watches where the file is, and where a link to it can be pointed elsewhere. */
  private async follow(): Promise<void> {
    const wanted = new Map<string, string | undefined>();
    try {
      const file = await followed(this.path);
      const folder = await realpath(dirname(this.path));
      wanted.set(dirname(file), basename(file));
      // Whatever it is in that folder that leads on: a link to the file, or to the file's folder.
      if (file !== join(folder, basename(file))) wanted.set(folder, undefined);
    } catch {
      // The poll finds out.
    }
    if (this.isClosed) return;
    for (const [folder, watcher] of this.folders) {
      if (wanted.has(folder)) continue;
      watcher.close();
      this.folders.delete(folder);
    }
    const added = [...wanted].filter(([folder]) => !this.folders.has(folder));
    for (const [folder, only] of added) this.watchFolder(folder, only);
    // What has changed until then was not told.
    if (added.length > 0) void this.polling.look();
  }

  private watchFolder(folder: string, only: string | undefined): void {
    try {
      const watcher = watch(folder, { persistent: false }, (_, name) => {
        if (name === null || only === undefined || name === only) void this.polling.look();
      });
      watcher.on('error', () => watcher.close());
      watcher.unref();
      this.folders.set(folder, watcher);
    } catch {
      // Without it, the poll finds out.
    }
  }

  private async lookOnce(): Promise<void> {
    if (this.isClosed) return;
    const { refused } = this;
    for (let isSecond = false; ; isSecond = true) {
      const sentAt = performance.now();
      const before = this.state;
      try {
        const identity = identityOf(await statOf(this.path));
        if (identity === undefined && this.state.identity !== undefined) throw lost(this.path);
        if (identity === this.state.identity && !this.isNothing) {
          this.state.confirmedAt = sentAt;
        } else {
          const found = await this.readNow(identity);
          // Something was written meanwhile, and this is older.
          if (this.state !== before) continue;
          this.take(this.stateOf(found, identity, sentAt));
          void this.follow();
        }
        this.succeeded();
        return;
      } catch (error) {
        const isKnown = hasCode(error, 'STORE_UNAVAILABLE') || error === refused?.error;
        if (!isSecond && !isKnown) {
          await delay(SECOND_LOOK_MS);
          continue;
        }
        this.failed(error as Error);
        return;
      }
    }
  }

  /** What the file says. INVALID_RECORD, with the line. */
  private async readNow(identity: string | undefined): Promise<Read | undefined> {
    if (identity === undefined) return undefined;
    if (identity === this.refused?.identity) throw this.refused.error;
    const text = await readFile(this.path, 'utf8');
    try {
      return await readInTurns(text);
    } catch (error) {
      const problem = await located(text, error);
      this.refused = { identity, error: problem };
      throw problem;
    }
  }

  private stateOf(
    found: Read | undefined,
    identity: string | undefined,
    sentAt: number = performance.now(),
  ): FileState {
    const store = found === undefined ? this.emptyStore() : this.storeOf(found.kept);
    return new FileState(store, found?.unreadable ?? new Map(), identity, sentAt);
  }

  private emptyStore(): Store {
    return new Store(this.historyLength, Date.now);
  }

  private storeOf(kept: Kept): Store {
    return Store.of(kept, this.historyLength, Date.now);
  }

  /** Everything that waits, in one writing of the file. */
  private async writeAll(): Promise<void> {
    // What else is told in this turn comes along.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.queue.length > 0) {
      const all = this.queue;
      this.queue = [];
      let lock: FileLock;
      try {
        lock = new FileLock(await followed(this.path));
        await lock.take(this.operationTimeoutMs, this.ending.signal);
      } catch (error) {
        const { aborted, reason } = this.ending.signal;
        const cause = this.described(error as Error);
        for (const { write, reject } of all) {
          reject(aborted ? reason : notApplied(write.name, cause));
        }
        continue;
      }
      let answer: () => void;
      try {
        answer = await this.writeUnderLock(lock, all);
      } catch (error) {
        const cause = this.described(error as Error);
        answer = () => {
          for (const { write, reject } of all) reject(notApplied(write.name, cause));
        };
      }
      // First: who is answered may end the process, and others would wait for its lock.
      await lock.release().catch(() => {});
      answer();
    }
    // At once: who was answered may write again before anything else happens.
    this.writing = undefined;
  }

  /** Gives what answers those who wait. */
  private async writeUnderLock(lock: FileLock, all: readonly Queued[]): Promise<() => void> {
    const identity = identityOf(await statOf(this.path));
    // What is held is copied: it is seen by checks, and this may yet fail.
    const found =
      identity !== undefined && identity === this.state.identity
        ? { kept: this.state.store.keep(), unreadable: this.state.unreadable }
        : await this.readNow(identity);
    const isLost = identity === undefined && this.state.identity !== undefined;
    const working = this.stateOf(found && this.withoutAnswered(found), identity);
    const { store } = working;
    const done: ((doubt: unknown) => void)[] = [];
    const drawn = new Set<string>();
    let isChanged = false;
    for (const { write, resolve: succeed, reject } of all) {
      try {
        // Where all is gone, only what begins anew is told of something true.
        if (isLost && write.expect !== 'absent') throw notApplied(write.name, lost(this.path));
        const requestId = write.requestId ?? crypto.randomUUID();
        if (write.requestId === undefined) drawn.add(requestId);
        // To assign once more does nothing more: it needs no request.
        const applied = store.write('assign' in write ? write : { ...write, requestId });
        const { written } = applied;
        isChanged ||= applied.isChanged || write.requestId !== undefined;
        done.push((doubt) => {
          if (doubt === undefined) succeed(written);
          else reject(outcomeUnknown(write.name, requestId, doubt));
        });
      } catch (error) {
        done.push(() => reject(error));
      }
    }
    let doubt: unknown;
    if (isChanged) {
      const made = await this.put(lock, print(store.keep(), working.unreadable), identity);
      const written = await this.placed(lock, made).catch((error) => {
        doubt = this.described(error);
        return OVERTAKEN;
      });
      if (doubt === undefined) this.answered = drawn;
      this.take(new FileState(store, working.unreadable, written, performance.now()));
      this.succeeded();
    }
    return () => {
      for (const each of done) each(doubt);
    };
  }

  private withoutAnswered({ kept, unreadable }: Read): Read {
    const requests = kept.requests.filter(({ id }) => !this.answered.has(id));
    return { kept: { ...kept, requests }, unreadable };
  }

  /** Puts the text on the disk, and in the file's place; gives the new file as it was before that. */
  private async put(
    lock: FileLock,
    text: string,
    identity: string | undefined,
  ): Promise<BigIntStats> {
    // It could not be read again.
    if (text.length > LONGEST_FILE) throw tooLong(this.path, text.length);
    const scratch = lock.scratch;
    try {
      let made: BigIntStats;
      const before = identity === undefined ? undefined : await stat(this.path);
      const file = await open(scratch, 'wx', before?.mode ?? 0o644);
      try {
        if (before !== undefined) await giveTo(file, before);
        await file.writeFile(text);
        await file.sync();
        made = await file.stat({ bigint: true });
      } finally {
        await file.close();
      }
      // Somebody who took us for dead, edits by hand or points a link elsewhere goes first.
      const isAsBefore =
        identityOf(await statOf(this.path)) === identity &&
        (await followed(this.path)) === lock.file;
      if (!isAsBefore || !(await lock.isHeld())) {
        throw new HanoiError('CONFLICT', `${this.path} was changed underway.`);
      }
      await rename(scratch, lock.file);
      return made;
    } catch (error) {
      await unlink(scratch).catch(() => {});
      throw error;
    }
  }

  /** The identity of the file that was put in its place. Rejects where it may not have stayed. */
  private async placed(lock: FileLock, made: BigIntStats): Promise<string | undefined> {
    if (!(await lock.isHeld())) {
      throw new HanoiError('CONFLICT', `The lock of ${this.path} was taken away underway.`);
    }
    const placed = await statOf(this.path);
    await syncFolder(dirname(lock.file));
    // An editor may have been there since: then the next look has to read what it has left.
    return isSameContent(placed, made) ? identityOf(placed) : OVERTAKEN;
  }

  private succeeded(): void {
    this.state.stale = undefined;
    this.isMissing = false;
    if (this.problem === undefined) return;
    this.problem = undefined;
    this.tell('recovered');
  }

  private failed(error: Error): void {
    const problem = this.described(error);
    const isNew = this.problem?.message !== problem.message;
    const wasFine = this.problem === undefined;
    this.problem = problem;
    this.state.spoil(problem);
    if (!isNew) return;
    if (problem.message === lost(this.path).message && !this.isMissing) {
      this.isMissing = true;
      this.tell('dataLoss', problem);
    }
    if (wasFine) this.tell('degraded', problem);
  }

  /** As an outage: what can't be read is not "no such feature". */
  private described(error: Error): HanoiError {
    if (error instanceof HanoiError && !/^INVALID_/.test(error.code)) return error;
    const { code } = error as NodeJS.ErrnoException;
    const isDenied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
    const message =
      error instanceof HanoiError
        ? `${this.path} can't be read: ${error.message}`
        : `${this.path} can't be read or written (${code ?? error.message}).`;
    return new HanoiError(isDenied ? 'STORE_DENIED' : 'STORE_UNAVAILABLE', message, {
      cause: error,
    });
  }
}

/** Before the file was looked at. */
function nothing(): FileState {
  return new FileState(new Store(0, Date.now), new Map(), undefined, Number.NEGATIVE_INFINITY);
}

/** Which file this is, and which state of it. */
function identityOf(file: BigIntStats | undefined): string | undefined {
  return file && `${file.ino}:${file.size}:${file.mtimeNs}:${file.ctimeNs}`;
}

/** Whether it is the same file, written at the same time. To rename a file moves its ctime alone. */
function isSameContent(one: BigIntStats | undefined, other: BigIntStats): boolean {
  return one?.ino === other.ino && one.size === other.size && one.mtimeNs === other.mtimeNs;
}

async function statOf(path: string) {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Where the file is, or is to be, that a path leads to. */
async function followed(path: string): Promise<string> {
  let at = path;
  for (let links = 0; links <= MOST_LINKS; links++) {
    const folder = await realpath(dirname(at));
    at = join(folder, basename(at));
    // It is no link, or not there.
    const to = await readlink(at).catch(() => undefined);
    if (to === undefined) return at;
    at = resolve(folder, to);
  }
  throw new HanoiError('STORE_UNAVAILABLE', `${path} is a link to itself.`);
}

async function syncFolder(path: string): Promise<void> {
  try {
    const folder = await open(path, 'r');
    await folder.sync().finally(() => folder.close());
  } catch {
    // Some systems know no such thing; the file itself is on the disk.
  }
}

/** Whose it is to be: the others who use it keep what they may do with it. */
async function giveTo(file: FileHandle, { uid, gid, mode }: Stats): Promise<void> {
  const own = await file.stat();
  if (own.uid !== uid || own.gid !== gid) {
    // Only root may give a file away, but a member of the group can leave it to the group.
    await file.chown(uid, gid).catch(() => file.chown(-1, gid).catch(() => {}));
  }
  // The umask took its share when it was opened. Some file systems know no modes.
  await file.chmod(mode & 0o7777).catch(() => {});
}

function tooLong(path: string, length: number): HanoiError {
  return new HanoiError(
    'STORE_DENIED',
    `${path} would have ${length} characters, more than ${LONGEST_FILE}, and could not be read.`,
  );
}

function lost(path: string): HanoiError {
  return new HanoiError('STORE_UNAVAILABLE', `${path} is gone.`);
}
