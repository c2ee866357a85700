import type {
  Backend,
  Change,
  Health,
  HealthEvent,
  HistoryOptions,
  Loaded,
  Source,
  Stored,
} from './backends/backend.js';
import { MemoryBackend } from './backends/memory.js';
import { readOnly } from './backends/read-only.js';
import { Checks } from './checks.js';
import { contentsOf } from './contents.js';
import { type CopyOptions, type CopyReport, copyFeatures } from './copy-features.js';
import { actAs, parseActor } from './current-actor.js';
import { currentSubject, runAs, runPinned } from './current-user.js';
import {
  type Guard,
  type GuardOptions,
  guardOf,
  type Selector,
  subjectFrom,
} from './decorators.js';
import { Definitions, type GroupFunction, type SegmentOptions } from './definitions.js';
import { admits, crc32, thresholdUnder } from './domain/bucketing.js';
import { compile, type Surroundings } from './domain/decide.js';
import type { Decision } from './domain/decision.js';
import { type Difference, diff } from './domain/diff.js';
import { parseDuration } from './domain/duration.js';
import type { Experiment, ExperimentSettings } from './domain/experiment.js';
import { type Explanation, explain } from './domain/explain.js';
import type { Feature, Ramp } from './domain/feature.js';
import { instantOf } from './domain/instant.js';
import type { Leftover } from './domain/leftover.js';
import { rulesWithOverride, rulesWithoutOverride } from './domain/override.js';
import { parseName, parsePercentage, refused } from './domain/parse.js';
import { parsePattern } from './domain/pattern.js';
import {
  compileRamp,
  firstInstant,
  isoOf,
  presentPercentage,
  type RampPlan,
  type RampSettings,
  rampOf,
  shifted,
} from './domain/ramp.js';
import type { RuleSettings } from './domain/rule.js';
import { rulesWithTable, type SegmentTable } from './domain/segment-table.js';
import { type Identify, idOf, refusePromise, type Subject } from './domain/subject.js';
import {
  amendFeature,
  createFeature,
  type FeatureSettings,
  parseFeature,
} from './domain/validate.js';
import { HanoiError, invalid, notFound, refuseUnknownOptions } from './errors.js';
import { type EventName, Events, type Listener, type RolloutEvents } from './events.js';
import { type ExperimentReport, Experiments } from './experiments.js';
import type { AnyFeatures, FeatureMap, NameOf, ValueOf, VariantOf } from './feature-map.js';
import { type Group, Groups } from './groups.js';
import {
  History,
  type Moment,
  type RestoreOptions,
  type RollbackOptions,
  withExperimentsOf,
} from './history.js';
import {
  type BooleanHandle,
  booleanHandleOf,
  type Chooser,
  type Handle,
  handleOf,
  type Implementations,
  type ImplementationsOptions,
  type TakingTheSame,
} from './implementations.js';
import { leftoversIn, loadedOf } from './leftovers.js';
import { Members } from './members.js';
import { type Observer, Observers } from './observers.js';
import { currentOverrides } from './overrides.js';
import { Population } from './population.js';
import { type Preview, type PreviewOptions, preview } from './preview.js';
import { type Snapshot, valueOr } from './snapshot.js';
import { isKind, isOfFeature, type Kind, readName, storedName } from './stored-name.js';
import { isMany, type Subjects } from './subjects.js';
import { Uses } from './uses.js';
import {
  type DecidedBy,
  type MembersOptions,
  WRITE_OPTIONS,
  type WriteOptions,
  Writer,
} from './writer.js';

export interface RolloutOptions {
  /** Reads the id of a subject that is an object: `(user) => user.uuid`. Default: its `id`. */
  // biome-ignore lint/suspicious/noExplicitAny: what subjects are is the app's affair
  identify?: (subject: any) => unknown;
  /** Whether a feature that nobody has defined is on. Default false. */
  unknownFeature?: boolean;
  /**
   * What checks answer, by feature, where the store gives no answer and nothing is known of before:
   * on, off, or on with the variant of this name. Default: off.
   */
  defaults?: { readonly [feature: string]: boolean | string };
  /** The time in Unix ms, for windows and ramps. Default `Date.now`. */
  now?: () => number;
}

/** What is not a feature, but has a history as one: as `change` events name it. */
export interface Reference {
  readonly of: Kind;
  readonly name: string;
}

/** A document that can't be read: of what it is, and why. */
export interface Unreadable extends Reference {
  /** CORRUPT_FEATURE. */
  readonly problem: HanoiError;
  /** As a conditional write names it; undefined where the store has lost that too. */
  readonly state: { readonly id: string; readonly revision: number } | undefined;
}

const DEFAULTS = { identify: idAttribute, unknownFeature: false, defaults: {}, now: Date.now };

/** How long `ready` waits by default: 5 s. */
const READY_MS = 5_000;

const ON = Promise.resolve(true);
const OFF = Promise.resolve(false);

/**
 * Decides who gets which feature, and changes that. Checks answer whatever is stored, whoever is
 * asked about and whatever breaks; set-up and writes throw a `HanoiError`.
 *
 * A check is about the subject that is written, also if it is undefined or null (a logged-out
 * request); where none is written, about the current one (`runAs`).
 */
export class Rollout<Features extends FeatureMap = AnyFeatures> {
  /** Those over whom a percentage of the bucketing `population` goes. */
  readonly population: Population;

  private readonly source: Source;
  private readonly writer: Writer;
  private readonly checks: Checks;
  private readonly uses: Uses;
  private readonly surroundings: Surroundings;
  private readonly observers = new Observers((error) => this.events.report(error));
  private readonly events = new Events(this.observers);
  private readonly definitions = new Definitions((error) => this.events.report(error));
  private readonly unwatch: () => void;
  /** What changes of it: one with those that `as` gives, which are this one for other actors. */
  private readonly life: Life = { unsubscribe: undefined, closing: undefined, loaded: undefined };

  /** Without a backend, features live in this process's memory. INVALID_ARGUMENT. */
  constructor(backend: Source = new MemoryBackend(), options: RolloutOptions = {}) {
    const { identify, unknownFeature, defaults, now } = { ...DEFAULTS, ...options };
    refuseUnknownOptions(options, Object.keys(DEFAULTS));
    if (!isSource(backend)) {
      throw invalid(
        'a backend as the first argument (options are the second: new Rollout(undefined, options))',
        backend,
      );
    }
    if (!answersAtOnce(identify)) {
      throw invalid('`identify` to be a function that answers at once', identify);
    }
    if (typeof now !== 'function') throw invalid('`now` to be a function', now);
    if (typeof unknownFeature !== 'boolean') {
      throw invalid('`unknownFeature` to be true or false', unknownFeature);
    }
    if (typeof defaults !== 'object' || defaults === null || Array.isArray(defaults)) {
      throw invalid('`defaults` to be an object by feature', defaults);
    }
    const answers = new Map(Object.entries(defaults));
    for (const [name, answer] of answers) {
      if (typeof answer === 'boolean' || typeof answer === 'string') continue;
      throw invalid(`\`defaults[${JSON.stringify(name)}]\` to be true, false or a variant`, answer);
    }
    this.source = backend;
    this.unwatch = backend.watch((event) => this.heard(event));
    this.writer = new Writer(backend, this.observers);
    this.surroundings = {
      identify: identify as Identify,
      now,
      inGroup: (group, subject) => this.definitions.inGroup(group, subject),
      segmentOf: (segment, subject) => this.definitions.segmentOf(segment, subject),
      unreadableSubject: (feature, cause) => this.subjectUnreadable(feature, cause),
    };
    const { surroundings, events, observers } = this;
    const fallbacks = { unknownFeature, defaults: answers };
    this.checks = new Checks(backend, surroundings, events, observers, fallbacks);
    const writable = 'write' in backend ? observers.writesOf(backend as Backend) : undefined;
    this.uses = new Uses(this.checks, writable, surroundings, events);
    this.population = new Population(backend, this.writer, this.surroundings);
  }

  /** Whether the subject gets the feature. */
  isEnabled(name: NameOf<Features>, subject?: Subject | null): Promise<boolean> {
    const answer = this.checks.answer(name, arguments.length > 1 ? subject : currentSubject());
    if (answer instanceof Promise) return answer.then(isOn);
    // The answer is one of two, so nothing is allocated for it.
    return answer.enabled ? ON : OFF;
  }

  /** The same at once. BACKEND_NOT_LOCAL where the backend has to do I/O for a check. */
  isEnabledSync(name: NameOf<Features>, subject?: Subject | null): boolean {
    return this.checks.answerNow(name, arguments.length > 1 ? subject : currentSubject()).enabled;
  }

  /** The variant that the subject gets; undefined where the feature is off or has none. */
  variant<Name extends NameOf<Features>>(
    name: Name,
    subject?: Subject | null,
  ): Promise<VariantOf<Features[Name]> | undefined> {
    return answered(
      this.checks.answer(name, arguments.length > 1 ? subject : currentSubject()),
      ({ variant }) => variant as VariantOf<Features[Name]> | undefined,
    );
  }

  /** The variant's value, `true` for a feature without variants, `offValue` where it is off, else `fallback`. */
  value<Name extends NameOf<Features>, Fallback>(
    name: Name,
    fallback: Fallback,
    subject?: Subject | null,
  ): Promise<ValueOf<Features[Name]> | Fallback> {
    return answered(
      this.checks.answer(name, arguments.length > 2 ? subject : currentSubject()),
      (decision) => valueOr<Features, Name, Fallback>(decision, fallback),
    );
  }

  /** The whole answer: enabled, variant, value, and why. */
  decide<Name extends NameOf<Features>>(
    name: Name,
    subject?: Subject | null,
  ): Promise<Decision<VariantOf<Features[Name]>, ValueOf<Features[Name]>>> {
    return answered(
      this.checks.answer(name, arguments.length > 1 ? subject : currentSubject()),
      (decision) => decision as Decision<VariantOf<Features[Name]>, ValueOf<Features[Name]>>,
    );
  }

  /** The same at once. BACKEND_NOT_LOCAL where the backend has to do I/O for a check. */
  decideSync<Name extends NameOf<Features>>(
    name: Name,
    subject?: Subject | null,
  ): Decision<VariantOf<Features[Name]>, ValueOf<Features[Name]>> {
    const who = arguments.length > 1 ? subject : currentSubject();
    return this.checks.answerNow(name, who) as Decision<
      VariantOf<Features[Name]>,
      ValueOf<Features[Name]>
    >;
  }

  /**
   * The decision, and how each of its steps came out: why the feature is on for this subject, or why
   * it isn't. Undefined where there is no such feature. STORE_UNAVAILABLE and the like where the store
   * does not answer.
   */
  async explain(
    name: NameOf<Features>,
    subject?: Subject | null,
  ): Promise<Explanation | undefined> {
    const who = arguments.length > 1 ? subject : currentSubject();
    const view = await this.checks.viewOf(name, who);
    if (view.stale !== undefined) throw view.stale.cause;
    const held = view.get(name);
    return held && explain(held.compiled, who, held.facts, this.surroundings, view);
  }

  /**
   * Decides, as `decide` does, and says that the subject uses what it is given: a sticky rule keeps
   * the variant, and an experiment counts the arm; `exposure` is emitted. The decision is the one
   * that holds then: of two uses at once, both get what the first one has kept.
   */
  use<Name extends NameOf<Features>>(
    name: Name,
    subject?: Subject | null,
  ): Promise<Decision<VariantOf<Features[Name]>, ValueOf<Features[Name]>>> {
    const who = arguments.length > 1 ? subject : currentSubject();
    return this.uses.use(name, who) as Promise<
      Decision<VariantOf<Features[Name]>, ValueOf<Features[Name]>>
    >;
  }

  /** Says that the subject has used this variant, which was decided before, or elsewhere. */
  async used<Name extends NameOf<Features>>(
    name: Name,
    variant: VariantOf<Features[Name]>,
    subject?: Subject | null,
  ): Promise<void> {
    if (typeof variant !== 'string') throw invalid('the name of a variant', variant);
    const who = arguments.length > 2 ? subject : currentSubject();
    await this.uses.used(name, who, () => variant);
  }

  /**
   * Puts a feature in the place of several implementations, named as its variants are: they can be
   * called through what this gives alone. All take the same arguments. INVALID_ARGUMENT.
   */
  implementations<Table extends Implementations, Default extends keyof Table & string>(
    name: NameOf<Features>,
    table: Table & TakingTheSame<Table, Default>,
    options: ImplementationsOptions<Default>,
  ): Handle<Table, Parameters<Table[Default]>> {
    return handleOf(table as Table, options, this.chooserOf(name));
  }

  /**
   * A feature that is on or off where somebody has said so of the subject, and else, or where the
   * store does not answer, what the function says. INVALID_ARGUMENT.
   */
  booleanFeature<Args extends unknown[]>(
    name: NameOf<Features>,
    byDefault: (...args: Args) => boolean | Promise<boolean>,
    options: { subject?: Selector } = {},
  ): BooleanHandle<Args> {
    return booleanHandleOf(byDefault, options, this.chooserOf(name));
  }

  /** Every feature decided for one subject: one round trip, then synchronous and unchanging. */
  snapshot(subject?: Subject | null): Promise<Snapshot<Features>> {
    const who = arguments.length > 0 ? subject : currentSubject();
    return this.checks.snapshot<Features>(who);
  }

  /** Adds a feature. FEATURE_EXISTS, INVALID_FEATURE. */
  addFeature<Name extends NameOf<Features>>(
    name: Name,
    settings: FeatureSettings<VariantOf<Features[Name]>> = {},
    options: WriteOptions = {},
  ): Promise<Feature> {
    return attempt(() => {
      const feature = createFeature(parseName(name, 'name'), crypto.randomUUID(), settings);
      this.definitions.refuseUnlisted(feature);
      return this.writer.create(feature, options);
    });
  }

  /** The feature's document, frozen, as the store has it now; undefined where there is none. CORRUPT_FEATURE. */
  async get(name: NameOf<Features>): Promise<Feature | undefined> {
    const stored = await this.source.load(name);
    if (stored?.problem !== undefined) throw stored.problem;
    return stored?.feature;
  }

  /** Every feature's document, by name. Those that can't be read are left out and reported as `error`. */
  async features(): Promise<Feature[]> {
    const { features } = await this.loaded();
    const readable: Feature[] = [];
    for (const [name, { feature, problem }] of features) {
      if (!isOfFeature(name)) continue;
      if (problem !== undefined) this.events.report(problem);
      else readable.push(feature);
    }
    return readable.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * The documents that can't be read, by name: their features are off, and stay as they are. Of groups,
   * experiments and the population too. With a name, of that feature alone.
   */
  async unreadable(name?: NameOf<Features>): Promise<Unreadable[]> {
    const stored: Iterable<readonly [string, Stored | undefined]> =
      name === undefined
        ? (await this.loaded()).features
        : [[name, await this.source.load(name)] as const];
    return unreadableIn(stored);
  }

  /** Replaces the settings that are given, and keeps the others. INVALID_FEATURE, FEATURE_NOT_FOUND, CONFLICT. */
  update<Name extends NameOf<Features>>(
    name: Name,
    settings:
      | FeatureSettings<VariantOf<Features[Name]>>
      | ((feature: Feature) => FeatureSettings<VariantOf<Features[Name]>>),
    options: WriteOptions = {},
  ): Promise<Feature> {
    return this.writer.amend(name, options, (feature) =>
      this.amended(feature, typeof settings === 'function' ? settings(feature) : settings),
    );
  }

  /** Removes the feature and its members; its history stays. FEATURE_NOT_FOUND, CONFLICT. */
  remove(name: NameOf<Features>, options: WriteOptions = {}): Promise<void> {
    return this.writer.remove(name, options);
  }

  /**
   * Says in one table what to serve by the answers of one or several segments: rules, which take the
   * place of the table before. INVALID_FEATURE, FEATURE_NOT_FOUND, CONFLICT.
   */
  serveBySegment<Name extends NameOf<Features>>(
    name: Name,
    table: SegmentTable<VariantOf<Features[Name]>>,
    options?: WriteOptions,
  ): Promise<Feature> {
    return this.changeRules(name, (rules) => rulesWithTable(rules, table), options);
  }

  /** Takes back `disable`: everything is as it was before. */
  enable(name: NameOf<Features>, options?: WriteOptions): Promise<Feature> {
    return this.update(name, { enabled: true }, options);
  }

  /** The kill switch: off for everyone, and everything else is kept. */
  disable(name: NameOf<Features>, options?: WriteOptions): Promise<Feature> {
    return this.update(name, { enabled: false }, options);
  }

  /** `enable` or `disable`, whichever it is not. */
  toggle(name: NameOf<Features>, options?: WriteOptions): Promise<Feature> {
    return this.update(name, ({ enabled }) => ({ enabled: !enabled }), options);
  }

  /** On for everyone: enabled, at 100%. */
  activate(name: NameOf<Features>, options?: WriteOptions): Promise<Feature> {
    return this.update(name, { enabled: true, percentage: 100 }, options);
  }

  /** Lets nobody in any more: percentage 0, and members, patterns and groups emptied. */
  deactivate(name: NameOf<Features>, options: WriteOptions = {}): Promise<Feature> {
    return this.writer.amend(name, options, (feature) => ({
      ...amendFeature(feature, { percentage: 0, patterns: [], groups: [] }),
      revision: feature.revision + 1,
      // The members hang on the id. Set aside with it, they can come back.
      id: crypto.randomUUID(),
    }));
  }

  setPercentage(
    name: NameOf<Features>,
    percentage: number,
    options?: WriteOptions,
  ): Promise<Feature> {
    return this.update(name, { percentage }, options);
  }

  /**
   * Lets the percentage go with time, from where it is to 100, or as the plan says: `{ over: '14d' }`.
   * All processes compute it by their clocks. INVALID_FEATURE.
   */
  ramp(name: NameOf<Features>, plan: RampPlan, options?: WriteOptions): Promise<Feature> {
    return this.update(
      name,
      ({ percentage }) => {
        const now = this.surroundings.now();
        return { percentage: rampOf(plan, presentPercentage(percentage, now), now) };
      },
      options,
    );
  }

  /** Keeps a ramp where it is, until `resumeRamp`. INVALID_FEATURE where there is none. */
  pauseRamp(name: NameOf<Features>, options?: WriteOptions): Promise<Feature> {
    return this.changeRamp(name, options, (ramp, now) => ({
      points: ramp.points,
      pausedAt: ramp.pausedAt ?? isoOf(now),
    }));
  }

  /** Goes on from where a ramp was paused. */
  resumeRamp(name: NameOf<Features>, options?: WriteOptions): Promise<Feature> {
    return this.changeRamp(name, options, (ramp, now) => {
      const stoodMs = Math.max(0, now - (instantOf(ramp.pausedAt) ?? now));
      return { points: shifted(ramp, stoodMs).points };
    });
  }

  /** Takes a ramp back to where it was so long ago (`2d`), to go on from there. */
  rewindRamp(
    name: NameOf<Features>,
    by: string | number,
    options?: WriteOptions,
  ): Promise<Feature> {
    return this.changeRamp(name, options, (ramp) => shifted(ramp, parseDuration(by, 'by')));
  }

  /** Takes a ramp to where it has this percentage first, to go on from there. */
  jumpRamp(name: NameOf<Features>, percentage: number, options?: WriteOptions): Promise<Feature> {
    return this.changeRamp(name, options, (ramp, now) => {
      const wanted = parsePercentage(percentage, 'percentage');
      const { pausedAt, ...going } = ramp;
      const there = firstInstant(compileRamp(going), (each) => each >= wanted);
      if (there === undefined)
        throw refused('percentage', 'to be one that the ramp comes to', wanted);
      const from = Math.min(now, instantOf(pausedAt) ?? now);
      return shifted(ramp, from - there);
    });
  }

  /**
   * The instant from which the feature's percentage lets the subject in: of a ramp to the ms.
   * Undefined where it never does as it is now, or is not what decides about this subject (there is
   * no id, it is excluded, or the feature is disabled). Rules and other gates are not looked at.
   */
  async whenFor(name: NameOf<Features>, subject?: Subject | null): Promise<Date | undefined> {
    const who = arguments.length > 1 ? subject : currentSubject();
    const overridden = currentOverrides()?.features.get(name);
    const feature = overridden ?? (await this.get(name)) ?? raise(notFound(name));
    const { percentage } = feature;
    if (typeof percentage === 'number') return undefined;
    const compiled = compile(feature);
    const id = this.checks.lookupId(compiled, who);
    if (id === undefined) return undefined;
    const idCrc = crc32(id);
    const at = firstInstant(compileRamp(percentage), (each) =>
      each >= 100
        ? true
        : admits(compiled.share, idCrc, id, thresholdUnder(feature.bucketing, each)),
    );
    return at === undefined ? undefined : new Date(at);
  }

  /**
   * Lets in a subject, many, or all whose id matches a pattern; resolves with how many are new.
   * Many go in batches of 1,000: on a failure, those before it are in, and the call can be repeated.
   * FEATURE_NOT_FOUND, INVALID_FEATURE; CONFLICT where the feature is replaced or emptied underway.
   */
  register(
    name: NameOf<Features>,
    who: Subjects | RegExp,
    options: MembersOptions = {},
  ): Promise<number> {
    const id = idOf(who);
    if (id !== undefined) return this.writer.changeMembers(name, 'add', [id], options);
    return attempt(() =>
      isPattern(who)
        ? this.changePatterns(name, (patterns) => [...patterns, who], options)
        : this.membership.change(name, 'add', who, options),
    );
  }

  /** Takes back `register`; resolves with how many were there. */
  unregister(
    name: NameOf<Features>,
    who: Subjects | RegExp,
    options: MembersOptions = {},
  ): Promise<number> {
    return attempt(() => {
      if (!isPattern(who)) return this.membership.change(name, 'remove', who, options);
      const { source, flags } = parsePattern(who, 'pattern');
      return this.changePatterns(
        name,
        (patterns) => patterns.filter((other) => other.source !== source || other.flags !== flags),
        options,
      );
    });
  }

  /** Keeps subjects out, whatever else lets them in. For tens or hundreds: they are in the document. */
  async exclude(
    name: NameOf<Features>,
    who: Subjects,
    options: WriteOptions = {},
  ): Promise<Feature> {
    const ids = await this.membership.ids(name, who);
    return this.update(name, ({ excluded }) => ({ excluded: [...excluded, ...ids] }), options);
  }

  /** Takes back `exclude`. */
  async unexclude(
    name: NameOf<Features>,
    who: Subjects,
    options: WriteOptions = {},
  ): Promise<Feature> {
    const ids = new Set(await this.membership.ids(name, who));
    return this.update(
      name,
      ({ excluded }) => ({ excluded: excluded.filter((id) => !ids.has(id)) }),
      options,
    );
  }

  /** Lets in everyone of a group: one that is defined here, or stored, or that subjects say they are in. */
  activateGroup(
    name: NameOf<Features>,
    group: string,
    options: WriteOptions = {},
  ): Promise<Feature> {
    return this.update(name, ({ groups }) => ({ groups: [...groups, group] }), options);
  }

  /** Takes back `activateGroup`. */
  deactivateGroup(
    name: NameOf<Features>,
    group: string,
    options: WriteOptions = {},
  ): Promise<Feature> {
    const without = ({ groups }: Feature) => ({ groups: groups.filter((it) => it !== group) });
    return this.update(name, without, options);
  }

  /**
   * Adds an A/B test of one or more features: while it lives, each subject gets what its arm gives of
   * them, the same arm for all, after the rules and before the gates. INVALID_FEATURE, also where a
   * feature is in another one at the same time; FEATURE_EXISTS.
   */
  addExperiment(
    name: string,
    settings: ExperimentSettings,
    options: WriteOptions = {},
  ): Promise<Experiment> {
    return this.experimenting.add(name, settings, options);
  }

  /** Replaces what is given of an experiment. INVALID_FEATURE, FEATURE_NOT_FOUND, CONFLICT. */
  updateExperiment(
    name: string,
    changes: Partial<ExperimentSettings>,
    options: WriteOptions = {},
  ): Promise<Experiment> {
    return this.experimenting.update(name, changes, options);
  }

  /** Ends an experiment now; what was counted stays. FEATURE_NOT_FOUND, CONFLICT. */
  stopExperiment(name: string, options: WriteOptions = {}): Promise<Experiment> {
    return this.experimenting.stop(name, options);
  }

  /** Removes an experiment, with what was counted. FEATURE_NOT_FOUND, CONFLICT. */
  removeExperiment(name: string, options: WriteOptions = {}): Promise<void> {
    return this.experimenting.remove(name, options);
  }

  /** An experiment, how many have used what its arms give, and whether that fits. CORRUPT_FEATURE. */
  experiment(name: string): Promise<ExperimentReport | undefined> {
    return this.experimenting.report(name);
  }

  /** Every experiment, by name. */
  experiments(): Promise<Experiment[]> {
    return this.experimenting.all();
  }

  /**
   * Lists subjects in a group, which is made at its first; resolves with how many are new. Many go
   * in batches of 1,000. With `subjectKey` the group goes by another attribute than the id; it is
   * said with the first. Who is in a group by a function (`defineGroup`), or by itself, is in it too.
   * INVALID_ARGUMENT for a reserved name, or another key; INVALID_FEATURE.
   */
  addToGroup(
    group: string,
    who: Subjects,
    options: MembersOptions & { readonly subjectKey?: string } = {},
  ): Promise<number> {
    return this.grouping.add(group, who, options);
  }

  /** Takes subjects out of a stored group; resolves with how many were in it. FEATURE_NOT_FOUND. */
  removeFromGroup(group: string, who: Subjects, options: MembersOptions = {}): Promise<number> {
    return this.grouping.take(group, who, options);
  }

  /**
   * Removes a stored group. FEATURE_NOT_FOUND; INVALID_ARGUMENT while a rule of a feature names it, an
   * override too: of a group that nobody knows nobody can say who is not in it.
   */
  removeGroup(group: string, options: WriteOptions = {}): Promise<void> {
    return this.grouping.remove(group, options);
  }

  /** The stored groups, by name. Those that can't be read are left out and reported as `error`. */
  groups(): Promise<Group[]> {
    return this.grouping.all((problem) => this.events.report(problem));
  }

  /** How many are listed in a stored group. FEATURE_NOT_FOUND. */
  countGroup(group: string): Promise<number> {
    return this.grouping.count(group);
  }

  /** Who is listed in a stored group, as `members` streams. FEATURE_NOT_FOUND. */
  groupMembers(group: string): AsyncGenerator<string, void, undefined> {
    return this.grouping.list(group);
  }

  /**
   * Serves one answer to a group, whatever other rules, experiments and gates say: a variant by its
   * name, `on`, `off` (a variant of such a name is `{ variant: 'on' }`), or what else a rule serves.
   * Of several the one that was made first counts. It is the rule `override/<group>`; to replace all rules replaces it too. The group is stored from
   * then on, if it was not. INVALID_ARGUMENT for a reserved group; INVALID_FEATURE, FEATURE_NOT_FOUND.
   */
  async overrideGroup<Name extends NameOf<Features>>(
    name: Name,
    group: string,
    serve: VariantOf<Features[Name]> | RuleSettings<VariantOf<Features[Name]>>['serve'],
    options: WriteOptions = {},
  ): Promise<Feature> {
    const isVariant = typeof serve === 'string' && serve !== 'on' && serve !== 'off';
    const served = (isVariant ? { variant: serve } : serve) as RuleSettings['serve'];
    const feature = (await this.get(name)) ?? raise(notFound(name));
    // What is refused stores no group.
    amendFeature(feature, { rules: rulesWithOverride(feature.rules, group, served) });
    // In a process where nobody has defined it, it would be unknown who is not in it.
    await this.grouping.made(group, options);
    return this.changeRules(name, (rules) => rulesWithOverride(rules, group, served), options);
  }

  /** Takes back `overrideGroup`. */
  clearOverride(
    name: NameOf<Features>,
    group: string,
    options: WriteOptions = {},
  ): Promise<Feature> {
    return this.changeRules(name, (rules) => rulesWithoutOverride(rules, group), options);
  }

  /** How many members the feature has. FEATURE_NOT_FOUND. */
  countMembers(name: NameOf<Features>): Promise<number> {
    return this.source.countMembers(name);
  }

  /** The ids of the members, streamed, in no order. While they change, one may come twice. FEATURE_NOT_FOUND. */
  async *members(name: NameOf<Features>): AsyncGenerator<string, void, undefined> {
    for await (const batch of this.source.members(name)) yield* batch;
  }

  /**
   * The changes of a feature, the newest first; of a removed one too, and of a group, an experiment or
   * the population: `{ of: 'group', name: 'friends' }`, as `change` events have it. At most `limit`
   * (default 50), before the change of the id `before`; `kind` 'documents' or 'members' alone.
   * INVALID_ARGUMENT.
   */
  async history(
    of: NameOf<Features> | Reference,
    options: Partial<HistoryOptions> = {},
  ): Promise<Change[]> {
    return this.source.history(storedNameOf(of), historyOptions(options));
  }

  /**
   * The changes of all features, groups, experiments and the population, the newest first, each named
   * as `change` events name it. The same options as `history`. INVALID_ARGUMENT.
   */
  async log(options: Partial<HistoryOptions> = {}): Promise<(Change & RolloutEvents['change'])[]> {
    const changes = await this.source.log(historyOptions(options));
    return changes.map((change) => {
      const [of, name] = readName(change.name);
      return { ...change, of, name };
    });
  }

  /**
   * The features that can go from the code, or have to be looked at, by name: past `data.expiresAt`,
   * or for 30 days on for everyone or for nobody. One can be there for two reasons. With a name, of
   * that feature alone.
   */
  async leftovers(name?: NameOf<Features>): Promise<Leftover[]> {
    const { source, surroundings } = this;
    const loaded = name === undefined ? undefined : await loadedOf(source, name);
    return leftoversIn(source, surroundings.now(), loaded);
  }

  /**
   * What differs between two states of the document, path by path: `to` is what there is now, if it is
   * not said. INVALID_ARGUMENT, NOT_KEPT, FEATURE_NOT_FOUND.
   */
  async diff(
    of: NameOf<Features> | Reference,
    from: Moment,
    to?: Moment,
  ): Promise<readonly Difference[]> {
    const name = storedNameOf(of);
    const past = this.pastOf(name);
    const before = await past.documentAt(name, from);
    const after = to === undefined ? await this.writer.load(name) : await past.documentAt(name, to);
    return diff(before, after);
  }

  /**
   * Brings back the document as it was: at a revision, or after a change, then with the members as
   * they were too, in one write of at most 1,000 that differ. It is itself a change, under the id that
   * the document had and the next revision, also where the feature is removed. Resolves with the
   * document; with the present one where all is so already. CONFLICT where it is changed meanwhile,
   * NOT_KEPT, INVALID_ARGUMENT.
   */
  async rollback(
    of: NameOf<Features> | Reference,
    to: Moment,
    options: RollbackOptions = {},
  ): Promise<Feature> {
    const name = storedNameOf(of);
    refuseUnknownOptions(options, [...WRITE_OPTIONS, 'members']);
    return this.pastOf(name, options).rollback(name, to, options);
  }

  /**
   * Takes back one change, of settings or of members: the last one, or that of an id; what else has
   * changed since stays. Resolves with the document that is there then, if there is one. CONFLICT
   * where something later has changed the same; NOT_KEPT, FEATURE_NOT_FOUND.
   */
  async undo(
    of: NameOf<Features> | Reference,
    changeId?: string,
    options: WriteOptions = {},
  ): Promise<Feature | undefined> {
    const name = storedNameOf(of);
    refuseUnknownOptions(options, WRITE_OPTIONS);
    return this.pastOf(name, options).undo(name, changeId, options);
  }

  /**
   * Brings back a removed feature as it was, with its members: within 7 days, if it had any.
   * FEATURE_EXISTS where there is one of that name again; NOT_KEPT, FEATURE_NOT_FOUND.
   */
  async restore(of: NameOf<Features> | Reference, options: RestoreOptions = {}): Promise<Feature> {
    const name = storedNameOf(of);
    refuseUnknownOptions(options, ['actor', 'note', 'requestId', 'members']);
    return this.pastOf(name, options).restore(name, options);
  }

  /**
   * Who of these subjects would gain the feature, lose it or get another variant by a change of its
   * settings, which is not made; or by a rollback to a document. Counts, and the first ids of each.
   * INVALID_FEATURE, FEATURE_NOT_FOUND; STORE_UNAVAILABLE and the like where the store does not
   * answer, and CONFLICT where the feature is replaced meanwhile.
   */
  async preview<Name extends NameOf<Features>>(
    name: Name,
    change:
      | Feature
      | FeatureSettings<VariantOf<Features[Name]>>
      | ((feature: Feature) => FeatureSettings<VariantOf<Features[Name]>>),
    subjects: Iterable<Subject | null | undefined> | AsyncIterable<Subject | null | undefined>,
    options: PreviewOptions = {},
  ): Promise<Preview> {
    if (!isMany(subjects)) throw invalid('many subjects, in a list or another iterable', subjects);
    const before = await this.get(name);
    const changed = isDocument(change)
      ? withExperimentsOf(before ?? change, parseFeature(change))
      : this.amended(
          before ?? raise(notFound(name)),
          typeof change === 'function' ? change(before ?? raise(notFound(name))) : change,
        );
    if (changed.name !== name) throw invalid(`a document of ${JSON.stringify(name)}`, changed.name);
    const { document: after } = await this.writer.wouldBe(changed, before);
    const { source, surroundings } = this;
    const isBack = before?.id !== after.id;
    const past = this.pastOf(name);
    const setAside = isBack ? await past.membersSetAside(name, after.id) : undefined;
    return preview(
      { name, before, after, setAside },
      subjects,
      source,
      surroundings,
      this.checks.unknownIs(name),
      options,
    );
  }

  /**
   * The same rollout, whose writes name `actor` in the history where they don't name another
   * themselves: to close one closes both. With a function, calls it, and names `actor` in all writes
   * that it starts, of whatever rollout, where nothing else names one. INVALID_ARGUMENT.
   */
  as(actor: string): this;
  as<Result>(actor: string, fn: () => Result): Result;
  as(actor: string, fn?: () => unknown): unknown {
    if (arguments.length > 1) {
      if (typeof fn !== 'function') throw invalid('a function to call', fn);
      return actAs(parseActor(actor), fn);
    }
    const writer = this.writer.as(actor);
    const population = new Population(this.source, writer, this.surroundings);
    return this.with({ writer, population });
  }

  /**
   * The same rollout, through which nothing can be written: READ_ONLY. For what is open to others. To
   * close one closes both.
   */
  readOnly(): this {
    const source = readOnly(this.source);
    const writer = new Writer(source, this.observers);
    const population = new Population(source, writer, this.surroundings);
    const uses = new Uses(this.checks, undefined, this.surroundings, this.events);
    return this.with({ source, writer, population, uses });
  }

  /**
   * All there is now as one text, as `MemoryBackend`, `FileBackend` and `HttpSource` read it; not the
   * history. The same text as long as nothing changes. STORE_DENIED for more than can be read again.
   */
  contents(): Promise<string> {
    return contentsOf(this.source);
  }

  /** Copies features with their members, and what they go by, from a source to here: as `copyFeatures`. */
  copyFrom(from: Source, options: CopyOptions = {}): Promise<CopyReport> {
    return copyFeatures(from, this.source as Backend, options);
  }

  /**
   * Says who is in a group, in this process. The function gets the subject as it was given to the
   * check. If it throws, the subject is not in the group, and `error` is emitted. INVALID_ARGUMENT
   * for an async function or a reserved name.
   */
  defineGroup(group: string, isIn: GroupFunction): void {
    this.definitions.defineGroup(group, isIn);
  }

  /**
   * Says what a segment is of a subject (its country, its device), in this process: a string, or
   * undefined where it can't be told. Rules ask for it by name. Where it can't be told, the subject's
   * own attribute of that name is taken. If the function throws or gives something else, `error` is
   * emitted. INVALID_ARGUMENT for an async function.
   */
  defineSegment<Input = unknown>(
    segment: string,
    of: (subject: Input) => string | null | undefined,
    options: SegmentOptions = {},
  ): void {
    this.definitions.defineSegment(segment, of, options);
  }

  /**
   * Calls `fn` with the current subject set, for it and for all that it starts.
   *
   * With `pinned`, a snapshot is taken first, and this rollout answers from it whatever is asked
   * there about this subject, written or not: one round trip, then no I/O, so that `isEnabledSync`
   * and `decideSync` work on every backend. Changes are not seen, not even one's own. An inner
   * `runAs` starts anew, pinned or not. Where the store does not answer, `fn` is called all the
   * same, and its checks answer as they do in an outage.
   */
  runAs<Result>(
    subject: Subject | null | undefined,
    fn: () => Result,
    options?: { readonly pinned?: false },
  ): Result;
  runAs<Result>(
    subject: Subject | null | undefined,
    fn: () => Result,
    options: { readonly pinned: true },
  ): Promise<Awaited<Result>>;
  runAs(
    subject: Subject | null | undefined,
    fn: () => unknown,
    options: { readonly pinned?: boolean } = {},
  ): unknown {
    if (typeof fn !== 'function') throw invalid('a function to call', fn);
    refuseUnknownOptions(options, ['pinned']);
    const { pinned = false } = options;
    if (typeof pinned !== 'boolean') throw invalid('`pinned` to be true or false', pinned);
    return pinned ? this.runPinned(subject, fn) : runAs(subject, fn);
  }

  /** The subject of the innermost `runAs` around; undefined where there is none. */
  currentSubject(): Subject | null | undefined {
    return currentSubject() as Subject | null | undefined;
  }

  /**
   * A guard for methods (as a decorator) and functions: calls go through for those who get the
   * feature, and are rejected for others (FEATURE_DISABLED; FEATURE_NOT_FOUND where nobody has
   * defined it), or go to `otherwise`.
   *
   * Who is asked about: without a selector the current subject; with a number that argument of the
   * call, counted from 1; with a function what it makes of the arguments. An argument that was not
   * passed is no subject, never the current one.
   */
  check(name: NameOf<Features>, options?: GuardOptions): Guard;
  check<Args extends unknown[]>(
    name: NameOf<Features>,
    selector: Selector<Args>,
    options?: GuardOptions,
  ): Guard<Args>;
  check(
    name: NameOf<Features>,
    selector?: Selector | GuardOptions,
    options: GuardOptions = {},
  ): Guard {
    if (typeof selector === 'object' && selector !== null) {
      return this.check(name, undefined, selector);
    }
    const select = selector === undefined ? currentSubject : subjectFrom(selector);
    return guardOf((self, args) => {
      let subject: unknown;
      try {
        const selected = select(self, args);
        if (typeof selector === 'function') refusePromise(selected);
        subject = selected;
      } catch (cause) {
        this.subjectUnreadable(name, cause);
      }
      return { subject, decision: this.checks.answer(name, subject) };
    }, options);
  }

  /** A guard that lets calls through while the feature is on for everyone, whoever is current. */
  enabled(name: NameOf<Features>, options: GuardOptions = {}): Guard {
    return guardOf(
      () => ({ subject: undefined, decision: this.checks.answer(name, undefined) }),
      options,
    );
  }

  /** INVALID_ARGUMENT for an event that there isn't. */
  on<Name extends EventName>(event: Name, listener: Listener<Name>): this {
    if (typeof listener !== 'function') throw invalid('a function as the listener', listener);
    this.events.of(event).add(listener);
    // Not before somebody listens: over a network it takes a connection.
    if ((event === 'change' || event === 'missed') && this.life.closing === undefined) {
      this.life.unsubscribe ??= this.source.subscribe((change) => {
        if (change === undefined) {
          this.events.emit('missed', undefined);
          return;
        }
        const [of, name] = readName(change.name);
        this.events.emit('change', Object.freeze({ ...change, of, name }));
      });
    }
    return this;
  }

  off<Name extends EventName>(event: Name, listener: Listener<Name>): this {
    this.events.of(event).delete(listener);
    return this;
  }

  /**
   * Tells an observer of all that this rollout does in this process, for metrics, until the returned
   * function is called or the rollout closed. While there is none it costs nothing. INVALID_ARGUMENT.
   */
  observe(observer: Observer): () => void {
    return this.observers.add(observer);
  }

  /** How the store does, and how old what checks are answered from can be. No I/O. */
  health(): Health {
    return this.source.health();
  }

  /**
   * Resolves with the health once checks can be answered from the store, or when the time is up:
   * the app can start then too, and the backend goes on trying. Never rejects for an outage.
   * INVALID_ARGUMENT.
   */
  async ready({ timeoutMs = READY_MS }: { timeoutMs?: number } = {}): Promise<Health> {
    if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0 && timeoutMs < 2 ** 31)) {
      throw invalid('`timeoutMs` to be a number of ms from 0', timeoutMs);
    }
    return this.source.ready(timeoutMs);
  }

  /** Closes the backend. Checks answer closed from then on, writes reject with CLOSED. */
  close(): Promise<void> {
    this.life.closing ??= this.shut();
    return this.life.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** This one, with some of its parts replaced. */
  private with(parts: object): this {
    return Object.assign(Object.create(Object.getPrototypeOf(this)), this, parts);
  }

  private async shut(): Promise<void> {
    this.checks.isClosed = true;
    this.observers.close();
    this.life.unsubscribe?.();
    this.life.loaded = undefined;
    this.unwatch();
    await this.source.close();
  }

  /** What has not changed since it was asked for last is not fetched again. */
  private async loaded(): Promise<Loaded> {
    const loaded = await this.source.loadAll(this.life.loaded);
    this.life.loaded = loaded;
    return loaded;
  }

  private async runPinned(
    subject: Subject | null | undefined,
    fn: () => unknown,
  ): Promise<unknown> {
    // Within a pin, this one starts anew.
    const decided = await runAs(subject, () => this.checks.decided(subject));
    return runPinned(subject, this.checks, decided, fn);
  }

  private pastOf(name: string, options: WriteOptions = {}): History {
    const [kind, own] = readName(name);
    const decidedBy: { readonly [kind: string]: DecidedBy } = {
      experiment: (document) => this.experimenting.attached(document, options),
      population: (document) => this.population.refuseFewer(document),
    };
    const beforeRemoval = kind === 'group' ? () => this.grouping.refuseNeeded(own) : undefined;
    return new History(this.source, this.writer, decidedBy[kind], beforeRemoval);
  }

  // These write as whoever this rollout is for.
  private get membership(): Members {
    return new Members(this.writer, this.surroundings.identify);
  }

  private get grouping(): Groups {
    return new Groups(this.source, this.writer, this.membership);
  }

  private get experimenting(): Experiments {
    return new Experiments(this.source, this.writer, this.surroundings.now);
  }

  private chooserOf(name: string): Chooser {
    return {
      decide: async (subject) => this.checks.answer(name, subject),
      use: (subject, variantOf) => this.uses.use(name, subject, variantOf),
      used: (subject, variantOf) => this.uses.used(name, subject, variantOf),
      current: currentSubject,
    };
  }

  private heard({ kind, health, cause }: HealthEvent): void {
    if (kind === 'corrupt' || kind === 'error') {
      if (cause !== undefined) this.events.report(cause, kind);
      return;
    }
    if (cause !== undefined) this.observers.failed(cause);
    this.events.emit(kind, Object.freeze(health));
  }

  private subjectUnreadable(feature: string, cause: unknown): void {
    this.events.report(
      new HanoiError(
        'SUBJECT_UNREADABLE',
        'Reading a subject threw; it was no subject. See `cause`.',
        {
          feature,
          cause,
        },
      ),
    );
  }

  private amended(feature: Feature, settings: FeatureSettings): Feature {
    const amended = amendFeature(feature, settings);
    // What others have written stays, whatever is defined here.
    if (settings.rules !== undefined) this.definitions.refuseUnlisted(amended);
    return amended;
  }

  private changeRules<Name extends NameOf<Features>>(
    name: Name,
    change: (rules: Feature['rules']) => Iterable<unknown>,
    options: WriteOptions | undefined,
  ): Promise<Feature> {
    const settings = ({ rules }: Feature) => ({ rules: change(rules) });
    return this.update(
      name,
      settings as (feature: Feature) => FeatureSettings<VariantOf<Features[Name]>>,
      options,
    );
  }

  private changeRamp(
    name: NameOf<Features>,
    options: WriteOptions | undefined,
    change: (ramp: Ramp, now: number) => RampSettings,
  ): Promise<Feature> {
    const settings = ({ percentage }: Feature) => {
      if (typeof percentage === 'number') throw refused('percentage', 'to be a ramp', percentage);
      return { percentage: change(percentage, this.surroundings.now()) };
    };
    return this.update(name, settings, options);
  }

  private async changePatterns(
    name: string,
    change: (patterns: Feature['patterns']) => Iterable<RegExp | Feature['patterns'][number]>,
    options: WriteOptions,
  ): Promise<number> {
    let before = 0;
    const { patterns } = await this.update(
      name as NameOf<Features>,
      (feature) => {
        before = feature.patterns.length;
        return { patterns: change(feature.patterns) };
      },
      options,
    );
    return Math.abs(patterns.length - before);
  }
}

/** What of a rollout changes with time. What is pinned is pinned for it. */
interface Life {
  unsubscribe: (() => void) | undefined;
  closing: Promise<void> | undefined;
  loaded: Loaded | undefined;
}

function unreadableIn(all: Iterable<readonly [string, Stored | undefined]>): Unreadable[] {
  const found: Unreadable[] = [];
  for (const [stored, { head, problem } = {} as Partial<Stored>] of all) {
    const [of, name] = readName(stored);
    // What is stored for a kind that is not known here is no feature.
    if (problem === undefined || (of === 'feature' && !isOfFeature(stored))) continue;
    found.push({ of, name, problem, state: head && { id: head.id, revision: head.revision } });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** A whole document, rather than settings: these say neither. */
function isDocument(change: unknown): change is Feature {
  return typeof change === 'object' && change !== null && 'id' in change && 'revision' in change;
}

/** INVALID_ARGUMENT. */
function storedNameOf(given: string | Reference): string {
  if (typeof given === 'string') return given;
  const { of, name }: Partial<Reference> = (given as Reference | undefined) ?? {};
  if (!isKind(of) || typeof name !== 'string') {
    throw invalid("the name of a feature, or one like { of: 'group', name: 'friends' }", given);
  }
  return of === 'feature' ? name : storedName(of, name);
}

/** INVALID_ARGUMENT. */
function historyOptions(options: Partial<HistoryOptions>): HistoryOptions {
  refuseUnknownOptions(options, ['limit', 'before', 'kind']);
  const { limit = 50, ...others } = options;
  if (!Number.isSafeInteger(limit) || limit < 0) {
    throw invalid('`limit` to be a whole number from 0', limit);
  }
  if (![undefined, 'documents', 'members'].includes(others.kind)) {
    throw invalid("`kind` to be 'documents' or 'members'", others.kind);
  }
  return { limit, ...others };
}

/** The promise of a part of an answer: one promise, where the answer is there. */
function answered<Part>(
  answer: Decision | Promise<Decision>,
  part: (decision: Decision) => Part,
): Promise<Part> {
  return answer instanceof Promise ? answer.then(part) : Promise.resolve(part(answer));
}

function idAttribute(subject: object): unknown {
  return (subject as { id?: unknown }).id;
}

function answersAtOnce(fn: unknown): boolean {
  return typeof fn === 'function' && fn.constructor.name !== 'AsyncFunction';
}

function isOn(decision: Decision): boolean {
  return decision.enabled;
}

/** By shape: a RegExp of another realm is one too. */
function isPattern(who: unknown): who is RegExp {
  return typeof who === 'object' && Object.prototype.toString.call(who) === '[object RegExp]';
}

/** By shape: a backend of another copy of the package, or of one's own, is one too. */
function isSource(backend: unknown): boolean {
  return typeof (backend as Partial<Source> | null)?.readAll === 'function';
}

function raise(error: HanoiError): never {
  throw error;
}

/** Makes what `task` throws at once a rejection. */
async function attempt<Result>(task: () => Promise<Result>): Promise<Result> {
  return task();
}
