import { isOfFeature, type Kind, readName, titleOf } from './stored-name.js';

/**
 * Every code that a `HanoiError` can carry, with what it means. Branch on the code: it stays the
 * same when the wording changes, and across two loaded copies of the package.
 */
export const ERROR_CODES = {
  INVALID_ARGUMENT: 'A call or an option was given something that it cannot take.',
  INVALID_FEATURE: 'A feature document was refused; `path` names the field.',
  FEATURE_NOT_FOUND: 'Nobody has defined a feature of this name.',
  FEATURE_EXISTS: 'A feature of this name is already there.',
  FEATURE_DISABLED: 'A guard refused: the feature is off for this subject.',
  CORRUPT_FEATURE: 'The stored document cannot be read; it is off and is not overwritten.',
  CONFLICT: 'The feature has changed since it was read; read it again and repeat.',
  NOT_MARKED: 'That somebody has used a variant could not be kept; the use went on.',
  NOT_KEPT: 'What is to be brought back of the past is no longer kept, or not all of it.',
  NOT_APPLIED: 'A write did not reach the store, or the store refused it; nothing has changed.',
  OUTCOME_UNKNOWN: 'A write may have been applied or not; repeating it with `requestId` is safe.',
  BACKEND_NOT_LOCAL: 'A synchronous check was asked of a backend that has to do I/O.',
  NEEDS_LOOKUP: 'A synchronous check depends on a fact that only a lookup can tell.',
  READ_ONLY: 'The backend only reads, or this record can only be read.',
  STORE_UNAVAILABLE:
    'The store was not reached, or lost what it held; checks answer by what is known.',
  STORE_TIMEOUT: 'The store did not answer in time; checks answer by what is known.',
  STORE_DENIED: 'The store refuses this user or password; checks answer by what is known.',
  STORE_BUSY: 'The store is loading or busy with a script; checks answer by what is known.',
  INVALID_RECORD: 'A record of another system cannot be imported.',
  GROUP_FAILED: 'A group function threw or answered with a promise; the subject is not in it.',
  SEGMENT_FAILED: 'A segment function threw, or gave no string; what it says is unknown.',
  SUBJECT_UNREADABLE: 'Reading the subject threw; it was treated as no subject.',
  LISTENER_FAILED: 'An event listener threw.',
  CLOSED: 'The rollout was closed.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ErrorFields {
  /** The feature that this is about. */
  readonly feature?: string;
  /** Where in the input the refused value stands: `variants[1].weight`. */
  readonly path?: string;
  /** Who was refused. Not enumerable on the error, so that logging one does not log the id. */
  readonly subject?: unknown;
  /** With OUTCOME_UNKNOWN: the id under which the write can be repeated. */
  readonly requestId?: string;
  readonly cause?: unknown;
}

/** The one error class of the package; `code` tells them apart. */
export class HanoiError extends Error {
  readonly code: ErrorCode;
  declare readonly feature?: string;
  declare readonly path?: string;
  declare readonly requestId?: string;
  declare readonly subject?: unknown;

  constructor(code: ErrorCode, message: string, fields: ErrorFields = {}) {
    super(message, 'cause' in fields ? { cause: fields.cause } : undefined);
    this.code = code;
    if (fields.feature !== undefined) this.feature = fields.feature;
    if (fields.path !== undefined) this.path = fields.path;
    if (fields.requestId !== undefined) this.requestId = fields.requestId;
    if ('subject' in fields) {
      Object.defineProperty(this, 'subject', { value: fields.subject, enumerable: false });
    }
  }
}
// On the prototype, so that it is no enumerable field of each error.
Object.defineProperty(HanoiError.prototype, 'name', { value: 'HanoiError' });

/** True for an error of this package with that code, whichever copy of the package made it. */
export function hasCode(error: unknown, code: ErrorCode): error is HanoiError {
  return error instanceof Error && (error as Partial<HanoiError>).code === code;
}

/** Why the store gave no answer, where it says so itself. */
export function codeOf(cause: unknown): ErrorCode {
  const code = String((cause as Partial<HanoiError> | undefined)?.code);
  return Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : 'STORE_UNAVAILABLE';
}

/** FEATURE_NOT_FOUND, for a feature, or a group and the like, of that name. */
export function notFound(feature: string): HanoiError {
  const maker = makerOf(...readName(feature));
  const advice = maker === undefined ? '' : ` Create it with rollout.${maker}.`;
  return new HanoiError('FEATURE_NOT_FOUND', `${titleOf(feature)} does not exist.${advice}`, {
    feature,
  });
}

function makerOf(kind: Kind, name: string): string | undefined {
  switch (kind) {
    case 'feature':
      return `addFeature(${JSON.stringify(name)})`;
    case 'group':
      return `addToGroup(${JSON.stringify(name)}, …)`;
    case 'population':
      return 'population.increaseBuckets(…)';
    case 'experiment':
      return undefined;
  }
}

/** FEATURE_EXISTS, for a feature, or a group and the like, of that name. */
export function alreadyThere(feature: string): HanoiError {
  const advice = isOfFeature(feature)
    ? ` Change it with rollout.update(${JSON.stringify(feature)}, …).`
    : '';
  return new HanoiError('FEATURE_EXISTS', `${titleOf(feature)} exists already.${advice}`, {
    feature,
  });
}

/** CONFLICT, for a feature of that name. */
export function changedMeanwhile(feature: string): HanoiError {
  return new HanoiError(
    'CONFLICT',
    `${titleOf(feature)} is no longer the one expected. Read it again and repeat the change.`,
    { feature },
  );
}

/** NOT_KEPT: what is not, and what can be done. */
export function notKept(feature: string, message: string): HanoiError {
  return new HanoiError('NOT_KEPT', message, { feature });
}

/** NOT_APPLIED: what kept the write from the store. */
export function notApplied(feature: string, cause: unknown): HanoiError {
  return new HanoiError(
    'NOT_APPLIED',
    `The write to ${titleOf(feature)} was not applied: ${(cause as Error).message} Repeat it.`,
    { feature, cause },
  );
}

/** OUTCOME_UNKNOWN: why, and under which id the write can be repeated. */
export function outcomeUnknown(feature: string, requestId: string, cause: unknown): HanoiError {
  return new HanoiError(
    'OUTCOME_UNKNOWN',
    `Whether the write to ${titleOf(feature)} was applied is not known: ` +
      `${(cause as Error).message} Repeat it with the error's \`requestId\`, or look.`,
    { feature, requestId, cause },
  );
}

/** In ms: a timer that is longer fires at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A value as an error message shows it: its JSON, cut to 60 characters, and its type. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  let text: string;
  try {
    text = (typeof value === 'string' ? JSON.stringify(value) : printed(value)) ?? '';
  } catch {
    text = 'something unprintable';
  }
  if (text.length > 60) text = `${text.slice(0, 57)}...`;
  if (text === '') return typeof value === 'function' ? 'a function' : `some ${typeof value}`;
  return `\`${text}\` (${Array.isArray(value) ? 'array' : typeof value})`;
}

/** What is wrong, without what was found there: of stored data, that can be a user's id. */
export function withoutValue(error: unknown): string {
  if (error instanceof SyntaxError) return 'it is not JSON';
  const [wrong = ''] = (error as Error).message.split(', got ');
  return wrong;
}

function printed(value: unknown): string | undefined {
  if (typeof value === 'function') return value.name;
  if (typeof value !== 'object' || value === null || value instanceof RegExp) return String(value);
  const json = JSON.stringify(value);
  return json === '{}' ? Object.prototype.toString.call(value) : json;
}

/** INVALID_ARGUMENT, with what was expected in the place of what was got. */
export function invalid(expected: string, got: unknown): HanoiError {
  return new HanoiError('INVALID_ARGUMENT', `Expected ${expected}, got ${shown(got)}.`);
}

/** INVALID_ARGUMENT for an option that is no whole number from `least` on, as a timer takes it. */
export function refuseNumber(option: string, value: number, least: number, why: string = ''): void {
  if (Number.isSafeInteger(value) && value >= least && value <= LONGEST_TIMER_MS) return;
  throw invalid(`\`${option}\` to be a whole number from ${least}${why}`, value);
}

/** INVALID_ARGUMENT for an option that there is not: a misspelt one would be overlooked. */
export function refuseUnknownOptions(options: object, known: readonly string[]): void {
  for (const option of Object.keys(options)) {
    if (known.includes(option)) continue;
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `Expected an option among ${known.join(', ')}, got ${shown(option)}.`,
    );
  }
}
