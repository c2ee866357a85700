import { Rollout } from '../../lib/index.js';

interface User {
  id: number;
  caretaker?: boolean;
}

const users: User[] = Array.from({ length: 61 }, (_, id) => ({ id }));

// What the gem answers is from 2.6.2 on Ruby 3.1.
describe('the README of the rollout gem', () => {
  let rollout: Rollout;
  beforeEach(async () => {
    rollout = new Rollout();
    await rollout.addFeature('chat', { bucketing: 'rollout-gem' });
  });
  afterEach(() => rollout.close());

  const letIn = () => users.filter((user) => rollout.isEnabledSync('chat', user));

  it('keeps data of a feature, and adds to it', async () => {
    await rollout.update('chat', { data: { description: 'foo', release_date: 'bar' } });
    const added = await rollout.update('chat', ({ data }) => ({
      data: { ...data, whatever: 'baz' },
    }));
    expect(added.data).toEqual({ description: 'foo', release_date: 'bar', whatever: 'baz' });
  });

  it('is active for a user, and for all', async () => {
    expect(await rollout.isEnabled('chat', { id: 1 })).toBe(false);
    await rollout.register('chat', { id: 1 });
    expect(await rollout.isEnabled('chat', { id: 1 })).toBe(true);
    expect(await rollout.isEnabled('chat')).toBe(false);
  });

  it('has the group all, and groups that the app defines', async () => {
    await rollout.activateGroup('chat', 'all');
    expect(letIn()).toHaveLength(users.length);
    await rollout.deactivateGroup('chat', 'all');
    expect(letIn()).toEqual([]);
    rollout.defineGroup('caretakers', (user: User) => user.caretaker);
    await rollout.activateGroup('chat', 'caretakers');
    expect(await rollout.isEnabled('chat', { id: 1, caretaker: true })).toBe(true);
    expect(await rollout.isEnabled('chat', { id: 1 })).toBe(false);
    // The gem is active without a user at 100% alone, and so is this.
    expect(await rollout.isEnabled('chat')).toBe(false);
  });

  it('lets specific users in, and out', async () => {
    await rollout.register('chat', { id: 3 });
    expect((await rollout.decide('chat', 3)).detail).toBe('member');
    await rollout.unregister('chat', 3);
    expect(await rollout.isEnabled('chat', { id: 3 })).toBe(false);
  });

  it('lets in the users of the gem at 20%, not those that its README names, and keeps them', async () => {
    await rollout.setPercentage('chat', 20);
    const atTwenty = letIn().map(({ id }) => id);
    expect(atTwenty).toEqual([2, 6, 23, 27, 33, 37, 42, 52, 56]);
    await rollout.setPercentage('chat', 60);
    expect(letIn().map(({ id }) => id)).toEqual(expect.arrayContaining(atTwenty));
    await rollout.setPercentage('chat', 0);
    expect(letIn()).toEqual([]);
  });

  it.each([
    ['rollout-gem-randomized', 0],
    // Chance says a quarter of a quarter of 10,000: 625, within five standard deviations.
    ['independent', 625],
  ] as const)(
    'has two features at 25%% share by %s so many of 10,000 users: %i',
    async (bucketing, shared) => {
      await rollout.update('chat', { bucketing, percentage: 25 });
      await rollout.addFeature('feed', { bucketing, percentage: 25 });
      let both = 0;
      for (let id = 0; id < 10_000; id++) {
        if (rollout.isEnabledSync('chat', id) && rollout.isEnabledSync('feed', id)) both++;
      }
      expect(Math.abs(both - shared)).toBeLessThanOrEqual(shared === 0 ? 0 : 121);
    },
  );

  it('is set globally, and turned off for everybody', async () => {
    await rollout.register('chat', 3);
    await rollout.activate('chat');
    expect(await rollout.isEnabled('chat')).toBe(true);
    const active = await rollout.update('chat', { data: { owner: 'ann' } });
    const off = await rollout.deactivate('chat');
    expect(letIn()).toEqual([]);
    expect(off).toMatchObject({ percentage: 0, groups: [], patterns: [] });
    // The gem clears the data with the rest.
    expect(off.data).toEqual({ owner: 'ann' });
    // What is cleared there for good comes back here.
    await rollout.rollback('chat', { id: active.id, revision: active.revision });
    expect(await rollout.countMembers('chat')).toBe(1);
    await rollout.setPercentage('chat', 0);
    expect(await rollout.isEnabled('chat', 3)).toBe(true);
  });

  it('says what is active for a user, of all features at once', async () => {
    await rollout.addFeature('feed', { percentage: 100 });
    const states = JSON.parse(JSON.stringify(await rollout.snapshot({ id: 1 })));
    expect(states).toMatchObject({ chat: { enabled: false }, feed: { enabled: true } });
  });

  it('shows a feature, and deletes it', async () => {
    await rollout.update('chat', { percentage: 0.05, groups: ['caretakers'] });
    expect(await rollout.get('chat')).toMatchObject({ percentage: 0.05, groups: ['caretakers'] });
    await rollout.remove('chat');
    expect(await rollout.get('chat')).toBeUndefined();
    expect(await rollout.features()).toEqual([]);
  });
});
