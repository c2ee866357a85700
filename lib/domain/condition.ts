import { type Answer, attributeOf, OPERATOR_KINDS } from './attribute.js';
import { type Condition, OPERATORS, type Operator, type Pattern } from './feature.js';
import { isEveryone, isNobody, storedGroups } from './group.js';
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
  /**
   * Whether the subject is in the group, by itself or by what the app says; undefined where that
   * can't be computed, null where the app says nothing of this group.
   */
  inGroup(group: string, subject: unknown): Answer | null;
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

/** `others` is handed on to `InStored`. */
type Test = (
  subject: unknown,
  id: string,
  surroundings: ConditionSurroundings,
  others: object,
) => Answer;

/**
 * Whether the subject is in a group that is stored under this name: undefined where there is none,
 * or it can't be told; null where it was not looked up.
 */
export type InStored = (
  stored: string,
  subject: unknown,
  surroundings: ConditionSurroundings,
  others: object,
) => Answer | null;

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

/** The names under which the groups in it can be stored. */
export function groupsIn(condition: Condition): readonly string[] {
  if ('all' in condition) return condition.all.flatMap(groupsIn);
  if ('any' in condition) return condition.any.flatMap(groupsIn);
  if ('not' in condition) return groupsIn(condition.not);
  return 'group' in condition ? storedGroups([condition.group]) : [];
}

/** Compiles a parsed condition of that feature. */
export function compileCondition(
  condition: Condition,
  feature: string,
  inStored: InStored,
): CompiledCondition {
  const compilePart = (part: Condition) => compileCondition(part, feature, inStored);
  if ('all' in condition) return compileAll(condition, condition.all.map(compilePart));
  if ('any' in condition) return compileAny(condition, condition.any.map(compilePart));
  if ('not' in condition) {
    const part = compilePart(condition.not);
    const test: Test = (subject, id, surroundings, others) => {
      const answer = part.test(subject, id, surroundings, others);
      return answer === undefined ? undefined : !answer;
    };
    return { condition, parts: [part], test };
  }
  return { condition, parts: [], test: testOf(condition, feature, inStored) };
}

function compileAll(condition: Condition, parts: readonly CompiledCondition[]): CompiledCondition {
  const test: Test = (subject, id, surroundings, others) => {
    let answer: Answer = true;
    for (const part of parts) {
      const one = part.test(subject, id, surroundings, others);
      if (one === false) return false;
      if (one === undefined) answer = undefined;
    }
    return answer;
  };
  return { condition, parts, test };
}

function compileAny(condition: Condition, parts: readonly CompiledCondition[]): CompiledCondition {
  const test: Test = (subject, id, surroundings, others) => {
    let answer: Answer = false;
    for (const part of parts) {
      const one = part.test(subject, id, surroundings, others);
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
  inStored: InStored,
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
    const [stored = ''] = storedGroups([group]);
    return (subject, _, surroundings, others) => {
      const answer = surroundings.inGroup(group, subject);
      if (answer === true) return true;
      const kept = inStored(stored, subject, surroundings, others);
      if (kept === true) return true;
      // Not in it by one of the two is not in it where the other says nothing of it.
      if (answer === null) return kept ?? undefined;
      return kept === null ? undefined : answer;
    };
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
