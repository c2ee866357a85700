import { type AST, RegExpParser } from '@eslint-community/regexpp';
import { RE2JS } from 're2js';
import { HanoiError, shown } from '../errors.js';
import type { Pattern } from './feature.js';
import { refused } from './parse.js';

/*
 * Stored patterns never reach V8's engine, which backtracks: `(a+)+$` holds it for a minute on 30
 * characters. The source is parsed as JavaScript has it, and then either becomes a string
 * operation or is written again in RE2's syntax for a linear-time engine.
 *
 * They match by code points, as under the `u` flag, and `i` folds case as under `iu`. With `m`,
 * only `\n` ends a line.
 */

/** True if the id matches. */
export type Matches = (id: string) => boolean;

/** Longer ids match no pattern. */
const LONGEST_ID = 1024;

/**
 * The limit of a pattern's length, and of its size with each repetition written out. The engine
 * takes about 90 ns for each step of each character in the worst case.
 */
const LARGEST_PATTERN = 500;

/**
 * The size of all patterns of a feature together, without those that need no engine. A check may
 * come to all of them: then it takes 15 ms of an id of 256 characters.
 */
const MOST_STEPS = 2_000;

/** INVALID_FEATURE where a check could take too long over these. */
export function refuseSlow(patterns: readonly Pattern[], path: string): void {
  let steps = 0;
  for (const pattern of patterns) {
    const parsed = parsedBy(pattern);
    if (literalMatcher(parsed, pattern.flags) === undefined) steps += sizeOf(parsed);
  }
  if (steps <= MOST_STEPS) return;
  throw new HanoiError(
    'INVALID_FEATURE',
    `Expected \`${path}\` to take at most ${MOST_STEPS} steps in all with their repetitions written ` +
      `out, got ${steps}. Plain text, at the start or the end too, takes none; or use a group.`,
    { path },
  );
}

/** A pattern from a RegExp, or from source and flags, checked. INVALID_FEATURE with `path`. */
export function parsePattern(value: unknown, path: string): Pattern {
  // By shape, not by instanceof: a RegExp of another realm is one too.
  const { source, flags = '' } = (value ?? {}) as { source?: unknown; flags?: unknown };
  if (typeof source !== 'string' || typeof flags !== 'string') {
    throw refused(path, 'to be a RegExp or { source, flags }', value);
  }
  const refuse = (message: string, cause?: unknown): HanoiError =>
    new HanoiError('INVALID_FEATURE', `Expected \`${path}\` ${message}`, { path, cause });
  if (!/^[dgimsu]*$/.test(flags) || new Set(flags).size !== flags.length) {
    throw refuse(`to have flags among d, g, i, m, s, u, each once, got ${shown(flags)}.`);
  }
  if (source.length > LARGEST_PATTERN) {
    throw refuse(`to be at most ${LARGEST_PATTERN} characters, got ${source.length}.`);
  }
  // `g` and `d` have no meaning for "does it match?".
  const pattern = Object.freeze({
    source,
    flags: 'imsu'.replace(/./g, (flag) => (flags.includes(flag) ? flag : '')),
  });
  try {
    const matches = matcherOf(pattern);
    // The engine builds its program at the first match: what it can't build is refused now.
    matches('');
  } catch (cause) {
    throw refuse(
      `to be a regular expression that runs in linear time: ${(cause as Error).message}. ` +
        'Use only what needs no look-around and no back-reference.',
      cause,
    );
  }
  return pattern;
}

/** The pattern, ready to be asked. Throws on what `parsePattern` refuses. */
export function matcherOf(pattern: Pattern): Matches {
  const parsed = parsedBy(pattern);
  return literalMatcher(parsed, pattern.flags) ?? linearMatcher(parsed, pattern.flags);
}

function parsedBy({ source, flags }: Pattern): AST.Pattern {
  const parser = new RegExpParser({ ecmaVersion: 2025 });
  return parser.parsePattern(source, 0, source.length, flags.includes('u'));
}

/** `abc`, `^abc`, `abc$` and `^abc$` need no engine. */
function literalMatcher(pattern: AST.Pattern, flags: string): Matches | undefined {
  const [only, ...others] = pattern.alternatives;
  if (only === undefined || others.length > 0 || /[im]/.test(flags)) return undefined;
  const elements = [...only.elements];
  const starts = isEdge(elements[0], 'start') && elements.shift() !== undefined;
  const ends = isEdge(elements.at(-1), 'end') && elements.pop() !== undefined;
  if (!elements.every((element) => element.type === 'Character')) return undefined;
  const text = elements.map((element) => String.fromCodePoint(element.value)).join('');
  if (!text.isWellFormed()) return undefined;
  if (starts && ends) return (id) => id === text;
  if (starts) return (id) => id.length <= LONGEST_ID && id.startsWith(text);
  if (ends) return (id) => id.length <= LONGEST_ID && id.endsWith(text);
  return (id) => id.length <= LONGEST_ID && id.includes(text);
}

function isEdge(element: AST.Element | undefined, kind: 'start' | 'end'): boolean {
  return element?.type === 'Assertion' && element.kind === kind;
}

function linearMatcher(pattern: AST.Pattern, flags: string): Matches {
  if (sizeOf(pattern) > LARGEST_PATTERN) {
    throw new Error(`with its repetitions written out it is over ${LARGEST_PATTERN} steps`);
  }
  const engine = RE2JS.compile(
    alternativesInRe2(pattern.alternatives, flags),
    flags.includes('i') ? RE2JS.CASE_INSENSITIVE : 0,
  );
  return (id) => id.length <= LONGEST_ID && engine.test(id);
}

type Alternatives = { readonly alternatives: readonly AST.Alternative[] };

/** Steps of the pattern with each repetition written out. */
function sizeOf({ alternatives }: Alternatives): number {
  let size = alternatives.length;
  for (const { elements } of alternatives) {
    for (const element of elements) size += elementSize(element);
  }
  return size;
}

function elementSize(element: AST.Element): number {
  if (element.type === 'Quantifier') {
    const times = element.max === Number.POSITIVE_INFINITY ? element.min + 1 : element.max;
    return 1 + times * elementSize(element.element);
  }
  return 'alternatives' in element ? 1 + sizeOf(element) : 1;
}

function alternativesInRe2(alternatives: readonly AST.Alternative[], flags: string): string {
  return alternatives.map(({ elements }) => elementsInRe2(elements, flags)).join('|');
}

function elementsInRe2(elements: readonly AST.Element[], flags: string): string {
  let written = '';
  for (let at = 0; at < elements.length; at++) {
    const element = elements[at] as AST.Element;
    const next = elements[at + 1];
    // Without `u` the parser gives an astral character as its two surrogates.
    if (element.type === 'Character' && next?.type === 'Character') {
      const pair = String.fromCharCode(element.value, next.value);
      if (isSurrogate(element.value) && pair.isWellFormed()) {
        written += codePoint(pair.codePointAt(0) as number);
        at++;
        continue;
      }
    }
    written += inRe2(element, flags);
  }
  return written;
}

function inRe2(element: AST.Element, flags: string): string {
  switch (element.type) {
    case 'Character':
      return character(element.value);
    case 'CharacterSet':
      return element.kind === 'any' ? anyCharacter(flags) : `[${set(element, flags)}]`;
    case 'CharacterClass':
      return characterClass(element, flags);
    case 'Group':
      if (element.modifiers !== null) throw new Error('flags within the pattern are not taken');
      return `(?:${alternativesInRe2(element.alternatives, flags)})`;
    case 'CapturingGroup':
      return `(?:${alternativesInRe2(element.alternatives, flags)})`;
    case 'Quantifier': {
      const { min, max } = element;
      const upTo = max === Number.POSITIVE_INFINITY ? '' : max;
      return `(?:${inRe2(element.element, flags)}){${min},${upTo}}`;
    }
    case 'Assertion':
      return assertion(element, flags);
    default:
      throw new Error(`${element.raw} is not taken`);
  }
}

function assertion(element: AST.Assertion, flags: string): string {
  switch (element.kind) {
    case 'start':
      return flags.includes('m') ? '(?m:^)' : '\\A';
    case 'end':
      return flags.includes('m') ? '(?m:$)' : '\\z';
    case 'word':
      return element.negate ? '\\B' : '\\b';
    default:
      throw new Error(`${element.raw} looks around`);
  }
}

function anyCharacter(flags: string): string {
  return flags.includes('s') ? '[\\x{0}-\\x{10ffff}]' : '[^\\n\\r\\x{2028}\\x{2029}]';
}

function characterClass(element: AST.CharacterClass, flags: string): string {
  const inside = element.elements.map((member) => {
    switch (member.type) {
      case 'Character':
        return character(member.value);
      case 'CharacterClassRange':
        return `${character(member.min.value)}-${character(member.max.value)}`;
      case 'CharacterSet':
        return set(member, flags);
      default:
        throw new Error(`${member.raw} is not taken`);
    }
  });
  if (inside.length === 0) return element.negate ? '[\\x{0}-\\x{10ffff}]' : '[^\\x{0}-\\x{10ffff}]';
  return `[${element.negate ? '^' : ''}${inside.join('')}]`;
}

// ECMAScript's WhiteSpace and LineTerminator; RE2's own \s is ASCII.
const SPACE =
  '\\t\\n\\v\\f\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}';
const NOT_SPACE =
  '\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}' +
  '\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}';

/** A named set, as it stands within brackets. */
function set(element: AST.CharacterSet, flags: string): string {
  switch (element.kind) {
    case 'digit':
      return element.negate ? '\\D' : '\\d';
    case 'word':
      return element.negate ? '\\W' : '\\w';
    case 'space':
      return element.negate ? NOT_SPACE : SPACE;
    case 'property':
      // Under `i` V8 folds before it negates, and RE2 after. And RE2 has no Script_Extensions.
      if (element.negate && flags.includes('i'))
        throw new Error(`${element.raw} with i is not taken`);
      if (/^(scx|Script_Extensions)$/.test(element.key))
        throw new Error(`${element.raw} is not taken`);
      return `\\${element.negate ? 'P' : 'p'}{${element.value ?? element.key}}`;
    default:
      throw new Error(`${element.raw} is not taken`);
  }
}

function character(value: number): string {
  if (isSurrogate(value)) throw new Error('half a character is matched; give it the `u` flag');
  return codePoint(value);
}

function codePoint(value: number): string {
  return `\\x{${value.toString(16)}}`;
}

function isSurrogate(value: number): boolean {
  return value >= 0xd800 && value <= 0xdfff;
}
