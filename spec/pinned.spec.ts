import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Redis } from 'ioredis';
import { RedisBackend, RedisSetBackend } from '../lib/backends/redis/index.js';
import { MemoryBackend, ReplicaBackend, Rollout } from '../lib/index.js';
import { useMonitoredRedis } from './redis-monitor.js';
import { freePort, RedisServer } from './redis-server.js';

const redis = useMonitoredRedis();

/** A guard's function, by what comes of it. */
const outcome = (call: () => Promise<unknown>) => call().catch((error) => error.code);

it('looks for no pin where there was none yet, or where none is left', async () => {
  const rollout = new Rollout();
  await rollout.addFeature('chat', { percentage: 100 });
  const getStore = jest.spyOn(AsyncLocalStorage.prototype, 'getStore');
  try {
    rollout.isEnabledSync('chat', 'ann');
    await rollout.isEnabled('chat', 'ann');
    await rollout.snapshot('ann');
    expect(getStore).toHaveBeenCalledTimes(0);
    await rollout.runAs('ann', () => rollout.isEnabled('chat'), { pinned: true });
    getStore.mockClear();
    rollout.isEnabledSync('chat', 'ann');
    expect(getStore).toHaveBeenCalledTimes(1);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    while (getStore.mock.calls.length > 0) {
      collect();
      await delay(5);
      getStore.mockClear();
      rollout.isEnabledSync('chat', 'ann');
    }
  } finally {
    getStore.mockRestore();
  }
});

const KINDS = ['memory', 'Redis', 'Redis sets', 'a replica', 'a replica of sets'] as const;

describe.each(KINDS)('given features on %s', (kind) => {
  const isLocal = kind === 'memory' || kind.startsWith('a replica');
  let rollout: Rollout;
  /** Another process, or the same where there is no other. */
  let other: Rollout;
  beforeEach(async () => {
    await redis.client.flushall();
    const memory = new MemoryBackend();
    const backend = () => {
      if (kind === 'memory') return memory;
      const stored = kind.endsWith('sets')
        ? new RedisSetBackend(redis.client)
        : new RedisBackend(redis.client);
      return isLocal ? new ReplicaBackend(stored, { pollMs: 60_000 }) : stored;
    };
    rollout = new Rollout(backend());
    // What a replica writes shows in it at once.
    other = isLocal ? rollout : new Rollout(backend());
    await rollout.ready();
    await other.addFeature('list');
    await other.register('list', 'ann');
    await other.addFeature('button', { percentage: 100, variants: ['red'], offValue: 'none' });
    await other.addFeature('account', { subjectKey: 'account' });
    await other.register('account', 'acme');
  });
  afterEach(async () => {
    await rollout.close();
    await other.close();
  });

  /** Everything that a check can be, of the current subject. */
  const askAll = async () => ({
    enabled: await rollout.isEnabled('list'),
    enabledSync: rollout.isEnabledSync('list'),
    variant: await rollout.variant('button'),
    value: await rollout.value('button', 'fallback'),
    detail: (await rollout.decide('list')).detail,
    detailSync: rollout.decideSync('list').detail,
    guarded: await outcome(rollout.check('list')(async () => 'in')),
    snapshot: (await rollout.snapshot()).isEnabled('list'),
    unknown: (await rollout.decide('later')).code,
  });
  const before = {
    enabled: true,
    enabledSync: true,
    variant: 'red',
    value: 'red',
    detail: 'member',
    detailSync: 'member',
    guarded: 'in',
    snapshot: true,
    unknown: 'FEATURE_NOT_FOUND',
  };

  it('answers every check by one revision, and the next call by the next', async () => {
    await rollout.runAs(
      'ann',
      async () => {
        expect(await askAll()).toEqual(before);
        await other.deactivate('list');
        await other.disable('button');
        await other.addFeature('later', { percentage: 100 });
        await delay(1);
        expect(await askAll()).toEqual(before);
      },
      { pinned: true },
    );
    expect(await rollout.runAs('ann', () => rollout.isEnabledSync('list'), { pinned: true })).toBe(
      false,
    );
    expect(await rollout.isEnabled('later', 'ann')).toBe(true);
  });

  it('asks the store once', async () => {
    await rollout.snapshot('ann'); // holds the definitions
    // A replica looks once more after what it hears of.
    while ((await redis.sent(() => delay(20))).length > 0);
    const commands = await redis.sent(() => rollout.runAs('ann', askAll, { pinned: true }));
    expect(commands.map(([name]) => name)).toEqual(isLocal ? [] : ['evalsha']);
  });

  it.each([
    ['an id', 'ann', 'ann'],
    ['a number', 7, '7'],
    ['an object', { id: 'ann' }, undefined],
    ['nobody', undefined, null],
  ])('answers from it also where the same subject is written: %s', async (_, subject, alias) => {
    await other.register('list', 7);
    await rollout.runAs(
      subject,
      async () => {
        const current = rollout.decideSync('list');
        await other.setPercentage('list', 100);
        for (const written of [subject, alias === undefined ? subject : alias]) {
          expect(rollout.decideSync('list', written)).toBe(current);
          expect(await rollout.decide('list', written)).toBe(current);
          expect((await rollout.snapshot(written)).decide('list')).toBe(current);
        }
        expect(
          await rollout.check('list', 1, { otherwise: async () => 'out' })(
            async (_who: unknown) => 'in',
          )(subject),
        ).toBe(current.enabled ? 'in' : 'out');
      },
      { pinned: true },
    );
  });

  it('asks the store about everybody else', async () => {
    const ann = { id: 'ann' };
    await rollout.runAs(
      ann,
      async () => {
        await other.activate('list');
        expect(rollout.decideSync('list').detail).toBe('member');
        expect(await rollout.isEnabled('list', 'eve')).toBe(true);
        expect(await rollout.isEnabled('list', undefined)).toBe(true);
        // Of another account, whatever the id.
        expect(await rollout.isEnabled('account', { id: 'ann', account: 'acme' })).toBe(true);
        expect(rollout.isEnabledSync('account')).toBe(false);
        expect(await outcome(rollout.enabled('list')(async () => 'in'))).toBe('in');
      },
      { pinned: true },
    );
  });

  it('ends with an inner runAs, and is back after it', async () => {
    await rollout.runAs(
      'ann',
      async () => {
        await other.deactivate('list');
        expect(await rollout.runAs('ann', () => rollout.isEnabled('list'))).toBe(false);
        expect(await rollout.runAs('eve', () => rollout.isEnabled('list', 'ann'))).toBe(false);
        expect(await rollout.isEnabled('list')).toBe(true);
      },
      { pinned: true },
    );
  });

  it('starts anew with an inner pinned one, and is back after it', async () => {
    await rollout.runAs(
      'ann',
      async () => {
        await other.deactivate('list');
        const inner = () => {
          expect(rollout.currentSubject()).toBe('ann');
          return [rollout.isEnabledSync('list'), rollout.isEnabledSync('button')];
        };
        expect(await rollout.runAs('ann', inner, { pinned: true })).toEqual([false, true]);
        expect(await rollout.runAs('eve', () => rollout.currentSubject(), { pinned: true })).toBe(
          'eve',
        );
        expect(inner()).toEqual([true, true]);
      },
      { pinned: true },
    );
  });

  it('holds in all that was started there, after the call too', async () => {
    const { later } = await rollout.runAs(
      'ann',
      () => ({ later: delay(20).then(() => rollout.isEnabledSync('list')) }),
      { pinned: true },
    );
    await other.deactivate('list');
    expect(await later).toBe(true);
  });

  it('keeps calls apart that overlap', async () => {
    await other.addFeature('odd', { patterns: [/[13579]$/] });
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) =>
        rollout.runAs(
          `user-${n}`,
          async () => {
            await delay(Math.random() * 20);
            return [rollout.currentSubject(), rollout.isEnabledSync('odd')];
          },
          { pinned: true },
        ),
      ),
    );
    expect(answers).toEqual(Array.from({ length: 100 }, (_, n) => [`user-${n}`, n % 2 === 1]));
  });

  it('resolves with what the function gives, and rejects with what it throws', async () => {
    expect(await rollout.runAs('ann', () => 1, { pinned: true })).toBe(1);
    expect(await rollout.runAs('ann', async () => 2, { pinned: true })).toBe(2);
    const failing = rollout.runAs(
      'ann',
      () => {
        throw new Error('failing');
      },
      { pinned: true },
    );
    await expect(failing).rejects.toThrow('failing');
  });
});

describe('given two rollouts', () => {
  it('pins the one that was asked, and both where both are for the same subject', async () => {
    const one = new Rollout();
    const two = new Rollout();
    for (const rollout of [one, two]) await rollout.addFeature('chat', { percentage: 100 });
    const now = () => [one.isEnabledSync('chat'), two.isEnabledSync('chat')];
    await one.runAs(
      7,
      async () => {
        await two.runAs(
          '7',
          async () => {
            await one.disable('chat');
            await two.disable('chat');
            expect(now()).toEqual([true, true]);
          },
          { pinned: true },
        );
        expect(now()).toEqual([true, false]);
        // Now somebody else is current, for the first too.
        expect(await two.runAs('eve', now, { pinned: true })).toEqual([false, false]);
      },
      { pinned: true },
    );
  });
});

describe('given a store that does not answer', () => {
  it('calls the function once, and answers closed, with the code', async () => {
    const client = new Redis(await freePort(), { lazyConnect: true });
    const rollout = new Rollout(new RedisBackend(client));
    try {
      let calls = 0;
      const answers = await rollout.runAs(
        'ann',
        async () => {
          calls++;
          return [rollout.decideSync('chat').code, (await rollout.decide('chat')).enabled];
        },
        { pinned: true },
      );
      expect([calls, ...answers]).toEqual([1, 'STORE_UNAVAILABLE', false]);
    } finally {
      await rollout.close();
      client.disconnect();
    }
  });

  it('goes on answering by the pin where the store goes down in between', async () => {
    const server = await RedisServer.start();
    const client = new Redis(server.port, { lazyConnect: true });
    const rollout = new Rollout(new RedisBackend(client));
    try {
      await rollout.addFeature('chat', { percentage: 100 });
      const decision = await rollout.runAs(
        'ann',
        async () => {
          await server.stop();
          return rollout.decide('chat');
        },
        { pinned: true },
      );
      expect([decision.enabled, decision.reason]).toEqual([true, 'STATIC']);
    } finally {
      await rollout.close();
      client.disconnect();
      await server.stop();
    }
  });
});

describe('given what it can not take', () => {
  const rollout = new Rollout();
  const call = (...args: unknown[]) =>
    (rollout.runAs as (...args: unknown[]) => unknown).apply(rollout, args);

  it.each([
    ['no function', ['ann', 'chat', { pinned: true }]],
    ['an option that there is not', ['ann', () => {}, { pined: true }]],
    ['another value', ['ann', () => {}, { pinned: 1 }]],
  ])('refuses %s at once', (_, args) => {
    expect(() => call(...args)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
});

describe('its type', () => {
  it('is what the function returns, and pinned a promise of that', async () => {
    const rollout = new Rollout();
    const plain: number = rollout.runAs('ann', () => 1);
    const unpinned: number = rollout.runAs('ann', () => 1, { pinned: false });
    const pinned: Promise<number> = rollout.runAs('ann', () => 1, { pinned: true });
    const flat: Promise<string> = rollout.runAs('ann', async () => 'x', { pinned: true });
    // @ts-expect-error it has to be awaited
    const wrong: number = rollout.runAs('ann', () => 1, { pinned: true });
    expect([plain, unpinned, await pinned, await flat]).toEqual([1, 1, 1, 'x']);
    expect(wrong).toBeInstanceOf(Promise);
  });
});

it('asks for a crowd in portions, so that others get their turn at the server', async () => {
  const rollout = new Rollout(new RedisSetBackend(redis.client, { timeoutMs: 5_000 }));
  const names = Array.from({ length: 50 }, (_, n) => `feature-${n}`);
  for (const name of names) {
    await rollout.addFeature(name);
    await rollout.register(name, 'user-7');
  }
  await rollout.snapshot('nobody');
  let wrong = 0;
  const commands = await redis.sent(async () => {
    const crowd = Array.from({ length: 1_000 }, (_, n) => rollout.snapshot(`user-${n}`));
    for (const [n, snapshot] of (await Promise.all(crowd)).entries()) {
      for (const name of names) {
        if (snapshot.isEnabled(name) !== (n === 7)) wrong++;
      }
    }
  });
  expect(wrong).toBe(0);
  expect(commands.map(([name]) => name)).toEqual(['evalsha', 'evalsha', 'evalsha']);
  await rollout.close();
});
