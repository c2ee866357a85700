import { rulesWithTable, type SegmentTable } from '../../lib/domain/segment-table.js';
import { Rollout } from '../../lib/index.js';

const user = (id: number, country: string, device?: string) => ({ id, country, device });
let rollout: Rollout;
beforeEach(async () => {
  rollout = new Rollout();
  await rollout.addFeature('pay', {
    variants: ['foo', 'bar'],
    rules: [{ id: 'tester', when: { users: ['0'] }, serve: 'off' }],
  });
});
afterEach(() => rollout.close());

describe('a table by segments', () => {
  it('serves each row, and the rest otherwise', async () => {
    await rollout.serveBySegment('pay', {
      segments: 'country',
      rows: [
        ['US', { variant: 'foo' }],
        ['CA', 'off'],
      ],
      otherwise: { variant: 'bar' },
    });
    const variant = (who: object) => rollout.decideSync('pay', who).variant;
    expect(variant(user(1, 'US'))).toBe('foo');
    expect(variant(user(1, 'CA'))).toBeUndefined();
    expect(variant(user(1, 'DE'))).toBe('bar');
    expect(variant(user(0, 'US'))).toBeUndefined();
    expect(rollout.decideSync('pay', user(1, 'US')).rule).toBe('table/["US"]');
  });

  it('falls through to the gates without `otherwise`', async () => {
    await rollout.setPercentage('pay', 100);
    await rollout.serveBySegment('pay', { segments: 'country', rows: [['CA', 'off']] });
    expect(rollout.decideSync('pay', user(1, 'DE')).detail).toBe('percentage');
    expect(rollout.isEnabledSync('pay', user(1, 'CA'))).toBe(false);
  });

  it('goes by several segments at once', async () => {
    await rollout.serveBySegment('pay', {
      segments: ['country', 'device'],
      rows: new Map([[['US', 'ios'], { variant: 'foo' }]]),
    });
    expect(rollout.decideSync('pay', user(1, 'US', 'ios')).variant).toBe('foo');
    expect(rollout.isEnabledSync('pay', user(1, 'US', 'android'))).toBe(false);
    expect(rollout.isEnabledSync('pay', user(1, 'US'))).toBe(false);
  });

  it('takes the place of the one before, and leaves the other rules where they are', async () => {
    const table = (country: string): SegmentTable => ({
      segments: 'country',
      rows: [[country, 'on']],
    });
    await rollout.serveBySegment('pay', table('US'));
    await rollout.update('pay', ({ rules }) => ({
      rules: [...rules, { id: 'last', when: { group: 'all' }, serve: 'off' }],
    }));
    const { rules } = await rollout.serveBySegment('pay', table('CA'));
    expect(rules.map(({ id }) => id)).toEqual(['tester', 'table/["CA"]', 'last']);
    const { rules: none } = await rollout.serveBySegment('pay', { segments: 'country', rows: [] });
    expect(none.map(({ id }) => id)).toEqual(['tester', 'last']);
  });

  it.each<[string, unknown]>([
    ['segments', { segments: [], rows: [] }],
    ['segments[0]', { segments: [''], rows: [] }],
    ['rows[0]', { segments: ['country', 'device'], rows: [['US', 'on']] }],
    [
      'rules[2].id',
      {
        segments: 'country',
        rows: [
          ['US', 'on'],
          ['US', 'off'],
        ],
      },
    ],
    ['rules[1].serve.variant', { segments: 'country', rows: [['US', { variant: 'baz' }]] }],
  ])('is refused for its %s', async (path, table) => {
    await expect(rollout.serveBySegment('pay', table as SegmentTable)).rejects.toMatchObject({
      ...{ code: 'INVALID_FEATURE', path },
    });
  });

  it('names no option that the segment does not have', async () => {
    rollout.defineSegment('country', (it: { country: string }) => it.country, {
      options: ['US', 'CA'],
    });
    const table: SegmentTable = { segments: 'country', rows: [['UK', 'on']] };
    await expect(rollout.serveBySegment('pay', table)).rejects.toMatchObject({
      ...{ code: 'INVALID_FEATURE', path: 'rules[1].when.all[0].in[0]' },
    });
    const not = { not: { any: [{ segment: 'country', in: ['US', 'UK'] }] } };
    await expect(
      rollout.addFeature('other', { rules: [{ id: 'r', when: not, serve: 'on' }] }),
    ).rejects.toMatchObject({ path: 'rules[0].when.not.any[0].in[1]' });
  });

  it('keeps ids that do not depend on the other rows', () => {
    const ids = (rows: SegmentTable['rows']) =>
      rulesWithTable([], { segments: 'country', rows }).map(({ id }) => id);
    expect(
      ids([
        ['US', 'on'],
        ['CA', 'on'],
      ])[1],
    ).toBe(ids([['CA', 'on']])[0]);
  });
});
