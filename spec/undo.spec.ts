import type { Feature, Rollout } from '../lib/index.js';
import { BACKENDS, useEveryBackend } from './every-backend.js';

const every = useEveryBackend();
const FRIENDS = { of: 'group', name: 'friends' } as const;
const TEST = { of: 'experiment', name: 'test' } as const;
const POPULATION = { of: 'population', name: 'all' } as const;

const WINDOW = { from: '2020-01-01T00:00:00Z', until: '2100-01-01T00:00:00Z' };
const arms = (paging: string) => [{ name: 'all', proportion: 1, features: { paging } }];

// What features refer to is undone as they are.
describe.each(BACKENDS)('undo on a %s', (kind) => {
  let rollout: Rollout;
  beforeEach(async () => {
    ({ rollout } = every.open(kind));
    await rollout.ready();
    await rollout.addFeature('paging', { variants: ['short', 'long'] });
  });

  const friends = async () => {
    const ids: string[] = [];
    for await (const id of rollout.groupMembers('friends')) ids.push(id);
    return ids.sort((one, other) => (one < other ? -1 : 1));
  };

  it('takes back who was listed in a group, and brings a group back', async () => {
    await rollout.addToGroup('friends', ['ann', 'bob']);
    await rollout.as('alice').addToGroup('friends', ['cid', 'bob']);
    const [last] = await rollout.history(FRIENDS);
    expect(last).toMatchObject({ actor: 'alice', added: ['cid'], kind: 'members' });
    await rollout.undo(FRIENDS);
    expect(await friends()).toEqual(['ann', 'bob']);
    await rollout.removeGroup('friends');
    await rollout.activateGroup('paging', 'friends');
    expect(await rollout.isEnabled('paging', 'ann')).toBe(false);
    await rollout.restore(FRIENDS);
    expect(await friends()).toEqual(['ann', 'bob']);
    expect(await rollout.isEnabled('paging', 'ann')).toBe(true);
  });

  it('takes no group back that a feature has an override for', async () => {
    await rollout.setPercentage('paging', 100);
    await rollout.overrideGroup('paging', 'friends', 'off');
    await expect(rollout.undo(FRIENDS)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    // Of a group that is nowhere, nobody is known not to be in it.
    expect(await rollout.isEnabled('paging', 'ann')).toBe(true);
    await rollout.clearOverride('paging', 'friends');
    await rollout.undo(FRIENDS);
    expect(await rollout.groups()).toEqual([]);
  });

  it('removes no group that a rule names, which could tell of nobody then', async () => {
    await rollout.addToGroup('friends', 'ann');
    await rollout.update('paging', {
      percentage: 100,
      rules: [{ id: 'not yet', when: { not: { not: { group: 'friends' } } }, serve: 'off' }],
    });
    await expect(rollout.removeGroup('friends')).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      feature: 'paging',
    });
    expect(await rollout.isEnabled('paging', 'bob')).toBe(true);
    await rollout.update('paging', { rules: [] });
    await rollout.removeGroup('friends');
    expect(await rollout.groups()).toEqual([]);
  });

  it('brings an experiment back, with its counts, and to its features', async () => {
    await rollout.addExperiment('test', { ...WINDOW, arms: arms('long') });
    const { revision } = (await rollout.experiment('test')) as { revision: number };
    await rollout.use('paging', 'ann');
    await rollout.updateExperiment('test', { arms: arms('short') });
    expect(await rollout.variant('paging', 'ann')).toBe('short');
    expect(await rollout.diff(TEST, revision)).toMatchObject([
      { path: 'variants["all"].value.paging', before: 'long', after: 'short' },
    ]);
    await rollout.rollback(TEST, revision);
    expect(await rollout.variant('paging', 'ann')).toBe('long');
    await rollout.removeExperiment('test');
    expect(await rollout.isEnabled('paging', 'ann')).toBe(false);
    await rollout.restore(TEST, { actor: 'alice' });
    const [attached] = await rollout.history('paging', { limit: 1 });
    expect(attached).toMatchObject({ kind: 'updated', actor: 'alice' });
    expect(await rollout.variant('paging', 'ann')).toBe('long');
    expect(await rollout.experiment('test')).toMatchObject({ arms: [{ uses: 1 }], missing: [] });
  });

  it('brings no experiment back over another one', async () => {
    await rollout.addExperiment('test', { ...WINDOW, arms: arms('long') });
    await rollout.removeExperiment('test');
    await rollout.addExperiment('other', { ...WINDOW, arms: arms('short') });
    await expect(rollout.restore(TEST)).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
      path: 'arms[0].features.paging',
    });
    expect(await rollout.experiment('test')).toBeUndefined();
    expect(await rollout.variant('paging', 'ann')).toBe('short');
  });

  it('leaves it to experiments which features they are about', async () => {
    await rollout.setPercentage('paging', 10);
    await rollout.addExperiment('later', {
      ...{ from: '2110-01-01T00:00:00Z', until: '2120-01-01T00:00:00Z' },
      arms: arms('long'),
    });
    await rollout.setPercentage('paging', 20);
    const { revision } = (await rollout.get('paging')) as { revision: number };
    await rollout.addExperiment('test', { ...WINDOW, arms: arms('long') });
    // The last change of the feature is none of its own.
    await expect(rollout.undo('paging')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    const old = (await rollout.history('paging')).at(-2)?.after as Feature;
    const told = await rollout.preview('paging', old, ['ann', 'bob']);
    await rollout.rollback('paging', 2);
    expect(told).toMatchObject({ loses: 0, stays: 2 });
    expect(await rollout.get('paging')).toMatchObject({ percentage: 10 });
    expect(await rollout.experiment('test')).toMatchObject({ missing: [] });
    await expect(
      rollout.addExperiment('other', { ...WINDOW, arms: arms('short') }),
    ).rejects.toMatchObject({ code: 'INVALID_FEATURE' });
    await rollout.undo('paging');
    expect(await rollout.get('paging')).toMatchObject({ percentage: 20 });
    // With what was before one, and is undone after another.
    await rollout.rollback('paging', revision, { members: 'none' });
    const [back] = await rollout.history('paging', { limit: 1 });
    await rollout.removeExperiment('test');
    await rollout.addExperiment('other', { ...WINDOW, arms: arms('short') });
    await rollout.undo('paging', back?.id);
    expect(await rollout.get('paging')).toMatchObject({ experiments: ['later', 'other'] });
    expect(await rollout.variant('paging', 'ann')).toBe('short');
  });

  it('takes buckets back while nobody is in them', async () => {
    await rollout.population.increaseBuckets(2);
    await rollout.population.increaseBuckets(2);
    await rollout.population.register(['ann', 'bob']);
    await rollout.undo(POPULATION);
    expect(await rollout.population.buckets()).toEqual([
      { name: '0', weight: 1 },
      { name: '1', weight: 1 },
    ]);
    await rollout.population.increaseBuckets(1);
    await rollout.population.register('cid');
    await expect(rollout.undo(POPULATION)).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
      path: 'variants',
    });
    expect(await rollout.population.bucketOf('cid')).toBe('2');
  });

  it('does not say that it has brought back who was unregistered', async () => {
    await rollout.population.increaseBuckets(2);
    await rollout.population.register(['ann', 'bob']);
    await rollout.population.unregister('ann');
    const length = (await rollout.history(POPULATION)).length;
    await expect(rollout.undo(POPULATION)).rejects.toMatchObject({ code: 'NOT_KEPT' });
    expect(await rollout.history(POPULATION)).toHaveLength(length);
  });

  it('takes no percentage back whose buckets were chosen anew', async () => {
    const subjects = (prefix: string) => Array.from({ length: 100 }, (_, n) => `${prefix}-${n}`);
    await rollout.population.increaseBuckets(10);
    await rollout.population.register(subjects('user'));
    await rollout.update('paging', { bucketing: 'population', percentage: 10 });
    await rollout.setPercentage('paging', 20);
    const [raised] = await rollout.history('paging', { limit: 1 });
    await rollout.population.increaseBuckets(10);
    await rollout.population.register(subjects('other'));
    const chosen = await rollout.setPercentage('paging', 20);
    expect(chosen.buckets).toHaveLength(4);
    // What is left of these without the ones of then would be 15%.
    await expect(rollout.undo('paging', raised?.id)).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('buckets'),
    });
    expect(await rollout.get('paging')).toEqual(chosen);
    await rollout.undo('paging');
    expect(await rollout.undo('paging', raised?.id)).toMatchObject({ percentage: 10 });
  });

  it('previews a percentage over the population itself', async () => {
    await rollout.population.increaseBuckets(10);
    await rollout.population.register(Array.from({ length: 100 }, (_, n) => `user-${n}`));
    await rollout.update('paging', { bucketing: 'population', percentage: 20, variants: [] });
    const preview = (percentage: number) =>
      rollout.preview('paging', { percentage }, rollout.population.subjects());
    expect(await preview(50)).toMatchObject({ gains: 30, loses: 0, stays: 70 });
    expect(await preview(10)).toMatchObject({ gains: 0, loses: 10 });
    const { ids } = await preview(50);
    await rollout.setPercentage('paging', 50);
    for (const id of ids.gains) expect(await rollout.isEnabled('paging', id)).toBe(true);
    expect(await preview(50)).toMatchObject({ gains: 0, loses: 0, changes: 0 });
  });

  it('previews a percentage over a population that goes by another attribute', async () => {
    const accounts = Array.from({ length: 100 }, (_, n) => `account-${n}`);
    await rollout.population.increaseBuckets(10, { subjectKey: 'account' });
    await rollout.population.register(accounts.map((account) => ({ account })));
    await rollout.update('paging', { bucketing: 'population', subjectKey: 'account' });
    const told = await rollout.preview('paging', { percentage: 30 }, rollout.population.subjects());
    expect(told).toMatchObject({ gains: 30, stays: 70 });
    await rollout.setPercentage('paging', 30);
    for (const account of told.ids.gains) {
      expect(await rollout.isEnabled('paging', { id: 1, account })).toBe(true);
    }
  });

  it('previews what a sticky rule would do to those who have used something', async () => {
    const serving = (a: number, b: number) => ({
      rules: [
        {
          id: 'r',
          when: { group: 'all' },
          serve: { split: [['short', a] as const, ['long', b] as const] },
          sticky: true,
        },
      ],
    });
    await rollout.update('paging', serving(1, 0));
    await rollout.use('paging', 'ann');
    expect(await rollout.preview('paging', serving(0, 1), ['ann', 'bob', 'cid'])).toMatchObject({
      changes: 2,
      stays: 1,
      ids: { changes: ['bob', 'cid'] },
    });
  });
});
