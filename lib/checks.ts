import type { Source, View } from './backends/backend.js';
import { pinnedFor } from './current-user.js';
import { type CompiledFeature, decide, lookupId, type Surroundings } from './domain/decide.js';
import { aged, type Decision, failed } from './domain/decision.js';
import { referredBy } from './domain/prerequisite.js';
import { codeOf, HanoiError } from './errors.js';
import type { Events } from './events.js';
import type { FeatureMap } from './feature-map.js';
import type { Observers } from './observers.js';
import { namesWith, overlaid, refuseUndefined } from './overrides.js';
import { type Decided, decisionIn, Snapshot } from './snapshot.js';
import { isOfFeature } from './stored-name.js';

/** What is answered where nothing decides. */
export interface Fallbacks {
  readonly unknownFeature: boolean;
  /** By feature, where the store gives no answer. */
  readonly defaults: ReadonlyMap<string, boolean | string>;
}

/** Answers checks: decides by what the source holds, and looks up what it doesn't. */
export class Checks {
  /** From then on all answers are closed. */
  isClosed: boolean = false;

  /** Of features that refer to others: what has to be read with them. */
  private readonly together = new Map<string, readonly string[]>();

  constructor(
    private readonly source: Source,
    private readonly surroundings: Surroundings,
    private readonly events: Events,
    private readonly observers: Observers,
    private readonly fallbacks: Fallbacks,
  ) {}

  /** Every feature decided for one subject. */
  async snapshot<Features extends FeatureMap>(subject: unknown): Promise<Snapshot<Features>> {
    const decided = pinnedFor<Decided>(this, subject) ?? (await this.decided(subject));
    return new Snapshot<Features>(decided, (decision) => this.given(decision));
  }

  /** The same, of which observers hear nothing, and whatever is pinned. */
  async decided(subject: unknown): Promise<Decided> {
    let view = this.source.local;
    let decisions = this.decideAll(view, subject);
    try {
      if (view === undefined || view.stale !== undefined || anyNeedsLookup(decisions)) {
        view = await this.source.readAll((feature) => this.lookupId(feature, subject));
        decisions = this.decideAll(view, subject, true);
      }
      const { stale } = view;
      const unknown = (name: string) => {
        // A source can look for what it was asked about in vain.
        this.source.local?.get(name);
        return stale === undefined ? this.unknown(name) : this.unavailable(name, stale.cause);
      };
      const problem = decisions.size === 0 ? stale?.cause : undefined;
      return { decisions, unknown, problem };
    } catch (cause) {
      const unknown = (name: string) => this.unavailable(name, cause);
      decisions = this.decideAll(undefined, subject);
      const problem = decisions.size === 0 ? noAnswer(cause) : undefined;
      return { decisions, unknown, problem };
    }
  }

  /** Tells observers of a decision that somebody is given other than by a check. */
  given(decision: Decision): void {
    if (!this.observers.isIdle) this.observers.decided(decision, undefined, false);
  }

  /** At once where the source can tell without I/O. Never throws, and rejects only for `refuseUndefined`. */
  answer(name: string, subject: unknown): Decision | Promise<Decision> {
    return this.observers.isIdle
      ? this.answered(name, subject)
      : this.observed(() => this.answered(name, subject));
  }

  /** The same at once. BACKEND_NOT_LOCAL. */
  answerNow(name: string, subject: unknown): Decision {
    return this.observers.isIdle
      ? this.answeredNow(name, subject)
      : this.observed(() => this.answeredNow(name, subject));
  }

  private observed<Answer extends Decision | Promise<Decision>>(answering: () => Answer): Answer {
    const { observers } = this;
    const startedAt = observers.isTimed() ? performance.now() : undefined;
    const tell = (decision: Decision, isLookup: boolean) => {
      const ms = startedAt === undefined ? undefined : performance.now() - startedAt;
      observers.decided(decision, ms, isLookup);
      return decision;
    };
    const answer = answering();
    if (answer instanceof Promise) {
      return answer.then((decision: Decision) => tell(decision, true)) as Answer;
    }
    tell(answer, false);
    return answer;
  }

  private answered(name: string, subject: unknown): Decision | Promise<Decision> {
    try {
      const pin = pinnedFor<Decided>(this, subject);
      if (pin !== undefined) return decisionIn(pin, name);
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
  async viewOf(name: string, subject: unknown): Promise<View> {
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

  private answeredNow(name: string, subject: unknown): Decision {
    const pin = pinnedFor<Decided>(this, subject);
    if (pin !== undefined) return decisionIn(pin, name);
    const view = overlaid(this.source.local, name);
    if (view === undefined) {
      if (this.isClosed) return this.unavailable(name, undefined);
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
  decideFinally(view: View, name: string, subject: unknown): Decision {
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

  unknownIs(name: string): Decision {
    const enabled = this.fallbacks.unknownFeature;
    return failed(name, 'unknown feature', 'FLAG_NOT_FOUND', 'FEATURE_NOT_FOUND', { enabled });
  }

  /** The store did not answer, which is not the same as "no such feature": the default, or off. */
  unavailable(name: string, cause: unknown): Decision {
    if (this.isClosed) {
      return failed(name, 'store unavailable', 'GENERAL', 'CLOSED');
    }
    const code = codeOf(cause);
    const answer = this.fallbacks.defaults.get(name) ?? false;
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

  lookupId(feature: CompiledFeature, subject: unknown): string | undefined {
    return lookupId(feature, subject, this.surroundings);
  }
}

function noAnswer(cause: unknown): HanoiError {
  return new HanoiError(
    codeOf(cause),
    'The store gave no answer, and nothing is known of before.',
    {
      cause,
    },
  );
}

function anyNeedsLookup(decisions: ReadonlyMap<string, Decision>): boolean {
  for (const { code } of decisions.values()) if (code === 'NEEDS_LOOKUP') return true;
  return false;
}
