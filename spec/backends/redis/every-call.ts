import type { Backend, Change } from '../../../lib/backends/backend.js';
import { ReplicaBackend } from '../../../lib/backends/replica.js';
import type { Feature } from '../../../lib/domain/feature.js';
import { Rollout } from '../../../lib/rollout.js';

/** Makes every call of the API once, and expects what it does, on backends that `open` gives. */
export async function makeEveryCall(open: () => Backend): Promise<void> {
  const rollout = new Rollout(open());
  const other = new Rollout(new ReplicaBackend(open()));
  try {
    const heard = new Set<string>();
    const note = ({ name, kind }: { name: string; kind: string }) => heard.add(`${name} ${kind}`);
    rollout.on('change', note);
    expect(await rollout.ready()).toMatchObject({ state: 'ready' });
    expect(await other.ready()).toMatchObject({ state: 'ready' });
    expect(rollout.health().state).toBe('ready');

    const chat = await rollout.addFeature('chat', { percentage: 10, variants: ['a', 'b'] });
    expect(await rollout.register('chat', ['ann', 42, { id: 'bob' }])).toBe(3);
    expect(await rollout.register('chat', /01$/)).toBe(1);
    expect(await rollout.register('chat', 'zoe', { requestId: 'once' })).toBe(1);
    expect(await rollout.register('chat', 'zoe', { requestId: 'once' })).toBe(1);
    expect(await rollout.unregister('chat', 42)).toBe(1);
    expect(await rollout.unregister('chat', 'nobody')).toBe(0);
    expect(await rollout.countMembers('chat')).toBe(3);
    const members = new Set<string>();
    for await (const id of rollout.members('chat')) members.add(id);
    expect(members).toEqual(new Set(['ann', 'bob', 'zoe']));

    rollout.defineGroup('staff', (user: { isStaff?: boolean }) => user.isStaff === true);
    await rollout.activateGroup('chat', 'staff');
    await rollout.exclude('chat', ['eve', 'bob']);
    await rollout.unexclude('chat', 'eve');
    const answers = ['ann', 'bob', { id: 'sid', isStaff: true }, 'x01'].map((subject) =>
      rollout.isEnabled('chat', subject),
    );
    expect(await Promise.all(answers)).toEqual([true, false, true, true]);
    await rollout.deactivateGroup('chat', 'staff');
    expect(await rollout.variant('chat', 'ann')).toMatch(/^[ab]$/);
    expect(await rollout.value('chat', 'none', 'bob')).toBe('none');
    expect(await rollout.decide('chat', 'bob')).toMatchObject({
      enabled: false,
      reason: 'TARGETING_MATCH',
    });

    await rollout.addFeature('bare');
    for (const [change, expected] of [
      [() => rollout.activate('bare'), { enabled: true, percentage: 100 }],
      [() => rollout.disable('bare'), { enabled: false, percentage: 100 }],
      [() => rollout.enable('bare'), { enabled: true }],
      [() => rollout.toggle('bare'), { enabled: false }],
      [() => rollout.setPercentage('bare', 12.5), { percentage: 12.5 }],
      [
        () => rollout.update('bare', { enabled: true, data: { owner: 'us' } }),
        { percentage: 12.5 },
      ],
      [() => rollout.deactivate('bare'), { percentage: 0 }],
    ] as const) {
      expect(await change()).toMatchObject(expected);
    }
    expect((await rollout.get('bare'))?.data).toEqual({ owner: 'us' });
    const names = (await rollout.features()).map(({ name }) => name);
    expect(new Set(names)).toEqual(new Set(['bare', 'chat']));
    await expect(rollout.update('chat', { percentage: 1 }, { expect: chat })).rejects.toMatchObject(
      { code: 'CONFLICT' },
    );
    await expect(rollout.addFeature('chat')).rejects.toMatchObject({ code: 'FEATURE_EXISTS' });

    expect(await rollout.addToGroup('friends', ['ann', 'bob', 'kim'])).toBe(3);
    expect(await rollout.removeFromGroup('friends', 'bob')).toBe(1);
    expect(await rollout.countGroup('friends')).toBe(2);
    const friends = new Set<string>();
    for await (const id of rollout.groupMembers('friends')) friends.add(id);
    expect(friends).toEqual(new Set(['ann', 'kim']));
    await rollout.overrideGroup('chat', 'friends', 'b');
    expect(await rollout.variant('chat', 'kim')).toBe('b');
    await rollout.clearOverride('chat', 'friends');
    await rollout.removeGroup('friends');
    expect(await rollout.groups()).toEqual([]);
    expect(await rollout.population.increaseBuckets(2)).toBe(2);
    expect(
      await rollout.population.register(
        new Map([
          ['ann', 3],
          ['bob', 2],
          ['kim', 1],
        ]),
      ),
    ).toBe(3);
    expect(await rollout.population.unregister('kim')).toBe(1);
    expect(await rollout.population.count()).toBe(2);
    expect(await rollout.population.buckets()).toEqual([
      { name: '0', weight: 3 },
      { name: '1', weight: 2 },
    ]);
    await rollout.addFeature('heavy', { bucketing: 'population', percentage: 60 });
    expect(await rollout.isEnabled('heavy', 'ann')).toBe(true);
    expect(await rollout.isEnabled('heavy', 'bob')).toBe(false);
    expect(await rollout.population.bucketOf('bob')).toBe('1');
    for await (const { id, weight } of rollout.population.subjects()) {
      expect(weight).toBe(id === 'ann' ? 3 : 2);
    }
    await rollout.remove('heavy');

    const flags = await rollout.snapshot('ann');
    expect(flags.isEnabled('chat')).toBe(true);
    expect(flags.isEnabled('bare')).toBe(false);
    await rollout.runAs('ann', async () => {
      expect(rollout.currentSubject()).toBe('ann');
      expect(await rollout.isEnabled('chat')).toBe(true);
    });
    const greet = rollout.check('chat', 1)(async (id: string) => `hello ${id}`);
    expect(await greet('ann')).toBe('hello ann');
    await expect(greet('bob')).rejects.toMatchObject({ code: 'FEATURE_DISABLED' });
    await expect(rollout.enabled('bare')(async () => {})()).rejects.toMatchObject({
      code: 'FEATURE_DISABLED',
    });

    const [last] = (await rollout.history('bare')) as [Change];
    expect((last.after as Feature).percentage).toBe(0);

    // A replica of another connection sees all of it, and answers without I/O what was asked before.
    const sees = () => other.decideSync('bare', 'ann').reason !== 'ERROR';
    while (!sees()) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(await other.isEnabled('chat', 'ann')).toBe(true);
    // What it was told of an older copy, it asks again.
    while (!other.isEnabledSync('chat', 'ann')) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(await other.isEnabled('chat', 'ann')).toBe(true);
    }
    await other.remove('bare');
    expect(await rollout.get('bare')).toBeUndefined();
    // The subscription may have come too late for what was before.
    for (let n = 0; !heard.has('chat updated'); n++) {
      await rollout.setPercentage('chat', n % 100);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    rollout.off('change', note);
  } finally {
    await rollout.close();
    await other.close();
  }
  expect(rollout.health().state).toBe('closed');
}
