import type { Head, Source } from './backends/backend.js';
import {
  type Arm,
  createExperiment,
  type Experiment,
  type ExperimentSettings,
  experimentOf,
  featuresOf,
  overlap,
  type SampleRatio,
  sampleRatio,
  settingsOf,
  stateAt,
} from './domain/experiment.js';
import type { Feature } from './domain/feature.js';
import { parseName, refused } from './domain/parse.js';
import { isoOf } from './domain/ramp.js';
import { amendFeature, parseFeature } from './domain/validate.js';
import { readName, storedName } from './stored-name.js';
import type { WriteOptions, Writer } from './writer.js';

/** An experiment, and how it goes. */
export interface ExperimentReport extends Experiment {
  readonly state: 'planned' | 'live' | 'over';
  readonly arms: readonly (Arm & {
    /** How many subjects have used what this arm gave; each is counted once, where it was first. */
    readonly uses: number;
  })[];
  /**
   * Whether the uses fit to the proportions of now, by which they are mismatched once these were
   * changed; undefined while there are too few to say.
   */
  readonly sampleRatio: SampleRatio | undefined;
  /**
   * Its features that are not in it: they were removed, or removed and made anew. None once it is
   * over: then they let go of it.
   */
  readonly missing: readonly string[];
}

type Beside = Map<string, Head | undefined>;

/** A/B tests: documents of their own, to which the features that they are about refer. */
export class Experiments {
  constructor(
    private readonly source: Source,
    private readonly writer: Writer,
    private readonly now: () => number,
  ) {}

  /**
   * A feature that refers to an experiment which is not there is not changed by it. So the features
   * refer to it first, and it comes to life for all of them by its own one write.
   */
  async add(
    name: string,
    settings: ExperimentSettings,
    options: WriteOptions,
  ): Promise<Experiment> {
    const document = createExperiment(name, crypto.randomUUID(), settings);
    const experiment = experimentOf(name, document);
    await this.decidedBy(experiment);
    const attached = await this.attach(experiment, options);
    try {
      await this.writer.create(document, options, () => this.decidedBy(experiment));
    } catch (error) {
      await this.detachUnless(name, attached, options).catch(() => {});
      throw error;
    }
    return experiment;
  }

  async update(
    name: string,
    changes: Partial<ExperimentSettings>,
    options: WriteOptions,
  ): Promise<Experiment> {
    const known = experimentOf(name, await this.load(name));
    const wanted = { ...settingsFrom(known), ...changes };
    const next = experimentOf(name, createExperiment(name, known.id, wanted));
    await this.decidedBy(next);
    await this.attach(next, options);
    const amended = await this.writer.amend(
      storedName('experiment', name),
      options,
      (document) => {
        const settings = { ...settingsFrom(experimentOf(name, document)), ...changes };
        return amendFeature(document, settingsOf(settings));
      },
      (document) => this.decidedBy(experimentOf(name, document)),
    );
    const dropped = featuresOf(known).filter((each) => !featuresOf(next).includes(each));
    await this.detach(name, dropped, options);
    return experimentOf(name, amended);
  }

  async stop(name: string, options: WriteOptions): Promise<Experiment> {
    const known = experimentOf(name, await this.load(name));
    const now = this.now();
    const state = stateAt(known, now);
    if (state === 'over') return known;
    if (state === 'planned') {
      throw refused('until', 'to be after `from`: it has not begun; remove it', isoOf(now));
    }
    return this.update(name, { until: isoOf(now) }, options);
  }

  async remove(name: string, options: WriteOptions): Promise<void> {
    const known = experimentOf(name, await this.load(name));
    await this.writer.remove(storedName('experiment', name), options);
    await this.detach(name, featuresOf(known), options);
  }

  async report(name: string): Promise<ExperimentReport | undefined> {
    const stored = await this.source.load(storedName('experiment', name));
    if (stored === undefined) return undefined;
    if (stored.problem !== undefined) throw stored.problem;
    const experiment = experimentOf(name, stored.feature);
    const weights = await this.source.assignedWeights(stored.feature.name);
    const arms = experiment.arms.map((arm) => ({ ...arm, uses: weights.get(arm.name) ?? 0 }));
    const state = stateAt(experiment, this.now());
    const missing: string[] = [];
    for (const feature of state === 'over' ? [] : featuresOf(experiment)) {
      const document = (await this.source.load(feature))?.feature;
      if (!document?.experiments?.includes(name)) missing.push(feature);
    }
    return { ...experiment, state, arms, sampleRatio: sampleRatio(arms), missing };
  }

  /** By name. Those that can't be read are left out. */
  async all(): Promise<Experiment[]> {
    const { features } = await this.source.loadAll();
    const found: Experiment[] = [];
    for (const [stored, { feature }] of features) {
      const [kind, name] = readName(stored);
      if (kind === 'experiment' && feature !== undefined) found.push(experimentOf(name, feature));
    }
    return found.sort((one, other) => (one.name < other.name ? -1 : 1));
  }

  /**
   * Its features and the other experiments on them, as they are now: it is written only if they
   * still are. INVALID_FEATURE where a feature is not there, or has not what an arm gives, or is in
   * another experiment at the same time.
   */
  private async decidedBy(experiment: Experiment): Promise<Beside> {
    const beside: Beside = new Map();
    for (const feature of featuresOf(experiment)) {
      const stored = await this.source.load(feature);
      const path = `arms[0].features.${feature}`;
      if (stored?.feature === undefined)
        throw refused(path, 'to be a feature that is there', feature);
      beside.set(feature, stored.head);
      const { variants, experiments = [] } = stored.feature;
      for (const [at, { features }] of experiment.arms.entries()) {
        const gives = features[feature];
        if (typeof gives === 'boolean' || variants.some((each) => each.name === gives)) continue;
        throw refused(`arms[${at}].features.${feature}`, 'to be one of its variants', gives);
      }
      for (const name of experiments) {
        if (name === experiment.name) continue;
        const key = storedName('experiment', name);
        const document = await this.source.load(key);
        beside.set(key, document?.head);
        if (document?.feature === undefined) continue;
        const other = experimentOf(name, document.feature);
        if (!featuresOf(other).includes(feature) || !overlap(experiment, other)) continue;
        const when = `${other.from} to ${other.until}`;
        throw refused(path, 'to be in one experiment at a time', `${name}, from ${when}`);
      }
    }
    return beside;
  }

  /**
   * Of a document that is to be written in another way (a rollback): its features refer to it first.
   */
  async attached(document: Feature, options: WriteOptions): Promise<Beside> {
    const experiment = experimentOf(readName(document.name)[1], document);
    await this.decidedBy(experiment);
    await this.attach(experiment, options);
    return this.decidedBy(experiment);
  }

  /** Lets its features refer to it, and no longer to what is over; gives those that didn't before. */
  private async attach(experiment: Experiment, options: WriteOptions): Promise<string[]> {
    const { name } = experiment;
    const attached: string[] = [];
    const over = new Set<string>();
    for (const each of await this.all()) {
      if (stateAt(each, this.now()) === 'over' && each.name !== name) over.add(each.name);
    }
    for (const feature of featuresOf(experiment)) {
      const refer = (document: Feature) => {
        const { experiments = [] } = document;
        if (experiments.includes(name)) return document;
        return referring(document, [...experiments.filter((each) => !over.has(each)), name]);
      };
      const { revision } = await this.writer.load(feature);
      const after = await this.writer.amend(feature, about(options), refer);
      if (after.revision !== revision) attached.push(feature);
    }
    return attached;
  }

  /**
   * Takes back what was attached, but from features that an experiment of this name goes on with:
   * another writer has made it meanwhile, or this one did, and has not heard of it.
   */
  private async detachUnless(
    name: string,
    features: readonly string[],
    options: WriteOptions,
  ): Promise<void> {
    const there = (await this.source.load(storedName('experiment', name)))?.feature;
    const kept = there === undefined ? [] : featuresOf(experimentOf(name, there));
    const others = features.filter((each) => !kept.includes(each));
    await this.detach(name, others, options);
  }

  private async detach(
    name: string,
    features: readonly string[],
    options: WriteOptions,
  ): Promise<void> {
    for (const feature of features) {
      if ((await this.source.load(feature))?.feature === undefined) continue;
      await this.writer.amend(feature, about(options), (document) => {
        const { experiments = [] } = document;
        if (!experiments.includes(name)) return document;
        return referring(
          document,
          experiments.filter((each) => each !== name),
        );
      });
    }
  }

  private async load(name: string): Promise<Feature> {
    return this.writer.load(storedName('experiment', parseName(name, 'name')));
  }
}

function referring(document: Feature, experiments: readonly string[]): Feature {
  const { experiments: _, ...others } = document;
  const revision = document.revision + 1;
  return parseFeature({
    ...others,
    revision,
    ...(experiments.length > 0 && { experiments }),
  });
}

/** What of the options is about other documents than the experiment's own too. */
function about({ actor, note }: WriteOptions): WriteOptions {
  return { ...(actor !== undefined && { actor }), ...(note !== undefined && { note }) };
}

function settingsFrom({
  from,
  until,
  arms,
  when,
  subjectKey,
  sticky,
  data,
}: Experiment): ExperimentSettings {
  return { from, until, arms, when, subjectKey, sticky, data } as ExperimentSettings;
}
