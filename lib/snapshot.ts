import type { Decision } from './domain/decision.js';
import type { Json } from './domain/feature.js';
import type { HanoiError } from './errors.js';
import type { AnyFeatures, FeatureMap, NameOf, ValueOf, VariantOf } from './feature-map.js';

/** What a page needs to know of a feature. */
export interface SnapshotEntry {
  readonly enabled: boolean;
  readonly variant?: string;
  readonly value?: Json;
}

/** Every feature decided for one subject at one moment, and what is answered of others. */
export interface Decided {
  readonly decisions: ReadonlyMap<string, Decision>;
  readonly unknown: (name: string) => Decision;
  /** Why nothing is known of any feature, where the store gave no answer. */
  readonly problem?: HanoiError | undefined;
}

export function decisionIn({ decisions, unknown }: Decided, name: string): Decision {
  return decisions.get(name) ?? unknown(name);
}

/** Every feature decided for one subject at one moment: synchronous, and unchanging. */
export class Snapshot<Features extends FeatureMap = AnyFeatures> {
  constructor(
    private readonly decided: Decided,
    /** Called with each decision that somebody is given. */
    private readonly given: (decision: Decision) => void,
  ) {}

  isEnabled(name: NameOf<Features>): boolean {
    return this.decision(name).enabled;
  }

  variant<Name extends NameOf<Features>>(name: Name): VariantOf<Features[Name]> | undefined {
    return this.decision(name).variant as VariantOf<Features[Name]> | undefined;
  }

  /** The decision's value, or `fallback` where it has none. */
  value<Name extends NameOf<Features>, Fallback>(
    name: Name,
    fallback: Fallback,
  ): ValueOf<Features[Name]> | Fallback {
    return valueOr<Features, Name, Fallback>(this.decision(name), fallback);
  }

  decide<Name extends NameOf<Features>>(
    name: Name,
  ): Decision<VariantOf<Features[Name]>, ValueOf<Features[Name]>> {
    return this.decision(name) as Decision<VariantOf<Features[Name]>, ValueOf<Features[Name]>>;
  }

  /**
   * The decision on each feature there is, in no order; observers hear nothing of them. Throws why the
   * store gave no answer, where nothing is known of before: that is not the same as no features.
   */
  decisions(): Iterable<Decision> {
    const { decisions, problem } = this.decided;
    if (problem !== undefined) throw problem;
    return decisions.values();
  }

  /** By feature name; nothing of the rules behind the answers. */
  toJSON(): Record<string, SnapshotEntry> {
    return Object.fromEntries(
      Array.from(this.decided.decisions, ([name, { enabled, variant, value }]) => [
        name,
        {
          enabled,
          ...(variant !== undefined && { variant }),
          ...(value !== undefined && { value }),
        },
      ]),
    );
  }

  private decision(name: string): Decision {
    const decision = decisionIn(this.decided, name);
    this.given(decision);
    return decision;
  }
}

/** What `value()` answers for a decision. */
export function valueOr<Features extends FeatureMap, Name extends NameOf<Features>, Fallback>(
  { value }: Decision,
  fallback: Fallback,
): ValueOf<Features[Name]> | Fallback {
  return value === undefined ? fallback : (value as ValueOf<Features[Name]>);
}
