import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { BUCKETINGS, DEFAULT_SETTINGS, type Feature } from '../../lib/domain/feature.js';
import {
  amendFeature,
  createFeature,
  type FeatureSettings,
  parseFeature,
} from '../../lib/domain/validate.js';
import { holds, ids, percentages } from '../property.js';

const create = (settings: unknown, name: unknown = 'chat') =>
  createFeature(name as string, 'id', settings as FeatureSettings);

describe('a setting that is refused', () => {
  it.each([
    ['percentage', { percentage: -1 }, 'from 0 to 100'],
    ['percentage', { percentage: 101 }, 'from 0 to 100'],
    ['percentage', { percentage: Number.NaN }, 'from 0 to 100'],
    ['percentage', { percentage: '20%' }, 'from 0 to 100'],
    ['percentage', { percentage: undefined }, 'from 0 to 100'],
    ['percentage', { percentage: 0.12345 }, 'four decimals'],
    ['percentage', { percentage: 33.333333333333336, bucketing: 'hanoi' }, 'four decimals'],
    ['percentage', { percentage: 100.1, bucketing: 'rollout-gem' }, 'from 0 to 100'],
    ['bucketing', { bucketing: 'murmur' }, 'one of modulo'],
    ['enabled', { enabled: 'yes' }, 'true or false'],
    ['subjectKey', { subjectKey: '' }, '1-200 characters'],
    ['excluded', { excluded: 'bob' }, 'a list'],
    ['excluded[1]', { excluded: ['a', ''] }, 'an id'],
    ['excluded[0]', { excluded: ['\ud800'] }, 'an id'],
    ['excluded[0]', { excluded: [Number.NaN] }, 'an id'],
    ['patterns[0]', { patterns: ['01$'] }, 'a RegExp'],
    ['patterns[0]', { patterns: [/(?=a)/] }, 'linear time'],
    ['groups[0]', { groups: ['a\nb'] }, '1-200 characters'],
    ['groups', { groups: ['ALL', 'none'] }, 'not both'],
    ['variants', { variants: [{ name: 'a', weight: 0 }] }, 'total weight above 0'],
    ['variants[0].weight', { variants: [{ name: 'a', weight: -1 }] }, 'to be 0, or a number from'],
    [
      'variants[0].weight',
      { variants: [{ name: 'a', weight: Number.POSITIVE_INFINITY }] },
      'to be 0, or a number from',
    ],
    ['variants[0].weight', { variants: [{ name: 'a', weight: 5e-324 }] }, 'to be 0, or a number'],
    ['variants[1].name', { variants: ['a', 'a'] }, 'unique'],
    ['variants[0].name', { variants: [{ name: '' }] }, '1-200 characters'],
    ['variants[0]', { variants: [{ name: 'a', wieght: 1 }] }, '"wieght"'],
    ['variants[0].value', { variants: [{ name: 'a', value: () => 1 }] }, 'a JSON value'],
    [
      'variants[1].weight',
      { variants: ['a', { name: 'b', weight: 2 }], bucketing: 'hanoi' },
      'has no weights',
    ],
    ['defaultVariant', { variants: ['a'], defaultVariant: 'b' }, 'one of `variants`'],
    ['defaultVariant', { defaultVariant: 'b' }, 'one of `variants`'],
    ['offValue.at', { offValue: { at: new Date() } }, 'a JSON value'],
    ['offValue[0]', { offValue: [1n] }, 'a JSON value'],
    ['offValue', { offValue: Number.NaN }, 'a JSON value'],
    ['offValue[1]', { offValue: new Array(2).fill(1, 0, 1) }, 'a JSON value'],
    ['data', { data: Math }, 'an object'],
    ['excluded[0]', { excluded: [2 ** 53] }, 'an id'],
    ['data', { data: [] }, 'an object'],
    ['data', { data: new Map() }, 'an object'],
    ['settings', { percent: 20 }, '"percent"'],
    ['settings', { name: 'other' }, 'enabled, percentage'],
    ['settings', { buckets: [] }, 'enabled, percentage'],
    ['settings', null, 'an object'],
  ])('names `%s` for %j', (path, settings, message) => {
    expect(() => create(settings)).toThrow(
      expect.objectContaining({
        code: 'INVALID_FEATURE',
        path,
        message: expect.stringContaining(message),
      }),
    );
  });

  it.each([
    '',
    'a'.repeat(201),
    '😀'.repeat(201),
    'a\0b',
    'a\nb',
    'a\u0085b',
    '\ud800',
    'a\udc00',
    42,
    null,
  ])('is the name %j', (name) => {
    expect(() => create({}, name)).toThrow(
      expect.objectContaining({ code: 'INVALID_FEATURE', path: 'name' }),
    );
  });

  it('is named also where it can not be printed', () => {
    for (const percentage of [{ toJSON() {} }, () => {}, Symbol('x'), Object.create(null)]) {
      expect(() => create({ percentage })).toThrow(
        expect.objectContaining({ code: 'INVALID_FEATURE', path: 'percentage' }),
      );
    }
  });

  it('is shown cut, where it is long', () => {
    expect(() => create({ percentage: 'x'.repeat(1_000) })).toThrow(
      /got `"x{56}\.\.\.` \(string\)/,
    );
  });

  it('is JSON that nests 33 levels, or holds itself', () => {
    let nested: unknown = 1;
    for (let level = 0; level < 33; level++) nested = [nested];
    const itself: Record<string, unknown> = {};
    itself.me = itself;
    for (const offValue of [nested, itself]) {
      expect(() => create({ offValue })).toThrow(
        expect.objectContaining({ message: expect.stringContaining('at most 32 levels') }),
      );
    }
  });
});

describe('a name that is taken', () => {
  it.each([
    'a|b',
    'a,b',
    ' ',
    '__proto__',
    'constructor',
    'toString',
    'ümlaut',
    '😀'.repeat(200),
    'payments:stripe',
    '__features__',
  ])('%j', (name) => {
    expect(create({}, name).name).toBe(name);
  });
});

describe('a created feature', () => {
  it('has every field in stored form', () => {
    expect(
      create({
        percentage: 0.0001,
        excluded: new Set([42, 42n, '42', 'bob']),
        patterns: [/01$/g, { source: '01$' }, /x/iu],
        groups: ['a', 'a'],
        variants: ['foo', { name: 'bar', weight: 3, value: { deep: [1, null] } }],
        defaultVariant: 'foo',
        offValue: null,
        subjectKey: 'accountId',
        data: { owner: 'checkout', gone: undefined },
      }),
    ).toEqual({
      name: 'chat',
      id: 'id',
      revision: 1,
      enabled: true,
      percentage: 0.0001,
      bucketing: 'modulo',
      subjectKey: 'accountId',
      excluded: ['42', 'bob'],
      patterns: [
        { source: '01$', flags: '' },
        { source: 'x', flags: 'iu' },
      ],
      groups: ['a'],
      variants: [
        { name: 'foo', weight: 1 },
        { name: 'bar', weight: 3, value: { deep: [1, null] } },
      ],
      defaultVariant: 'foo',
      offValue: null,
      requires: [],
      rules: [],
      data: { owner: 'checkout' },
    });
  });

  it('is frozen all the way, and holds copies', () => {
    const value = { list: [1] };
    const feature = create({ variants: [{ name: 'a', value }], data: { value }, patterns: [/a/] });
    value.list.push(2);
    expect(feature.data).toEqual({ value: { list: [1] } });
    const visit = (at: unknown): void => {
      if (typeof at !== 'object' || at === null) return;
      expect(Object.isFrozen(at)).toBe(true);
      Object.values(at).forEach(visit);
    };
    visit(feature);
  });

  it('keeps a data key called __proto__ as a key', () => {
    const feature = create({ data: JSON.parse('{"__proto__": {"admin": true}}') });
    expect(JSON.stringify(feature.data)).toBe('{"__proto__":{"admin":true}}');
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it("takes any double for the gem's percentages", () => {
    const percentage = 33.333333333333336;
    expect(create({ percentage, bucketing: 'rollout-gem' }).percentage).toBe(percentage);
  });

  it('has no negative zero, which JSON loses', () => {
    const { percentage, variants, offValue } = create({
      percentage: -0,
      variants: ['b', { name: 'a', weight: -0 }],
      offValue: -0,
    });
    for (const zero of [percentage, variants[1]?.weight, offValue]) {
      expect(Object.is(zero, 0)).toBe(true);
    }
  });

  it('takes objects and lists of another realm', () => {
    const settings = runInNewContext(
      "({ data: { a: [1] }, patterns: [/a/i], variants: [{ name: 'x' }] })",
    );
    expect(create(settings)).toMatchObject({
      data: { a: [1] },
      patterns: [{ source: 'a', flags: 'i' }],
    });
  });

  it('tells patterns apart by their flags', () => {
    expect(create({ patterns: [/a/, /a/i, /a/] }).patterns).toHaveLength(2);
  });
});

describe('a document', () => {
  const json = fc
    .jsonValue({ maxDepth: 4 })
    .map((value) => JSON.parse(JSON.stringify(value)) as unknown);
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    .filter((text) => !/\p{Cc}/u.test(text));
  const settings = fc
    .record({
      enabled: fc.boolean(),
      percentage: percentages,
      bucketing: fc.constantFrom(...BUCKETINGS),
      excluded: fc.array(ids),
      patterns: fc.subarray([/01$/, /^a+b/i, /\w@\w/u]),
      groups: fc.array(name.filter((group) => !/^(all|none)$/i.test(group))),
      variants: fc
        .uniqueArray(name)
        .chain((names) =>
          fc.tuple(
            ...names.map((variant) => fc.record({ name: fc.constant(variant), value: json })),
          ),
        ),
      offValue: json,
      subjectKey: fc.option(name, { nil: undefined }),
      data: fc.dictionary(fc.string(), json),
    })
    .map((drawn) => drawn as FeatureSettings);

  it('survives a round trip through JSON', () => {
    holds(name, settings, (featureName, drawn) => {
      const feature = createFeature(featureName, 'id', drawn);
      const stored = JSON.stringify(feature);
      const read = parseFeature(JSON.parse(stored));
      expect(read).toEqual(feature);
      expect(JSON.stringify(read)).toBe(stored);
    });
  });

  const stored: Feature = { ...DEFAULT_SETTINGS, name: 'chat', id: 'id', revision: 7 };

  it('of a newer version keeps what is unknown here, also through an update', () => {
    const newer = {
      ...stored,
      variants: [{ name: 'a', weight: 1, colour: 'red' }],
      audience: { of: ['tomorrow'] },
    };
    const updated = amendFeature(parseFeature(newer), { percentage: 20 });
    expect(updated).toEqual({ ...newer, percentage: 20, revision: 8 });
  });

  it.each([
    ['buckets', { buckets: ['1'] }],
    [
      'percentage',
      {
        bucketing: 'population',
        percentage: { points: [{ at: '2026-01-01T00:00:00Z', percentage: 1 }] },
      },
    ],
    ['percentage.points', { percentage: { points: [] } }],
    ['bucketing', { bucketing: 'tomorrow' }],
    ['revision', { revision: 0 }],
    ['revision', { revision: '7' }],
    ['revision', { revision: 2 ** 53 }],
    ['id', { id: undefined }],
    ['variants', { variants: undefined }],
  ])('is refused for a `%s` that would decide otherwise than it says', (path, changed) => {
    expect(() => parseFeature({ ...stored, ...changed })).toThrow(
      expect.objectContaining({ code: 'INVALID_FEATURE', path }),
    );
  });

  it.each([null, undefined, 'chat', 42, [], new Map()])('is not %p', (document) => {
    expect(() => parseFeature(document)).toThrow(
      expect.objectContaining({ code: 'INVALID_FEATURE', path: 'feature' }),
    );
  });

  describe('that is amended', () => {
    const feature = parseFeature({ ...stored, subjectKey: 'a', offValue: 1, variants: [] });

    it('counts the revision', () => {
      expect(amendFeature(feature, { percentage: 1 }).revision).toBe(8);
    });

    it('is the same object where nothing changes', () => {
      expect(amendFeature(feature, { percentage: 0, enabled: true })).toBe(feature);
    });

    it('takes no misspelt field of a variant either', () => {
      const settings = { variants: [{ name: 'a', wieght: 1 }] } as FeatureSettings;
      expect(() => amendFeature(feature, settings)).toThrow(
        expect.objectContaining({ path: 'variants[0]' }),
      );
    });

    it('loses what is set to undefined', () => {
      const amended = amendFeature(feature, { subjectKey: undefined, offValue: undefined });
      expect(Object.keys(amended)).not.toContain('subjectKey');
      expect(Object.keys(amended)).not.toContain('offValue');
    });

    it('is checked whole: the bucketing is refused that the percentage does not fit', () => {
      const gem = createFeature('f', 'id', { percentage: 0.12345, bucketing: 'rollout-gem' });
      expect(() => amendFeature(gem, { bucketing: 'modulo' })).toThrow(
        expect.objectContaining({ path: 'percentage' }),
      );
    });
  });
});
