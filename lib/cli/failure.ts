import { type ErrorCode, HanoiError } from '../errors.js';
import { isOfFeature, readName } from '../stored-name.js';
import { printable } from './printable.js';

/** What a command ends with, for scripts. */
export const EXIT = {
  /** Done; of a check: on. */
  done: 0,
  /** Of a check: off. Of a comparison: differences. Of `doctor`: findings. */
  no: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  store: 5,
  unknown: 6,
  /** A mistake of this program's own (EX_SOFTWARE). */
  bug: 70,
  /** By Ctrl-C, as shells have it. */
  interrupted: 130,
} as const;

const CODES: { readonly [code in ErrorCode]?: number } = {
  INVALID_ARGUMENT: EXIT.usage,
  INVALID_FEATURE: EXIT.usage,
  INVALID_RECORD: EXIT.usage,
  READ_ONLY: EXIT.usage,
  FEATURE_NOT_FOUND: EXIT.notFound,
  NOT_KEPT: EXIT.notFound,
  FEATURE_EXISTS: EXIT.conflict,
  CORRUPT_FEATURE: EXIT.conflict,
  CONFLICT: EXIT.conflict,
  NOT_APPLIED: EXIT.store,
  STORE_UNAVAILABLE: EXIT.store,
  STORE_TIMEOUT: EXIT.store,
  STORE_DENIED: EXIT.store,
  STORE_BUSY: EXIT.store,
  CLOSED: EXIT.store,
  OUTCOME_UNKNOWN: EXIT.unknown,
};

/** Ctrl-C, at something that can be taken up again. */
export class Interrupted extends Error {}

export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return EXIT.interrupted;
  return CODES[(error as Partial<HanoiError>).code as ErrorCode] ?? EXIT.bug;
}

/** What went wrong, as `--json` has it. */
export function failureOf(error: unknown) {
  const { code, feature, path, requestId } = error as Partial<HanoiError>;
  return {
    code: isOurs(error) ? code : error instanceof Interrupted ? 'INTERRUPTED' : 'INTERNAL',
    message: isOurs(error) ? advised(error) : (error as Error).message,
    ...(feature !== undefined && { feature }),
    ...(path !== undefined && { path }),
    ...(requestId !== undefined && { requestId }),
    exitCode: exitCodeOf(error),
  };
}

/** The same in one line. */
export function failureLine(error: unknown): string {
  const { code, message } = failureOf(error);
  return `hanoi: ${code}: ${printable(message)}\n`;
}

function isOurs(error: unknown): error is HanoiError {
  return error instanceof HanoiError;
}

/** With what to do at a command line, where the message says what to do in code. */
function advised(error: HanoiError): string {
  const { code, feature = '', requestId, message } = error;
  const [kind, name] = readName(feature);
  const title = `${kind[0]?.toUpperCase()}${kind.slice(1)} ${JSON.stringify(name)}`;
  if (code === 'FEATURE_NOT_FOUND' && feature !== '') {
    const list = kind === 'feature' ? 'list' : `${kind}s list`;
    const make =
      kind === 'feature'
        ? ` \`hanoi add ${/^[\w.:-]+$/.test(name) ? name : JSON.stringify(name)}\` creates it.`
        : '';
    return `${title} does not exist. \`hanoi ${list}\` shows what there is.${make}`;
  }
  if (code === 'FEATURE_EXISTS' && isOfFeature(feature) && feature !== '') {
    return `${title} exists already. Change it with \`hanoi update\`, \`percentage\` or \`ramp\`.`;
  }
  if (code === 'OUTCOME_UNKNOWN') {
    const [told = ''] = message.split(" Repeat it with the error's");
    return `${told} Look with \`hanoi show\`, or repeat the command with \`--request-id ${requestId}\`.`;
  }
  return message
    .replace(
      'See `headers`.',
      'HANOI_READ_TOKEN takes the token; it is sent to a URL that ends with /v1/export.',
    )
    .replace("A rollback with `members: 'keep'`", 'A rollback with `--members keep`')
    .replace("With `members: 'none'`", 'With `--members none`')
    .replace(/\{ id: ("(?:[^"\\]|\\.)*"), revision: (\d+) \}/g, (_, id, revision) =>
      [JSON.parse(id), revision].join('@'),
    )
    .replace('rollout.clearOverride()', '`hanoi update`')
    .replace('call rollout.remove()', '`hanoi remove`');
}
