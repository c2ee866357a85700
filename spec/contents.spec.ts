import { setImmediate as nextTurn } from 'node:timers/promises';
import { MemoryBackend } from '../lib/backends/memory.js';
import { Rollout } from '../lib/rollout.js';
import { BACKENDS, useEveryBackend } from './every-backend.js';

const every = useEveryBackend();

describe.each(BACKENDS)('on a %s', (kind) => {
  const filled = async () => {
    const { rollout } = every.open(kind);
    await rollout.ready();
    await rollout.addFeature('chat', { percentage: 20, variants: ['a', 'b'] });
    await rollout.register('chat', ['zoe', 'ann', 7]);
    await rollout.addToGroup('friends', ['bob']);
    await rollout.population.increaseBuckets(3);
    await rollout.population.register(['ann', 'bob', 'eve']);
    return rollout;
  };

  it('tells all there is as one text, from which another one answers the same', async () => {
    const rollout = await filled();
    const copy = new Rollout(new MemoryBackend({ contents: await rollout.contents() }));
    expect(await copy.features()).toEqual(await rollout.features());
    expect(await copy.isEnabled('chat', 'zoe')).toBe(true);
    expect(await copy.groups()).toEqual([{ name: 'friends' }]);
    expect(await copy.countGroup('friends')).toBe(1);
    expect(await copy.population.bucketOf('eve')).toBe(await rollout.population.bucketOf('eve'));
  });

  it('tells the same text as long as nothing changes, and another one after', async () => {
    const rollout = await filled();
    const text = await rollout.contents();
    expect(await rollout.contents()).toBe(text);
    await rollout.unregister('chat', 'ann');
    const members = await rollout.contents();
    expect(members).not.toBe(text);
    await rollout.setPercentage('chat', 21);
    expect(await rollout.contents()).not.toBe(members);
  });

  it('can be handed on without a way to write', async () => {
    const rollout = await filled();
    const reader = rollout.readOnly();
    expect(await reader.isEnabled('chat', 'zoe')).toBe(true);
    expect((await reader.features()).map(({ name }) => name)).toEqual(['chat']);
    const before = await rollout.contents();
    const writes: (() => Promise<unknown>)[] = [
      () => reader.addFeature('more'),
      () => reader.setPercentage('chat', 100),
      () => reader.register('chat', 'eve'),
      () => reader.register('chat', ['eve', 'dan']),
      () => reader.remove('chat'),
      () => reader.deactivate('chat'),
      () => reader.undo('chat'),
      () => reader.rollback('chat', 1),
      () => reader.addToGroup('friends', 'eve'),
      () => reader.removeGroup('friends'),
      () => reader.population.register('dan'),
      () => reader.population.unregister('ann'),
      () => reader.population.increaseBuckets(1),
      () => reader.copyFrom(new MemoryBackend()),
      () =>
        reader
          .as('eve')
          .enable('chat')
          .then(() => reader.as('eve').disable('chat')),
    ];
    for (const write of writes) await expect(write()).rejects.toMatchObject({ code: 'READ_ONLY' });
    expect(await rollout.contents()).toBe(before);
    // What nobody can use up is not kept either, and the use goes on.
    expect((await reader.use('chat', 'zoe')).enabled).toBe(true);
  });

  it('takes what another source has', async () => {
    const rollout = await filled();
    const { rollout: other } = every.open(kind);
    const from = new MemoryBackend({ contents: await rollout.contents() });
    expect((await other.copyFrom(from)).copied).toEqual([
      'Group "friends"',
      'Population "all"',
      'chat',
    ]);
    expect(await other.isEnabled('chat', 'zoe')).toBe(true);
  });
});

describe('of a store that does not hold still', () => {
  /** Gives members in another order each time, one of them twice, and lets another one in underway. */
  class Moving extends MemoryBackend {
    private turns = 0;
    underway: (() => Promise<unknown>)[] = [];

    override async *members(name: string) {
      const ids: string[] = [];
      for await (const some of super.members(name)) ids.push(...some);
      if (this.turns++ % 2 === 0) ids.reverse();
      yield [...ids, ...ids.slice(0, 1)];
      await this.underway.shift()?.();
    }
  }

  it('is the same text in whatever order the members come, and each once', async () => {
    const rollout = new Rollout(new Moving());
    await rollout.addFeature('chat');
    await rollout.register('chat', ['zoe', 'ann']);
    const text = await rollout.contents();
    expect(JSON.parse(text).members.chat).toEqual(['ann', 'zoe']);
    expect(await rollout.contents()).toBe(text);
  });

  it('is of one moment, unless it changes at each reading', async () => {
    const backend = new Moving();
    const rollout = new Rollout(backend);
    await rollout.addFeature('chat');
    await rollout.register('chat', 'ann');
    const register = (id: string) => () => rollout.register('chat', id);
    const told = async () => JSON.parse(await rollout.contents()).members.chat;
    backend.underway = ['bob', 'cat'].map(register);
    expect(await told()).toEqual(['ann', 'bob', 'cat']);
    backend.underway = ['dan', 'eve', 'flo'].map(register);
    expect(await told()).toEqual(['ann', 'bob', 'cat', 'dan', 'eve']);
  });
});

describe('of many features', () => {
  /** Counts of how many features the assignments are read at once. */
  class Counting extends MemoryBackend {
    private reading = 0;
    most = 0;

    override async *assignments(name: string) {
      this.most = Math.max(this.most, ++this.reading);
      await nextTurn();
      yield* super.assignments(name);
      this.reading--;
    }
  }

  it('asks for what is kept beside a hundred at once, and tells them in order', async () => {
    const backend = new Counting();
    const rollout = new Rollout(backend);
    const names = Array.from({ length: 250 }, (_, n) => `f${n}`);
    for (const name of names) {
      await rollout.addFeature(name);
      await rollout.register(name, `user-of-${name}`);
    }
    const { features, members } = JSON.parse(await rollout.contents());
    expect(backend.most).toBe(100);
    expect(Object.keys(features)).toEqual([...names].sort());
    for (const name of names) expect(members[name]).toEqual([`user-of-${name}`]);
  });
});
