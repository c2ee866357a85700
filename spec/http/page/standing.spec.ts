import { createFeature, type FeatureSettings } from '../../../lib/domain/validate.js';
import { standingOf } from '../../../lib/http/page/standing.js';
import { percentOf } from '../../../lib/http/page/wording.js';

const NOW = Date.parse('2026-11-21T12:00:00Z');

describe('how a feature stands, in a few words', () => {
  const rule = { id: 'staff', when: { users: ['1'] } };
  const over = { until: '2026-11-21T11:59:59Z' };
  const table: [string, FeatureSettings, string, string][] = [
    ['nothing', {}, 'nobody', '0%'],
    ['the least share', { percentage: 0.0001 }, 'some', '<0.01%'],
    ['all but the least share', { percentage: 99.9999 }, 'some', '>99.99%'],
    ['all', { percentage: 100 }, 'everyone', 'Everyone'],
    ['a rule', { rules: [{ ...rule, serve: 'on' }] }, 'some', 'By rules'],
    ['a rule that is over', { rules: [{ ...rule, ...over, serve: 'on' }] }, 'nobody', '0%'],
    [
      'a rule against it',
      { percentage: 100, rules: [{ ...rule, serve: 'off' }] },
      'some',
      'Everyone but by rule',
    ],
    [
      'one that is over',
      { percentage: 100, rules: [{ ...rule, ...over, serve: 'off' }] },
      'everyone',
      'Everyone',
    ],
    [
      'a default variant beside a share',
      { percentage: 20, variants: ['a', 'b'], defaultVariant: 'b' },
      'some',
      '20%, the others by default',
    ],
  ];

  it.each(table)('by %s', (_, settings, state, text) => {
    expect(standingOf(createFeature('chat', 'id', settings), NOW)).toMatchObject({ state, text });
  });
});

describe('a share in percent', () => {
  it.each([
    [0, 1, '0%'],
    [0.04, 1, '<0.1%'],
    [0.06, 1, '0.1%'],
    [42.5, 1, '42.5%'],
    [99.94, 1, '99.9%'],
    [99.96, 1, '>99.9%'],
    [100, 1, '100%'],
    [99.9999, 4, '99.9999%'],
    [0.4, 0, '<1%'],
  ])(
    'of %d, with %d decimals, is never rounded to nobody or everybody: %s',
    (value, decimals, text) => {
      expect(percentOf(value, decimals)).toBe(text);
    },
  );
});
