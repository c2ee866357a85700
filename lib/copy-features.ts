import { isDeepStrictEqual } from 'node:util';
import {
  type Backend,
  type Head,
  MEMBERS_PER_WRITE,
  type Source,
  type Stored,
  type Write,
} from './backends/backend.js';
import type { Feature } from './domain/feature.js';
import {
  changedMeanwhile,
  HanoiError,
  hasCode,
  invalid,
  notFound,
  refuseUnknownOptions,
} from './errors.js';

export interface CopyOptions {
  /** Say what would be done, and do nothing. Default false. */
  dryRun?: boolean;
  /** Only these. FEATURE_NOT_FOUND for one that the source doesn't have. Default: all. */
  names?: Iterable<string>;
  /** What to do where there is another feature of that name. Default 'skip'. */
  onConflict?: 'skip' | 'replace';
  /** Who makes the change, for the history. */
  actor?: string;
  /** Why, for the history. */
  note?: string;
  /** Called after each feature. */
  onProgress?: (progress: { readonly done: number; readonly of: number }) => void;
}

/** What was done with each feature, by name; with `dryRun`, what would be. */
export interface CopyReport {
  /** Those that were not there. */
  readonly copied: readonly string[];
  /** Those that were there otherwise, and are now as they should be. */
  readonly replaced: readonly string[];
  /** Those that were there already, settings and members. */
  readonly same: readonly string[];
  /** Those that are there otherwise, and were left alone. */
  readonly skipped: readonly string[];
  /** Those that can't be read, here or there (CORRUPT_FEATURE), and were left alone. */
  readonly problems: readonly HanoiError[];
}

type Outcome = Exclude<keyof CopyReport, 'problems'>;

/** Of a feature that changes while it is copied, so often; then CONFLICT. */
const MOST_ATTEMPTS = 5;

const DEFAULTS = {
  dryRun: false,
  names: undefined,
  onConflict: 'skip',
  actor: undefined,
  note: undefined,
  onProgress: undefined,
} as const;

/** A feature that is being copied has it, and is off. Who finds it goes on with the copy. */
interface Incomplete extends Feature {
  readonly incomplete?: true;
}

/**
 * Copies features with their members from one backend to another, each as it was at one moment;
 * not their history. Everybody is answered as before: nobody is dealt again.
 *
 * A feature with at most 1,000 members appears by one write, and so does one that is replaced with
 * at most so many changes to its members. A larger one is off until all of it is there; one that is
 * replaced answers meanwhile by its old document and members some of which are the new ones. To
 * call it again after it failed, or was killed, goes on; what is there already is not written again.
 *
 * Where the source can't be read, nothing is written. CONFLICT for a feature that goes on changing.
 */
export async function copyFeatures(
  from: Source,
  to: Backend,
  options: CopyOptions = {},
): Promise<CopyReport> {
  refuseUnknownOptions(options, Object.keys(DEFAULTS));
  const { dryRun, names, onConflict, actor, note, onProgress } = { ...DEFAULTS, ...options };
  if (typeof dryRun !== 'boolean') throw invalid('`dryRun` to be true or false', dryRun);
  if (onConflict !== 'skip' && onConflict !== 'replace') {
    throw invalid("`onConflict` to be 'skip' or 'replace'", onConflict);
  }
  const { features } = await from.loadAll();
  const wanted = names === undefined ? [...features.keys()] : [...new Set(names)];
  for (const name of wanted) if (!features.has(name)) throw notFound(name);
  // The target has to be there before anything is told of it.
  await to.token();
  const report: Record<Outcome, string[]> = { copied: [], replaced: [], same: [], skipped: [] };
  const problems: HanoiError[] = [];
  for (const [at, name] of wanted.entries()) {
    const copy = new Copying(from, to, name, { actor, note });
    try {
      const outcome = await copy.run(dryRun, onConflict === 'replace');
      if (outcome !== undefined) report[outcome].push(name);
    } catch (error) {
      if (!hasCode(error, 'CORRUPT_FEATURE')) throw error;
      problems.push(error);
    }
    onProgress?.({ done: at + 1, of: wanted.length });
  }
  return { ...report, problems };
}

/** A document, the head it has, and how many members there are. */
interface Found {
  readonly head: Head;
  readonly document: Incomplete;
  readonly count: number;
}

/** How the members of the target have to change. */
interface Difference {
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

class Copying {
  /** What was found, or begun, at the first attempt is what is told. */
  private outcome: Outcome | undefined;

  constructor(
    private readonly from: Source,
    private readonly to: Backend,
    private readonly name: string,
    private readonly about: Pick<Write, 'actor' | 'note'>,
  ) {}

  /** Undefined where it was removed meanwhile. */
  async run(isDry: boolean, isReplacing: boolean): Promise<Outcome | undefined> {
    for (let attempt = 1; ; attempt++) {
      try {
        const source = await find(this.from, this.name);
        if (source === undefined) return undefined;
        if (source.document.incomplete) throw half(this.name);
        const target = await find(this.to, this.name);
        if (target === undefined) {
          this.outcome ??= 'copied';
          if (!isDry) await this.create(source);
          return this.outcome;
        }
        const isBegun = target.document.incomplete === true;
        const isSame =
          isDeepStrictEqual(settingsOf(source.document), settingsOf(target.document)) &&
          source.count === target.count;
        if (!isBegun && !isSame && !isReplacing) return this.outcome ?? 'skipped';
        const difference = await this.difference(source, target);
        const { add, remove } = difference;
        if (isSame && add.length + remove.length === 0) return this.outcome ?? 'same';
        if (!isBegun && !isReplacing) return this.outcome ?? 'skipped';
        this.outcome ??= isBegun ? 'copied' : 'replaced';
        if (!isDry) await this.bringUp(source.document, target, difference);
        return this.outcome;
      } catch (error) {
        const isMoved =
          hasCode(error, 'CONFLICT') ||
          hasCode(error, 'FEATURE_NOT_FOUND') ||
          hasCode(error, 'FEATURE_EXISTS');
        if (!isMoved) throw error;
        if (attempt === MOST_ATTEMPTS) throw changedMeanwhile(this.name);
      }
    }
  }

  private async create(source: Found): Promise<void> {
    const { name, about } = this;
    const id = crypto.randomUUID();
    const document = { ...source.document, id, revision: 1 };
    if (source.count <= MEMBERS_PER_WRITE) {
      const add = await this.allOf(source);
      await this.to.write({ name, expect: 'absent', document, add, ...about });
      return;
    }
    const begun: Incomplete = { ...document, enabled: false, incomplete: true };
    await this.to.write({ name, expect: 'absent', document: begun, ...about });
    for await (const some of this.from.members(name)) {
      for (const add of batchesOf(some)) {
        await this.to.write({ name, expect: { id }, add, ...about });
      }
    }
    await this.refuseChanged(source);
    await this.put({ ...document, revision: 2 }, { id, revision: 1 });
  }

  /** Makes the target what the source is: its members first, then its document. */
  private async bringUp(
    document: Feature,
    { document: { id, revision } }: Found,
    { add, remove }: Difference,
  ): Promise<void> {
    const { name, about } = this;
    const expect = { id, revision };
    const next = { ...document, id, revision: revision + 1 };
    if (add.length + remove.length <= MEMBERS_PER_WRITE) {
      await this.put(next, expect, { add, remove });
      return;
    }
    for (const ids of batchesOf(remove)) {
      await this.to.write({ name, expect, remove: ids, ...about });
    }
    for (const ids of batchesOf(add)) await this.to.write({ name, expect, add: ids, ...about });
    await this.put(next, expect);
  }

  private async put(
    document: Feature,
    expect: { id: string; revision: number },
    members: Partial<Difference> = {},
  ): Promise<void> {
    const { incomplete: _, ...complete } = document as Incomplete;
    await this.to.write({ name: this.name, expect, document: complete, ...members, ...this.about });
  }

  /** What the target lacks, and what it has beside it. */
  private async difference(source: Found, target: Found): Promise<Difference> {
    const missing = new Set(await this.allOf(source));
    const remove = new Set<string>();
    const known = new Set<string>();
    if (target.count > 0) {
      // A batch can bring an id twice.
      for await (const ids of this.to.members(this.name)) {
        for (const id of ids) {
          if (missing.delete(id)) known.add(id);
          else if (!known.has(id)) remove.add(id);
        }
      }
    }
    return { add: [...missing], remove: [...remove] };
  }

  /** The members of the source as of its head. CONFLICT if that has moved meanwhile. */
  private async allOf(source: Found): Promise<string[]> {
    if (source.count === 0) return [];
    const all = new Set<string>();
    for await (const ids of this.from.members(this.name)) for (const id of ids) all.add(id);
    await this.refuseChanged(source);
    return [...all];
  }

  private async refuseChanged({ head }: Found): Promise<void> {
    const now = (await this.from.load(this.name))?.head;
    if (!isDeepStrictEqual(now, head)) throw changedMeanwhile(this.name);
  }
}

/** CORRUPT_FEATURE where it can't be read. */
async function find(source: Source, name: string): Promise<Found | undefined> {
  const stored: Stored | undefined = await source.load(name);
  if (stored === undefined) return undefined;
  const { head, feature, problem } = stored;
  if (feature === undefined) throw problem;
  const count = head.members === 0 ? 0 : await source.countMembers(name);
  return { head, document: feature, count };
}

function half(feature: string): HanoiError {
  return new HanoiError(
    'CORRUPT_FEATURE',
    `Feature ${JSON.stringify(feature)} is half of a copy. Copy it to here first, to its end.`,
    { feature },
  );
}

/** All that a document says, but which one it is. */
function settingsOf({ id: _, revision: __, ...settings }: Feature): object {
  return settings;
}

function* batchesOf(ids: readonly string[]): Generator<readonly string[]> {
  for (let from = 0; from < ids.length; from += MEMBERS_PER_WRITE) {
    yield ids.slice(from, from + MEMBERS_PER_WRITE);
  }
}
