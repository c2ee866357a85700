import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Redis } from 'ioredis';
import type { Backend } from '../../lib/backends/backend.js';
import { RedisBackend, RedisSetBackend } from '../../lib/backends/redis/index.js';
import { MemoryBackend, ReplicaBackend, Rollout } from '../../lib/index.js';
import { failOnUndefined, manualClock, withFeatures } from '../../lib/testing/index.js';
import { useMonitoredRedis } from '../redis-monitor.js';
import { freePort } from '../redis-server.js';

const redis = useMonitoredRedis();

/** As an app makes it: when its module is loaded, and with nothing known of tests. */
const app = new Rollout();

/** What comes of a call: its answer, or the code of its error. */
async function outcome(call: () => unknown): Promise<unknown> {
  try {
    return await call();
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

/** Everything that a check can be. */
async function askAll(rollout: Rollout, name: string, subject: string | undefined) {
  const snapshot = await rollout.snapshot(subject);
  return {
    enabled: await outcome(() => rollout.isEnabled(name, subject)),
    enabledSync: await outcome(() => rollout.isEnabledSync(name, subject)),
    variant: await outcome(() => rollout.variant(name, subject)),
    value: await outcome(() => rollout.value(name, 'fallback', subject)),
    detail: await outcome(async () => (await rollout.decide(name, subject)).detail),
    detailSync: await outcome(() => rollout.decideSync(name, subject).detail),
    used: await outcome(async () => (await rollout.use(name, subject)).enabled),
    current: await outcome(() => rollout.runAs(subject, () => rollout.isEnabled(name))),
    guarded: await outcome(() =>
      rollout.runAs(
        subject,
        rollout.check(name)(async () => 'in'),
      ),
    ),
    forEveryone: await outcome(rollout.enabled(name)(async () => 'in')),
    snapshot: await outcome(() => snapshot.isEnabled(name)),
    pinned: await outcome(() =>
      rollout.runAs(subject, () => rollout.isEnabledSync(name), { pinned: true }),
    ),
    explained: await outcome(async () => (await rollout.explain(name, subject))?.decision.enabled),
  };
}

it('looks for nothing where no test has said anything yet, or where none is left', async () => {
  await app.addFeature('stored', { percentage: 100 });
  const getStore = jest.spyOn(AsyncLocalStorage.prototype, 'getStore');
  try {
    const ask = async () => {
      getStore.mockClear();
      expect(app.isEnabledSync('stored', 'ann')).toBe(true);
      app.isEnabledSync('no such', 'ann');
      await app.isEnabled('stored', 'ann');
      await app.snapshot('ann');
      return getStore.mock.calls.length;
    };
    expect(await ask()).toBe(0);
    await withFeatures({ chat: true }, async () => {
      await delay(1);
      await withFeatures({ search: true }, () => app.isEnabled('chat'));
    });
    expect(() =>
      withFeatures({ chat: true }, () => {
        throw new Error('failing');
      }),
    ).toThrow('failing');
    expect(await ask()).toBeGreaterThan(0);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    while ((await ask()) > 0) {
      collect();
      await delay(5);
    }
  } finally {
    getStore.mockRestore();
    await app.remove('stored');
  }
});

const KINDS = ['memory', 'Redis', 'Redis sets', 'a replica', 'a replica of sets'] as const;

describe.each(KINDS)('given features on %s', (kind) => {
  const isLocal = kind === 'memory' || kind.startsWith('a replica');
  let backend: Backend;
  let rollout: Rollout;
  beforeEach(async () => {
    await redis.client.flushall();
    const stored = () =>
      kind.endsWith('sets') ? new RedisSetBackend(redis.client) : new RedisBackend(redis.client);
    backend =
      kind === 'memory'
        ? new MemoryBackend()
        : isLocal
          ? new ReplicaBackend(stored(), { pollMs: 60_000 })
          : stored();
    rollout = new Rollout(backend);
    await rollout.ready();
    await rollout.addFeature('open', { percentage: 100, offValue: 'none' });
    await rollout.addFeature('shut', { variants: ['red', 'blue'] });
    await rollout.register('shut', 'bob');
    await rollout.addFeature('top', { percentage: 100, requires: ['shut'] });
  });
  afterEach(() => rollout.close());

  const on = {
    enabled: true,
    enabledSync: true,
    used: true,
    current: true,
    guarded: 'in',
    forEveryone: 'in',
    snapshot: true,
    pinned: true,
    explained: true,
  };
  const off = {
    enabled: false,
    enabledSync: false,
    variant: undefined,
    used: false,
    current: false,
    guarded: 'FEATURE_DISABLED',
    forEveryone: 'FEATURE_DISABLED',
    snapshot: false,
    pinned: false,
    explained: false,
  };

  it.each([
    ['shut', true, { ...on, variant: undefined, value: true }],
    [
      'open',
      false,
      { ...off, value: 'fallback', detail: 'kill switch', detailSync: 'kill switch' },
    ],
    ['shut', 'green', { ...on, variant: 'green', value: 'green' }],
    [
      'nowhere',
      { percentage: 100, variants: [{ name: 'big', value: { px: 20 } }] },
      { ...on, variant: 'big', value: { px: 20 } },
    ],
    ['open', { offValue: 7 }, { ...off, value: 7 }],
  ])('answers every check of %p as %p, whoever asks', async (name, value, expected) => {
    await withFeatures({ [name]: value }, async () => {
      for (const subject of ['ann', 'bob', '', undefined]) {
        expect(await askAll(rollout, name, subject)).toMatchObject(expected);
      }
    });
    const { enabled } = await rollout.decide(name, 'ann');
    expect(enabled).toBe(name === 'open');
  });

  it('decides by settings as if the feature had been added with them, for nobody a member', async () => {
    rollout.defineGroup('staff', (user: { staff?: boolean }) => user.staff);
    const shut = {
      rules: [{ id: 'r', when: { users: ['eve'] }, serve: { variant: 'blue' } }],
      groups: ['staff'],
      variants: ['red', 'blue'],
    };
    await withFeatures({ shut }, async () => {
      const detail = async (who: string | object) => (await rollout.decide('shut', who)).detail;
      expect([
        await detail('eve'),
        await detail('bob'),
        await detail({ id: 1, staff: true }),
      ]).toEqual(['rule', 'no gate', 'group']);
      expect(await rollout.variant('shut', 'eve')).toBe('blue');
    });
    expect((await rollout.decide('shut', 'bob')).detail).toBe('member');
  });

  it('asks the store about the others', async () => {
    await withFeatures({ open: false }, async () => {
      expect((await rollout.decide('shut', 'bob')).detail).toBe('member');
      expect(await rollout.isEnabled('shut', 'ann')).toBe(false);
      const snapshot = await rollout.snapshot('bob');
      expect([snapshot.isEnabled('open'), snapshot.isEnabled('shut')]).toEqual([false, true]);
      expect(await outcome(() => rollout.isEnabledSync('shut', 'bob'))).toBe(
        isLocal ? true : 'BACKEND_NOT_LOCAL',
      );
    });
  });

  it('meets the prerequisites of stored features, and of its own', async () => {
    const isOn = async (name: string) => {
      const answers = [
        await rollout.isEnabled(name, 'ann'),
        (await rollout.snapshot('ann')).isEnabled(name),
        await rollout.runAs('ann', () => rollout.isEnabledSync(name), { pinned: true }),
        (await rollout.explain(name, 'ann'))?.decision.enabled,
      ];
      expect(new Set(answers).size).toBe(1);
      return answers[0];
    };
    expect(await isOn('top')).toBe(false);
    const own = (...requires: string[]) => ({ percentage: 100, requires });
    await withFeatures({ shut: true }, async () => {
      expect(await isOn('top')).toBe(true);
      await withFeatures({ shut: false }, async () => expect(await isOn('top')).toBe(false));
    });
    await withFeatures({ mine: own('open') }, async () => expect(await isOn('mine')).toBe(true));
    await withFeatures({ mine: own('shut') }, async () => expect(await isOn('mine')).toBe(false));
    await withFeatures({ mine: own('shut'), shut: true }, async () => {
      expect(await isOn('mine')).toBe(true);
      expect(rollout.isEnabledSync('mine', 'ann')).toBe(true);
    });
    expect(await isOn('top')).toBe(false);
  });

  it('fails where a feature is asked for that nobody has defined, and names it', async () => {
    const failing = await withFeatures({ open: true }, async () => {
      await expect(rollout.isEnabled('opne', 'ann')).rejects.toThrow(
        'Feature "opne" was asked for, and neither the test nor the store defines it.',
      );
      expect(() => rollout.check('opne')).not.toThrow();
      return askAll(rollout, 'opne', 'ann');
    });
    const sync = isLocal ? 'FEATURE_NOT_FOUND' : 'BACKEND_NOT_LOCAL';
    expect(failing).toEqual({
      enabled: 'FEATURE_NOT_FOUND',
      enabledSync: sync,
      variant: 'FEATURE_NOT_FOUND',
      value: 'FEATURE_NOT_FOUND',
      detail: 'FEATURE_NOT_FOUND',
      detailSync: sync,
      used: 'FEATURE_NOT_FOUND',
      current: 'FEATURE_NOT_FOUND',
      guarded: 'FEATURE_NOT_FOUND',
      forEveryone: 'FEATURE_NOT_FOUND',
      snapshot: 'FEATURE_NOT_FOUND',
      pinned: 'FEATURE_NOT_FOUND',
      explained: undefined,
    });
    expect(await rollout.isEnabled('opne', 'ann')).toBe(false);
  });

  it('rejects, and never throws, where the answer is a promise', async () => {
    await withFeatures({}, async () => {
      const otherwise = () => 'out';
      const answers = [
        rollout.isEnabled('opne', 'ann'),
        rollout.variant('opne', 'ann'),
        rollout.value('opne', 0, 'ann'),
        rollout.decide('opne', 'ann'),
        rollout.use('opne', 'ann'),
        rollout.implementations('opne', { a: () => 1 }, { default: 'a' }).create(),
        rollout.check('opne', { otherwise })(async () => 'in')(),
        rollout.runAs('ann', () => rollout.isEnabled('opne'), { pinned: true }),
      ];
      for (const { status } of await Promise.allSettled(answers)) expect(status).toBe('rejected');
    });
  });

  it('answers of what nobody has defined as ever, where it is told to', async () => {
    const ask = () => rollout.decide('opne', 'ann');
    await withFeatures(
      { open: false },
      async () => {
        expect(await ask()).toMatchObject({ enabled: false, code: 'FEATURE_NOT_FOUND' });
        expect(await rollout.isEnabled('open', 'ann')).toBe(false);
        // What is left out is as around.
        await withFeatures({}, async () => expect((await ask()).enabled).toBe(false));
        const strict = { failOnUndefined: true };
        expect(await withFeatures({}, () => outcome(ask), strict)).toBe('FEATURE_NOT_FOUND');
      },
      { failOnUndefined: false },
    );
  });

  it('redirects no write, and no reading of what is stored', async () => {
    await withFeatures({ shut: true, nowhere: true }, async () => {
      expect((await rollout.get('shut'))?.percentage).toBe(0);
      expect(await rollout.get('nowhere')).toBeUndefined();
      expect(await rollout.countMembers('shut')).toBe(1);
      await rollout.disable('shut');
      await rollout.setPercentage('open', 20);
      expect(await rollout.isEnabled('shut', 'ann')).toBe(true);
      expect((await rollout.history('shut', { limit: 1 }))[0]?.after?.enabled).toBe(false);
    });
    expect((await rollout.get('shut'))?.enabled).toBe(false);
    expect((await rollout.get('open'))?.percentage).toBe(20);
  });

  it('is used without being kept, and each use is told', async () => {
    const sticky = {
      id: 'r',
      when: { group: 'all' },
      serve: { variant: 'red' },
      sticky: true,
    } as const;
    await rollout.update('shut', { rules: [sticky] });
    const told: unknown[] = [];
    rollout.on('exposure', ({ feature, variant }) => told.push([feature, variant]));
    const paints = rollout.implementations(
      'shut',
      { red: (_who: string) => 'painted red', blue: (_who: string) => 'painted blue' },
      { default: 'red' },
    );
    const settings = {
      variants: ['red', 'blue'],
      rules: [{ ...sticky, serve: { variant: 'blue' } }],
    };
    for (const shut of ['blue', settings, settings]) {
      await withFeatures({ shut }, async () => {
        expect(await paints.create('ann')).toBe('painted blue');
        expect((await rollout.use('shut', 'eve')).variant).toBe('blue');
      });
    }
    expect(told).toEqual(Array(6).fill(['shut', 'blue']));
    expect(await backend.assignedWeights('shut')).toEqual(new Map());
    expect(await paints.create('ann')).toBe('painted red');
    expect(Object.fromEntries(await backend.assignedWeights('shut'))).toEqual({ red: 1 });
  });

  it('goes before a live experiment over the feature', async () => {
    await rollout.addExperiment('test', {
      from: '2026-01-01T00:00:00Z',
      until: '2126-01-01T00:00:00Z',
      arms: [{ name: 'all', proportion: 1, features: { shut: 'red', open: false } }],
    });
    const ask = async () => [
      await rollout.variant('shut', 'ann'),
      await rollout.isEnabled('open', 'ann'),
    ];
    expect(await ask()).toEqual(['red', false]);
    await withFeatures({ shut: 'blue' }, async () => {
      expect(await ask()).toEqual(['blue', false]);
      const all = (await rollout.snapshot('ann')).toJSON();
      expect(new Set(Object.keys(all))).toEqual(new Set(['open', 'shut', 'top']));
      await rollout.use('shut', 'ann');
    });
    expect((await rollout.experiment('test'))?.arms).toMatchObject([{ uses: 0 }]);
  });

  it('holds within what is pinned, and what was pinned around holds no more', async () => {
    await withFeatures({ shut: 'green' }, () =>
      rollout.runAs(
        'ann',
        async () => {
          expect(rollout.decideSync('shut', 'ann').variant).toBe('green');
          expect(await rollout.isEnabled('top')).toBe(true);
        },
        { pinned: true },
      ),
    );
    await rollout.runAs(
      'ann',
      async () => {
        expect([rollout.isEnabledSync('shut'), rollout.isEnabledSync('top')]).toEqual([
          false,
          false,
        ]);
        await withFeatures({ shut: true }, async () => {
          expect(rollout.currentSubject()).toBe('ann');
          expect(rollout.isEnabledSync('shut')).toBe(true);
          expect(await rollout.isEnabled('top')).toBe(true);
        });
        expect([rollout.isEnabledSync('shut'), rollout.isEnabledSync('top')]).toEqual([
          false,
          false,
        ]);
      },
      { pinned: true },
    );
  });
});

it.each([
  ['RedisBackend', RedisBackend],
  ['RedisSetBackend', RedisSetBackend],
])('asks the store of a %s nothing', async (_, Backend) => {
  const rollout = new Rollout(new Backend(redis.client));
  try {
    // Its connection is there then, and has sent what it sends first.
    await rollout.isEnabled('chat', 'ann');
    const commands = await redis.sent(() =>
      withFeatures({ chat: true, call: { percentage: 100, requires: ['chat'] } }, async () => {
        for (const name of ['chat', 'call']) {
          expect(await rollout.isEnabled(name, 'ann')).toBe(true);
          expect(rollout.isEnabledSync(name, 'ann')).toBe(true);
          expect((await rollout.explain(name, 'ann'))?.decision.enabled).toBe(true);
          expect(await rollout.check(name)(async () => 'in')()).toBe('in');
        }
      }),
    );
    expect(commands).toEqual([]);
  } finally {
    await rollout.close();
  }
});

describe('given a store that does not answer', () => {
  it('answers all the same for what a test says, and takes no outage for an undefined feature', async () => {
    const client = new Redis(await freePort(), { lazyConnect: true });
    const rollout = new Rollout(new RedisBackend(client), { defaults: { search: true } });
    try {
      await withFeatures({ chat: 'red' }, async () => {
        const { reason, variant, code } = await rollout.decide('chat', 'ann');
        expect([reason, variant, code]).toEqual(['STATIC', 'red', undefined]);
        expect((await rollout.decide('other', 'ann')).code).toBe('STORE_UNAVAILABLE');
        expect(await rollout.isEnabled('search', 'ann')).toBe(true);
        const snapshot = await rollout.snapshot('ann');
        expect([snapshot.variant('chat'), snapshot.isEnabled('search')]).toEqual(['red', true]);
        expect(snapshot.decide('other').code).toBe('STORE_UNAVAILABLE');
      });
    } finally {
      await rollout.close();
      client.disconnect();
    }
  });

  it('is not stale, where what is known from before is', async () => {
    await redis.client.flushall();
    const bootstrap = { features: { base: {}, chat: { percentage: 100 } } };
    const client = new Redis(await freePort(), { lazyConnect: true });
    const rollout = new Rollout(new ReplicaBackend(new RedisBackend(client), { bootstrap }));
    try {
      await withFeatures({ base: true }, async () => {
        expect(rollout.decideSync('base', 'ann').reason).toBe('STATIC');
        expect(rollout.decideSync('chat', 'ann').reason).toBe('STALE');
        expect((await rollout.snapshot('ann')).decide('base').reason).toBe('STATIC');
      });
    } finally {
      await rollout.close();
      client.disconnect();
    }
  });
});

describe('tests that overlap', () => {
  it('do not meet, whatever they wait for', async () => {
    const seen = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        withFeatures({ odd: n % 2 === 1, color: `c${n}` }, async () => {
          const answers: unknown[] = [];
          for (let step = 0; step < 5; step++) {
            await (step % 2 === 0 ? delay(Math.random() * 5) : Promise.resolve());
            answers.push(await app.isEnabled('odd'), app.decideSync('color').variant);
          }
          return new Set(answers);
        }),
      ),
    );
    expect(seen).toEqual(Array.from({ length: 200 }, (_, n) => new Set([n % 2 === 1, `c${n}`])));
    expect(app.isEnabledSync('odd')).toBe(false);
  });

  it('do not meet where their checks share a trip to the store', async () => {
    await redis.client.flushall();
    const rollout = new Rollout(new RedisBackend(redis.client));
    try {
      await rollout.addFeature('base');
      await rollout.addFeature('top', { percentage: 100, requires: ['base'] });
      const ask = () => rollout.isEnabled('top', 'ann');
      const answers = [true, false, true, false].map((base) => withFeatures({ base }, ask));
      expect(await Promise.all([...answers, ask()])).toEqual([true, false, true, false, false]);
    } finally {
      await rollout.close();
    }
  });

  it('hold in timers and callbacks, also after the call', async () => {
    const { later } = withFeatures({ chat: true }, () => ({
      later: new Promise((resolve) => {
        setTimeout(() => process.nextTick(() => resolve(app.isEnabledSync('chat'))), 5);
      }),
    }));
    expect(app.isEnabledSync('chat')).toBe(false);
    expect(await later).toBe(true);
  });

  it('add up where one is in the other, and the inner wins', async () => {
    const ask = () => ['a', 'b', 'c'].map((name) => app.decideSync(name).variant);
    await withFeatures({ a: 'outer', b: 'outer', c: 'outer' }, async () => {
      const inner = withFeatures({ b: 'inner' }, async () => {
        await delay(1);
        return withFeatures({ c: 'innermost' }, async () => {
          await delay(1);
          return ask();
        });
      });
      expect(ask()).toEqual(['outer', 'outer', 'outer']);
      expect(await inner).toEqual(['outer', 'inner', 'innermost']);
      expect(ask()).toEqual(['outer', 'outer', 'outer']);
    });
  });

  it('gives back what the function returns, and throws what it throws', async () => {
    expect(withFeatures({}, () => 42)).toBe(42);
    await expect(
      withFeatures({ chat: true }, async () => {
        throw new Error('failing');
      }),
    ).rejects.toThrow('failing');
    expect(app.isEnabledSync('chat')).toBe(false);
  });

  it('keeps who is current', () => {
    const mine = { percentage: 100, patterns: [/^ann$/] };
    app.runAs('ann', () =>
      withFeatures({ mine }, () => {
        expect(app.currentSubject()).toBe('ann');
        expect(app.decideSync('mine').detail).toBe('pattern');
        expect(app.runAs('eve', () => app.decideSync('mine').detail)).toBe('percentage');
      }),
    );
  });

  it('tells when a ramp lets somebody in, by the clock of the rollout', async () => {
    const clock = manualClock('2026-03-01T00:00:00Z');
    const rollout = new Rollout(undefined, { now: clock.now });
    const points = [
      { at: '2026-03-01T00:00:00Z', percentage: 0 },
      { at: '2026-03-11T00:00:00Z', percentage: 100 },
    ];
    await withFeatures({ search: { percentage: { points } } }, async () => {
      const at = (await rollout.whenFor('search', 'ann')) as Date;
      clock.set(at.getTime() - 1);
      expect(rollout.isEnabledSync('search', 'ann')).toBe(false);
      clock.advance(1);
      expect(rollout.isEnabledSync('search', 'ann')).toBe(true);
    });
  });
});

describe('failOnUndefined', () => {
  it('makes undefined features fail in the whole process, until it is ended', async () => {
    const stop = failOnUndefined();
    const other = failOnUndefined();
    try {
      expect(() => app.isEnabledSync('typo')).toThrow(
        expect.objectContaining({ code: 'FEATURE_NOT_FOUND', feature: 'typo' }),
      );
      await expect(app.isEnabled('typo')).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
      const unknownOn = new Rollout(undefined, { unknownFeature: true });
      expect(() => unknownOn.isEnabledSync('typo')).toThrow('"typo"');
      const lax = { failOnUndefined: false };
      expect(withFeatures({}, () => app.isEnabledSync('typo'), lax)).toBe(false);
      other();
      other();
      expect(() => app.isEnabledSync('typo')).toThrow('"typo"');
    } finally {
      stop();
      other();
    }
    expect(app.isEnabledSync('typo')).toBe(false);
    expect(await app.isEnabled('typo')).toBe(false);
  });
});

describe('given what it can not take', () => {
  const call = (...args: unknown[]) => (withFeatures as (...args: unknown[]) => unknown)(...args);
  const fn = () => {};

  it.each([
    ['no features', [undefined, fn], 'INVALID_FEATURE'],
    ['a list', [['chat'], fn], 'INVALID_FEATURE'],
    ['a Map, whose entries are no properties', [new Map([['chat', true]]), fn], 'INVALID_FEATURE'],
    ['no function', [{ chat: true }], 'INVALID_ARGUMENT'],
    ['an option that there is not', [{}, fn, { failOnUndefind: false }], 'INVALID_ARGUMENT'],
    ['an option of another kind', [{}, fn, { failOnUndefined: 1 }], 'INVALID_ARGUMENT'],
    ['a value left out', [{ chat: undefined }, fn], 'INVALID_ARGUMENT'],
    ['null', [{ chat: null }, fn], 'INVALID_ARGUMENT'],
    ['a number', [{ chat: 50 }, fn], 'INVALID_ARGUMENT'],
    ['a setting that there is not', [{ chat: { percent: 5 } }, fn], 'INVALID_FEATURE'],
    ['a name that is none', [{ '': true }, fn], 'INVALID_FEATURE'],
    ['the name of what is no feature', [{ 'group\u001fstaff': {} }, fn], 'INVALID_FEATURE'],
  ])('refuses %s', (_, args, code) => {
    expect(() => call(...args)).toThrow(expect.objectContaining({ code }));
  });

  it('says which feature', () => {
    expect(() => withFeatures({ chat: true, search: { percentage: 140 } }, fn)).toThrow(
      expect.objectContaining({
        message:
          'Feature "search": Expected `percentage` to be a number from 0 to 100, got `140` (number).',
        feature: 'search',
        path: 'percentage',
      }),
    );
    expect(() => call({ search: 7 }, fn)).toThrow(
      'settings for feature "search", got `7` (number)',
    );
  });
});

// What counts here is that `npm run types` passes.
describe('with the type of a Rollout', () => {
  interface Features {
    chat: boolean;
    color: 'red' | 'blue';
    theme: { light: { bg: string }; dark: { bg: string } };
  }
  const typed = new Rollout<Features>();

  it('knows names, variants and settings', async () => {
    await withFeatures<typeof typed>({ chat: true, color: 'red', theme: 'dark' }, async () => {
      expect(await typed.variant('color')).toBe('red');
    });
    await withFeatures<Features>({ color: { variants: ['blue'], percentage: 100 } }, async () => {
      expect(await typed.variant('color')).toBe('blue');
    });
    const answer: boolean = withFeatures({ chat: true }, () => typed.isEnabledSync('chat'));
    expect(answer).toBe(true);
    // @ts-expect-error no such feature
    await withFeatures<typeof typed>({ caht: true }, async () => {});
    // @ts-expect-error no such variant
    await withFeatures<Features>({ color: 'green' }, async () => {});
    // @ts-expect-error no such variant
    await withFeatures<typeof typed>({ color: { variants: ['green'] } }, async () => {});
    // @ts-expect-error it has no variants
    await withFeatures<typeof typed>({ chat: 'red' }, async () => {});
    // @ts-expect-error not a value, whatever the features
    expect(() => withFeatures({ chat: 5 }, () => {})).toThrow('got `5`');
  });
});
