import fc from 'fast-check';
import { diff, isSame, withoutChange } from '../../lib/domain/diff.js';
import type { Feature } from '../../lib/domain/feature.js';
import { amendFeature, createFeature, type FeatureSettings } from '../../lib/domain/validate.js';
import { holds } from '../property.js';

const rule = (id: string, more: object = {}) => ({
  ...{ id, when: { group: 'staff' }, serve: 'on' as const },
  ...more,
});

const first = createFeature('chat', 'id-1', {
  percentage: 10,
  excluded: ['ann', 'bob'],
  groups: ['staff'],
  patterns: [/01$/],
  variants: ['red', { name: 'blue', weight: 2 }],
  rules: [rule('one'), rule('old-apps', { serve: 'off' })],
  data: { owner: 'checkout', tags: ['a'], 'due date': 1 },
});

const changed = (settings: FeatureSettings, of: Feature = first) => amendFeature(of, settings);

describe('what differs between two documents', () => {
  it.each<[string, FeatureSettings, object[]]>([
    [
      'a field',
      { percentage: 20 },
      [{ path: 'percentage', kind: 'changed', before: 10, after: 20 }],
    ],
    [
      'ids, groups and patterns',
      { excluded: ['bob', 'eve'], groups: [], patterns: [/01$/, /^4/i] },
      [
        { path: 'excluded', kind: 'removed', before: 'ann' },
        { path: 'excluded', kind: 'added', after: 'eve' },
        { path: 'patterns', kind: 'added', after: { source: '^4', flags: 'i' } },
        { path: 'groups', kind: 'removed', before: 'staff' },
      ],
    ],
    [
      'variants by name',
      { variants: [{ name: 'blue', weight: 3 }, 'green'] },
      [
        { path: 'variants["red"]', kind: 'removed', before: { name: 'red', weight: 1 } },
        { path: 'variants["blue"].weight', kind: 'changed', before: 2, after: 3 },
        { path: 'variants["green"]', kind: 'added', after: { name: 'green', weight: 1 } },
      ],
    ],
    [
      'rules by id, and their order',
      { rules: [rule('old-apps', { serve: 'off', description: 'x' }), rule('one')] },
      [
        { path: 'rules["old-apps"].description', kind: 'added', after: 'x' },
        { path: 'rules', kind: 'moved', before: ['one', 'old-apps'], after: ['old-apps', 'one'] },
      ],
    ],
    [
      'the order of ids',
      { excluded: ['bob', 'ann'] },
      [{ path: 'excluded', kind: 'moved', before: ['ann', 'bob'], after: ['bob', 'ann'] }],
    ],
    [
      'the own data, key by key',
      { data: { owner: 'search', tags: ['a'], new: null } },
      [
        { path: 'data.owner', kind: 'changed', before: 'checkout', after: 'search' },
        { path: 'data["due date"]', kind: 'removed', before: 1 },
        { path: 'data.new', kind: 'added', after: null },
      ],
    ],
    [
      'lists in which one thing stands twice, whole',
      { data: { ...first.data, tags: ['a', 'a'] } },
      [{ path: 'data.tags', kind: 'changed', before: ['a'], after: ['a', 'a'] }],
    ],
    ['nothing', { percentage: 10 }, []],
  ])('is told of %s', (_, settings, differences) => {
    expect(diff(first, changed(settings))).toEqual(differences);
  });

  it('is all of it where there was no document', () => {
    const all = diff(undefined, first);
    expect(all.every(({ kind }) => kind === 'added')).toBe(true);
    expect(all.map(({ path }) => path)).toEqual(
      Object.keys(first).filter((key) => key !== 'revision'),
    );
    expect(diff(first, undefined)[0]).toEqual({ path: 'name', kind: 'removed', before: 'chat' });
    expect(diff(undefined, undefined)).toEqual([]);
  });

  it('is told of names that every object has', () => {
    const data = JSON.parse('{"__proto__":1,"constructor":2}');
    expect(diff(first, { ...first, data })).toEqual(
      expect.arrayContaining([
        { path: 'data.__proto__', kind: 'added', after: 1 },
        { path: 'data.constructor', kind: 'added', after: 2 },
      ]),
    );
  });

  it('is nothing exactly where both say the same', () => {
    const documents = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }));
    holds(documents, documents, (one, other) => {
      expect(diff(one, other).length === 0).toBe(isSame(one as never, other as never));
      expect(diff(one, JSON.parse(JSON.stringify(one)))).toEqual([]);
    });
  });
});

describe('a change taken back', () => {
  const without = (present: Feature, before: Feature, after: Feature) =>
    withoutChange(present, before, after);

  it('leaves what has changed beside it', () => {
    const second = changed({ percentage: 20, excluded: ['ann', 'bob', 'eve'] });
    const third = changed(
      {
        groups: [],
        excluded: ['zoe', 'bob', 'eve'],
        rules: [rule('zero'), ...first.rules.slice(1)],
        data: { ...first.data, owner: 'search' },
      },
      second,
    );
    const { document } = without(third, first, second);
    expect({ ...third, ...document }).toEqual({
      ...third,
      ...{ percentage: 10, excluded: ['zoe', 'bob'] },
    });
    const again = without(third, second, third);
    expect(again.document).toEqual({ ...second, revision: undefined });
  });

  it('puts back what was taken out where it stood', () => {
    const second = changed({ rules: [rule('old-apps', { serve: 'off' })], variants: ['red'] });
    const third = changed(
      { rules: [...second.rules, rule('last')], variants: ['red', 'black'] },
      second,
    );
    const { document } = without(third, first, second) as { document: Feature };
    expect(document.rules.map(({ id }) => id)).toEqual(['one', 'old-apps', 'last']);
    expect(document.variants.map(({ name }) => name)).toEqual(['red', 'blue', 'black']);
  });

  it.each<[string, FeatureSettings, FeatureSettings, string[]]>([
    ['a field', { percentage: 20 }, { percentage: 30 }, ['percentage']],
    ['what is back already', { percentage: 20 }, { percentage: 10 }, ['percentage']],
    ['an id', { excluded: ['ann'] }, { excluded: ['ann', 'bob'] }, ['excluded']],
    [
      'a field of a variant',
      { variants: ['red', { name: 'blue', weight: 3 }] },
      { variants: ['red', { name: 'blue', weight: 4 }] },
      ['variants["blue"].weight'],
    ],
    [
      'a rule that is gone',
      { rules: [rule('one', { description: 'x' }), ...first.rules.slice(1)] },
      { rules: [] },
      ['rules["one"]'],
    ],
    [
      'the order',
      { rules: [...first.rules].reverse() },
      { rules: [rule('zero'), ...[...first.rules].reverse()] },
      ['rules'],
    ],
    [
      'a ramp',
      { percentage: { points: [{ at: '2026-01-01T00:00:00Z', percentage: 1 }] } },
      {
        percentage: {
          points: [{ at: '2026-01-01T00:00:00Z', percentage: 1 }],
          pausedAt: '2026-01-02T00:00:00Z',
        },
      },
      ['percentage'],
    ],
    ['a key of the data', { data: { owner: 'a' } }, { data: { owner: 'b' } }, ['data.owner']],
  ])('is in the way of a later change of %s', (_, one, other, conflicts) => {
    const second = changed(one);
    expect(without(changed(other, second), first, second)).toEqual({ conflicts });
  });

  it('gives the document before, where nothing else has changed', () => {
    const documents = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }));
    holds(documents, documents, (before, after) => {
      const { document } = withoutChange(after, before, after);
      const { revision: _, ...settings } = before;
      expect(isSame(document as never, settings as never)).toBe(true);
    });
  });
});
