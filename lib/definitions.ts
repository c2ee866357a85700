import { attributeOf } from './domain/attribute.js';
import type { Condition, Feature } from './domain/feature.js';
import { claimsGroup, parseGroup } from './domain/group.js';
import { parseName, refused } from './domain/parse.js';
import { refusePromise } from './domain/subject.js';
import { type ErrorCode, HanoiError, invalid, refuseUnknownOptions } from './errors.js';

/** Tells whether a subject is in a group, by the truth of what it returns. It can't be async. */
// biome-ignore lint/suspicious/noExplicitAny: what subjects are is the app's affair
export type GroupFunction = (subject: any) => unknown;

export interface SegmentOptions {
  /** All that the segment can answer: rules that are written here may name no other. */
  options?: Iterable<string>;
  /**
   * Which subjects this function is for. Each kind of subject can have its own; the one without
   * `is` takes all others.
   */
  is?: (subject: unknown) => boolean;
}

interface SegmentInput {
  readonly is: ((subject: unknown) => unknown) | undefined;
  readonly of: (subject: unknown) => unknown;
}

/** The groups and segments that the app has defined in this process. */
export class Definitions {
  private readonly groups = new Map<string, (subject: unknown) => unknown>();
  private readonly segments = new Map<string, SegmentInput[]>();
  private readonly segmentOptions = new Map<string, ReadonlySet<string>>();

  constructor(private readonly report: (error: HanoiError) => void) {}

  /** INVALID_ARGUMENT. */
  defineGroup(group: string, isIn: GroupFunction): void {
    this.groups.set(parseGroup(group), syncFunction(isIn, 'group', group));
  }

  /** INVALID_ARGUMENT. */
  defineSegment(segment: string, of: unknown, given: SegmentOptions): void {
    parseName(segment, 'segment');
    refuseUnknownOptions(given, ['options', 'is']);
    const { options, is } = given;
    const input = {
      of: syncFunction(of, 'segment', segment),
      is: is === undefined ? undefined : syncFunction(is, '`is` of segment', segment),
    };
    if (options !== undefined) {
      this.segmentOptions.set(segment, new Set(Array.from(options, parseOption)));
    }
    const others = this.segments.get(segment) ?? [];
    // The one for all others comes last, and there is one.
    const typed = others.filter((other) => other.is !== undefined);
    const rest = others.filter((other) => other.is === undefined);
    this.segments.set(segment, is === undefined ? [...typed, input] : [...typed, input, ...rest]);
  }

  /** INVALID_FEATURE where a rule asks for an answer that a segment defined here never gives. */
  refuseUnlisted({ rules }: Feature): void {
    for (const [at, { when }] of rules.entries()) this.refuseIn(when, `rules[${at}].when`);
  }

  private refuseIn(condition: Condition, path: string): void {
    if ('all' in condition) this.refuseInAny(condition.all, `${path}.all`);
    else if ('any' in condition) this.refuseInAny(condition.any, `${path}.any`);
    else if ('not' in condition) this.refuseIn(condition.not, `${path}.not`);
    else if ('segment' in condition) {
      const options = this.segmentOptions.get(condition.segment);
      for (const [at, option] of condition.in.entries()) {
        if (options === undefined || options.has(option)) continue;
        const known = [...options].map((each) => JSON.stringify(each)).join(', ');
        throw refused(`${path}.in[${at}]`, `to be one of the segment's options ${known}`, option);
      }
    }
  }

  private refuseInAny(conditions: readonly Condition[], path: string): void {
    for (const [at, part] of conditions.entries()) this.refuseIn(part, `${path}[${at}]`);
  }

  /** Undefined where that can't be computed; null where it is not defined here. Never throws. */
  inGroup(group: string, subject: unknown): boolean | undefined | null {
    try {
      if (claimsGroup(subject, group)) return true;
      const isIn = this.groups.get(group);
      if (isIn === undefined) return null;
      const answer = isIn(subject);
      refusePromise(answer);
      return Boolean(answer);
    } catch (cause) {
      this.failed('GROUP_FAILED', 'Group', group, cause);
      return undefined;
    }
  }

  /**
   * What the segment says of the subject; where it can't, what the subject itself says under the
   * segment's name, as a caller from elsewhere does. Undefined where neither tells. Never throws.
   */
  segmentOf(segment: string, subject: unknown): string | undefined {
    let failure: unknown;
    try {
      const input = this.segments.get(segment)?.find(({ is }) => is === undefined || is(subject));
      const answer = input?.of(subject);
      refusePromise(answer);
      if (typeof answer === 'string') return answer;
      if (answer !== undefined && answer !== null) {
        failure = new TypeError(`It answered with a ${typeof answer}; it has to be a string.`);
      }
    } catch (cause) {
      failure = cause;
    }
    try {
      const own = attributeOf(subject, segment);
      if (typeof own === 'string') return own;
    } catch (cause) {
      failure ??= cause;
    }
    if (failure !== undefined) this.failed('SEGMENT_FAILED', 'Segment', segment, failure);
    return undefined;
  }

  private failed(code: ErrorCode, kind: string, name: string, cause: unknown): void {
    const message = `${kind} ${JSON.stringify(name)} failed. See \`cause\`.`;
    this.report(new HanoiError(code, message, { cause }));
  }
}

function syncFunction(given: unknown, kind: string, name: string): (subject: unknown) => unknown {
  if (typeof given !== 'function') {
    throw invalid(`a function for ${kind} ${JSON.stringify(name)}`, given);
  }
  if (given.constructor.name === 'AsyncFunction') {
    throw invalid(`${kind} ${JSON.stringify(name)} to answer at once`, given);
  }
  return given as (subject: unknown) => unknown;
}

function parseOption(option: unknown): string {
  if (typeof option !== 'string') throw invalid('`options` to be strings', option);
  return option;
}
