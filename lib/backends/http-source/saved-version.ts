import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { HanoiError, invalid } from '../../errors.js';

/** A version as it was read. */
export interface Version {
  readonly text: string;
  readonly etag: string | undefined;
  /** When that was asked (Unix ms) which showed last that it is the latest. */
  readonly confirmedAt: number;
}

/** What a file of this kind begins with: a line of JSON, and then the version's text as it came. */
interface Heading {
  readonly kind: typeof KIND;
  /** A digest of where the version came from. */
  readonly from: string;
  readonly etag?: string | undefined;
  readonly confirmedAt: number;
  /** Of the version: one that was edited would be held for the latest by its ETag. */
  readonly digest: string;
}

const KIND = 'hanoi/http-source';

/** That a version is still the latest is saved no more often than this: until then it seems older than it is. */
const CONFIRM_EVERY_MS = 60_000;

/** How the name goes on of a file that is not whole yet. */
const SCRATCH = /^\.[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}\.tmp$/;

/** Longer than it takes to write one. */
const ABANDONED_MS = 60_000;

/** The last good version on the disk. */
export class SavedVersion {
  private readonly path: string;
  private readonly from: string;
  private saved: Version | undefined;
  private wanted: Version | undefined;
  private writing: Promise<void> | undefined;
  private hasTidied: boolean = false;
  /** Somebody's file, named by mistake, is not to be written over. */
  private isForeign: boolean = false;

  /** `from` names where versions come from: those of elsewhere are none. INVALID_ARGUMENT. */
  constructor(
    path: string,
    from: string,
    /** Told what went wrong with a file that nothing depends on now: once, until it works again. */
    private readonly failed: (error: HanoiError | undefined) => void,
  ) {
    if (typeof path !== 'string' || path === '' || path.includes('\0')) {
      throw invalid('`cacheFile` to be the path of a file', path);
    }
    this.path = resolve(path);
    this.from = createHash('sha256').update(from).digest('hex');
    if (!statSync(dirname(this.path), { throwIfNoEntry: false })?.isDirectory()) {
      throw invalid('the folder of `cacheFile` to be there', path);
    }
  }

  /** Undefined where there is none. STORE_UNAVAILABLE, INVALID_RECORD. */
  load(): Version | undefined {
    let file: string;
    try {
      file = readFileSync(this.path, 'utf8');
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return undefined;
      throw new HanoiError('STORE_UNAVAILABLE', `${this.path} can't be read (${code}).`);
    }
    const end = file.indexOf('\n');
    const heading = headingOf(file.slice(0, Math.max(0, end)));
    if (heading === undefined) {
      this.isForeign = file !== '';
      throw new HanoiError(
        'INVALID_RECORD',
        `${this.path} is no \`cacheFile\`, and is left as it is. Name another, or remove it.`,
      );
    }
    if (heading.from !== this.from) {
      throw new HanoiError(
        'INVALID_RECORD',
        `${this.path} is the \`cacheFile\` of another source.`,
      );
    }
    const { etag, confirmedAt } = heading;
    const saved = { text: file.slice(end + 1), etag, confirmedAt };
    if (digestOf(saved) !== heading.digest) {
      throw new HanoiError('INVALID_RECORD', `${this.path} is not as it was written.`);
    }
    this.saved = saved;
    return saved;
  }

  /** Saves the version some time soon; of several, the last. */
  save(version: Version): void {
    const { saved } = this;
    if (this.isForeign) return;
    const isSame = saved?.text === version.text && saved.etag === version.etag;
    const sinceMs = version.confirmedAt - (saved?.confirmedAt ?? 0);
    if (isSame && sinceMs >= 0 && sinceMs < CONFIRM_EVERY_MS) return;
    this.wanted = version;
    this.writing ??= this.write().finally(() => {
      this.writing = undefined;
    });
  }

  /** Until nothing more is to be written. */
  async settled(): Promise<void> {
    await this.writing;
  }

  private async write(): Promise<void> {
    while (this.wanted !== undefined) {
      const version = this.wanted;
      this.wanted = undefined;
      try {
        await this.put(version);
        this.saved = version;
        this.failed(undefined);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        this.failed(
          new HanoiError('STORE_UNAVAILABLE', `${this.path} can't be written (${code}).`),
        );
      }
    }
  }

  /** In the file's place once it is whole on the disk. */
  private async put(version: Version): Promise<void> {
    const { text, etag, confirmedAt } = version;
    const digest = digestOf(version);
    const heading: Heading = { kind: KIND, from: this.from, etag, confirmedAt, digest };
    if (!this.hasTidied) await this.tidy();
    const scratch = `${this.path}.${randomUUID()}.tmp`;
    try {
      const file = await open(scratch, 'wx', 0o600);
      try {
        await file.writeFile(`${JSON.stringify(heading)}\n${text}`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(scratch, this.path);
    } catch (error) {
      await unlink(scratch).catch(() => {});
      throw error;
    }
  }

  /** Removes what processes have left that were killed while they wrote. */
  private async tidy(): Promise<void> {
    this.hasTidied = true;
    const folder = dirname(this.path);
    for (const name of await readdir(folder)) {
      const start = basename(this.path);
      if (!name.startsWith(start) || !SCRATCH.test(name.slice(start.length))) continue;
      const scratch = join(folder, name);
      const { mtimeMs } = await stat(scratch).catch(() => ({ mtimeMs: Date.now() }));
      if (Date.now() - mtimeMs > ABANDONED_MS) await unlink(scratch).catch(() => {});
    }
  }
}

function digestOf({ text, etag, confirmedAt }: Version): string {
  const about = JSON.stringify([etag, confirmedAt]);
  return createHash('sha256').update(about).update(text).digest('hex');
}

function headingOf(line: string): Heading | undefined {
  try {
    const heading = JSON.parse(line) as Partial<Heading> | null;
    const { kind, from, etag, confirmedAt, digest } = heading ?? {};
    const isHeading =
      kind === KIND &&
      typeof from === 'string' &&
      (etag === undefined || typeof etag === 'string') &&
      Number.isFinite(confirmedAt) &&
      typeof digest === 'string';
    return isHeading ? (heading as Heading) : undefined;
  } catch {
    return undefined;
  }
}
