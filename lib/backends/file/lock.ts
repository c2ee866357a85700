import { readFileSync, readlinkSync } from 'node:fs';
import { link, open, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HanoiError } from '../../errors.js';

/** An owner on another machine who holds a lock for so long is gone. */
const LONGEST_MS = 10_000;

/** Who holds a lock, as the lock file says. */
interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Within which that host's process ids are one set, where the system tells: containers differ. */
  readonly space?: string | undefined;
  /** When the process began, where the system tells: its id is given to others after it. */
  readonly began?: string | undefined;
  readonly nonce: string;
}

/**
 * A lock between processes: a file that only one can create. Who died with it is found out by its
 * process id, or on another machine by the lock's age, and the lock is taken over. A process that
 * is alive keeps it, however long it takes: it may be about to write.
 */
export class FileLock {
  private readonly owner: Owner = {
    pid: process.pid,
    host: hostname(),
    space: spaceOfPids(),
    began: beganOf(process.pid),
    nonce: crypto.randomUUID(),
  };

  private readonly path: string;

  /** Of the file that it is for, without links: it is beside that. */
  constructor(readonly file: string) {
    this.path = `${file}.lock`;
  }

  /** Resolves once it is held. STORE_BUSY after so many ms; the signal's reason once it is aborted. */
  async take(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      signal.throwIfAborted();
      if (await this.create(this.path)) return;
      if (await this.isAbandoned(this.path)) await this.takeAway();
      else if (performance.now() >= deadline) {
        throw new HanoiError(
          'STORE_BUSY',
          `Another process holds ${this.path} for longer than ${timeoutMs} ms.`,
        );
      } else await delay(1 + Math.random() * 9);
    }
  }

  /** Whether it is still ours: somebody may have taken us for dead. */
  async isHeld(): Promise<boolean> {
    return (await ownerOf(this.path))?.nonce === this.owner.nonce;
  }

  /** A path beside the lock for what the owner is about to put in place; swept up if it dies. */
  get scratch(): string {
    return `${this.path}.${nameOf({ ...this.owner, nonce: crypto.randomUUID() })}`;
  }

  async release(): Promise<void> {
    if (await this.isHeld()) await unlink(this.path).catch(() => {});
  }

  /** Whole or not at all: it is written elsewhere, and linked to its place. */
  private async create(path: string): Promise<boolean> {
    const own = `${path}.${nameOf(this.owner)}`;
    const file = await open(own, 'w');
    try {
      await file.writeFile(JSON.stringify(this.owner));
      await file.close();
      await link(own, path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    } finally {
      await unlink(own).catch(() => {});
    }
  }

  /**
   * Removes the lock of one who is gone. Only one at a time may do that: else a slow one would
   * remove the lock that a fast one has taken since.
   */
  private async takeAway(): Promise<void> {
    const path = `${this.path}.break`;
    if (!(await this.create(path))) {
      if (await this.isAbandoned(path)) await unlink(path).catch(() => {});
      else await delay(1 + Math.random() * 4);
      return;
    }
    try {
      if (await this.isAbandoned(this.path)) {
        const aside = `${this.path}.${nameOf(this.owner)}`;
        await rename(this.path, aside).catch(() => {});
        await this.sweep();
      }
    } finally {
      await unlink(path).catch(() => {});
    }
  }

  /** Removes what those have left who are gone. */
  private async sweep(): Promise<void> {
    const own = nameOf(this.owner);
    const prefix = `${basename(this.path)}.`;
    for (const name of await readdir(dirname(this.path))) {
      const pid = name.startsWith(prefix) ? /\.(\d+)-[-0-9a-f]{36}$/.exec(name)?.[1] : undefined;
      if (pid === undefined || (isAlive(Number(pid)) && !name.endsWith(own))) continue;
      await unlink(join(dirname(this.path), name)).catch(() => {});
    }
  }

  private async isAbandoned(path: string): Promise<boolean> {
    const owner = await ownerOf(path);
    if (owner !== undefined && owner.host === this.owner.host) {
      const { space = this.owner.space } = owner;
      if (space === this.owner.space) return !isAlive(owner.pid, owner.began);
    }
    const since = await writtenAt(path);
    return since !== undefined && (await this.now()) - since > LONGEST_MS;
  }

  /** By the clock that stamps the files, which can be a server's and another one than ours. */
  private async now(): Promise<number> {
    const path = this.scratch;
    try {
      await writeFile(path, '.', { flag: 'wx' });
      return (await writtenAt(path)) ?? 0;
    } finally {
      await unlink(path).catch(() => {});
    }
  }
}

function nameOf({ pid, nonce }: Owner): string {
  return `${pid}-${nonce}`;
}

/** Undefined where it can't be told, or there is no lock. */
async function ownerOf(path: string): Promise<Owner | undefined> {
  try {
    const owner = JSON.parse(await readFile(path, 'utf8'));
    return Number.isSafeInteger(owner.pid) ? owner : undefined;
  } catch {
    return undefined;
  }
}

/** In Unix ms; undefined where there is no such file. */
function writtenAt(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
}

function isAlive(pid: number, began?: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // It is there, and somebody else's.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return began === undefined || began === (beganOf(pid) ?? began);
}

/** When a process began, in ticks since the system did; undefined where it does not tell. */
function beganOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name comes second, in brackets, and can hold any.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function spaceOfPids(): string | undefined {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return undefined;
  }
}
