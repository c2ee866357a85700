import { crc32, hash, saltOf } from '../../lib/domain/bucketing.js';
import { compile, decide, type Facts, type Surroundings } from '../../lib/domain/decide.js';
import type { Feature } from '../../lib/domain/feature.js';
import { createFeature, type FeatureSettings, parseFeature } from '../../lib/domain/validate.js';
import type { ConditionSettings, RuleSettings } from '../../lib/index.js';
import { chiSquare } from '../property.js';

const NOON = Date.parse('2026-11-30T12:00:00Z');
const unreadable: unknown[] = [];
const SURROUNDINGS: Surroundings = {
  identify: (subject) => (subject as { id?: unknown }).id,
  now: () => NOON,
  inGroup: (group, subject) => {
    if (group === 'undefined') return undefined;
    return (subject as { groups?: string[] }).groups?.includes(group) ?? false;
  },
  segmentOf: (segment, subject) => (subject as Record<string, string>)[segment],
  unreadableSubject: (_, cause) => unreadable.push(cause),
};
const NOBODY = { isMember: () => false, assigned: () => null };
const EVERYBODY = { isMember: () => true, assigned: () => null };

const decided = (
  settings: FeatureSettings,
  subject: unknown,
  facts: Facts = NOBODY,
  surroundings: Partial<Surroundings> = {},
) =>
  decide(compile(createFeature('f', 'id', settings)), subject, facts, {
    ...SURROUNDINGS,
    ...surroundings,
  });

const rule = (when: ConditionSettings, others: Partial<RuleSettings> = {}): RuleSettings => ({
  id: 'r',
  when,
  serve: 'on',
  ...others,
});

/** True, false, or unknown: by a rule that lets in, and one that keeps out. */
function answer(when: ConditionSettings, subject: object): boolean | undefined {
  const who = { id: 'ann', ...subject };
  const letIn = decided({ rules: [rule(when)] }, who).enabled;
  const keptOut = !decided({ percentage: 100, rules: [rule(when, { serve: 'off' })] }, who).enabled;
  if (letIn !== keptOut) return undefined;
  return letIn;
}

const attribute = (op: string, value?: unknown): ConditionSettings =>
  ({ attribute: 'it', op, value }) as ConditionSettings;

describe('a condition', () => {
  class Person {
    id = 'ann';
    get plan() {
      return 'pro';
    }
  }

  it.each<[string, unknown, unknown, boolean | undefined]>([
    ['equals', 'pro', 'pro', true],
    ['equals', 'pro', 'Pro', false],
    ['equals', 1, 1, true],
    ['equals', 1, 1n, true],
    ['equals', 1, '1', false],
    ['equals', false, false, true],
    ['equals', 'pro', undefined, undefined],
    ['equals', 'pro', null, undefined],
    ['equals', 'pro', {}, undefined],
    ['equals', 0, -0, true],
    ['equals', 1, Number.NaN, undefined],
    ['in', ['a', 2, true], 'a', true],
    ['in', ['a', 2, true], 2, true],
    ['in', ['a', 2, true], '2', false],
    ['in', [], 'a', false],
    ['in', ['a'], undefined, undefined],
    ['lessThan', 18, 17.9, true],
    ['lessThan', 18, 18, false],
    ['atMost', 18, 18, true],
    ['moreThan', 18, 18, false],
    ['moreThan', 18, 19n, true],
    ['atLeast', 18, 18, true],
    ['atLeast', 18, Number.POSITIVE_INFINITY, true],
    ['atLeast', 18, '19', undefined],
    ['atLeast', 18, Number.NaN, undefined],
    ['startsWith', '+44', '+447568', true],
    ['startsWith', '+44', '447568', false],
    ['startsWith', '+44', 447568, undefined],
    ['endsWith', '@example.com', 'ann@example.com', true],
    ['contains', 'beta', 'a beta tester', true],
    ['contains', 'beta', ['alpha', 'beta'], true],
    ['contains', 1, [1n], true],
    ['contains', 'beta', ['alpha'], false],
    ['contains', 1, '1', undefined],
    ['contains', 'beta', undefined, undefined],
    ['matches', /^a+b$/, 'aab', true],
    ['matches', { source: '^A', flags: 'i' }, 'aab', true],
    ['matches', /^a+b$/, 'aabc', false],
    ['matches', /1/, 1, undefined],
    ['exists', undefined, '', true],
    ['exists', undefined, false, true],
    ['exists', undefined, undefined, false],
    ['exists', undefined, null, false],
    ['before', '2026-11-30T12:00:00Z', new Date(NOON - 1), true],
    ['before', '2026-11-30T12:00:00Z', '2026-11-30T13:00:00+02:00', true],
    ['before', new Date(NOON), NOON, false],
    ['after', '2026-11-30T12:00:00Z', NOON + 1, true],
    ['after', '2026-11-30T12:00:00Z', '2026-12-01', undefined],
    ['after', '2026-11-30T12:00:00Z', new Date(Number.NaN), undefined],
    ['satisfies', '>=2.1 <3', '2.1.0', true],
    ['satisfies', '>=2.1 <3', '3.0.0', false],
    ['satisfies', '>=2.1 <3', '2.2.0-rc.1', false],
    ['satisfies', '^1.2.3', 'v1.9.0', true],
    ['satisfies', '^1.2.3', '1.9', undefined],
    ['satisfies', '^1.2.3', '1'.repeat(300), undefined],
    ['satisfies', '^1.2.3', 2, undefined],
  ])('attribute %s %p holds of %p: %p', (op, value, it, expected) => {
    expect(answer(attribute(op, value), { it })).toBe(expected);
    // What is unknown stays so under `not`.
    expect(answer({ not: attribute(op, value) }, { it })).toBe(
      expected === undefined ? undefined : !expected,
    );
  });

  it('reads attributes of a class, but none that every object has', () => {
    const when = { attribute: 'plan', op: 'equals', value: 'pro' } as const;
    expect(decided({ rules: [rule(when)] }, new Person()).enabled).toBe(true);
    const inherited = { attribute: 'toString', op: 'exists' } as const;
    expect(decided({ rules: [rule(inherited)] }, new Person()).enabled).toBe(false);
  });

  it('is unknown of an id alone, which has no attributes', () => {
    const when = { attribute: 'plan', op: 'equals', value: 'pro' } as const;
    expect(decided({ rules: [rule(when)] }, 'ann').enabled).toBe(false);
    const off = rule(when, { serve: 'off' });
    expect(decided({ percentage: 100, rules: [off] }, 'ann').enabled).toBe(false);
  });

  it('is unknown where reading the attribute throws, and reports it', () => {
    const subject = {
      get it() {
        throw new Error('no');
      },
    };
    unreadable.length = 0;
    const who = Object.defineProperty({ id: 'ann' }, 'it', {
      get: Object.getOwnPropertyDescriptor(subject, 'it')?.get as () => unknown,
    });
    expect(decided({ rules: [rule(attribute('exists'))] }, who).enabled).toBe(false);
    expect(unreadable).toHaveLength(1);
  });

  it.each<[ConditionSettings, object, boolean | undefined]>([
    [{ users: ['ann', 42] }, {}, true],
    [{ users: ['bob'] }, {}, false],
    [{ users: [42] }, { id: 42n }, true],
    [{ matches: /^a/ }, {}, true],
    [{ matches: /^b/ }, {}, false],
    [{ group: 'staff' }, { groups: ['staff'] }, true],
    [{ group: 'staff' }, { groups: [] }, false],
    [{ group: 'undefined' }, {}, undefined],
    [{ group: 'all' }, {}, true],
    [{ group: 'NONE' }, {}, false],
    [{ segment: 'country', in: ['US', 'CA'] }, { country: 'CA' }, true],
    [{ segment: 'country', in: ['US', 'CA'] }, { country: 'DE' }, false],
    [{ segment: 'country', in: ['US', 'CA'] }, {}, undefined],
  ])('%j holds of %j: %p', (when, subject, expected) => {
    expect(answer(when, subject)).toBe(expected);
  });

  const T = { group: 'all' } as const;
  const F = { group: 'none' } as const;
  const U = { group: 'undefined' } as const;
  it.each<[ConditionSettings, boolean | undefined]>([
    [{ all: [T, T] }, true],
    [{ all: [T, U] }, undefined],
    [{ all: [U, F] }, false],
    [{ any: [F, F] }, false],
    [{ any: [F, U] }, undefined],
    [{ any: [U, T] }, true],
    [{ not: { all: [T, U] } }, undefined],
    [{ not: { any: [U, T] } }, false],
    [{ not: { not: T } }, true],
    [{ all: [{ any: [F, T] }, { not: F }] }, true],
  ])('%j is %p', (when, expected) => {
    expect(answer(when, {})).toBe(expected);
  });
});

describe('a rule', () => {
  const everyone = { group: 'all' } as const;

  it('comes after the kill switch and exclusions, and before the gates', () => {
    const off = rule(everyone, { serve: 'off' });
    expect(decided({ rules: [off], percentage: 100 }, 'ann', EVERYBODY).detail).toBe('rule');
    expect(decided({ rules: [rule(everyone)], excluded: ['ann'] }, 'ann').detail).toBe('excluded');
    expect(decided({ rules: [rule(everyone)], enabled: false }, 'ann').detail).toBe('kill switch');
    expect(decided({ rules: [rule({ users: ['bob'] })], percentage: 100 }, 'ann').detail).toBe(
      'percentage',
    );
  });

  it('answers by its id, the first that holds', () => {
    const rules = [
      rule({ users: ['bob'] }, { id: 'bobs', serve: 'off' }),
      rule({ users: ['bob', 'ann'] }, { id: 'both' }),
      rule(everyone, { id: 'all', serve: 'off' }),
    ];
    expect(decided({ rules }, 'ann')).toMatchObject({
      ...{ enabled: true, reason: 'TARGETING_MATCH', detail: 'rule', rule: 'both' },
    });
    expect(decided({ rules }, 'bob')).toMatchObject({ enabled: false, rule: 'bobs' });
    expect(decided({ rules, offValue: 0 }, 'eve')).toMatchObject({
      ...{ enabled: false, rule: 'all', value: 0 },
    });
    expect(decided({}, 'ann').rule).toBeUndefined();
  });

  it('serves a variant, or one by weight', () => {
    const variants = ['foo', { name: 'bar', value: { n: 1 } }, { name: 'rare', weight: 0 }];
    const serve = { variant: 'rare' };
    expect(decided({ variants, rules: [rule(everyone, { serve })] }, 'ann')).toMatchObject({
      ...{ enabled: true, variant: 'rare', value: 'rare', reason: 'TARGETING_MATCH' },
    });
    const settings = { variants, percentage: 100 };
    for (const id of ['ann', 'bob', 'eve', 'joe']) {
      // The same as without the rule: nobody changes variant by coming in another way.
      expect(decided({ ...settings, rules: [rule(everyone)] }, id)).toMatchObject({
        ...{ variant: decided(settings, id).variant, reason: 'TARGETING_MATCH', detail: 'rule' },
      });
    }
  });

  it('splits by weight, by its own id, and says so', () => {
    const variants = ['foo', 'bar'];
    const of = (id: string) =>
      compile(
        createFeature('f', 'id', {
          variants,
          rules: [
            rule(everyone, {
              id,
              serve: {
                split: [
                  ['foo', 3],
                  ['bar', 1],
                ],
              },
            }),
          ],
        }),
      );
    const counts = { foo: 0, bar: 0 };
    let moved = 0;
    const [one, other] = [of('one'), of('other')];
    for (let n = 0; n < 20_000; n++) {
      const decision = decide(one, n, NOBODY, SURROUNDINGS);
      expect(decision.reason).toBe('SPLIT');
      counts[decision.variant as 'foo' | 'bar']++;
      if (decide(other, n, NOBODY, SURROUNDINGS).variant !== decision.variant) moved++;
    }
    expect(chiSquare([counts.foo, counts.bar], [15_000, 5_000])).toBeLessThan(10.83);
    // Independent choices: 2 × 3/4 × 1/4 of all differ.
    expect(chiSquare([moved, 20_000 - moved], [7_500, 12_500])).toBeLessThan(10.83);
  });

  it('lets in a share of those that match, and the rest go on', () => {
    const rules = [
      rule({ users: ['ann', 'bob'] }, { percentage: 0 }),
      rule(everyone, { id: 's', percentage: 30 }),
    ];
    const compiled = compile(
      createFeature('f', 'id', { rules, defaultVariant: 'x', variants: ['x'] }),
    );
    const salt = saltOf('f/rule/s');
    for (let n = 0; n < 5_000; n++) {
      const isIn = Math.floor(((hash(crc32(String(n)), salt) >>> 0) * 1e6) / 2 ** 32) < 300_000;
      expect(decide(compiled, n, NOBODY, SURROUNDINGS)).toMatchObject(
        isIn ? { reason: 'SPLIT', rule: 's' } : { reason: 'DEFAULT', rule: undefined },
      );
    }
    expect(decide(compiled, 'ann', NOBODY, SURROUNDINGS).rule).not.toBe('r');
  });

  it('keeps those that it has let in as its percentage rises', () => {
    const at = (percentage: number) =>
      compile(createFeature('f', 'id', { rules: [rule(everyone, { percentage })] }));
    const rising = [0, 0.0001, 1, 20, 50, 99.9999, 100].map(at);
    for (let n = 0; n < 1_000; n++) {
      const answers = rising.map((one) => decide(one, n, NOBODY, SURROUNDINGS).enabled);
      expect(answers).toEqual([...answers].sort());
      expect([answers[0], answers.at(-1)]).toEqual([false, true]);
    }
  });

  it.each<[Partial<RuleSettings>, boolean]>([
    [{ from: '2026-11-30T12:00:00Z' }, true],
    [{ from: '2026-11-30T12:00:00.001Z' }, false],
    [{ until: '2026-11-30T12:00:00Z' }, false],
    [{ until: new Date(NOON + 1) }, true],
    [{ from: '2026-11-30T14:00:00+02:00', until: '2026-12-01T00:00:00Z' }, true],
    [{}, true],
  ])('lives within %j at noon: %p', (window, isLive) => {
    expect(decided({ rules: [rule(everyone, window)] }, 'ann').enabled).toBe(isLive);
  });

  it('asks for the time only where it has a window', () => {
    const now = jest.fn(() => NOON);
    decided({ rules: [rule(everyone)] }, 'ann', NOBODY, { now });
    decided({ percentage: 100 }, 'ann', NOBODY, { now });
    expect(now).toHaveBeenCalledTimes(0);
  });

  it('takes no member from being looked up where it answers', () => {
    const unknown = { isMember: () => undefined, assigned: () => null };
    expect(decided({ rules: [rule(everyone)] }, 'ann', unknown).enabled).toBe(true);
    expect(decided({ rules: [rule({ users: ['bob'] })] }, 'ann', unknown).code).toBe(
      'NEEDS_LOOKUP',
    );
  });
});

describe('without a subject', () => {
  const variants = ['foo', 'bar'];
  it.each<[string, FeatureSettings, boolean]>([
    ['lets in', { percentage: 100, rules: [rule({ users: ['ann'] })] }, true],
    ['lets in, below 100%', { percentage: 99, rules: [rule({ group: 'all' })] }, false],
    ['serves off', { percentage: 100, rules: [rule({ users: ['a'] }, { serve: 'off' })] }, false],
    [
      'serves a part',
      { percentage: 100, rules: [rule({ users: ['a'] }, { percentage: 50 })] },
      false,
    ],
    [
      'splits',
      {
        percentage: 100,
        variants,
        rules: [rule({ users: ['a'] }, { serve: { split: [['foo', 1]] } })],
      },
      false,
    ],
    [
      'served off until now',
      {
        percentage: 100,
        rules: [rule({ users: ['a'] }, { serve: 'off', until: '2026-11-30T12:00:00Z' })],
      },
      true,
    ],
  ])('a feature whose rule %s', (_, settings, enabled) => {
    for (const subject of [undefined, null, {}, '']) {
      expect(decided(settings, subject).enabled).toBe(enabled);
    }
  });
});

describe('rules that are refused', () => {
  const nested = (levels: number): ConditionSettings =>
    levels === 0 ? { group: 'a' } : { not: nested(levels - 1) };
  it.each<[string, unknown]>([
    ['rules', 'all'],
    ['rules', Array.from({ length: 101 }, (_, n) => rule({ group: 'a' }, { id: `r${n}` }))],
    ['rules[0]', ['on']],
    ['rules[0]', [{ ...rule({ group: 'a' }), sever: 'on' }]],
    ['rules[0].id', [{ when: { group: 'a' }, serve: 'on' }]],
    ['rules[1].id', [rule({ group: 'a' }), rule({ group: 'b' })]],
    ['rules[0].description', [{ ...rule({ group: 'a' }), description: 1 }]],
    ['rules[0].when', [rule(undefined as unknown as ConditionSettings)]],
    ['rules[0].when', [rule({} as ConditionSettings)]],
    ['rules[0].when', [rule({ weather: 'sunny' } as unknown as ConditionSettings)]],
    ['rules[0].when', [rule({ group: 'a', users: ['b'] })]],
    ['rules[0].when', [rule({ group: 'a', in: ['b'] } as unknown as ConditionSettings)]],
    ['rules[0].when.all', [rule({ all: [] })]],
    ['rules[0].when.any[1]', [rule({ any: [{ group: 'a' }, 'b'] as unknown as [] })]],
    ['rules[0].when.users[0]', [rule({ users: [''] })]],
    ['rules[0].when.users', [rule({ users: Array.from({ length: 100_000 }, (_, n) => n) })]],
    ['rules[0].when.matches', [rule({ matches: /(?=a)/ })]],
    ['rules[0].when.in[0]', [rule({ segment: 'a', in: [1] as unknown as string[] })]],
    ['rules[0].when.attribute', [rule({ attribute: '', op: 'exists' })]],
    ['rules[0].when.op', [rule({ attribute: 'a', op: 'is' as 'in' })]],
    ['rules[0].when.op', [rule({ attribute: 'a', op: 'constructor' as 'in' })]],
    ['rules[0].when.value', [rule({ attribute: 'a', op: 'atLeast', value: '18' })]],
    ['rules[0].when.value', [rule({ attribute: 'a', op: 'atLeast', value: Number.NaN })]],
    ['rules[0].when.value', [rule({ attribute: 'a', op: 'exists', value: true })]],
    ['rules[0].when.value', [rule({ attribute: 'a', op: 'startsWith', value: '' })]],
    ['rules[0].when.value', [rule({ attribute: 'a', op: 'before', value: '2026-11-30' })]],
    ['rules[0].when.value', [rule({ attribute: 'a', op: 'satisfies', value: 'newest' })]],
    ['rules[0].when.value', [rule({ attribute: 'a', op: 'matches', value: /(a)\1/ })]],
    ['rules[0].when.value[1]', [rule({ attribute: 'a', op: 'in', value: ['a', {}] })]],
    ['rules[0].when.value', [rule({ attribute: 'a', op: 'in', value: Array(10_001).fill(1) })]],
    ['rules[0].percentage', [rule({ group: 'a' }, { percentage: 101 })]],
    ['rules[0].from', [rule({ group: 'a' }, { from: '2026-11-30T12:00:00' })]],
    [
      'rules[0].until',
      [rule({ group: 'a' }, { from: '2026-11-30T12:00:00Z', until: '2026-11-30T13:00:00+01:00' })],
    ],
    ['rules[0].serve', [rule({ group: 'a' }, { serve: 'foo' as 'on' })]],
    ['rules[0].serve', [rule({ group: 'a' }, { serve: undefined as unknown as 'on' })]],
    ['rules[0].serve.variant', [rule({ group: 'a' }, { serve: { variant: 'baz' } })]],
    [
      'rules[0].serve.split[1][0]',
      [
        rule(
          { group: 'a' },
          {
            serve: {
              split: [
                ['foo', 1],
                ['baz', 1],
              ],
            },
          },
        ),
      ],
    ],
    ['rules[0].serve.split[0][1]', [rule({ group: 'a' }, { serve: { split: [['foo', -1]] } })]],
    ['rules[0].serve.split', [rule({ group: 'a' }, { serve: { split: [['foo', 0]] } })]],
  ])('name %s', (path, rules) => {
    expect(() => createFeature('f', 'id', { variants: ['foo'], rules } as FeatureSettings)).toThrow(
      expect.objectContaining({ code: 'INVALID_FEATURE', path }),
    );
  });

  it.each([16, 1_000, 100_000])('nest %d levels', (levels) => {
    let when: ConditionSettings = { group: 'a' };
    for (let n = 0; n < levels; n++) when = { not: when };
    expect(() => createFeature('f', 'id', { rules: [rule(when)] })).toThrow(
      expect.objectContaining({
        code: 'INVALID_FEATURE',
        message: expect.stringContaining('16 levels'),
      }),
    );
    expect(nested(15)).toBeDefined();
    createFeature('f', 'id', { rules: [rule(nested(15))] });
  });

  it('have hundreds of parts', () => {
    const any = Array.from({ length: 250 }, () => ({ group: 'a' }));
    expect(() => createFeature('f', 'id', { rules: [rule({ any })] })).toThrow('at most 200 parts');
  });

  it('take too long together with the patterns', () => {
    const slow = (n: number) => ({ source: `^[ab]*a[ab]{${n}}c$` });
    const patterns = [slow(400), slow(401)];
    const when = { any: [{ matches: slow(402) }, { not: attribute('matches', slow(403)) }] };
    createFeature('f', 'id', { patterns, rules: [rule(when)] });
    const more = rule({ matches: slow(404) }, { id: 'more' });
    expect(() => createFeature('f', 'id', { patterns, rules: [rule(when), more] })).toThrow(
      expect.objectContaining({ code: 'INVALID_FEATURE', path: 'rules' }),
    );
  });

  it('name a variant that an update takes away', () => {
    const feature = createFeature('f', 'id', {
      variants: ['foo', 'bar'],
      rules: [rule({ group: 'a' }, { serve: { variant: 'bar' } })],
    });
    expect(() => parseFeature({ ...feature, variants: [{ name: 'foo', weight: 1 }] })).toThrow(
      expect.objectContaining({ path: 'rules[0].serve.variant' }),
    );
  });
});

describe('stored rules', () => {
  const document = (rules: unknown): Feature =>
    JSON.parse(JSON.stringify({ ...createFeature('f', 'id', { variants: ['foo'] }), rules }));

  it('come back as they were', () => {
    const feature = createFeature('f', 'id', {
      variants: ['foo', 'bar'],
      rules: [
        rule(
          { all: [{ users: [42] }, { not: { any: [{ matches: /a$/i }, { group: 'g' }] } }] },
          { description: 'why', from: new Date(NOON), percentage: 0.0001 },
        ),
        rule(attribute('matches', /x/), { id: 's', serve: { split: new Map([['foo', 1]]) } }),
        rule(attribute('in', new Set([1, 'a'])), { id: 't', serve: { variant: 'bar' } }),
      ],
    });
    expect(parseFeature(JSON.parse(JSON.stringify(feature)))).toEqual(feature);
    expect(Object.isFrozen(feature.rules[0]?.when)).toBe(true);
  });

  it('keep what a newer version says beside them', () => {
    const [kept] = parseFeature(document([{ ...rule({ group: 'a' }), sticky: true }])).rules;
    expect(kept).toMatchObject({ sticky: true });
  });

  it('of a kind that is not known close the feature', () => {
    expect(() => parseFeature(document([rule({ weather: 'x' } as never)]))).toThrow(
      'one of all, any',
    );
  });

  it('may be missing, from before there were any', () => {
    expect(parseFeature({ ...document([]), rules: undefined }).rules).toEqual([]);
  });
});
