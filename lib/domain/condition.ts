import { type Answer, attributeOf, OPERATOR_KINDS } from './attribute.js';
import { type Condition, OPERATORS, type Operator, type Pattern } from './feature.js';
import { isEveryone, isNobody } from './group.js';
import { distinct, list, parseId, parseName, record, refused, refuseUnknown } from './parse.js';
import { matcherOf, parsePattern } from './pattern.js';

/** The same as `addFeature` and `update` take it. */
export type ConditionSettings =
  | { all: Iterable<ConditionSettings> }
  | { any: Iterable<ConditionSettings> }
  | { not: ConditionSettings }
  | { users: Iterable<string | number | bigint> }
  | { matches: RegExp | { source: string; flags?: string } }
  | { group: string }
  | { segment: string; in: Iterable<string> }
  | { attribute: string; op: Operator; value?: unknown };

/** What a condition may ask of the world around it. None of these throws. */
export interface ConditionSurroundings {
  /** Whether the subject is in the group; undefined where that can't be computed. */
  inGroup(group: string, subject: unknown): Answer;
  /** Which part of the segment the subject is in; undefined where that can't be computed. */
  segmentOf(segment: string, subject: unknown): string | undefined;
  /** Told when reading an attribute threw; it is then missing. */
  unreadableSubject(feature: string, cause: unknown): void;
}

/** A condition made ready: its parts stay apart, so that each can say how it came out. */
export interface CompiledCondition {
  readonly condition: Condition;
  readonly parts: readonly CompiledCondition[];
  readonly test: Test;
}

type Test = (subject: unknown, id: string, surroundings: ConditionSurroundings) => Answer;

/** Levels of `all`, `any` and `not` within each other. */
const DEEPEST = 16;
/** In one rule. */
const MOST_CONDITIONS = 200;
/** They are in the document, and each check that misses it reads it whole; a group has no limit. */
const MOST_USERS = 10_000;

type Parse = (given: Readonly<Record<string, unknown>>, path: string, depth: Depth) => Condition;

interface Depth {
  readonly levels: number;
  readonly count: { conditions: number };
}

/** By the field that tells a kind from the others. */
const KINDS: {
  readonly [kind: string]: { readonly fields: readonly string[]; readonly parse: Parse };
} = {
  all: {
    fields: ['all'],
    parse: ({ all }, path, depth) => ({ all: parseConditions(all, `${path}.all`, depth) }),
  },
  any: {
    fields: ['any'],
    parse: ({ any }, path, depth) => ({ any: parseConditions(any, `${path}.any`, depth) }),
  },
  not: {
    fields: ['not'],
    parse: ({ not }, path, depth) => ({ not: parsePart(not, `${path}.not`, depth) }),
  },
  users: {
    fields: ['users'],
    parse: ({ users }, path) => {
      const ids = distinct(list(users, `${path}.users`, parseId));
      if (ids.length > MOST_USERS) {
        throw refused(
          `${path}.users`,
          `to be at most ${MOST_USERS} ids (register members, or ask for a group, for more)`,
          ids.length,
        );
      }
      return { users: ids };
    },
  },
  matches: {
    fields: ['matches'],
    parse: ({ matches }, path) => ({ matches: parsePattern(matches, `${path}.matches`) }),
  },
  group: {
    fields: ['group'],
    parse: ({ group }, path) => ({ group: parseName(group, `${path}.group`) }),
  },
  segment: {
    fields: ['segment', 'in'],
    parse: ({ segment, in: options }, path) => ({
      segment: parseName(segment, `${path}.segment`),
      in: distinct(list(options, `${path}.in`, parseText)),
    }),
  },
  attribute: {
    fields: ['attribute', 'op', 'value'],
    parse: ({ attribute, op, value }, path) => {
      if (!OPERATORS.includes(op as Operator)) {
        throw refused(`${path}.op`, `to be one of ${OPERATORS.join(', ')}`, op);
      }
      const stored = OPERATOR_KINDS[op as Operator].parse(value, `${path}.value`);
      return {
        attribute: parseName(attribute, `${path}.attribute`),
        op: op as Operator,
        ...(stored !== undefined && { value: stored }),
      };
    },
  },
};

/** A condition in stored form, frozen. INVALID_FEATURE with the `path` of what is refused. */
export function parseCondition(value: unknown, path: string): Condition {
  return parsePart(value, path, { levels: 0, count: { conditions: 0 } });
}

function parsePart(value: unknown, path: string, { levels, count }: Depth): Condition {
  const given = record(value, path);
  if (levels === DEEPEST) throw refused(path, `to nest at most ${DEEPEST} levels`, 'more');
  if (++count.conditions > MOST_CONDITIONS) {
    throw refused(path, `to have at most ${MOST_CONDITIONS} parts in one rule`, 'more');
  }
  const [kind, ...others] = Object.keys(KINDS).filter((each) => given[each] !== undefined);
  const known = kind === undefined ? undefined : KINDS[kind];
  if (known === undefined || others.length > 0) {
    throw refused(path, `to have one of ${Object.keys(KINDS).join(', ')}`, Object.keys(given));
  }
  refuseUnknown(given, new Set(known.fields), path);
  return Object.freeze(known.parse(given, path, { levels: levels + 1, count }));
}

function parseConditions(value: unknown, path: string, depth: Depth): readonly Condition[] {
  const conditions = list(value, path, (item, at) => parsePart(item, at, depth));
  if (conditions.length === 0) throw refused(path, 'to have at least one condition', value);
  return conditions;
}

function parseText(value: unknown, path: string): string {
  if (typeof value !== 'string') throw refused(path, 'to be text', value);
  return value;
}

/** All regular expressions in it. */
export function patternsIn(condition: Condition): readonly Pattern[] {
  if ('all' in condition) return condition.all.flatMap(patternsIn);
  if ('any' in condition) return condition.any.flatMap(patternsIn);
  if ('not' in condition) return patternsIn(condition.not);
  if ('matches' in condition) return [condition.matches];
  const isPattern = 'attribute' in condition && condition.op === 'matches';
  return isPattern ? [condition.value as unknown as Pattern] : [];
}

/** Compiles a parsed condition of that feature. */
export function compileCondition(condition: Condition, feature: string): CompiledCondition {
  if ('all' in condition) return compileAll(condition, feature);
  if ('any' in condition) return compileAny(condition, feature);
  if ('not' in condition) {
    const part = compileCondition(condition.not, feature);
    const test: Test = (subject, id, surroundings) => {
      const answer = part.test(subject, id, surroundings);
      return answer === undefined ? undefined : !answer;
    };
    return { condition, parts: [part], test };
  }
  return { condition, parts: [], test: testOf(condition, feature) };
}

function compileAll(condition: { readonly all: readonly Condition[] }, feature: string) {
  const parts = condition.all.map((part) => compileCondition(part, feature));
  const test: Test = (subject, id, surroundings) => {
    let answer: Answer = true;
    for (const part of parts) {
      const one = part.test(subject, id, surroundings);
      if (one === false) return false;
      if (one === undefined) answer = undefined;
    }
    return answer;
  };
  return { condition, parts, test };
}

function compileAny(condition: { readonly any: readonly Condition[] }, feature: string) {
  const parts = condition.any.map((part) => compileCondition(part, feature));
  const test: Test = (subject, id, surroundings) => {
    let answer: Answer = false;
    for (const part of parts) {
      const one = part.test(subject, id, surroundings);
      if (one === true) return true;
      if (one === undefined) answer = undefined;
    }
    return answer;
  };
  return { condition, parts, test };
}

function testOf(
  condition: Exclude<Condition, { all: unknown } | { any: unknown } | { not: unknown }>,
  feature: string,
): Test {
  if ('users' in condition) {
    const users = new Set(condition.users);
    return (_, id) => users.has(id);
  }
  if ('matches' in condition) {
    const matches = matcherOf(condition.matches);
    return (_, id) => matches(id);
  }
  if ('group' in condition) {
    const { group } = condition;
    if (isEveryone(group)) return () => true;
    if (isNobody(group)) return () => false;
    return (subject, _, surroundings) => surroundings.inGroup(group, subject);
  }
  if ('segment' in condition) {
    const { segment } = condition;
    const options = new Set(condition.in);
    return (subject, _, surroundings) => {
      const option = surroundings.segmentOf(segment, subject);
      return option === undefined ? undefined : options.has(option);
    };
  }
  const { attribute, op, value } = condition;
  const test = OPERATOR_KINDS[op].test(value);
  return (subject, _, surroundings) => {
    try {
      return test(attributeOf(subject, attribute));
    } catch (cause) {
      surroundings.unreadableSubject(feature, cause);
      return undefined;
    }
  };
}
