import { setTimeout } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { RedisBackend } from '../lib/backends/redis/index.js';
import { MemoryBackend, Rollout } from '../lib/index.js';
import { useRedis } from './redis-server.js';

const redis = useRedis();

let rollout: Rollout;
beforeEach(() => {
  rollout = new Rollout();
});
afterEach(() => rollout.close());

const actors = async (name: string, of = rollout) =>
  (await of.history(name)).map(({ actor }) => actor).reverse();

describe('a rollout as somebody', () => {
  it('names them in every kind of write', async () => {
    const alice = rollout.as('alice');
    await alice.addFeature('chat', { percentage: 1 });
    await alice.register('chat', 'ann');
    await alice.register('chat', ['bob', 'eve']);
    await alice.register('chat', /01$/);
    await alice.unregister('chat', 'ann');
    await alice.exclude('chat', 'mallory');
    await alice.setPercentage('chat', 5);
    await alice.deactivate('chat');
    await alice.rollback('chat', 1);
    await alice.undo('chat');
    await alice.remove('chat');
    await alice.restore('chat');
    expect(new Set(await actors('chat'))).toEqual(new Set(['alice']));
    expect(await actors('chat')).toHaveLength(12);
  });

  it('names nobody in the writes of the one that it is of, nor who a write names itself', async () => {
    const alice = rollout.as('alice');
    await rollout.addFeature('chat');
    await alice.setPercentage('chat', 1);
    await alice.setPercentage('chat', 2, { actor: 'bob' });
    await alice.as('carol').setPercentage('chat', 3);
    await alice.setPercentage('chat', 4);
    expect(await actors('chat')).toEqual([undefined, 'alice', 'bob', 'carol', 'alice']);
  });

  it('is the same rollout: definitions, events, pins, and its end', async () => {
    const alice = rollout.as('alice');
    const changes: string[] = [];
    rollout.on('change', ({ name }) => changes.push(name));
    alice.defineGroup('staff', () => true);
    await alice.addFeature('chat', { groups: ['staff'] });
    expect(changes).toEqual(['chat']);
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
    await rollout.runAs(
      'ann',
      async () => {
        await alice.disable('chat');
        expect(alice.isEnabledSync('chat')).toBe(true);
        expect(await alice.isEnabled('chat')).toBe(true);
        expect((await alice.snapshot()).isEnabled('chat')).toBe(true);
      },
      { pinned: true },
    );
    expect(alice.isEnabledSync('chat', 'ann')).toBe(false);
    expect(alice).toBeInstanceOf(Rollout);
    await alice.close();
    expect(rollout.health().state).toBe('closed');
    expect(rollout.decideSync('chat', 'ann').code).toBe('CLOSED');
    await expect(rollout.setPercentage('chat', 1)).rejects.toMatchObject({ code: 'CLOSED' });
    expect(rollout.close()).toBe(alice.close());
  });

  it('hears by one subscription, and one end', async () => {
    const client = new Redis(redis.server.port);
    const one = new Rollout(new RedisBackend(client));
    try {
      const heard: string[] = [];
      const alice = one.as('alice');
      const changed = new Promise<void>((resolve) => {
        alice.on('change', ({ kind }) => {
          heard.push(kind);
          resolve();
        });
      });
      one.on('change', ({ kind }) => heard.push(`${kind} too`));
      await one.addFeature('chat');
      await changed;
      await setTimeout(20);
      expect(new Set(heard)).toEqual(new Set(['created', 'created too']));
      expect(heard).toHaveLength(2);
    } finally {
      await one.close();
      client.disconnect();
    }
  });

  it('queues with the others of its process', async () => {
    await rollout.addFeature('chat');
    const all = Array.from({ length: 20 }, (_, n) => rollout.as(`actor-${n}`));
    await Promise.all(all.map((each, n) => each.exclude('chat', `user-${n}`)));
    const feature = await rollout.get('chat');
    expect(feature?.excluded).toHaveLength(20);
    expect(new Set(await actors('chat')).size).toBe(21);
  });

  it('is of the class that it is of', async () => {
    class Ours extends Rollout {
      readonly team = 'checkout';
      async launch(name: string) {
        return this.setPercentage(name, 100);
      }
    }
    const ours = new Ours(new MemoryBackend());
    await ours.addFeature('chat');
    const alice = ours.as('alice');
    expect(alice.team).toBe('checkout');
    await alice.launch('chat');
    expect(await actors('chat', ours)).toEqual([undefined, 'alice']);
    await ours.close();
  });
});

describe('the current actor', () => {
  it('is named in all that is started there, and no longer', async () => {
    await rollout.as('alice', async () => {
      await rollout.addFeature('chat');
      await setTimeout(1);
      await rollout.as('bob', () => rollout.setPercentage('chat', 1));
      await rollout.setPercentage('chat', 2);
    });
    await rollout.setPercentage('chat', 3);
    expect(await actors('chat')).toEqual(['alice', 'bob', 'alice', undefined]);
  });

  it('gives way to who is named nearer', async () => {
    await rollout.as('alice', async () => {
      await rollout.as('bob').addFeature('chat');
      await rollout.as('bob').setPercentage('chat', 1, { actor: 'carol' });
    });
    expect(await actors('chat')).toEqual(['bob', 'carol']);
  });

  it('is one for all rollouts, and for each request its own', async () => {
    const other = new Rollout();
    await rollout.addFeature('chat');
    await rollout.as('alice', () => other.addFeature('chat'));
    expect(await actors('chat', other)).toEqual(['alice']);
    await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        rollout.as(`actor-${n}`, async () => {
          await setTimeout(Math.random() * 5);
          await rollout.register('chat', `user-${n}`);
        }),
      ),
    );
    for (const { actor, added } of await rollout.history('chat', { kind: 'members' })) {
      expect(added).toEqual([actor?.replace('actor', 'user')]);
    }
    await other.close();
  });

  it('is not mixed up where registrations travel together', async () => {
    const client = new Redis(redis.server.port);
    const one = new Rollout(new RedisBackend(client));
    try {
      await one.addFeature('vip');
      await Promise.all(
        Array.from({ length: 30 }, (_, n) =>
          one.as(n % 2 === 0 ? 'even' : 'odd', () => one.register('vip', `${n}`)),
        ),
      );
      const history = await one.history('vip', { kind: 'members', limit: 100 });
      for (const { actor, added } of history) {
        for (const id of added) expect(actor).toBe(Number(id) % 2 === 0 ? 'even' : 'odd');
      }
      expect(await one.countMembers('vip')).toBe(30);
    } finally {
      await one.close();
      client.disconnect();
    }
  });

  it('gives back what the function returns', () => {
    expect(rollout.as('alice', () => 42)).toBe(42);
  });
});

it.each([[''], ['a\nb'], ['x'.repeat(201)], ['\u0000'], ['\ud800'], [7], [null], [undefined]])(
  'is not %j',
  async (actor) => {
    const invalid = expect.objectContaining({ code: 'INVALID_ARGUMENT' });
    expect(() => rollout.as(actor as string)).toThrow(invalid);
    expect(() => rollout.as(actor as string, () => 1)).toThrow(invalid);
    await rollout.addFeature('chat');
    if (actor === undefined) return;
    const options = { actor: actor as string };
    await expect(rollout.setPercentage('chat', 1, options)).rejects.toEqual(invalid);
    await expect(rollout.register('chat', 'ann', options)).rejects.toEqual(invalid);
    await expect(rollout.remove('chat', options)).rejects.toEqual(invalid);
    expect(await rollout.history('chat')).toHaveLength(1);
  },
);

it('has no reason that is no text', async () => {
  await rollout.addFeature('chat');
  for (const note of [7, 10n, null, {}]) {
    const options = { note: note as unknown as string };
    for (const asked of [
      () => rollout.setPercentage('chat', 1, options),
      () => rollout.register('chat', 'ann', options),
      () => rollout.register('chat', ['ann'], options),
      () => rollout.undo('chat', undefined, options),
      () => rollout.remove('chat', options),
    ]) {
      await expect(asked()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
  }
  expect(await rollout.history('chat')).toHaveLength(1);
});

it('is no function that is none', () => {
  expect(() => rollout.as('alice', 7 as never)).toThrow(
    expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
  );
});
