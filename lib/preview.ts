import { setImmediate as nextTurn } from 'node:timers/promises';
import type { HeldFeature, Source, View } from './backends/backend.js';
import { batchesOf } from './batches.js';
import {
  type CompiledFeature,
  compile,
  decide,
  type Facts,
  idUnder,
  lookupId,
  type Others,
  type Surroundings,
} from './domain/decide.js';
import type { Decision } from './domain/decision.js';
import type { Feature } from './domain/feature.js';
import { referredBy } from './domain/prerequisite.js';
import { changedMeanwhile, HanoiError, refuseNumber, refuseUnknownOptions } from './errors.js';

export interface PreviewOptions {
  /** How many ids to name of each kind: the first that come. From 0; default 100. */
  ids?: number;
}

/** What a change would do to those who were asked about. */
export interface Preview {
  /** Off before, and on after. */
  readonly gains: number;
  /** On before, and off after. */
  readonly loses: number;
  /** On before and after, with another variant. */
  readonly changes: number;
  readonly stays: number;
  /**
   * Of whom it can't be told: they may be among members that are set aside, and that the history does
   * not tell all of. 0 but for a document with such members.
   */
  readonly unknown: number;
  /** Their ids, as the feature knows them. Who has none is counted, but not named. */
  readonly ids: {
    readonly gains: readonly string[];
    readonly loses: readonly string[];
    readonly changes: readonly string[];
  };
}

const DEFAULTS = { ids: 100 };

/** So many subjects are looked up together: a source makes one question of a turn's. */
const AT_ONCE = 500;

/** How often the features that have to be read with one may prove to be more. */
const MOST_READINGS = 100;

/** The feature before a change and after it. `before` is undefined where there was none. */
interface Change {
  readonly name: string;
  readonly before: Feature | undefined;
  readonly after: Feature;
  /** The members that come back, where `after` has another id: undefined where that isn't known. */
  readonly setAside: ReadonlySet<string> | undefined;
}

/**
 * Who of the subjects would gain, lose or change variant, decided as checks do, each before and after
 * at one instant. Holds some hundred subjects at a time. Rejects where the store does not answer, and
 * with CONFLICT where the feature is replaced underway. INVALID_ARGUMENT.
 */
export async function preview(
  change: Change,
  subjects: Iterable<unknown> | AsyncIterable<unknown>,
  source: Source,
  surroundings: Surroundings,
  unknown: Decision,
  options: PreviewOptions,
): Promise<Preview> {
  refuseUnknownOptions(options, Object.keys(DEFAULTS));
  const { ids } = { ...DEFAULTS, ...options };
  refuseNumber('ids', ids, 0);
  const previewing = new Previewing(change, source, surroundings, unknown);
  const tally = new Tally(ids);
  for await (const batch of batchesOf(subjects, AT_ONCE)) {
    for (const outcome of await previewing.compare(batch)) tally.add(outcome);
    await nextTurn();
  }
  return tally.result();
}

interface Outcome {
  readonly kind: 'gains' | 'loses' | 'changes' | 'stays' | 'unknown';
  readonly id: string | undefined;
}

class Tally {
  private readonly counts = { gains: 0, loses: 0, changes: 0, stays: 0, unknown: 0 };
  private readonly named = {
    gains: [] as string[],
    loses: [] as string[],
    changes: [] as string[],
  };

  constructor(private readonly most: number) {}

  add({ kind, id }: Outcome): void {
    this.counts[kind]++;
    if (kind === 'stays' || kind === 'unknown' || id === undefined) return;
    if (this.named[kind].length < this.most) this.named[kind].push(id);
  }

  result(): Preview {
    return { ...this.counts, ids: this.named };
  }
}

class Previewing {
  private readonly before: CompiledFeature | undefined;
  private readonly after: CompiledFeature;
  /** The facts of `after`, where they are not those that are there. */
  private readonly returned: Facts | undefined;
  /** What has to be read to decide both. */
  private names: readonly string[];

  constructor(
    private readonly change: Change,
    private readonly source: Source,
    private readonly surroundings: Surroundings,
    private readonly unknown: Decision,
  ) {
    this.before = change.before && compile(change.before);
    this.after = compile(change.after);
    const { setAside } = change;
    if (change.before?.id !== change.after.id) {
      const { assigned } = UNKNOWN;
      this.returned =
        setAside === undefined ? UNKNOWN : { isMember: (id) => setAside.has(id), assigned };
    }
    this.names = [change.name, ...(this.after.refers ?? [])];
  }

  compare(subjects: readonly unknown[]): Promise<Outcome[]> {
    // Both decisions of all of them are of one instant.
    const now = this.surroundings.now();
    const surroundings = { ...this.surroundings, now: () => now };
    return Promise.all(subjects.map((subject) => this.compareOne(subject, surroundings)));
  }

  private async compareOne(subject: unknown, surroundings: Surroundings): Promise<Outcome> {
    const { before, after } = this;
    const oldId = before && lookupId(before, subject, surroundings);
    const newId = lookupId(after, subject, surroundings);
    // With another `subjectKey` it is known by another id.
    const old = await this.look(oldId ?? newId, subject, surroundings);
    const isOther = oldId !== undefined && newId !== undefined && oldId !== newId;
    const now = isOther ? await this.look(newId, subject, surroundings) : old;
    const was =
      before === undefined
        ? this.unknown
        : this.decide(before, subject, old.facts, surroundings, old.others);
    const is = this.decide(after, subject, this.returned ?? now.facts, surroundings, now.others);
    const id = idUnder(after, subject, surroundings);
    if (was === undefined || is === undefined) return { kind: 'unknown', id };
    return { kind: kindOf(was, is), id };
  }

  /** What is kept beside the feature, and those that it requires, as a check gets them. */
  private async look(
    id: string | undefined,
    subject: unknown,
    surroundings: Surroundings,
  ): Promise<{ facts: Facts; others: Others }> {
    const { name, before } = this.change;
    for (let reading = 1; ; reading++) {
      // Others of the same turn find out too that there are more.
      const { names } = this;
      const view: View = await this.source.read(names, (feature) =>
        feature.name === name ? id : lookupId(feature, subject, surroundings),
      );
      if (view.stale !== undefined) throw view.stale.cause;
      const held: HeldFeature | undefined = view.get(name);
      if (held?.head?.id !== before?.id) throw changedMeanwhile(name);
      const required = this.referredIn(view);
      if (required.every((each) => names.includes(each)) || reading === MOST_READINGS) {
        return { facts: this.known(held), others: view };
      }
      this.names = [...new Set([...this.names, ...required])];
    }
  }

  /** A check of a feature that keeps nothing does not ask what is kept: nothing, then. */
  private known(held: HeldFeature | undefined): Facts {
    if (held === undefined) return NOBODY;
    const { facts } = held;
    if (held.compiled.isAssigned || !this.after.isAssigned) return facts;
    return { isMember: (id) => facts.isMember(id), assigned: (id) => facts.assigned(id) ?? null };
  }

  private referredIn(view: View): readonly string[] {
    const { name } = this.change;
    const under = (compiled: CompiledFeature | undefined) =>
      compiled?.refers === undefined
        ? []
        : referredBy(name, {
            get: (each) => (each === name ? { compiled } : view.get(each)),
          });
    return [...under(this.before), ...under(this.after)];
  }

  /** Undefined where it depends on what is set aside. */
  private decide(
    feature: CompiledFeature,
    subject: unknown,
    facts: Facts,
    surroundings: Surroundings,
    others: Others,
  ): Decision | undefined {
    const decision = decide(feature, subject, facts, surroundings, others);
    if (decision.code !== 'NEEDS_LOOKUP') return decision;
    if (facts === this.returned) return undefined;
    throw new HanoiError('STORE_UNAVAILABLE', 'The store did not tell who is a member.', {
      feature: this.change.name,
    });
  }
}

/** Of a feature that is not there. */
const NOBODY: Facts = { isMember: () => false, assigned: () => null };

/** Of what can't be looked up. */
const UNKNOWN: Facts = { isMember: () => undefined, assigned: () => undefined };

function kindOf(before: Decision, after: Decision): Outcome['kind'] {
  if (before.enabled !== after.enabled) return after.enabled ? 'gains' : 'loses';
  return after.enabled && before.variant !== after.variant ? 'changes' : 'stays';
}
