import type { Subject } from '../../domain/subject.js';
import { Refusal } from '../problem.js';

/**
 * Who an evaluation is about, of the body of a request: an object with the context's attributes and
 * the targeting key as its `id`; without a targeting key nobody. INVALID_REQUEST.
 */
export function subjectIn(body: unknown): Subject | undefined {
  if (!isObject(body)) throw refused('the body', 'an object with a `context`');
  const { context } = body;
  if (!isObject(context)) throw refused('`context`', 'an object', 'context');
  const { targetingKey } = context;
  if (targetingKey === undefined || targetingKey === null) return undefined;
  if (typeof targetingKey !== 'string') {
    throw refused('`context.targetingKey`', 'text', 'context.targetingKey');
  }
  // It was parsed for this alone, and to copy it takes as long as to decide.
  return Object.assign(context, { id: targetingKey });
}

function isObject(value: unknown): value is { readonly [field: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refused(what: string, shape: string, path?: string): Refusal {
  const fields = path === undefined ? {} : { path };
  return new Refusal('INVALID_REQUEST', `Expected ${what} to be ${shape}.`, fields);
}
