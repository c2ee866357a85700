import { isDeepStrictEqual } from 'node:util';
import {
  type Assignment,
  type Backend,
  type Head,
  MEMBERS_PER_WRITE,
  type RecordedWrite,
  type Source,
  type Stored,
} from './backends/backend.js';
import { changesBetween } from './backends/catch-up.js';
import { compile } from './domain/decide.js';
import type { Feature } from './domain/feature.js';
import {
  changedMeanwhile,
  HanoiError,
  hasCode,
  invalid,
  notFound,
  refuseUnknownOptions,
} from './errors.js';
import { isOfFeature, readName, titleOf } from './stored-name.js';

export interface CopyOptions {
  /** Say what would be done, and do nothing. Default false. */
  dryRun?: boolean;
  /**
   * Only these features, with the groups and the like by which they go. FEATURE_NOT_FOUND for one
   * that the source doesn't have. Default: all.
   */
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

/**
 * What was done with each feature, by name, and with what they go by: `Group "friends"`. With
 * `dryRun`, what would be.
 */
export interface CopyReport {
  /** Those that were not there. */
  readonly copied: readonly string[];
  /** Those that were there otherwise, and are now as they should be. */
  readonly replaced: readonly string[];
  /** Those that were there already, with all that is kept of them. */
  readonly same: readonly string[];
  /** Those that are there otherwise, and were left alone. */
  readonly skipped: readonly string[];
  /**
   * Those that can't be read, here or there (CORRUPT_FEATURE), and were left alone; and those that
   * changed faster than they could be copied (CONFLICT): to copy again goes on with them. And those
   * that were left behind, though a feature that is there now requires them, and so is off for
   * everyone (FEATURE_NOT_FOUND).
   */
  readonly problems: readonly HanoiError[];
}

type Outcome = Exclude<keyof CopyReport, 'problems'>;

/** Of a feature that changes while it is copied, faster than its history tells; then CONFLICT. */
const MOST_ATTEMPTS = 5;

/** As often, while members are read, what has changed is looked up: a history is soon trimmed. */
const CATCH_UP_MS = 100;

/** So many of the last changes are looked into. */
const CATCH_UP = 1_000;

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
 * not their history. Everybody is answered as before: nobody is dealt again. For that also groups,
 * experiments, the population, and what a feature has assigned to ids, with exact weights, are
 * copied; whom it assigns something while it is copied may be missing, until it is copied again.
 *
 * A feature with at most 1,000 members, and nothing assigned, appears by one write, and so does one
 * that is replaced with at most so many changes to its members. A larger one is off until all of it
 * is there; one that is replaced answers meanwhile by its old document and members some of which are
 * the new ones. To call it again after it failed, or was killed, goes on; what is there already is
 * not written again.
 *
 * Where the source can't be read at the start, nothing is written. Where it, or the target, fails
 * later, this rejects, and what was written until then stays. INVALID_ARGUMENT; READ_ONLY, also of
 * a dry run.
 */
export async function copyFeatures(
  from: Source,
  to: Backend,
  options: CopyOptions = {},
): Promise<CopyReport> {
  refuseOthers(from, to);
  if (!isObject(options)) throw invalid('an object of options', options);
  refuseUnknownOptions(options, Object.keys(DEFAULTS));
  const { dryRun, names, onConflict, actor, note, onProgress } = { ...DEFAULTS, ...options };
  if (typeof dryRun !== 'boolean') throw invalid('`dryRun` to be true or false', dryRun);
  if (onConflict !== 'skip' && onConflict !== 'replace') {
    throw invalid("`onConflict` to be 'skip' or 'replace'", onConflict);
  }
  if (names !== undefined && !isList(names)) throw invalid('`names` to be a list of names', names);
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw invalid('`onProgress` to be a function', onProgress);
  }
  const { features } = await from.loadAll();
  const wanted = names === undefined ? [...features.keys()] : withReferred(names, features);
  // What they go by comes before them.
  wanted.sort((one, other) => Number(isOfFeature(one)) - Number(isOfFeature(other)));
  // The target has to be there before anything is told of it.
  await to.token();
  const report: Record<Outcome, string[]> = { copied: [], replaced: [], same: [], skipped: [] };
  const problems: HanoiError[] = [];
  for (const [at, name] of wanted.entries()) {
    const copy = new Copying(from, to, name, { actor, note });
    try {
      const outcome = await copy.run(dryRun, onConflict === 'replace');
      if (outcome !== undefined) report[outcome].push(isOfFeature(name) ? name : titleOf(name));
    } catch (error) {
      if (!hasCode(error, 'CORRUPT_FEATURE') && !hasCode(error, 'CONFLICT')) throw error;
      problems.push(error);
    }
    onProgress?.({ done: at + 1, of: wanted.length });
  }
  const { copied, replaced, same, skipped } = report;
  const told = problems.map(({ feature }) => feature);
  const there = new Set([...copied, ...replaced, ...same, ...skipped, ...told]);
  const ours = [...copied, ...replaced, ...same];
  problems.push(...(await leftBehind(ours, there, features, to)));
  return { ...report, problems };
}

/** What these require, and only the source has. */
async function leftBehind(
  names: readonly string[],
  there: ReadonlySet<string | undefined>,
  features: ReadonlyMap<string, Stored>,
  to: Backend,
): Promise<HanoiError[]> {
  const missing = new Map<string, string[]>();
  for (const name of names) {
    for (const { feature } of features.get(name)?.feature?.requires ?? []) {
      if (there.has(feature) || !features.has(feature)) continue;
      missing.set(feature, [...(missing.get(feature) ?? []), JSON.stringify(name)]);
    }
  }
  const problems: HanoiError[] = [];
  for (const [feature, by] of missing) {
    if ((await to.load(feature)) !== undefined) continue;
    problems.push(
      new HanoiError(
        'FEATURE_NOT_FOUND',
        `${titleOf(feature)} was left behind. What requires it is off for everyone there: ${by.join(', ')}. Copy it too.`,
        { feature },
      ),
    );
  }
  return problems;
}

/** By shape: a backend of another copy of the package is one too. READ_ONLY, INVALID_ARGUMENT. */
function refuseOthers(from: Source, to: Backend): void {
  const isSource = (given: Partial<Source> | null | undefined) =>
    typeof given?.loadAll === 'function';
  if (!isSource(from) || !isSource(to)) {
    // Not what was given: a Rollout or a client can have a password in it.
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `Expected a backend to copy ${isSource(from) ? 'to' : 'from'}; of a Rollout, the one that it was made with.`,
    );
  }
  if (typeof (to as Partial<Backend>).write !== 'function') {
    throw new HanoiError('READ_ONLY', 'What is to be copied to only reads.');
  }
}

/** These, and what they go by beside other features. FEATURE_NOT_FOUND. */
function withReferred(names: Iterable<string>, features: ReadonlyMap<string, Stored>): string[] {
  const wanted = new Set(names);
  for (const name of wanted) {
    const stored = features.get(name);
    if (stored === undefined) throw notFound(name);
    const { refers = [] } = stored.feature === undefined ? {} : compile(stored.feature);
    for (const each of refers) if (!isOfFeature(each) && features.has(each)) wanted.add(each);
  }
  return [...wanted];
}

/** A text is one of its letters. */
function isList(names: unknown): boolean {
  return isObject(names) && Symbol.iterator in names;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** A document, the head it has, and how much is kept beside it. */
interface Found {
  readonly head: Head;
  readonly document: Incomplete;
  /** How many members there are. */
  readonly count: number;
  /** How many ids are assigned something, where the feature goes by that or counts it. */
  readonly assigned: number;
}

/** How the members of the target have to change. */
interface Difference {
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

/** How what is assigned in the target has to change. Who is to have another value is in both. */
interface AssignedDifference {
  readonly assign: readonly Assignment[];
  readonly release: readonly string[];
}

const ALIKE: AssignedDifference = { assign: [], release: [] };

class Copying {
  /** What was found, or begun, at the first attempt is what is told. */
  private outcome: Outcome | undefined;

  constructor(
    private readonly from: Source,
    private readonly to: Backend,
    private readonly name: string,
    private readonly about: Pick<RecordedWrite, 'actor' | 'note'>,
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
        const isAsked = isBegun || isReplacing;
        const isAlike =
          isSame(source.document, target.document) &&
          source.count === target.count &&
          source.assigned === target.assigned;
        if (!isAsked && !isAlike) return this.outcome ?? 'skipped';
        const { document, ids } = await this.whole(source);
        const difference = await this.difference(ids, target);
        const hasNone = source.assigned === 0 && target.assigned === 0;
        const assigned = hasNone ? ALIKE : await this.assignedDifference();
        const lists = [difference.add, difference.remove, assigned.assign, assigned.release];
        if (isSame(document, target.document) && lists.every((each) => each.length === 0)) {
          return this.outcome ?? 'same';
        }
        if (!isAsked) return this.outcome ?? 'skipped';
        this.outcome ??= isBegun ? 'copied' : 'replaced';
        if (!isDry) await this.bringUp(document, target.document, difference, assigned);
        return this.outcome;
      } catch (error) {
        const isMoved =
          hasCode(error, 'CONFLICT') ||
          hasCode(error, 'FEATURE_NOT_FOUND') ||
          hasCode(error, 'FEATURE_EXISTS');
        if (!isMoved) throw error;
        if (attempt === MOST_ATTEMPTS) throw outrun(this.name, error);
      }
    }
  }

  private async create(source: Found): Promise<void> {
    const { name, about } = this;
    const id = crypto.randomUUID();
    if (source.count <= MEMBERS_PER_WRITE && source.assigned === 0) {
      const { document, ids } = await this.whole(source);
      // It has grown meanwhile.
      if (ids.size > MEMBERS_PER_WRITE) throw changedMeanwhile(name);
      const first = { ...document, id, revision: 1 };
      await this.to.write({ name, expect: 'absent', document: first, add: [...ids], ...about });
      return;
    }
    const begun: Incomplete = {
      ...{ ...source.document, id, revision: 1 },
      enabled: false,
      incomplete: true,
    };
    await this.to.write({ name, expect: 'absent', document: begun, ...about });
    const reading = new Reading(this.from, name, source);
    for await (const some of reading.members()) {
      for (const add of batchesOf(some)) {
        await this.to.write({ name, expect: { id, revision: 1 }, add, ...about });
      }
    }
    let assigned = ALIKE;
    if (source.assigned > 0) {
      for await (const some of this.from.assignments(name)) await this.assign(some, { id });
      if (!(await this.isAssignedAlike())) assigned = await this.assignedDifference();
    }
    await this.bringUp(reading.document, begun, reading.changed(), assigned);
  }

  /** Makes the target what the source is: what is beside its document first, then that. */
  private async bringUp(
    document: Feature,
    target: Feature,
    { add, remove }: Difference,
    assigned: AssignedDifference,
  ): Promise<void> {
    const { name, about } = this;
    const { id } = target;
    let { revision } = target;
    for (const release of batchesOf(assigned.release)) {
      const expect = { id, revision };
      revision++;
      await this.to.write({
        ...{ name, expect, document: { ...target, revision }, release },
        ...about,
      });
    }
    const expect = { id, revision };
    await this.assign(assigned.assign, expect);
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

  private async assign(
    assignments: readonly Assignment[],
    expect: { id: string; revision?: number },
  ): Promise<void> {
    const { name } = this;
    for (const assign of batchesOf(assignments)) await this.to.write({ name, expect, assign });
  }

  /** Whether it seems so by the numbers. */
  private async isAssignedAlike(): Promise<boolean> {
    const { from, to, name } = this;
    const [one, other] = [await from.assignedWeights(name), await to.assignedWeights(name)];
    return (
      (await from.countAssigned(name)) === (await to.countAssigned(name)) &&
      Array.from(one).every(([value, weight]) => (other.get(value) ?? 0) === weight)
    );
  }

  private async assignedDifference(): Promise<AssignedDifference> {
    const wanted = new Map<string, Assignment>();
    for await (const some of this.from.assignments(this.name)) {
      for (const each of some) wanted.set(each.id, each);
    }
    const alike = new Set<string>();
    const release = new Set<string>();
    // An id may come twice.
    for await (const some of this.to.assignments(this.name)) {
      for (const { id, value, weight } of some) {
        const other = wanted.get(id);
        if (other?.value !== value) release.add(id);
        else if (other.weight === weight) alike.add(id);
      }
    }
    const assign = Array.from(wanted.values()).filter(({ id }) => !alike.has(id));
    return { assign, release: [...release] };
  }

  /** What the target lacks of these, and what it has beside them. */
  private async difference(ids: ReadonlySet<string>, target: Found): Promise<Difference> {
    const missing = new Set(ids);
    const remove = new Set<string>();
    if (target.count > 0) {
      for await (const some of this.to.members(this.name)) {
        for (const id of some) if (!missing.delete(id) && !ids.has(id)) remove.add(id);
      }
    }
    return { add: [...missing], remove: [...remove] };
  }

  /** The document and all the members of one moment: the end of reading them. */
  private async whole(source: Found): Promise<{ document: Feature; ids: Set<string> }> {
    const reading = new Reading(this.from, this.name, source);
    const ids = new Set<string>();
    for await (const some of reading.members()) for (const id of some) ids.add(id);
    const { add, remove } = reading.changed();
    for (const id of add) ids.add(id);
    for (const id of remove) ids.delete(id);
    return { document: reading.document, ids };
  }
}

/**
 * Reads the members of a feature that can change underway. At the end those that were read, with
 * what has `changed` since the beginning, are the members of one moment, and so is the document.
 */
class Reading {
  document: Feature;
  private head: Head;
  private caughtUpAt = performance.now();
  /** Whether they are members now, of those that became or ceased to be since the beginning. */
  private readonly isMember = new Map<string, boolean>();

  constructor(
    private readonly from: Source,
    private readonly name: string,
    { head, document }: Found,
  ) {
    this.head = head;
    this.document = document;
  }

  /** CONFLICT where it can't be known what has changed; CORRUPT_FEATURE. */
  async *members(): AsyncGenerator<readonly string[], void> {
    // It never had one, and the document is all there is.
    if (this.head.members === 0) return;
    for await (const ids of this.from.members(this.name)) {
      yield ids;
      if (performance.now() - this.caughtUpAt > CATCH_UP_MS) await this.catchUp();
    }
    await this.catchUp();
  }

  changed(): Difference {
    const all = [...this.isMember];
    return {
      add: all.filter(([, isMember]) => isMember).map(([id]) => id),
      remove: all.filter(([, isMember]) => !isMember).map(([id]) => id),
    };
  }

  private async catchUp(): Promise<void> {
    const { from, name, head } = this;
    const stored = await from.load(name);
    if (stored?.problem !== undefined) throw stored.problem;
    if (stored?.head.id !== head.id) throw changedMeanwhile(name);
    if (stored.head.members !== head.members) {
      const history = await from.history(name, { limit: CATCH_UP });
      const last = history.find(
        (each) => each.head.id === head.id && each.head.members === head.members,
      );
      const changes = changesBetween(head.members, last?.memberCount ?? -1, stored.head, history);
      if (changes === undefined) throw changedMeanwhile(name);
      for (const { added, removed } of changes) {
        for (const id of added) this.isMember.set(id, true);
        for (const id of removed) this.isMember.set(id, false);
      }
    }
    this.head = stored.head;
    this.document = stored.feature;
    this.caughtUpAt = performance.now();
  }
}

/** CORRUPT_FEATURE where it can't be read. */
async function find(source: Source, name: string): Promise<Found | undefined> {
  const stored: Stored | undefined = await source.load(name);
  if (stored === undefined) return undefined;
  const { head, feature, problem } = stored;
  if (feature === undefined) throw problem;
  const count = head.members === 0 ? 0 : await source.countMembers(name);
  // An experiment counts by it who has used an arm, also where nobody is kept in theirs.
  const isAssigned = compile(feature).isAssigned || readName(name)[0] === 'experiment';
  const assigned = isAssigned ? await source.countAssigned(name) : 0;
  return { head, document: feature, count, assigned };
}

function half(feature: string): HanoiError {
  return new HanoiError(
    'CORRUPT_FEATURE',
    `${titleOf(feature)} is half of a copy. Copy it to here first, to its end.`,
    { feature },
  );
}

/** CONFLICT: why it was given up, and what to do. */
function outrun(feature: string, cause: unknown): HanoiError {
  return new HanoiError(
    'CONFLICT',
    `${titleOf(feature)} changes faster than it can be copied. Copy it again: that goes on with it.`,
    { feature, cause },
  );
}

function isSame(one: Feature, other: Feature): boolean {
  return isDeepStrictEqual(settingsOf(one), settingsOf(other));
}

/** All that a document says, but which one it is. */
function settingsOf({ id: _, revision: __, ...settings }: Feature): object {
  return settings;
}

function* batchesOf<Item>(items: readonly Item[]): Generator<readonly Item[]> {
  for (let from = 0; from < items.length; from += MEMBERS_PER_WRITE) {
    yield items.slice(from, from + MEMBERS_PER_WRITE);
  }
}
