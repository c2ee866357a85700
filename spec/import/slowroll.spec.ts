import { importInto, readSlowroll } from '../../lib/import/index.js';
import { Rollout } from '../../lib/index.js';
import fixture from '../fixtures/slowroll.json' with { type: 'json' };

let now = 0;
let rollout: Rollout;
beforeEach(() => {
  rollout = new Rollout(undefined, { now: () => now });
});
afterEach(() => rollout.close());

describe('a config of slowroll', () => {
  it('gives each host what it gave, at each instant', async () => {
    const imported = readSlowroll(fixture.config);
    expect(imported.problems).toEqual([]);
    await importInto(rollout, imported);
    expect(fixture.cases.length).toBeGreaterThan(60);
    for (const { section, key, now: instant, new: hosts } of fixture.cases) {
      now = Date.parse(instant);
      const name = `${section}.${key}`;
      const given = fixture.hosts.filter((host) => rollout.isEnabledSync(name, host));
      expect([name, instant, new Set(given)]).toEqual([name, instant, new Set(hosts)]);
    }
  });

  it('keeps its values, of any JSON', async () => {
    await importInto(rollout, readSlowroll(fixture.config));
    const item = fixture.config.features.item_5;
    now = 0;
    expect(await rollout.value('features.item_5', 'none', 'nobody')).toEqual(item.stable);
    expect(await rollout.value('features.item_5', 'none', 'canary-host')).toEqual(item.new);
    now = Number.MAX_SAFE_INTEGER;
    expect(await rollout.value('features.item_5', 'none', 'nobody')).toEqual(item.new);
  });

  it('has one value for everyone where it has no new one', async () => {
    const item = { stable: '1.0', early_adopters: ['canary-host'], duration: 'soon' };
    await importInto(rollout, readSlowroll({ s: { k: item } }));
    now = Number.MAX_SAFE_INTEGER;
    expect(await rollout.value('s.k', 'none', 'nobody')).toBe('1.0');
    expect(await rollout.value('s.k', 'none', 'canary-host')).toBe('1.0');
  });

  it.each(['36h', '36 h', ' 1d  12h ', '12h\t1 d', '1.5 d'])('reads %j as it did', (duration) => {
    const item = { new: 1, stable: 0, end_time: '2026-01-02 12:00Z', duration };
    const { features, problems } = readSlowroll({ s: { k: item } });
    expect(problems).toEqual([]);
    const points = [{ at: '2026-01-01T00:00:00.000Z' }, { at: '2026-01-02T12:00:00.000Z' }];
    expect(features).toMatchObject([{ settings: { percentage: { points } } }]);
  });

  it('says to the ms when a host switches', async () => {
    await importInto(rollout, readSlowroll(fixture.config));
    for (const host of fixture.hosts.slice(0, 100)) {
      const when = (await rollout.whenFor('cli.item_4', host)) as Date;
      now = when.getTime();
      expect(rollout.decideSync('cli.item_4', host).detail).not.toBe('no gate');
      now--;
      expect(['no gate', 'member']).toContain(rollout.decideSync('cli.item_4', host).detail);
    }
  });

  it.each([
    [{ new: 1 }, 'stable'],
    [{ new: 1, stable: 0, end_time: '2026-01-01', duration: '1d' }, 'end_time'],
    [{ new: 1, stable: 0, end_time: '2026-01-01 00:00Z', duration: '1 4d' }, 'duration'],
    [{ new: 1, stable: 0, end_time: '2026-01-01 00:00Z', duration: 'soon' }, 'duration'],
    [
      { new: 1, stable: 0, end_time: '2026-01-01 00:00Z', duration: '1d', start_pct: -1 },
      'start_pct',
    ],
    [
      { new: 1, stable: 0, end_time: '2026-01-01 00:00Z', duration: '1d', early_adopters: 'a' },
      'early_adopters',
    ],
    [null, 'stable'],
  ])('is a problem, not a guess, where it is %j', (item, message) => {
    const { features, problems } = readSlowroll({ s: { k: item } });
    expect(features).toEqual([]);
    expect(problems).toMatchObject([{ code: 'INVALID_RECORD', feature: 's.k' }]);
    if (item !== null) expect(problems[0]?.message).toContain(message);
  });

  it.each([null, [], 'x', { a: [] }])('is not %j', (config) => {
    expect(() => readSlowroll(config as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});
