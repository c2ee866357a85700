import fc from 'fast-check';
import { matcherOf, parsePattern } from '../../lib/domain/pattern.js';
import { createFeature } from '../../lib/domain/validate.js';
import { HanoiError } from '../../lib/errors.js';
import { holds } from '../property.js';

const IDS = [
  'a',
  'abc',
  'ABC',
  'xabcx',
  '44330' + '1',
  '447568110000',
  'user@example.com',
  '+44 7568',
  'a\nb',
  'a\u2028b',
  'naïve',
  '😀',
  'x😀y',
  'ſK\u212a',
  ' ',
  '\u00a0',
  'foo bar',
  '_',
  '7',
  '-',
  '\ufeff',
  '0'.repeat(64),
];

/** V8's own, by code points where the source allows it. */
function byCodePoints(source: string, flags: string): RegExp {
  try {
    return new RegExp(source, `${flags.replace('u', '')}u`);
  } catch {
    return new RegExp(source, flags);
  }
}

/** Agreement with V8 on the same source, as under the `u` flag where that source allows it. */
describe('a pattern that both engines know', () => {
  it.each([
    /01$/,
    /^44/,
    /^abc$/,
    /abc/,
    /^$/,
    /(?:)/,
    /a|b|c/,
    /^(a|ab)(c|bcd)*$/,
    /[0-9]{4,6}/,
    /^[^0-9]+$/,
    /^[\w.+-]+@[\w-]+\.[a-z]{2,}$/,
    /^\d$/,
    /^\D$/,
    /^\w$/,
    /^\W$/,
    /^[\D]$/,
    /^[\W]$/,
    /^\S$/,
    /^[^\s]+$/,
    /^\s$/,
    /^\S+$/,
    /a.b/,
    /a.b/s,
    /abc/i,
    /^ABC$/i,
    /[a-c]+/i,
    /\bfoo\b/,
    /\Boo\b/,
    /^\+44/,
    /a\.b/,
    ...['[]', '[^]'].map((source) => new RegExp(source)),
    /^[\]\\^-]$/,
    /x*?/,
    /(?<year>\d{4})/,
    /\u00ef/,
    /\x61/,
    /^\cJ$/,
    /\0/,
    /😀/,
    /^x😀y$/,
    /^.$/u,
    /^\p{L}+$/u,
    /^\P{L}$/u,
    /\u{1F600}/u,
    /^[😀]$/u,
    /\//,
    /\$\^/,
    /a{2}/,
    /{/,
    /a{,2}/,
  ])('%s matches the same ids', (regexp) => {
    const { source, flags } = parsePattern(regexp, 'pattern');
    const matches = matcherOf({ source, flags });
    for (const id of IDS) {
      expect([id, matches(id)]).toEqual([id, byCodePoints(source, flags).test(id)]);
    }
  });

  it('matches the same ids, whatever the pattern', () => {
    const atom = fc.constantFrom('a', 'b', '1', '.', '[ab]', '[^a]', '\\d', '\\w', '\\s', '\\.');
    const { pattern } = fc.letrec<{ pattern: string; piece: string }>((tie) => ({
      piece: fc.oneof(
        { maxDepth: 3 },
        atom,
        fc
          .tuple(atom, fc.constantFrom('*', '+', '?', '{1,2}', '*?'))
          .map((parts) => parts.join('')),
        tie('pattern').map((inner) => `(${inner})`),
        fc.tuple(tie('pattern'), tie('pattern')).map(([one, other]) => `(?:${one}|${other})`),
      ),
      pattern: fc.array(tie('piece'), { maxLength: 4 }).map((pieces) => pieces.join('')),
    }));
    const id = fc.string({ unit: fc.constantFrom('a', 'b', '1', '.', ' ', '-'), maxLength: 12 });
    const edges = fc.constantFrom(['', ''], ['^', ''], ['', '$'], ['^', '$']);
    holds(pattern, edges, id, (source, [start, end], text) => {
      const whole = `${start}${source}${end}`;
      fc.pre(whole.length <= 500);
      expect(matcherOf({ source: whole, flags: '' })(text)).toBe(new RegExp(whole).test(text));
    });
  });
});

describe('a pattern on which V8 backtracks for minutes', () => {
  it.each(['(a+)+$', '(a|a)*b', '(a*)*b', 'a*a*a*a*a*a*b', '^(([a-z])+.)+[A-Z]([a-z])+$'])(
    '%s answers',
    (source) => {
      const { flags } = parsePattern({ source }, 'pattern');
      expect(matcherOf({ source, flags })(`${'a'.repeat(1_000)}!`)).toBe(false);
    },
  );
});

describe('flags', () => {
  it('drop what has no meaning for a yes or no, and are kept in one order', () => {
    expect(parsePattern({ source: 'a', flags: 'gd' }, 'p').flags).toBe('');
    expect(parsePattern({ source: 'a', flags: 'usim' }, 'p').flags).toBe('imsu');
  });
});

describe('the flag m', () => {
  it('lets only a line feed end a line', () => {
    const { source, flags } = parsePattern({ source: '^b$', flags: 'm' }, 'p');
    const matches = matcherOf({ source, flags });
    expect(['a\nb', 'b\na', 'a\rb', 'a\u2028b', 'ab'].map(matches)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});

describe('an id', () => {
  it.each(['x', '^x', 'x$', '[wx]'])('over 1,024 characters does not match %s', (source) => {
    const matches = matcherOf({ source, flags: '' });
    expect(matches('x'.repeat(1_024))).toBe(true);
    expect(matches('x'.repeat(1_025))).toBe(false);
  });
});

describe('the size of a pattern', () => {
  it.each([
    ['a'.repeat(500), true],
    ['(?:[ab]){166}', true],
    ['(?:[ab]){167}', false],
    ['[ab]{498}', true],
    ['[ab]{499}', false],
    ['[ab]{497,}', true],
    ['[ab]{498,}', false],
  ])('is counted with repetitions written out: %s', (source, fits) => {
    const parse = () => parsePattern({ source }, 'p');
    if (fits) expect(parse()).toEqual({ source, flags: '' });
    else expect(parse).toThrow(/written out/);
  });
});

describe('what is refused', () => {
  it.each([
    ['(?=a)', '', 'looks around'],
    ['(?!a)', '', 'looks around'],
    ['(?<=a)b', '', 'looks around'],
    ['(?<!a)b', '', 'looks around'],
    ['(a)\\1', '', 'is not taken'],
    ['(?<n>a)\\k<n>', '', 'is not taken'],
    ['(', '', 'linear time'],
    ['a**', '', 'linear time'],
    ['[b-a]', '', 'linear time'],
    ['[😀]', '', 'the `u` flag'],
    ['(?i:a)', '', 'flags within'],
    ['a{1001}', '', 'written out'],
    ['(a{100}){100}', '', 'written out'],
    ['\\p{Letter}', 'u', 'linear time'],
    ['\\P{Lu}', 'iu', 'with i'],
    ['[^\\P{Lu}]', 'iu', 'with i'],
    ['\\p{Script_Extensions=Greek}', 'u', 'is not taken'],
    ['\\ud800', '', 'the `u` flag'],
    ['\\udfff', '', 'the `u` flag'],
    ['a'.repeat(501), '', 'at most 500 characters'],
    ['a', 'y', 'flags among'],
    ['a', 'v', 'flags among'],
    ['a', 'ii', 'flags among'],
    ['a', 'x', 'flags among'],
  ])('/%s/%s, because: %s', (source, flags, because) => {
    const refused = () => parsePattern({ source, flags }, 'patterns[0]');
    expect(refused).toThrow(HanoiError);
    expect(refused).toThrow(
      expect.objectContaining({
        code: 'INVALID_FEATURE',
        path: 'patterns[0]',
        message: expect.stringContaining(because),
      }),
    );
  });
});

it('a feature’s patterns take a bounded time together', () => {
  const slow = (n: number) => ({ source: `^[ab]*a[ab]{${n}}c$` });
  const create = (patterns: { source: string }[]) => createFeature('f', 'id', { patterns });
  create(Array.from({ length: 1_000 }, (_, n) => ({ source: `^prefix-${n}` })));
  create([slow(400), slow(401), slow(402), slow(403)]);
  expect(() => create([400, 401, 402, 403, 404].map(slow))).toThrow(
    expect.objectContaining({ code: 'INVALID_FEATURE', path: 'patterns' }),
  );
});
