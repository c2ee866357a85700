import type { ErrorCode } from '../errors.js';
import type { Feature, Json, Variant } from './feature.js';

/** OpenFeature's reasons, as far as this package gives them. */
export type Reason =
  | 'TARGETING_MATCH'
  | 'SPLIT'
  | 'STATIC'
  | 'DISABLED'
  | 'DEFAULT'
  | 'STALE'
  | 'ERROR';

/** What decided: the gate that opened, or what kept the feature shut. */
export type Detail =
  | 'unknown feature'
  | 'kill switch'
  | 'requires'
  | 'no subject'
  | 'subject without id'
  | 'excluded'
  | 'rule'
  | 'experiment'
  | 'member'
  | 'pattern'
  | 'group'
  | 'percentage'
  | 'default variant'
  | 'no gate'
  | 'needs lookup'
  | 'unreadable document'
  | 'store unavailable';

/** OpenFeature's error codes, as far as this package gives them. */
export type OpenFeatureErrorCode = 'FLAG_NOT_FOUND' | 'PARSE_ERROR' | 'GENERAL';

/** The answer to "who gets this feature?". Frozen; the same answer is the same object. */
export interface Decision<Name extends string = string, Value = Json> {
  readonly feature: string;
  readonly enabled: boolean;
  /** The variant served, if any. */
  readonly variant: Name | undefined;
  /**
   * The variant's value, or its name where it has none; true where a feature without variants is on;
   * the feature's `offValue` where it is off. Undefined where there is none of these.
   */
  readonly value: Value | undefined;
  readonly reason: Reason;
  readonly detail: Detail;
  /** The id of the rule that answered, if one did. */
  readonly rule: string | undefined;
  /** The name of the experiment whose arm answered, if one did. */
  readonly experiment: string | undefined;
  /** With the reason ERROR alone: OpenFeature's code. */
  readonly errorCode: OpenFeatureErrorCode | undefined;
  /** With the reasons ERROR and STALE: what kept the answer from being a usual one. */
  readonly code: ErrorCode | undefined;
  /** With the reason STALE alone: how old, in ms, what decided can be at most. */
  readonly ageMs: number | undefined;
  /**
   * Whether the feature serves nothing but yes and no: it has no variants, or their values are all
   * booleans. Not enumerable: it is about the feature, and no part of the answer.
   */
  readonly isBoolean?: boolean;
}

/** What of a feature shows in its answers. */
type Answering = Pick<Feature, 'name' | 'variants' | 'offValue'>;

/** What answered, where there are several of its kind. */
interface By {
  readonly rule?: string;
  readonly experiment?: string;
}

/** "On", for a feature without variants. */
export function on(feature: string, reason: Reason, detail: Detail, by?: By): Decision {
  return decision(feature, true, undefined, true, reason, detail, by, { isBoolean: true });
}

/** "On", for a feature with variants: with this one, or without where none can be chosen. */
export function onWith(
  feature: Answering,
  reason: Reason,
  detail: Detail,
  variant: Variant | undefined,
  by?: By,
): Decision {
  const value = variant?.value === undefined ? variant?.name : variant.value;
  return decision(feature.name, true, variant?.name, value, reason, detail, by, {
    isBoolean: isBoolean(feature),
  });
}

/** "Off". */
export function off(feature: Answering, reason: Reason, detail: Detail, by?: By): Decision {
  const { name, offValue } = feature;
  return decision(name, false, undefined, offValue, reason, detail, by, {
    isBoolean: isBoolean(feature),
  });
}

/** "Off, because something went wrong"; or on, where the app wants its unknown features on. */
export function failed(
  feature: string,
  detail: Detail,
  errorCode: OpenFeatureErrorCode,
  code: ErrorCode,
  {
    enabled = false,
    variant,
    value,
  }: { enabled?: boolean; variant?: string | undefined; value?: Json | undefined } = {},
): Decision {
  return decision(feature, enabled, variant, value, 'ERROR', detail, undefined, {
    errorCode,
    code,
  });
}

/** The same answer, saying that it is of what was known so many ms ago; an error stays as it is. */
export function aged(fresh: Decision, ageMs: number, code: ErrorCode): Decision {
  if (fresh.reason === 'ERROR') return fresh;
  const { feature, enabled, variant, value, detail, isBoolean } = fresh;
  return decision(feature, enabled, variant, value, 'STALE', detail, fresh, {
    code,
    ageMs,
    isBoolean: isBoolean === true,
  });
}

/**
 * The value for somebody who can't say which type they ask for. Where there is none, it is whether
 * the feature is on, if that is all that it can say; else undefined, and they take their own default.
 */
export function plainValueOf({ value, enabled, isBoolean }: Decision): Json | undefined {
  return value === undefined && isBoolean ? enabled : value;
}

function isBoolean({ variants, offValue }: Answering): boolean {
  return [...variants.map(({ value }) => value), offValue ?? true].every(
    (value) => typeof value === 'boolean',
  );
}

// One place makes them, so that all have one hidden class and a check's loads stay monomorphic.
function decision(
  feature: string,
  enabled: boolean,
  variant: string | undefined,
  value: Json | undefined,
  reason: Reason,
  detail: Detail,
  { rule, experiment }: Partial<Pick<Decision, 'rule' | 'experiment'>> = {},
  about: Partial<Pick<Decision, 'errorCode' | 'code' | 'ageMs' | 'isBoolean'>> = {},
): Decision {
  const { errorCode, code, ageMs } = about;
  const made = {
    feature,
    enabled,
    variant,
    value,
    reason,
    detail,
    rule,
    experiment,
    errorCode,
    code,
    ageMs,
  };
  Object.defineProperty(made, 'isBoolean', { value: about.isBoolean === true });
  return Object.freeze(made);
}
