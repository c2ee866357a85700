import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Head, MEMBERS_PER_WRITE, type Source } from './backends/backend.js';
import { batchesOf } from './batches.js';
import { idUnder, type Surroundings } from './domain/decide.js';
import type { Feature } from './domain/feature.js';
import { parseId, parseWeight, refused } from './domain/parse.js';
import { type Subject, subjectId } from './domain/subject.js';
import { amendFeature, createFeature } from './domain/validate.js';
import {
  changedMeanwhile,
  HanoiError,
  hasCode,
  invalid,
  outcomeUnknown,
  refuseUnknownOptions,
} from './errors.js';
import { POPULATION } from './stored-name.js';
import { isMany, type Subjects } from './subjects.js';
import { ATTEMPTS, type MembersOptions, type WriteOptions, type Writer } from './writer.js';

/** A subject, or one with a weight of its own: a Map of ids and weights is a list of those. */
export type Registration = Subject | readonly [subject: Subject, weight: number];

export interface BucketOptions extends Omit<WriteOptions, 'expect'> {
  /** The attribute by which subjects are registered instead of their id. Of the first buckets. */
  subjectKey?: string;
}

export interface RegistrationOptions {
  /** Of all that have none of their own: 0, or from 0.000001 to 1,000,000,000. Default 1. */
  weight?: number;
  /** Called after each batch of at most 1,000: how many were taken, how many of them are new. */
  onProgress?: MembersOptions['onProgress'];
}

/** Some of the population, and what they weigh together. */
export interface Bucket {
  readonly name: string;
  readonly weight: number;
}

/** Somebody who is registered; with the id as that attribute too where the population has a `subjectKey`. */
export interface RegisteredSubject {
  readonly id: string;
  readonly weight: number;
  readonly bucket: string;
}

/** Each is named in a write that registers, and can be among those of a feature. */
const MOST_BUCKETS = 1_000;

/**
 * Those over whom a percentage goes by weight (bucketing `population`): registered subjects, spread
 * over buckets of about the same weight. A feature takes whole buckets, when its percentage is set.
 */
export class Population {
  /** As it was when somebody was registered last. */
  private known: Feature | undefined;

  constructor(
    private readonly source: Source,
    private readonly writer: Writer,
    private readonly surroundings: Surroundings,
  ) {}

  /**
   * Adds so many empty buckets; resolves with how many there are then, at most 1,000. Who is in a
   * bucket stays there; whoever is registered next goes to the new ones, the lightest.
   * INVALID_ARGUMENT, also for another `subjectKey` than the first one.
   */
  async increaseBuckets(count: number, options: BucketOptions = {}): Promise<number> {
    refuseUnknownOptions(options, ['subjectKey', 'actor', 'note', 'requestId']);
    if (!Number.isSafeInteger(count) || count < 1) {
      throw invalid('`count` to be a whole number from 1', count);
    }
    const { subjectKey, ...about } = options;
    const increase = (population: Feature) => {
      if (subjectKey !== undefined && subjectKey !== population.subjectKey) {
        throw invalid('the `subjectKey` with which the population was begun', subjectKey);
      }
      return amendFeature(population, { variants: names(population.variants.length + count) });
    };
    for (;;) {
      try {
        const { variants } = await this.writer.amend(POPULATION, about, increase);
        return variants.length;
      } catch (error) {
        if (!hasCode(error, 'FEATURE_NOT_FOUND')) throw error;
      }
      try {
        const settings = { variants: names(count), subjectKey };
        const first = createFeature(POPULATION, crypto.randomUUID(), settings);
        return (await this.writer.create(first, about)).variants.length;
      } catch (error) {
        if (!hasCode(error, 'FEATURE_EXISTS')) throw error;
      }
    }
  }

  /**
   * Allots a subject, or many, to the lightest bucket, the heaviest of each 1,000 first; resolves
   * with how many are new. Those of a list can have weights of their own (`[['ann', 5], 'bob']`).
   * Who is there keeps the bucket, and gets the new weight. A feature that has a bucket has all who
   * come into it; the next `setPercentage` makes up for a share that has become another by that. On
   * a failure the batches before it are in, and the call can be repeated. FEATURE_NOT_FOUND while
   * there are no buckets; INVALID_FEATURE for no id or no weight, with its place in `path`.
   */
  async register(
    who: Subject | Iterable<Registration> | AsyncIterable<Registration>,
    options: RegistrationOptions = {},
  ): Promise<number> {
    refuseUnknownOptions(options, ['weight', 'onProgress']);
    const { weight = 1, onProgress } = options;
    parseWeight(weight, 'weight');
    if (!isMany<Registration>(who)) return this.allot([who], weight);
    // As it is now: it can have been made anew since somebody was registered last.
    this.known = await this.load();
    const { id } = this.known;
    let done = 0;
    let changed = 0;
    for await (const batch of batchesOf(who, MEMBERS_PER_WRITE)) {
      changed += await this.allot(batch, weight, done, id);
      done += batch.length;
      onProgress?.({ done, changed });
      await nextTurn();
    }
    return changed;
  }

  /** Takes back `register`, in batches of 1,000; resolves with how many were there. FEATURE_NOT_FOUND. */
  async unregister(who: Subjects, options: MembersOptions = {}): Promise<number> {
    refuseUnknownOptions(options, ['onProgress', 'actor', 'note', 'requestId']);
    const { onProgress, requestId = crypto.randomUUID(), ...about } = options;
    const { subjectKey } = await this.load();
    let done = 0;
    let changed = 0;
    const subjects = isMany<Subject>(who) ? who : [who];
    for await (const batch of batchesOf(subjects, MEMBERS_PER_WRITE)) {
      const ids = batch.map((subject, at) => this.idOf(subject, subjectKey, done + at));
      // One for all of it, by which it can be repeated whole.
      const own = { ...about, requestId: `${requestId}/${done}` };
      changed += await this.writer.release(POPULATION, ids, own).catch((error) => {
        throw hasCode(error, 'OUTCOME_UNKNOWN')
          ? outcomeUnknown(POPULATION, requestId, error.cause)
          : error;
      });
      done += batch.length;
      onProgress?.({ done, changed });
      await nextTurn();
    }
    return changed;
  }

  /** The bucket of a subject; undefined of one who is not registered. */
  async bucketOf(subject: Subject): Promise<string | undefined> {
    const view = await this.source.read([POPULATION], (feature) =>
      idUnder(feature, subject, this.surroundings),
    );
    if (view.stale !== undefined) throw view.stale.cause;
    const population = view.get(POPULATION);
    if (population === undefined) return undefined;
    const id = idUnder(population.compiled, subject, this.surroundings);
    if (id === undefined) return undefined;
    const bucket = population.facts.assigned(id);
    if (bucket !== undefined) return bucket ?? undefined;
    throw view.problem ?? new HanoiError('STORE_UNAVAILABLE', 'The bucket could not be looked up.');
  }

  /** The buckets, with the weight of those who are in them. None before `increaseBuckets`. */
  async buckets(): Promise<Bucket[]> {
    const population = await this.find();
    if (population === undefined) return [];
    const weights = await this.source.assignedWeights(POPULATION);
    return population.variants.map(({ name }) => ({ name, weight: weights.get(name) ?? 0 }));
  }

  /** What all who are registered weigh together. */
  async weight(): Promise<number> {
    return (await this.buckets()).reduce((sum, { weight }) => sum + weight, 0);
  }

  /** How many are registered. */
  async count(): Promise<number> {
    return (await this.find()) === undefined ? 0 : this.source.countAssigned(POPULATION);
  }

  /** Who is registered, streamed, in no order. While that changes, one may come twice. */
  async *subjects(): AsyncGenerator<RegisteredSubject, void, undefined> {
    const population = await this.find();
    if (population === undefined) return;
    const { subjectKey } = population;
    for await (const batch of this.source.assignments(POPULATION)) {
      for (const { id, weight, value } of batch) {
        const keyed = subjectKey === undefined ? {} : { [subjectKey]: id };
        yield { ...keyed, id, weight, bucket: value };
      }
    }
  }

  /** Before a document of the past comes back. INVALID_FEATURE where somebody is in a bucket that it lacks. */
  async refuseFewer({ variants }: Feature): Promise<ReadonlyMap<string, Head>> {
    const there = new Set(variants.map(({ name }) => name));
    for (const [bucket, weight] of await this.source.assignedWeights(POPULATION)) {
      if (weight === 0 || there.has(bucket)) continue;
      throw refused('variants', 'to keep the buckets that somebody is in', bucket);
    }
    return new Map();
  }

  /** One batch; CONFLICT where the population is no longer the one of that `id`. */
  private async allot(
    batch: readonly Registration[],
    weight: number,
    first?: number,
    id?: string,
  ): Promise<number> {
    for (let attempt = 1; ; attempt++) {
      const population = this.known ?? (await this.load());
      if (id !== undefined && population.id !== id) throw changedMeanwhile(POPULATION);
      const { revision, variants } = population;
      try {
        const { added } = await this.writer.assign({
          name: POPULATION,
          // Of that revision, so that all buckets are known.
          expect: { id: population.id, revision },
          assign: this.heaviestFirst(batch, weight, population.subjectKey, first),
          among: variants.map(({ name }) => name),
        });
        this.known = population;
        return added;
      } catch (error) {
        this.known = undefined;
        const isOutdated = hasCode(error, 'CONFLICT') || hasCode(error, 'FEATURE_NOT_FOUND');
        if (!isOutdated || attempt === ATTEMPTS) throw error;
      }
    }
  }

  private heaviestFirst(
    batch: readonly Registration[],
    weight: number,
    subjectKey: string | undefined,
    first: number | undefined,
  ) {
    // Of one who comes twice, the last weight.
    const weights = new Map<string, number>();
    for (const [at, each] of batch.entries()) {
      const place = first === undefined ? undefined : first + at;
      const [subject, own] = isPair(each, place) ? each : [each, weight];
      weights.set(
        this.idOf(subject, subjectKey, place),
        own === weight ? weight : parseWeight(own, `subjects[${place}][1]`),
      );
    }
    return Array.from(weights, ([id, own]) => ({ id, weight: own })).sort(
      (one, other) => other.weight - one.weight,
    );
  }

  /** INVALID_FEATURE, with the place among many in its `path`. */
  private idOf(subject: Subject, key: string | undefined, place: number | undefined): string {
    const path = place === undefined ? 'subject' : `subjects[${place}]`;
    // Beside whole subjects, the ids themselves can be said, whatever they are ids of.
    const isWhole = typeof subject === 'object' && (subject as unknown) !== null;
    const id = isWhole ? subjectId(subject, key, this.surroundings.identify) : subject;
    return parseId(id, path);
  }

  private load(): Promise<Feature> {
    return this.writer.load(POPULATION);
  }

  private async find(): Promise<Feature | undefined> {
    const stored = await this.source.load(POPULATION);
    if (stored?.problem !== undefined) throw stored.problem;
    return stored?.feature;
  }
}

/** The names of the first so many buckets. INVALID_ARGUMENT. */
function names(count: number): string[] {
  if (count > MOST_BUCKETS) throw invalid(`at most ${MOST_BUCKETS} buckets in all`, count);
  return Array.from({ length: count }, (_, at) => String(at));
}

function isPair(
  given: Registration,
  place: number | undefined,
): given is readonly [subject: Subject, weight: number] {
  if (!Array.isArray(given)) return false;
  if (given.length === 2) return true;
  throw refused(`subjects[${place}]`, 'to be a subject, or [subject, weight]', given.length);
}
