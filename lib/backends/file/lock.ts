import { link, open, readdir, readFile, rename, stat, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HanoiError } from '../../errors.js';

/** Nobody holds a lock for so long: its owner hangs, or is on another machine and gone. */
const LONGEST_MS = 10_000;

/** Who holds a lock, as the lock file says. */
interface Owner {
  readonly pid: number;
  readonly host: string;
  readonly nonce: string;
}

/**
 * A lock between processes: a file that only one can create. Who died with it is found out by its
 * process id, and its lock is taken over.
 */
export class FileLock {
  private readonly owner: Owner = {
    pid: process.pid,
    host: hostname(),
    nonce: crypto.randomUUID(),
  };

  constructor(private readonly path: string) {}

  /** Resolves once it is held. STORE_BUSY after so many ms. */
  async take(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
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
    if (owner === undefined) return false;
    if (owner.host === this.owner.host && !isAlive(owner.pid)) return true;
    const age = await stat(path).then(
      ({ mtimeMs }) => Date.now() - mtimeMs,
      () => 0,
    );
    return age > LONGEST_MS;
  }
}

function nameOf({ pid, nonce }: Owner): string {
  return `${pid}-${nonce}`;
}

async function ownerOf(path: string): Promise<Owner | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It is there, and somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
