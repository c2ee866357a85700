// Not the global one: a test can put its own in that place, which then waits to be told.
import { setImmediate } from 'node:timers';
import {
  type Backend,
  type HeldFeature,
  MEMBERS_PER_WRITE,
  type View,
} from './backends/backend.js';
import type { Checks } from './checks.js';
import { pinnedFor } from './current-user.js';
import { decide, type Facts, idUnder, type Others, type Surroundings } from './domain/decide.js';
import type { Decision } from './domain/decision.js';
import { type Mark, markOf } from './domain/mark.js';
import { HanoiError, hasCode } from './errors.js';
import type { Events } from './events.js';
import type { Exposure } from './exposure.js';
import type { VariantUsed } from './implementations.js';
import { inTime } from './in-time.js';
import { Recent } from './recent.js';
import { type Decided, decisionIn } from './snapshot.js';

/** Uses remembered by one process, so that each is told and marked once: some MB. */
const MOST_REMEMBERED = 50_000;

/** A use waits no longer for its mark to be kept: as long as a check may take. */
const LONGEST_MS = 250;

/** Marks what was used, where that is to be kept, and tells of it. */
export class Uses {
  private readonly exposed = new Recent<true>(MOST_REMEMBERED);
  /** By feature id and subject: what is kept. */
  private readonly kept = new Recent<string>(MOST_REMEMBERED);
  private readonly batches = new Map<string, Batch>();

  constructor(
    private readonly checks: Checks,
    /** Undefined where nothing can be kept. */
    private readonly backend: Pick<Backend, 'write'> | undefined,
    private readonly surroundings: Surroundings,
    private readonly events: Events,
  ) {}

  /**
   * Decides, and marks the use. The decision is the one that holds then: somebody else can have marked
   * another one before. Never throws, and rejects only for `refuseUndefined`.
   */
  async use(name: string, subject: unknown, variantOf: VariantUsed = variantIn): Promise<Decision> {
    const decision = await this.used(name, subject, variantOf);
    this.checks.given(decision);
    return decision;
  }

  /** The same, where nobody is given the decision: it was given before. */
  async used(name: string, subject: unknown, variantOf: VariantUsed): Promise<Decision> {
    const { checks } = this;
    const pin = pinnedFor<Decided>(checks, subject);
    const pinned = pin && decisionIn(pin, name);
    const instead = (cause: unknown) => pinned ?? checks.unavailable(name, cause);
    let view: View;
    try {
      view = await checks.viewOf(name, subject);
    } catch (cause) {
      return instead(cause);
    }
    const decision = pinned ?? checks.decideFinally(view, name, subject);
    const variant = variantOf(decision);
    if (variant === null) return decision;
    return this.marked(decision, view, subject, variant).catch(instead);
  }

  private async marked(
    decision: Decision,
    view: View,
    subject: unknown,
    variant: string | undefined,
  ): Promise<Decision> {
    const held = view.get(decision.feature);
    if (held === undefined || decision.reason === 'ERROR') return decision;
    const { surroundings } = this;
    const mark = markOf(held, decision, subject, surroundings, view, variant);
    const kept = mark && (await this.keep(mark, view));
    const isGiven = variant === decision.variant;
    if (!isGiven || kept === undefined || kept === mark?.value) {
      const other = { ...decision, enabled: true, variant, value: undefined };
      this.expose(isGiven ? decision : other, armIn(mark, decision), held, subject);
      return decision;
    }
    const { facts, others } = knowing(mark as Mark, kept, held, view);
    const used = decide(held.compiled, subject, facts, surroundings, others);
    // Who is not kept in an arm, and dealt another one than they were counted in, has that one.
    const own = markOf(held, used, subject, surroundings, others, used.variant);
    this.expose(used, armIn(own, used), held, subject);
    return used;
  }

  /** What is kept for the id afterwards; undefined where that is not known. */
  private async keep(mark: Mark, view: View): Promise<string | undefined> {
    const { facts, head } = view.get(mark.document) as HeldFeature;
    if (this.backend === undefined || head === undefined || view.stale !== undefined) {
      return undefined;
    }
    const known = facts.assigned(mark.id);
    if (typeof known === 'string') return known;
    const key = `${head.id}\n${mark.id}`;
    const remembered = this.kept.get(key);
    // Where the store says that there is none, it has lost it, or somebody has taken it back.
    if (remembered !== undefined && known === undefined) return remembered;
    const marking = this.mark(mark, head.id).then(
      (value) => {
        this.kept.set(key, value);
        return value;
      },
      (error) => this.failed(mark, error),
    );
    return inTime(marking, LONGEST_MS, () => undefined);
  }

  /** Marks of one turn travel together. */
  private mark({ document, id, value }: Mark, featureId: string): Promise<string> {
    const key = `${featureId}\n${document}`;
    let batch = this.batches.get(key);
    if (batch === undefined || batch.assign.length === MEMBERS_PER_WRITE) {
      const opened = new Batch(this.backend as Pick<Backend, 'write'>, document, featureId);
      this.batches.set(key, opened);
      setImmediate(() => {
        if (this.batches.get(key) === opened) this.batches.delete(key);
        opened.send();
      });
      batch = opened;
    }
    return batch.add(id, value);
  }

  private expose(
    used: Decision,
    arm: string | undefined,
    { compiled, head }: HeldFeature,
    subject: unknown,
  ): void {
    if (this.events.of('exposure').size === 0) return;
    const id = idUnder(compiled, subject, this.surroundings);
    if (id === undefined) return;
    const { feature, enabled, variant, value, reason, detail, rule, experiment } = used;
    // What a test says has no head. Each use is told then: tests do not share what was told before.
    if (head !== undefined) {
      const key = JSON.stringify([head.id, id, enabled, variant, experiment, arm]);
      if (this.exposed.get(key)) return;
      this.exposed.set(key, true);
    }
    const exposure: Exposure = {
      ...{ feature, enabled, variant, value, reason, detail, rule, experiment },
      ...{ subject: id, arm, at: this.surroundings.now() },
    };
    this.events.emit('exposure', Object.freeze(exposure));
  }

  private failed({ document }: Mark, cause: unknown): undefined {
    // It went, or was made anew, meanwhile: so did what it keeps. Or it can't be written to at all.
    const isNothing =
      hasCode(cause, 'CONFLICT') ||
      hasCode(cause, 'FEATURE_NOT_FOUND') ||
      hasCode(cause, 'READ_ONLY');
    if (!isNothing) {
      const message = 'That somebody has used a variant could not be kept. See `cause`.';
      this.events.report(new HanoiError('NOT_MARKED', message, { feature: document, cause }));
    }
    return undefined;
  }
}

/** What a decision goes by where this was kept for the id. */
function knowing(
  { document, id }: Mark,
  kept: string,
  held: HeldFeature,
  view: View,
): { readonly facts: Facts; readonly others: Others } {
  const known = ({ compiled, facts }: HeldFeature) => ({
    compiled,
    facts: {
      isMember: (each: string) => facts.isMember(each),
      assigned: (each: string) => (each === id ? kept : facts.assigned(each)),
    },
  });
  const others = {
    get: (name: string) => {
      const other = view.get(name);
      return other && name === document ? known(other) : other;
    },
  };
  return { facts: (held.compiled.name === document ? known(held) : held).facts, others };
}

function armIn(mark: Mark | undefined, { experiment }: Decision): string | undefined {
  return experiment === undefined ? undefined : mark?.value;
}

function variantIn({ variant }: Decision): string | undefined {
  return variant;
}

class Batch {
  readonly assign: { id: string; value: string }[] = [];
  private settle: (written: Promise<readonly string[]>) => void = () => {};
  private readonly written = new Promise<readonly string[]>((resolve) => {
    this.settle = resolve;
  });

  constructor(
    private readonly backend: Pick<Backend, 'write'>,
    private readonly document: string,
    private readonly featureId: string,
  ) {}

  add(id: string, value: string): Promise<string> {
    const at = this.assign.push({ id, value }) - 1;
    return this.written.then((assigned) => assigned[at] as string);
  }

  send(): void {
    const { document: name, featureId, assign } = this;
    const write = { name, expect: { id: featureId }, assign };
    this.settle(this.backend.write(write).then(({ assigned }) => assigned));
  }
}
