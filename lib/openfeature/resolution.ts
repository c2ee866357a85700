import {
  ErrorCode,
  type FlagMetadata,
  type JsonValue,
  type ResolutionDetails,
} from '@openfeature/server-sdk';
import type { Decision } from '../domain/decision.js';

/** What can be asked for, with the type of its value. */
export interface FlagTypes {
  readonly boolean: boolean;
  readonly string: string;
  readonly number: number;
  readonly object: JsonValue;
}

/**
 * A decision as OpenFeature tells it to somebody who asks for a value of a type.
 *
 * Of a boolean: the value where it is one, else whether the feature is on, as long as there is no
 * other value than a variant's own name. Of the other types: the value; `fallback` where there is
 * none. TYPE_MISMATCH where the value is of another type. With an error comes `fallback`.
 */
export function resolutionOf<Type extends keyof FlagTypes, Value extends FlagTypes[Type]>(
  decision: Decision,
  type: Type,
  fallback: Value,
): ResolutionDetails<Value> {
  const { feature, variant, reason, errorCode } = decision;
  const flagMetadata = metadataOf(decision);
  if (errorCode !== undefined) {
    return failure(fallback, ErrorCode[errorCode], messageOf(decision), flagMetadata);
  }
  const value = type === 'boolean' ? answerOf(decision) : decision.value;
  if (value === undefined) return { value: fallback, reason, flagMetadata };
  if (typeof value !== type) {
    const message =
      `The value of feature ${JSON.stringify(feature)} is of the type ${typeof value}. ` +
      `Ask for that, or give its variants values of the type ${type}.`;
    return failure(fallback, ErrorCode.TYPE_MISMATCH, message, flagMetadata);
  }
  const served = variant !== undefined && { variant };
  return { value: value as Value, ...served, reason, flagMetadata };
}

export function failure<Value>(
  fallback: Value,
  errorCode: ErrorCode,
  errorMessage: string,
  flagMetadata: FlagMetadata = {},
): ResolutionDetails<Value> {
  return { value: fallback, reason: 'ERROR', errorCode, errorMessage, flagMetadata };
}

/** A variant that is a name alone says no more than that the feature is on. */
function answerOf({ enabled, variant, value }: Decision): Decision['value'] {
  return value === undefined || value === variant ? enabled : value;
}

function metadataOf(decision: Decision): FlagMetadata {
  const { enabled, detail, rule, experiment, code, ageMs } = decision;
  return {
    ...{ enabled, detail },
    ...(rule !== undefined && { rule }),
    ...(experiment !== undefined && { experiment }),
    ...(code !== undefined && { code }),
    // Infinity is nothing that JSON, to which hooks may turn it, could say.
    ...(ageMs !== undefined && Number.isFinite(ageMs) && { ageMs }),
  };
}

function messageOf({ feature, code, detail }: Decision): string {
  if (code === 'FEATURE_NOT_FOUND') {
    return `Nobody has defined a feature ${JSON.stringify(feature)}.`;
  }
  return `Feature ${JSON.stringify(feature)} could not be decided: ${detail} (${String(code)}).`;
}
