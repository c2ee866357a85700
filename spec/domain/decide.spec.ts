import { crc32 } from '../../lib/domain/bucketing.js';
import {
  compile,
  compileUnreadable,
  decide,
  type Facts,
  type Surroundings,
} from '../../lib/domain/decide.js';
import { createFeature, type FeatureSettings } from '../../lib/domain/validate.js';
import { HanoiError } from '../../lib/errors.js';
import { holds, ids } from '../property.js';

/** An id whose modulo position is 199,999, and one of 200,000: found by search, checked below. */
const AT_199_999 = 'user-4904438';
const AT_200_000 = 'user-8210';

const NOBODY: Facts = { isMember: () => false, assigned: () => null };
const EVERYBODY: Facts = { isMember: () => true, assigned: () => null };
const UNKNOWN: Facts = { isMember: () => undefined, assigned: () => null };

const SURROUNDINGS: Surroundings = {
  identify: (object) => (object as { id?: unknown }).id,
  now: () => 0,
  inGroup: () => undefined,
  segmentOf: () => undefined,
  unreadableSubject: () => {},
};

function decided(
  settings: FeatureSettings,
  subject: unknown,
  facts: Facts = NOBODY,
  surroundings: Partial<Surroundings> = {},
) {
  return decide(compile(createFeature('cdc_on', 'id', settings)), subject, facts, {
    ...SURROUNDINGS,
    ...surroundings,
  });
}

const foobar = ['foo', 'bar'];

describe("the design's situations", () => {
  it('use ids at the positions that they say', () => {
    const position = (id: string) =>
      ((crc32(id) >>> 0) % 100) * 10_000 + (Math.floor((crc32(id) >>> 0) / 100) % 10_000);
    expect([position(AT_199_999), position(AT_200_000)]).toEqual([199_999, 200_000]);
  });

  it.each([
    [
      '20%, position 199,999, two variants',
      { percentage: 20, variants: foobar },
      AT_199_999,
      NOBODY,
      [true, 'by hash', 'SPLIT'],
    ],
    [
      '20%, position 200,000',
      { percentage: 20, variants: foobar },
      AT_200_000,
      NOBODY,
      [false, undefined, 'DEFAULT'],
    ],
    ['0%, member', { variants: foobar }, 'ann', EVERYBODY, [true, 'by hash', 'TARGETING_MATCH']],
    [
      '100%, excluded',
      { percentage: 100, excluded: ['bob'] },
      'bob',
      NOBODY,
      [false, undefined, 'TARGETING_MATCH'],
    ],
    [
      '100%, kill switch',
      { percentage: 100, enabled: false },
      'bob',
      EVERYBODY,
      [false, undefined, 'DISABLED'],
    ],
    ['20%, no subject', { percentage: 20 }, undefined, EVERYBODY, [false, undefined, 'DEFAULT']],
    [
      '100%, no subject, two variants',
      { percentage: 100, variants: foobar },
      undefined,
      NOBODY,
      [true, undefined, 'STATIC'],
    ],
    [
      '0%, defaultVariant bar',
      { variants: foobar, defaultVariant: 'bar' },
      'ann',
      NOBODY,
      [true, 'bar', 'DEFAULT'],
    ],
  ] as [string, FeatureSettings, string | undefined, Facts, unknown[]][])(
    '%s',
    (_, settings, subject, facts, [enabled, variant, reason]) => {
      const decision = decided(settings, subject, facts);
      expect([decision.enabled, decision.reason]).toEqual([enabled, reason]);
      if (variant === 'by hash') expect(foobar).toContain(decision.variant);
      else expect(decision.variant).toBe(variant);
    },
  );
});

describe('the order', () => {
  const all: FeatureSettings = {
    percentage: 100,
    excluded: ['ann'],
    patterns: [/^ann$/],
    groups: ['all'],
    variants: ['foo'],
    defaultVariant: 'foo',
  };

  const none: FeatureSettings = { excluded: [], patterns: [], groups: [], percentage: 0 };
  it.each([
    ['kill switch', 'DISABLED', { enabled: false }, EVERYBODY],
    ['excluded', 'TARGETING_MATCH', {}, EVERYBODY],
    ['member', 'TARGETING_MATCH', { excluded: [] }, EVERYBODY],
    ['pattern', 'TARGETING_MATCH', { excluded: [] }, NOBODY],
    ['group', 'TARGETING_MATCH', { excluded: [], patterns: [] }, NOBODY],
    ['percentage', 'STATIC', { ...none, percentage: 100 }, NOBODY],
    ['default variant', 'DEFAULT', none, NOBODY],
    ['no gate', 'DEFAULT', { ...none, defaultVariant: undefined }, NOBODY],
  ] as [string, string, FeatureSettings, Facts][])(
    'answers by %s, %s',
    (detail, reason, changed, facts) => {
      expect(decided({ ...all, ...changed }, 'ann', facts)).toMatchObject({ detail, reason });
    },
  );
});

describe('reasons', () => {
  it.each([
    [{ percentage: 100 }, 'STATIC'],
    [{ percentage: 99.9999 }, 'SPLIT'],
  ] as [FeatureSettings, string][])('%j is %s', (settings, reason) => {
    expect(decided(settings, AT_199_999).reason).toBe(reason);
  });
});

describe('without a subject that can be read', () => {
  const subjects: unknown[] = [
    undefined,
    null,
    '',
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    true,
    Symbol('x'),
    () => 'ann',
    {},
    [],
    { id: '' },
    { id: null },
    { id: {} },
    '\ud800',
    { id: 'a\udc00' },
    Object.create(null),
    new Proxy({}, { get: () => raise() }),
    {
      get id() {
        return raise();
      },
    },
  ];

  it.each(subjects.map((subject) => [subject]))('is closed below 100%% (%#)', (subject) => {
    const settings: FeatureSettings = {
      percentage: 99.9999,
      groups: ['all'],
      patterns: [/(?:)/],
      variants: foobar,
      defaultVariant: 'foo',
      offValue: 'nothing',
    };
    expect(decided(settings, subject, EVERYBODY)).toMatchObject({
      enabled: false,
      value: 'nothing',
      reason: 'DEFAULT',
      detail: subject === undefined || subject === null ? 'no subject' : 'subject without id',
    });
  });

  it.each([
    [{ variants: ['foo'] }, 'foo'],
    [{ variants: ['foo', { name: 'bar', weight: 0 }] }, 'foo'],
    [{ variants: foobar }, undefined],
    [{ variants: foobar, defaultVariant: 'bar' }, undefined],
    [{}, undefined],
  ] as [FeatureSettings, string | undefined][])(
    'is on at 100%%, with a variant only if one alone has weight: %j',
    (settings, variant) => {
      expect(decided({ ...settings, percentage: 100 }, undefined)).toMatchObject({
        enabled: true,
        variant,
        // Without a variant there is no value of its kind: the caller's fallback answers.
        value: settings.variants === undefined ? true : variant,
        reason: 'STATIC',
      });
    },
  );

  it('is off by the kill switch before all else', () => {
    expect(decided({ percentage: 100, enabled: false }, undefined).reason).toBe('DISABLED');
  });

  it('reports a subject that throws', () => {
    const unreadableSubject = jest.fn();
    decided(
      {},
      {
        get id() {
          return raise();
        },
      },
      NOBODY,
      { unreadableSubject },
    );
    expect(unreadableSubject).toHaveBeenCalledWith('cdc_on', expect.any(Error));
  });
});

describe('ids', () => {
  it.each([[42], [42n], ['42'], [{ id: 42 }], [{ id: '42' }], [{ id: 42n }]])(
    'of %p are one subject',
    (subject) => {
      const asked: string[] = [];
      const isMember = (id: string) => asked.push(id) > 0;
      expect(decided({}, subject, { isMember, assigned: () => null }).enabled).toBe(true);
      expect(asked).toEqual(['42']);
    },
  );

  it('come from the attribute that subjectKey names', () => {
    const settings: FeatureSettings = { subjectKey: 'accountId', excluded: ['acme'] };
    expect(decided(settings, { id: 1, accountId: 'acme' }).detail).toBe('excluded');
    expect(decided(settings, { id: 'acme', accountId: 7 }).detail).toBe('no gate');
    expect(decided(settings, { id: 'acme' }).detail).toBe('subject without id');
    expect(decided(settings, 'acme').detail).toBe('subject without id');
  });

  it('are not read from what every object inherits', () => {
    for (const subjectKey of ['constructor', 'toString', '__proto__']) {
      expect(decided({ subjectKey, percentage: 50 }, {}).detail).toBe('subject without id');
    }
  });
});

describe('groups', () => {
  it.each([
    [['all'], true],
    [['ALL'], true],
    [['staff'], true],
    [['other'], false],
    [['other', 'staff'], true],
    [['NONE', 'staff'], false],
    [['none', 'staff'], false],
    [['All'], false],
  ])('%j: %s', (groups, isIn) => {
    const inGroup = (group: string) => (group === 'staff' ? true : undefined);
    expect(decided({ groups }, 'ann', NOBODY, { inGroup }).enabled).toBe(isIn);
  });
});

describe('values', () => {
  it.each([
    ['true without variants', { percentage: 100 }, true],
    ['the name of a variant without a value', { percentage: 100, variants: ['foo'] }, 'foo'],
    ["the variant's value", { percentage: 100, variants: [{ name: 'a', value: 0 }] }, 0],
    ['a value of null', { percentage: 100, variants: [{ name: 'a', value: null }] }, null],
    ['offValue where it is off', { offValue: { x: 1 } }, { x: 1 }],
    ['offValue under the kill switch', { offValue: 'off', enabled: false, percentage: 100 }, 'off'],
    ['offValue where it is excluded', { offValue: 1, excluded: ['ann'], percentage: 100 }, 1],
    ['nothing where it is off', {}, undefined],
  ] as [string, FeatureSettings, unknown][])('%s', (_, settings, value) => {
    expect(decided(settings, 'ann').value).toEqual(value);
  });
});

describe('membership that was not looked up', () => {
  it('closes, and says so', () => {
    expect(decided({ offValue: 'off' }, 'ann', UNKNOWN)).toMatchObject({
      enabled: false,
      value: 'off',
      reason: 'ERROR',
      detail: 'needs lookup',
      errorCode: 'GENERAL',
      code: 'NEEDS_LOOKUP',
    });
  });

  it('closes before the default variant: a member would get another', () => {
    const settings = { variants: ['foo', 'bar'], defaultVariant: 'bar' };
    expect(decided(settings, 'ann', UNKNOWN).enabled).toBe(false);
  });

  it.each([[{ percentage: 100 }], [{ patterns: [/ann/] }], [{ groups: ['all'] }]])(
    'does not matter where another gate is open: %j',
    (settings) => {
      expect(decided(settings, 'ann', UNKNOWN).enabled).toBe(true);
    },
  );
});

describe('a document that cannot be read', () => {
  it('is off for everyone, and says so', () => {
    const compiled = compileUnreadable('cdc_on', new HanoiError('CORRUPT_FEATURE', 'no JSON'));
    const surroundings = { ...SURROUNDINGS, identify: () => 1, inGroup: () => true };
    for (const subject of ['ann', undefined]) {
      expect(decide(compiled, subject, EVERYBODY, surroundings)).toMatchObject({
        feature: 'cdc_on',
        enabled: false,
        reason: 'ERROR',
        errorCode: 'PARSE_ERROR',
        code: 'CORRUPT_FEATURE',
      });
    }
  });
});

describe('any subject', () => {
  it('gets the same frozen answer each time', () => {
    const compiled = compile(createFeature('f', 'id', { percentage: 50, variants: foobar }));
    const surroundings = { ...SURROUNDINGS, identify: () => undefined };
    holds(ids, (id) => {
      const decision = decide(compiled, id, NOBODY, surroundings);
      expect(Object.isFrozen(decision)).toBe(true);
      expect(decide(compiled, id, NOBODY, surroundings)).toBe(decision);
    });
  });

  it.each(['a|b', 'a,b', 'a\nb', 'a\0b', '😀', 'x'.repeat(10_000), '__proto__', 'constructor'])(
    'may be called %j',
    (id) => {
      expect(decided({ percentage: 100 }, id).enabled).toBe(true);
      expect(decided({ excluded: [id], percentage: 100 }, id).detail).toBe('excluded');
    },
  );
});

function raise(): never {
  throw new Error('no id for you');
}
