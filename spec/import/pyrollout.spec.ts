import { importInto, readPyrollout } from '../../lib/import/index.js';
import { Rollout } from '../../lib/index.js';
import fixture from '../fixtures/pyrollout.json' with { type: 'json' };

const RAISED = '!';

let rollout: Rollout;
beforeEach(() => {
  rollout = new Rollout();
});
afterEach(() => rollout.close());

describe('features of pyrollout', () => {
  const imported = readPyrollout(fixture.cases.map(({ feature }) => feature));

  it('are read whole', () => {
    expect(imported.problems).toEqual([]);
    expect(imported.features).toHaveLength(fixture.cases.length);
    expect(fixture.cases.length).toBeGreaterThan(30);
  });

  it.each(fixture.cases.map(({ feature, can }) => [feature.name, can] as const))(
    'let the same users in to %s',
    async (name, can) => {
      await importInto(rollout, imported);
      expect(can).toHaveLength(fixture.users.length);
      let said = '';
      for (const [at, user] of fixture.users.entries()) {
        const isOn = rollout.isEnabledSync(name, user);
        // Where pyrollout raises, there is nobody to keep.
        if (can[at] === RAISED) expect(isOn).toBe(PERCENTAGES_OF_100.has(name));
        said += can[at] === RAISED ? RAISED : Number(isOn);
      }
      // '123' is the 123 of its list here, and was not there.
      expect(said).toBe(name === 'feature_for_users' ? with123AsText(can) : can);
    },
  );

  it('choose by the percentage as soon as it is changed', async () => {
    await importInto(rollout, imported);
    await rollout.setPercentage('20pct', 21);
    expect(rollout.isEnabledSync('20pct', 120)).toBe(true);
    expect(rollout.isEnabledSync('20pct', 121)).toBe(false);
  });

  it('count the last of one name, as there', () => {
    const { features } = readPyrollout([
      { name: 'chat', percentage: 5 },
      { name: 'chat', percentage: 7 },
    ]);
    expect(features).toMatchObject([{ name: 'chat', settings: { percentage: 7 } }]);
  });

  it.each([
    [12.5, 13],
    [100 / 3, 34],
    [150, 100],
    [-5, 0],
  ])('say what a percentage of %d lets in', (percentage, stored) => {
    const { features } = readPyrollout([{ name: 'chat', percentage, users: null }]);
    expect(features).toMatchObject([{ settings: { percentage: stored }, members: [] }]);
  });

  it.each([
    [{ name: 'chat', groups: ['ALL', 'NONE'] }, 'both ALL and NONE'],
    [{ name: 'chat', groups: ['vip', 'all'] }, 'called all or none'],
    [{ name: 'chat', groups: 'vip' }, 'its groups are not a list'],
    [{ name: 'chat', groups: [7] }, 'groups[0]'],
    [{ name: 'chat', users: [{ id: 1 }] }, 'its users are not a list of ids'],
    [{ name: 'chat', users: 'ann' }, 'its users are not a list of ids'],
    [{ name: 'chat', percentage: '20' }, 'its percentage is not a number'],
    [{ name: 'chat', percentage: Number.NaN }, 'percentage'],
    [{ name: '' }, 'name'],
    [{ percentage: 20 }, 'it has no name'],
    [null, 'it has no name'],
  ])('are a problem, not a guess, where one is %j', (feature, why) => {
    const { features, problems } = readPyrollout([feature as never]);
    expect(features).toEqual([]);
    expect(problems).toMatchObject([{ code: 'INVALID_RECORD' }]);
    expect(problems[0]?.message).toContain(why);
  });

  it.each([null, 'chat', 7, { name: 'chat' }])('are not %j', (features) => {
    expect(() => readPyrollout(features as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

/** Those that are on for everyone, whatever the id. */
const PERCENTAGES_OF_100 = new Set(['pct_100', 'sso']);

function with123AsText(can: string): string {
  const at = fixture.users.findIndex(({ id }) => id === '123');
  expect(can[at]).toBe('0');
  return `${can.slice(0, at)}1${can.slice(at + 1)}`;
}
