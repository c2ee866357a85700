import type {
  Backend,
  Change,
  Health,
  HealthEvent,
  HistoryOptions,
  Source,
  View,
} from './backends/backend.js';
import { MemoryBackend } from './backends/memory.js';
import { withBucketsChosen } from './buckets.js';
import { actAs, parseActor } from './current-actor.js';
import { currentSubject, pinnedFor, runAs, runPinned } from './current-user.js';
import {
  type Guard,
  type GuardOptions,
  guardOf,
  type Selector,
  subjectFrom,
} from './decorators.js';
import { Definitions, type GroupFunction, type SegmentOptions } from './definitions.js';
import { admits, crc32, thresholdUnder } from './domain/bucketing.js';
import {
  type CompiledFeature,
  compile,
  decide,
  lookupId,
  type Surroundings,
} from './domain/decide.js';
import { aged, type Decision, failed } from './domain/decision.js';
import { type Difference, diff } from './domain/diff.js';
import { parseDuration } from './domain/duration.js';
import type { Experiment, ExperimentSettings } from './domain/experiment.js';
import { type Explanation, explain } from './domain/explain.js';
import type { Feature, Ramp } from './domain/feature.js';
import { parseGroup } from './domain/group.js';
import { instantOf } from './domain/instant.js';
import { hasOverride, rulesWithOverride, rulesWithoutOverride } from './domain/override.js';
import { parseId, parseName, parsePercentage, refused } from './domain/parse.js';
import { parsePattern } from './domain/pattern.js';
import { referredBy } from './domain/prerequisite.js';
import {
  compileRamp,
  firstInstant,
  isoOf,
  percentageAt,
  type RampPlan,
  type RampSettings,
  rampOf,
  shifted,
} from './domain/ramp.js';
import type { RuleSettings } from './domain/rule.js';
import { rulesWithTable, type SegmentTable } from './domain/segment-table.js';
import { type Identify, idOf, refusePromise, type Subject, subjectId } from './domain/subject.js';
import {
  amendFeature,
  createFeature,
  type FeatureSettings,
  parseFeature,
} from './domain/validate.js';
import {
  ERROR_CODES,
  type ErrorCode,
  HanoiError,
  hasCode,
  invalid,
  notFound,
  refuseUnknownOptions,
} from './errors.js';
import { type EventName, Events, type Listener } from './events.js';
import { type ExperimentReport, Experiments } from './experiments.js';
import type { AnyFeatures, FeatureMap, NameOf, ValueOf, VariantOf } from './feature-map.js';
import { History, type Moment, type RestoreOptions, type RollbackOptions } from './history.js';
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
import { currentOverrides, namesWith, overlaid, refuseUndefined } from './overrides.js';
import { Population } from './population.js';
import { type Preview, type PreviewOptions, preview } from './preview.js';
import { Snapshot, valueOr } from './snapshot.js';
import { isOfFeature, type Kind, readName, storedName } from './stored-name.js';
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

/** A group that is a stored list. */
export interface Group {
  readonly name: string;
  /** The attribute by which its members are listed instead of their id. */
  readonly subjectKey?: string;
}

/** What is not a feature, but has a history as one: as `change` events name it. */
export interface Reference {
  readonly of: Kind;
  readonly name: string;
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
  private readonly uses: Uses;
  private readonly unknownFeature: boolean;
  private readonly defaults: ReadonlyMap<string, boolean | string>;
  private readonly surroundings: Surroundings;
  private readonly events = new Events();
  private readonly definitions = new Definitions((error) => this.events.report(error));
  private readonly unwatch: () => void;
  /** Of features that refer to others: what has to be read with them. */
  private readonly together = new Map<string, readonly string[]>();
  /** What changes of it: one with those that `as` gives, which are this one for other actors. */
  private readonly life: Life = { unsubscribe: undefined, closing: undefined };

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
    this.defaults = new Map(Object.entries(defaults));
    for (const [name, answer] of this.defaults) {
      if (typeof answer === 'boolean' || typeof answer === 'string') continue;
      throw invalid(`\`defaults[${JSON.stringify(name)}]\` to be true, false or a variant`, answer);
    }
    this.source = backend;
    this.unwatch = backend.watch((event) => this.heard(event));
    this.writer = new Writer(backend);
    this.unknownFeature = unknownFeature;
    this.surroundings = {
      identify: identify as Identify,
      now,
      inGroup: (group, subject) => this.definitions.inGroup(group, subject),
      segmentOf: (segment, subject) => this.definitions.segmentOf(segment, subject),
      unreadableSubject: (feature, cause) => this.unreadable(feature, cause),
    };
    const writable = 'write' in backend ? (backend as Backend) : undefined;
    this.uses = new Uses(writable, this.surroundings, this.events);
    this.population = new Population(backend, this.writer, this.surroundings);
  }

  /** Whether the subject gets the feature. */
  isEnabled(name: NameOf<Features>, subject?: Subject | null): Promise<boolean> {
    const answer = this.answer(name, arguments.length > 1 ? subject : currentSubject());
    if (answer instanceof Promise) return answer.then(isOn);
    // The answer is one of two, so nothing is allocated for it.
    return answer.enabled ? ON : OFF;
  }

  /** The same at once. BACKEND_NOT_LOCAL where the backend has to do I/O for a check. */
  isEnabledSync(name: NameOf<Features>, subject?: Subject | null): boolean {
    return this.answerNow(name, arguments.length > 1 ? subject : currentSubject()).enabled;
  }

  /** The variant that the subject gets; undefined where the feature is off or has none. */
  variant<Name extends NameOf<Features>>(
    name: Name,
    subject?: Subject | null,
  ): Promise<VariantOf<Features[Name]> | undefined> {
    return answered(
      this.answer(name, arguments.length > 1 ? subject : currentSubject()),
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
      this.answer(name, arguments.length > 2 ? subject : currentSubject()),
      (decision) => valueOr<Features, Name, Fallback>(decision, fallback),
    );
  }

  /** The whole answer: enabled, variant, value, and why. */
  decide<Name extends NameOf<Features>>(
    name: Name,
    subject?: Subject | null,
  ): Promise<Decision<VariantOf<Features[Name]>, ValueOf<Features[Name]>>> {
    return answered(
      this.answer(name, arguments.length > 1 ? subject : currentSubject()),
      (decision) => decision as Decision<VariantOf<Features[Name]>, ValueOf<Features[Name]>>,
    );
  }

  /** The same at once. BACKEND_NOT_LOCAL where the backend has to do I/O for a check. */
  decideSync<Name extends NameOf<Features>>(
    name: Name,
    subject?: Subject | null,
  ): Decision<VariantOf<Features[Name]>, ValueOf<Features[Name]>> {
    const who = arguments.length > 1 ? subject : currentSubject();
    return this.answerNow(name, who) as Decision<
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
    const view = await this.viewOf(name, who);
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
    return this.useAs(name, who) as Promise<
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
    await this.useAs(name, arguments.length > 2 ? subject : currentSubject(), variant);
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
  async snapshot(subject?: Subject | null): Promise<Snapshot<Features>> {
    const who = arguments.length > 0 ? subject : currentSubject();
    const pin = pinnedFor<Snapshot<Features>>(this.life, who);
    if (pin !== undefined) return pin;
    let view = this.source.local;
    let decisions = this.decideAll(view, who);
    try {
      if (view === undefined || view.stale !== undefined || anyNeedsLookup(decisions)) {
        view = await this.source.readAll((feature) => this.lookupId(feature, who));
        decisions = this.decideAll(view, who, true);
      }
      const { stale } = view;
      return new Snapshot<Features>(decisions, (name) => {
        // A source can look for what it was asked about in vain.
        this.source.local?.get(name);
        return stale === undefined ? this.unknown(name) : this.unavailable(name, stale.cause);
      });
    } catch (cause) {
      const decisions = this.decideAll(undefined, who);
      return new Snapshot<Features>(decisions, (name) => this.unavailable(name, cause));
    }
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
    return this.all('feature');
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
    const id = this.lookupId(compiled, who);
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
        : this.changeMembers(name, 'add', who, options),
    );
  }

  /** Takes back `register`; resolves with how many were there. */
  unregister(
    name: NameOf<Features>,
    who: Subjects | RegExp,
    options: MembersOptions = {},
  ): Promise<number> {
    return attempt(() => {
      if (!isPattern(who)) return this.changeMembers(name, 'remove', who, options);
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
    const ids = await this.allIds(name, who);
    return this.update(name, ({ excluded }) => ({ excluded: [...excluded, ...ids] }), options);
  }

  /** Takes back `exclude`. */
  async unexclude(
    name: NameOf<Features>,
    who: Subjects,
    options: WriteOptions = {},
  ): Promise<Feature> {
    const ids = new Set(await this.allIds(name, who));
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
    return attempt(async () => {
      refuseUnknownOptions(options, ['subjectKey', 'onProgress', 'actor', 'note', 'requestId']);
      const { subjectKey, onProgress, ...about } = options;
      const name = await this.storedGroup(group, about, subjectKey);
      const others = onProgress === undefined ? about : { ...about, onProgress };
      return this.changeMembers(name, 'add', who, others);
    });
  }

  /** Takes subjects out of a stored group; resolves with how many were in it. FEATURE_NOT_FOUND. */
  removeFromGroup(group: string, who: Subjects, options: MembersOptions = {}): Promise<number> {
    return attempt(() =>
      this.changeMembers(storedName('group', parseGroup(group)), 'remove', who, options),
    );
  }

  /**
   * Removes a stored group. FEATURE_NOT_FOUND; INVALID_ARGUMENT while a feature has an override for
   * it: of a group that nobody knows nobody can say who is not in it.
   */
  async removeGroup(group: string, options: WriteOptions = {}): Promise<void> {
    const name = storedName('group', parseGroup(group));
    for (const { name: feature, rules } of await this.features()) {
      if (!hasOverride(rules, group)) continue;
      throw new HanoiError(
        'INVALID_ARGUMENT',
        `Feature ${JSON.stringify(feature)} has an override for the group ${JSON.stringify(group)}. ` +
          'Take it back with rollout.clearOverride() before.',
        { feature },
      );
    }
    await this.writer.remove(name, options);
  }

  /** The stored groups, by name. Those that can't be read are left out and reported as `error`. */
  async groups(): Promise<Group[]> {
    return (await this.all('group')).map(({ name, subjectKey }) => ({
      name: readName(name)[1],
      ...(subjectKey !== undefined && { subjectKey }),
    }));
  }

  /** How many are listed in a stored group. FEATURE_NOT_FOUND. */
  async countGroup(group: string): Promise<number> {
    return this.source.countMembers(storedName('group', parseGroup(group)));
  }

  /** Who is listed in a stored group, as `members` streams. FEATURE_NOT_FOUND. */
  async *groupMembers(group: string): AsyncGenerator<string, void, undefined> {
    for await (const batch of this.source.members(storedName('group', parseGroup(group))))
      yield* batch;
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
    await this.get(name).then((feature) => feature ?? raise(notFound(name)));
    // In a process where nobody has defined it, it would be unknown who is not in it.
    await this.storedGroup(group, options);
    const isVariant = typeof serve === 'string' && serve !== 'on' && serve !== 'off';
    const served = (isVariant ? { variant: serve } : serve) as RuleSettings['serve'];
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
    const name = storedNameOf(of);
    refuseUnknownOptions(options, ['limit', 'before', 'kind']);
    const { limit = 50, ...others } = options;
    if (!Number.isSafeInteger(limit) || limit < 0) {
      throw invalid('`limit` to be a whole number from 0', limit);
    }
    return this.source.history(name, { limit, ...others });
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
    return this.pastOf(name).rollback(name, to, options);
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
    return this.pastOf(name).undo(name, changeId, options);
  }

  /**
   * Brings back a removed feature as it was, with its members: within 7 days, if it had any.
   * FEATURE_EXISTS where there is one of that name again; NOT_KEPT, FEATURE_NOT_FOUND.
   */
  async restore(of: NameOf<Features> | Reference, options: RestoreOptions = {}): Promise<Feature> {
    const name = storedNameOf(of);
    refuseUnknownOptions(options, ['actor', 'note', 'requestId', 'members']);
    return this.pastOf(name).restore(name, options);
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
      ? parseFeature(change)
      : this.amended(
          before ?? raise(notFound(name)),
          typeof change === 'function' ? change(before ?? raise(notFound(name))) : change,
        );
    const { document: after } = await withBucketsChosen(this.source, changed, before);
    if (after.name !== name) throw invalid(`a document of ${JSON.stringify(name)}`, after.name);
    const { source, surroundings } = this;
    const isBack = before?.id !== after.id;
    const past = this.pastOf(name);
    const setAside = isBack ? await past.membersSetAside(name, after.id) : undefined;
    return preview(
      { name, before, after, setAside },
      subjects,
      source,
      surroundings,
      this.unknownIs(name),
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
    const own = { writer, population };
    return Object.assign(Object.create(Object.getPrototypeOf(this)), this, own);
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
        this.unreadable(name, cause);
      }
      return { subject, decision: this.answer(name, subject) };
    }, options);
  }

  /** A guard that lets calls through while the feature is on for everyone, whoever is current. */
  enabled(name: NameOf<Features>, options: GuardOptions = {}): Guard {
    return guardOf(() => ({ subject: undefined, decision: this.answer(name, undefined) }), options);
  }

  /** INVALID_ARGUMENT for an event that there isn't. */
  on<Name extends EventName>(event: Name, listener: Listener<Name>): this {
    if (typeof listener !== 'function') throw invalid('a function as the listener', listener);
    this.events.of(event).add(listener);
    // Not before somebody listens: over a network it takes a connection.
    if (event === 'change' && this.life.closing === undefined) {
      this.life.unsubscribe ??= this.source.subscribe((change) => {
        if (change === undefined) return;
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

  private async shut(): Promise<void> {
    this.life.unsubscribe?.();
    this.unwatch();
    await this.source.close();
  }

  private async runPinned(
    subject: Subject | null | undefined,
    fn: () => unknown,
  ): Promise<unknown> {
    // Within a pin, this one starts anew.
    const snapshot = await runAs(subject, () => this.snapshot(subject));
    return runPinned(subject, this.life, snapshot, fn);
  }

  /** At once where the source can tell without I/O. Never throws, and rejects only for `refuseUndefined`. */
  private answer(name: string, subject: unknown): Decision | Promise<Decision> {
    try {
      const pin = pinnedFor<Snapshot>(this.life, subject);
      if (pin !== undefined) return pin.decide(name);
      const view = overlaid(this.source.local, name);
      // What a stale view does not hold, the source itself may still find out.
      if (view !== undefined && (view.stale === undefined || view.get(name) !== undefined)) {
        const decision = this.decideIn(view, name, subject);
        if (decision.code !== 'NEEDS_LOOKUP') return decision;
      }
    } catch (undefinedFeature) {
      return Promise.reject(undefinedFeature);
    }
    return this.lookUp(name, subject);
  }

  private lookUp(
    name: string,
    subject: unknown,
    known = this.togetherWith(name),
  ): Promise<Decision> {
    try {
      return this.source
        .read(known, (feature) => this.lookupId(feature, subject))
        .then(
          (read) => {
            const view = overlaid(read, name);
            const all = this.moreThan(known, view, name);
            return all === undefined
              ? this.decideFinally(view, name, subject)
              : this.lookUp(name, subject, all);
          },
          (cause) => this.unavailable(name, cause),
        );
    } catch (cause) {
      return Promise.resolve(this.unavailable(name, cause));
    }
  }

  /** What a decision about this feature needs, read from the store. */
  private async viewOf(name: string, subject: unknown): Promise<View> {
    let known = this.togetherWith(name);
    for (;;) {
      const view =
        overlaid(undefined, name) ??
        overlaid(await this.source.read(known, (feature) => this.lookupId(feature, subject)), name);
      const all = this.moreThan(known, view, name);
      if (all === undefined) return view;
      known = all;
    }
  }

  private async useAs(name: string, subject: unknown, variant?: string): Promise<Decision> {
    const pin = pinnedFor<Snapshot>(this.life, subject);
    const instead = (cause: unknown) => pin?.decide(name) ?? this.unavailable(name, cause);
    let view: View;
    try {
      view = await this.viewOf(name, subject);
    } catch (cause) {
      return instead(cause);
    }
    const decision = pin?.decide(name) ?? this.decideFinally(view, name, subject);
    return this.uses.use(decision, view, subject, variant).catch(instead);
  }

  private pastOf(name: string): History {
    const decidedBy: { readonly [kind: string]: DecidedBy } = {
      experiment: (document) => this.experimenting.attached(document),
      population: (document) => this.population.refuseFewer(document),
    };
    return new History(this.source, this.writer, decidedBy[readName(name)[0]]);
  }

  /** By the present actor's writer. */
  private get experimenting(): Experiments {
    return new Experiments(this.source, this.writer, this.surroundings.now);
  }

  private chooserOf(name: string): Chooser {
    return {
      decide: async (subject) => this.answer(name, subject),
      use: (subject, variant) => this.useAs(name, subject, variant),
      current: currentSubject,
    };
  }

  /** The names to read for a decision: its own, and those that it referred to last. */
  private togetherWith(name: string): readonly string[] {
    return this.together.get(name) ?? [name];
  }

  /** The names to read where those that are known were not all; more each time, up to a limit. */
  private moreThan(
    known: readonly string[],
    view: View,
    name: string,
  ): readonly string[] | undefined {
    if (view.get(name)?.compiled.refers === undefined) {
      if (known.length > 1) this.together.delete(name);
      return undefined;
    }
    const all = referredBy(name, view);
    this.together.set(name, all);
    return all.some((each) => !known.includes(each)) ? [...new Set([...known, ...all])] : undefined;
  }

  private answerNow(name: string, subject: unknown): Decision {
    const pin = pinnedFor<Snapshot>(this.life, subject);
    if (pin !== undefined) return pin.decide(name);
    const view = overlaid(this.source.local, name);
    if (view === undefined) {
      if (this.life.closing !== undefined) return this.unavailable(name, undefined);
      throw new HanoiError(
        'BACKEND_NOT_LOCAL',
        'This backend does I/O for a check. Await isEnabled(), or take a snapshot() and ask that.',
        { feature: name },
      );
    }
    const decision = this.decideIn(view, name, subject);
    if (decision.code === 'NEEDS_LOOKUP') {
      this.events.report(
        new HanoiError(
          'NEEDS_LOOKUP',
          'A synchronous check depends on members that are not held here, and answered closed. ' +
            'Await isEnabled() instead.',
          { feature: name },
        ),
      );
    }
    return decision;
  }

  private decideIn(view: View, name: string, subject: unknown): Decision {
    try {
      const held = view.get(name);
      const { stale } = view;
      if (held !== undefined) {
        const decision = decide(held.compiled, subject, held.facts, this.surroundings, view);
        // Of a feature that went with its store.
        if (decision.code === 'STORE_UNAVAILABLE') return this.unavailable(name, undefined);
        return stale === undefined ? decision : aged(decision, stale.ageMs(name), stale.cause.code);
      }
      // That it was not there some time ago doesn't say that it isn't now.
      if (stale !== undefined) return this.unavailable(name, stale.cause);
    } catch (cause) {
      return this.unavailable(name, cause);
    }
    return this.unknown(name);
  }

  /** The same, where nothing more can be looked up. */
  private decideFinally(view: View, name: string, subject: unknown): Decision {
    const decision = this.decideIn(view, name, subject);
    if (decision.code !== 'NEEDS_LOOKUP') return decision;
    return this.unavailable(name, view.stale?.cause ?? view.problem);
  }

  private decideAll(
    view: View | undefined,
    subject: unknown,
    isFinal = false,
  ): Map<string, Decision> {
    const decisions = new Map<string, Decision>();
    for (const name of namesWith(view)) {
      if (!isOfFeature(name)) continue;
      const known = overlaid(view, name);
      if (known === undefined) continue;
      const decision = isFinal
        ? this.decideFinally(known, name, subject)
        : this.decideIn(known, name, subject);
      decisions.set(name, decision);
    }
    return decisions;
  }

  private unknown(name: string): Decision {
    refuseUndefined(name);
    return this.unknownIs(name);
  }

  private unknownIs(name: string): Decision {
    const enabled = this.unknownFeature;
    return failed(name, 'unknown feature', 'FLAG_NOT_FOUND', 'FEATURE_NOT_FOUND', { enabled });
  }

  /** The store did not answer, which is not the same as "no such feature": the default, or off. */
  private unavailable(name: string, cause: unknown): Decision {
    if (this.life.closing !== undefined) {
      return failed(name, 'store unavailable', 'GENERAL', 'CLOSED');
    }
    const code = codeOf(cause);
    const answer = this.defaults.get(name) ?? false;
    this.events.report(
      new HanoiError(
        code,
        `A check got no answer from the store, and answered ${answer === false ? 'closed' : 'by its default'}.`,
        { feature: name, cause },
      ),
    );
    const variant = typeof answer === 'string' ? answer : undefined;
    return failed(name, 'store unavailable', 'GENERAL', code, {
      enabled: answer !== false,
      variant,
      value: variant ?? (answer || undefined),
    });
  }

  private heard({ kind, health, cause }: HealthEvent): void {
    if (kind !== 'corrupt' && kind !== 'error') this.events.emit(kind, Object.freeze(health));
    else if (cause !== undefined) this.events.report(cause, kind);
  }

  private lookupId(feature: CompiledFeature, subject: unknown): string | undefined {
    return lookupId(feature, subject, this.surroundings);
  }

  private unreadable(feature: string, cause: unknown): void {
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

  /** All documents of that kind, by name. */
  private async all(kind: Kind): Promise<Feature[]> {
    const { features } = await this.source.loadAll();
    const readable: Feature[] = [];
    for (const [name, { feature, problem }] of features) {
      if (readName(name)[0] !== kind) continue;
      if (problem !== undefined) this.events.report(problem);
      else readable.push(feature);
    }
    return readable.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The name under which the group is stored, once it is. INVALID_ARGUMENT. */
  private async storedGroup(
    group: string,
    options: WriteOptions,
    subjectKey?: string | undefined,
  ): Promise<string> {
    const name = storedName('group', parseGroup(group));
    // A write of its own, without condition: the request is the one that it is made for.
    const { expect: _, requestId: __, ...about } = options;
    for (;;) {
      const stored = await this.get(name as NameOf<Features>);
      if (stored !== undefined) {
        if (subjectKey === undefined || subjectKey === stored.subjectKey) return name;
        throw invalid('the `subjectKey` with which the group was begun', subjectKey);
      }
      try {
        await this.writer.create(createFeature(name, crypto.randomUUID(), { subjectKey }), about);
        return name;
      } catch (error) {
        if (!hasCode(error, 'FEATURE_EXISTS')) throw error;
      }
    }
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

  private changeMembers(
    name: string,
    kind: 'add' | 'remove',
    who: Subjects,
    options: MembersOptions,
  ): Promise<number> {
    if (isMany<Subject>(who)) {
      return this.writer.changeManyMembers(name, kind, this.idsOf(name, who), options);
    }
    return this.allIds(name, who).then((ids) =>
      this.writer.changeMembers(name, kind, ids, options),
    );
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

  private async allIds(name: string, who: Subjects): Promise<string[]> {
    const ids: string[] = [];
    for await (const id of this.idsOf(name, isMany<Subject>(who) ? who : [who])) ids.push(id);
    return ids;
  }

  /** The ids by which the feature knows these subjects. INVALID_FEATURE, FEATURE_NOT_FOUND. */
  private async *idsOf(
    name: string,
    subjects: Iterable<Subject> | AsyncIterable<Subject>,
  ): AsyncGenerator<string, void, undefined> {
    let key: string | undefined;
    let known = false;
    let at = 0;
    for await (const subject of subjects) {
      const path = `subjects[${at++}]`;
      if (isBareId(subject)) {
        yield parseId(subject, path);
        continue;
      }
      if (!known) {
        key = ((await this.get(name as NameOf<Features>)) ?? raise(notFound(name))).subjectKey;
        known = true;
      }
      yield parseId(subjectId(subject, key, this.surroundings.identify), path);
    }
  }
}

/** What of a rollout changes with time. What is pinned is pinned for it. */
interface Life {
  unsubscribe: (() => void) | undefined;
  closing: Promise<void> | undefined;
}

/** A whole document, rather than settings: these say neither. */
function isDocument(change: unknown): change is Feature {
  return typeof change === 'object' && change !== null && 'id' in change && 'revision' in change;
}

function storedNameOf(given: string | Reference): string {
  if (typeof given === 'string') return given;
  const { of, name } = given;
  return of === 'feature' ? name : storedName(of, name);
}

function presentPercentage(percentage: number | Ramp, now: number): number {
  return typeof percentage === 'number' ? percentage : percentageAt(compileRamp(percentage), now);
}

/** Why the store gave no answer, where it says so itself. */
function codeOf(cause: unknown): ErrorCode {
  const code = String((cause as Partial<HanoiError> | undefined)?.code);
  return Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'STORE_UNAVAILABLE';
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

function anyNeedsLookup(decisions: ReadonlyMap<string, Decision>): boolean {
  for (const { code } of decisions.values()) if (code === 'NEEDS_LOOKUP') return true;
  return false;
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

function isBareId(who: unknown): boolean {
  return typeof who !== 'object' || who === null;
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
