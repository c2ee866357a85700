import { storedName } from '../stored-name.js';
import { type CompiledFeature, decide, idUnder, type Others, type Surroundings } from './decide.js';
import type { Decision } from './decision.js';
import { givenBy } from './experiment.js';

/** That somebody has used something: what is to be kept for the id beside that document. */
export interface Mark {
  /** The feature, or the experiment, by its stored name. */
  readonly document: string;
  readonly id: string;
  /** The variant, or the arm. */
  readonly value: string;
}

/**
 * The mark that a use leaves: where a sticky rule or an experiment has decided. `variant` is what was
 * used: the decided one, or another. Undefined where nothing is kept.
 */
export function markOf(
  { compiled }: { readonly compiled: CompiledFeature },
  decision: Decision,
  subject: unknown,
  surroundings: Surroundings,
  others: Others,
  variant: string | undefined,
): Mark | undefined {
  if (decision.experiment !== undefined) {
    const document = storedName('experiment', decision.experiment);
    const experiment = others.get(document);
    if (experiment === undefined) return undefined;
    const id = idUnder(experiment.compiled, subject, surroundings);
    const arm = decide(experiment.compiled, subject, experiment.facts, surroundings, others);
    const enabled = variant === decision.variant ? decision.enabled : true;
    // What was decided before can be of another arm than the present one.
    const isUsed = (each: Decision) => {
      const given = compiled.inArm(decision.experiment as string, givenBy(each, compiled.name));
      return given?.enabled === enabled && given.variant === variant;
    };
    const value = (isUsed(arm) ? arm : armsOf(experiment.compiled).find(isUsed))?.variant;
    return id === undefined || value === undefined ? undefined : { document, id, value };
  }
  const rule = compiled.rules?.find((each) => each.rule.id === decision.rule);
  // What the rule can't give would be kept in vain, for good.
  if (variant === undefined || !rule?.kept?.has(variant)) return undefined;
  const id = idUnder(compiled, subject, surroundings);
  return id === undefined ? undefined : { document: compiled.name, id, value: variant };
}

function armsOf({ rules = [] }: CompiledFeature): readonly Decision[] {
  return rules.flatMap(({ answers }) => answers);
}
