import { Rollout } from '../../lib/index.js';
import fixture from '../fixtures/pyrollout.json' with { type: 'json' };

let rollout: Rollout;
beforeEach(async () => {
  rollout = new Rollout();
  await rollout.addFeature('feature_for_all', { groups: ['ALL'] });
  await rollout.addFeature('feature_for_groups', { groups: ['vip', 'early_adopter'] });
  await rollout.addFeature('feature_for_users');
  await rollout.register('feature_for_users', [123, 456, 789]);
  await rollout.addFeature('20pct', { percentage: 20, bucketing: 'pyrollout' });
});
afterEach(() => rollout.close());

describe('the README of pyrollout', () => {
  it('is open to all by the special group ALL', async () => {
    expect(await rollout.isEnabled('feature_for_all', { id: 1 })).toBe(true);
    expect(await rollout.isEnabled('feature_for_all', 'anyone')).toBe(true);
  });

  it('is closed to all by the special group NONE, which beats the other groups', async () => {
    await rollout.addFeature('feature_for_none', { groups: ['NONE', 'vip'] });
    expect(await rollout.isEnabled('feature_for_none', { id: 1, groups: ['vip'] })).toBe(false);
    // But not the users and the percentage.
    await rollout.register('feature_for_none', 2);
    expect(await rollout.isEnabled('feature_for_none', { id: 2, groups: ['vip'] })).toBe(true);
  });

  it('is open to select groups, which the user says', async () => {
    expect(await rollout.isEnabled('feature_for_groups', { id: 1, groups: ['vip'] })).toBe(true);
    expect(await rollout.isEnabled('feature_for_groups', { id: 1, groups: ['staff'] })).toBe(false);
    expect(await rollout.isEnabled('feature_for_groups', { id: 1 })).toBe(false);
  });

  it('is open to specific users', async () => {
    const answers = [123, 456, 789, 124].map((id) =>
      rollout.isEnabledSync('feature_for_users', { id }),
    );
    expect(answers).toEqual([true, true, true, false]);
  });

  it('is open to 20% of the users, the same as there', () => {
    const recorded = fixture.cases.find(({ feature }) => feature.name === '20pct')?.can;
    const can = fixture.users.map((user) => Number(rollout.isEnabledSync('20pct', user))).join('');
    expect(can).toBe(recorded?.replaceAll('!', '0'));
    expect(can).toContain('1');
    // Of a hundred ids in a row exactly twenty.
    const row = Array.from({ length: 100 }, (_, n) => rollout.isEnabledSync('20pct', 1_000 + n));
    expect(row.filter(Boolean)).toHaveLength(20);
  });

  it.each(fixture.undefined)(
    'answers for what nobody has defined: $can, as undefined_feature_access says',
    async ({ undefined_feature_access: unknownFeature, can }) => {
      const asked = new Rollout(undefined, { unknownFeature });
      expect(await asked.isEnabled('use_untested_feature', { id: 1 })).toBe(can);
      await asked.close();
    },
  );

  it('guards a handler', async () => {
    const get = rollout.check('feature_for_users', 1, { otherwise: () => 403 })(
      async (user: { id: number }) => user.id,
    );
    expect(await get({ id: 456 })).toBe(456);
    expect(await get({ id: 457 })).toBe(403);
  });
});

describe('what pyrollout wished for', () => {
  it('is flagged by a property of the user, and by a function of it', async () => {
    await rollout.addFeature('by_property', {
      rules: [{ id: 'pro', when: { attribute: 'plan', op: 'equals', value: 'pro' }, serve: 'on' }],
    });
    rollout.defineGroup('caretakers', (user: { caretaker?: boolean }) => user.caretaker);
    await rollout.addFeature('by_function', { groups: ['caretakers'] });
    expect(await rollout.isEnabled('by_property', { id: 1, plan: 'pro' })).toBe(true);
    expect(await rollout.isEnabled('by_property', { id: 1, plan: 'free' })).toBe(false);
    expect(await rollout.isEnabled('by_function', { id: 1, caretaker: true })).toBe(true);
    expect(await rollout.isEnabled('by_function', { id: 1 })).toBe(false);
  });
});
