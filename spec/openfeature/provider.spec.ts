import { setTimeout as delay } from 'node:timers/promises';
import {
  type EvaluationContext,
  type EventDetails,
  type Hook,
  OpenFeature,
  ProviderEvents,
  ProviderStatus,
} from '@openfeature/server-sdk';
import { Redis } from 'ioredis';
import { RedisBackend } from '../../lib/backends/redis/index.js';
import { type Exposure, MemoryBackend, ReplicaBackend, Rollout } from '../../lib/index.js';
import { HanoiProvider } from '../../lib/openfeature/index.js';
import { failOnUndefined } from '../../lib/testing/index.js';
import { freePort, RedisServer } from '../redis-server.js';
import { until } from '../until.js';

const client = OpenFeature.getClient();
afterEach(() => OpenFeature.clearProviders());

/** What clients hear of the provider, from now on. */
function heard(...types: ProviderEvents[]): { type: ProviderEvents; details: EventDetails }[] {
  const events: { type: ProviderEvents; details: EventDetails }[] = [];
  for (const type of types) {
    const handler = (details?: EventDetails) => {
      events.push({ type, details: details as EventDetails });
    };
    client.addHandler(type, handler);
    stops.push(() => client.removeHandler(type, handler));
  }
  return events;
}
const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

describe('given a rollout in memory', () => {
  let rollout: Rollout;
  beforeEach(async () => {
    rollout = new Rollout();
    await OpenFeature.setProviderAndWait(new HanoiProvider(rollout));
  });
  afterEach(() => rollout.close());

  const ann = { targetingKey: 'ann' };
  const bob = { targetingKey: 'bob' };

  describe('an evaluation', () => {
    it('is about the id that the targeting key is', async () => {
      await rollout.addFeature('chat');
      await rollout.register('chat', 'ann');
      expect(await client.getBooleanDetails('chat', false, ann)).toMatchObject({
        value: true,
        reason: 'TARGETING_MATCH',
        flagMetadata: { enabled: true, detail: 'member' },
      });
      expect(await client.getBooleanDetails('chat', true, bob)).toMatchObject({
        value: false,
        reason: 'DEFAULT',
        flagMetadata: { enabled: false, detail: 'no gate' },
      });
    });

    it('lets in by a percentage whom a check lets in', async () => {
      await rollout.addFeature('chat', { percentage: 50 });
      const ids = Array.from({ length: 200 }, (_, n) => `user-${n}`);
      const asked = ids.map((targetingKey) =>
        client.getBooleanValue('chat', false, { targetingKey }),
      );
      const checked = ids.map((id) => rollout.isEnabledSync('chat', id));
      expect(await Promise.all(asked)).toEqual(checked);
      expect(new Set(checked).size).toBe(2);
    });

    it.each([{}, { targetingKey: undefined }, { plan: 'pro' }, { id: 'ann' }])(
      'is about nobody where the context is %j, also within runAs',
      async (context) => {
        await rollout.addFeature('chat', {
          rules: [{ id: 'only', when: { users: ['ann'] }, serve: 'on' }],
        });
        const evaluate = () => client.getBooleanDetails('chat', true, context as EvaluationContext);
        const expected = { value: false, flagMetadata: { detail: 'no subject' } };
        expect(await rollout.runAs('ann', evaluate)).toMatchObject(expected);
      },
    );

    it('is about nobody where the targeting key is no id', async () => {
      await rollout.addFeature('chat', { percentage: 99 });
      for (const targetingKey of ['', '\ud800']) {
        expect(await client.getBooleanDetails('chat', true, { targetingKey })).toMatchObject({
          value: false,
          flagMetadata: { detail: 'subject without id' },
        });
      }
    });

    it('gives the context to rules, groups and segments, nested values and dates too', async () => {
      type Context = { address?: { country: string }; roles?: string[] };
      rollout.defineSegment('country', ({ address }: Context) => address?.country);
      rollout.defineGroup('admins', ({ roles }: Context) => roles?.includes('admin') === true);
      await rollout.addFeature('vat', {
        rules: [{ id: 'only', when: { segment: 'country', in: ['AT'] }, serve: 'on' }],
      });
      await rollout.addFeature('audit', { groups: ['admins'] });
      await rollout.addFeature('early', {
        rules: [
          {
            id: 'only',
            when: { attribute: 'since', op: 'before', value: '2026-01-01T00:00:00Z' },
            serve: 'on',
          },
        ],
      });
      const context = {
        ...ann,
        address: { country: 'AT' },
        roles: ['admin'],
        since: new Date('2025-05-05T00:00:00Z'),
      };
      for (const name of ['vat', 'audit', 'early']) {
        expect(await client.getBooleanValue(name, false, context)).toBe(true);
        expect(await client.getBooleanValue(name, true, ann)).toBe(false);
      }
    });

    it('goes by the attribute that a feature goes by', async () => {
      await rollout.addFeature('invoices', { subjectKey: 'account' });
      await rollout.register('invoices', 'acme');
      const context = { ...ann, account: 'acme' };
      expect(await client.getBooleanValue('invoices', false, context)).toBe(true);
      expect(await client.getBooleanValue('invoices', true, { ...ann, id: 'acme' })).toBe(false);
    });

    it('takes no attribute for the id, and harms no prototype', async () => {
      await rollout.addFeature('chat');
      await rollout.register('chat', 'root');
      const context = JSON.parse(
        '{ "targetingKey": "ann", "id": "root", "__proto__": { "id": "root" } }',
      );
      expect(await client.getBooleanValue('chat', true, context)).toBe(false);
      expect(({} as { id?: string }).id).toBeUndefined();
    });
  });

  describe('a value', () => {
    it('of a boolean is whether a feature is on, whichever of its named variants is served', async () => {
      await rollout.addFeature('cdc', { percentage: 100, variants: ['foo', 'bar'] });
      const served = await client.getBooleanDetails('cdc', false, ann);
      expect(served).toMatchObject({ value: true, variant: await rollout.variant('cdc', 'ann') });
      expect(await client.getStringValue('cdc', 'none', ann)).toBe(served.variant);
    });

    it('of a boolean is false where the feature is off, whatever the default', async () => {
      await rollout.addFeature('cdc', { percentage: 100, enabled: false });
      const off = await client.getBooleanDetails('cdc', true, ann);
      expect(off).toMatchObject({ value: false, reason: 'DISABLED' });
    });

    it('is the offValue where the feature is off, and else the default', async () => {
      await rollout.addFeature('theme', { variants: ['dark'], offValue: 'light' });
      await rollout.addFeature('size', { variants: [{ name: 'big', value: 100 }] });
      expect(await client.getStringValue('theme', 'none', ann)).toBe('light');
      const size = await client.getNumberDetails('size', 10, ann);
      expect(size).toMatchObject({ value: 10, reason: 'DEFAULT' });
      expect(size.errorCode).toBeUndefined();
    });

    it('of an object can be a list, or null', async () => {
      const variants = (value: null | string[]) => [{ name: 'only', value }];
      await rollout.addFeature('list', { percentage: 100, variants: variants(['a']) });
      await rollout.addFeature('null', { percentage: 100, variants: variants(null) });
      expect(await client.getObjectValue('list', {}, ann)).toEqual(['a']);
      expect(await client.getObjectValue('null', {}, ann)).toBeNull();
      expect((await client.getStringDetails('null', 'a', ann)).errorCode).toBe('TYPE_MISMATCH');
    });
  });

  it('names the rule and the experiment that answered', async () => {
    await rollout.addFeature('text', {
      variants: ['long', 'short'],
      rules: [{ id: 'annes', when: { users: ['ann'] }, serve: { variant: 'long' } }],
    });
    await rollout.addExperiment('wording', {
      from: '2026-01-01T00:00:00Z',
      until: '2100-01-01T00:00:00Z',
      arms: [
        { name: 'control', proportion: 0.5, features: { text: 'long' } },
        { name: 'tested', proportion: 0.5, features: { text: 'short' } },
      ],
    });
    const byRule = await client.getStringDetails('text', '', ann);
    expect(byRule.flagMetadata).toEqual({ enabled: true, detail: 'rule', rule: 'annes' });
    const byArm = await client.getStringDetails('text', '', bob);
    const expected = { enabled: true, detail: 'experiment', experiment: 'wording' };
    expect(byArm).toMatchObject({ reason: 'SPLIT', flagMetadata: expected });
  });

  it('tells hooks what it tells the caller', async () => {
    await rollout.addFeature('chat', { percentage: 100 });
    const seen: unknown[] = [];
    const hook: Hook = {
      before: () => ({ targetingKey: 'ann' }),
      after: ({ context }, { value, flagMetadata }) => {
        seen.push([context.targetingKey, value, flagMetadata]);
      },
      error: (_, error) => {
        seen.push((error as { code?: string }).code);
      },
    };
    await client.getBooleanValue('chat', false, {}, { hooks: [hook] });
    await client.getBooleanValue('cat', false, {}, { hooks: [hook] });
    const metadata = { enabled: true, detail: 'percentage' };
    expect(seen).toEqual([['ann', true, metadata], 'FLAG_NOT_FOUND']);
  });

  it('tells which feature was changed, and names none where what they refer to was', async () => {
    const events = heard(ProviderEvents.ConfigurationChanged);
    await rollout.addFeature('chat');
    await rollout.register('chat', 'ann');
    await rollout.addToGroup('friends', 'ann');
    expect(events.map(({ details }) => details.flagsChanged)).toEqual([
      ['chat'],
      ['chat'],
      undefined,
    ]);
    expect(events[0]?.details.providerName).toBe('hanoi');
  });

  describe('tracking', () => {
    let exposures: Exposure[];
    beforeEach(async () => {
      exposures = [];
      rollout.on('exposure', (exposure) => exposures.push(exposure));
      await rollout.addFeature('text', {
        variants: ['submit', 'save'],
        rules: [{ id: 'only', when: { group: 'all' }, serve: 'on', sticky: true }],
      });
    });

    it('of a feature says that the subject uses what it is given, and keeps it', async () => {
      client.track('text', ann, { value: 7 });
      await until(() => exposures.length === 1);
      const variant = await rollout.variant('text', 'ann');
      expect(exposures).toMatchObject([{ feature: 'text', subject: 'ann', variant }]);
      await rollout.update('text', {
        variants: ['submit', 'save'].map((name) => ({ name, weight: name === variant ? 0 : 1 })),
      });
      expect(await client.getStringValue('text', '', ann)).toBe(variant);
    });

    it('with a variant says that the subject uses that one', async () => {
      client.track('text', ann, { variant: 'save' });
      client.track('text', bob, { variant: 'submit' });
      await until(() => exposures.length === 2);
      const told = new Map(exposures.map(({ subject, variant }) => [subject, variant]));
      expect(Object.fromEntries(told)).toEqual({ ann: 'save', bob: 'submit' });
    });

    it('of what is no feature, or about nobody, tells of nothing', async () => {
      const stop = failOnUndefined();
      try {
        client.track('checkout', ann);
        client.track('text');
        client.track('text', bob);
        await until(() => exposures.length > 0);
        await delay(20);
      } finally {
        stop();
      }
      expect(exposures.map(({ subject }) => subject)).toEqual(['bob']);
    });
  });
});

describe('given a function from the context to the subject', () => {
  it('asks about whom it says', async () => {
    const rollout = new Rollout(undefined, { identify: ({ uuid }: { uuid: string }) => uuid });
    await rollout.addFeature('chat');
    await rollout.register('chat', 'u-1');
    const provider = new HanoiProvider(rollout, {
      subjectOf: ({ targetingKey }) => ({ uuid: targetingKey }),
    });
    await OpenFeature.setProviderAndWait(provider);
    expect(await client.getBooleanValue('chat', false, { targetingKey: 'u-1' })).toBe(true);
    expect(await client.getBooleanValue('chat', true, { targetingKey: 'u-2' })).toBe(false);
  });

  it('can take the current subject, and what is pinned for it', async () => {
    const rollout = new Rollout();
    await rollout.addFeature('chat', { percentage: 100 });
    const provider = new HanoiProvider(rollout, { subjectOf: () => rollout.currentSubject() });
    await OpenFeature.setProviderAndWait(provider);
    const values = await rollout.runAs(
      'ann',
      async () => {
        await rollout.disable('chat');
        return [await client.getBooleanValue('chat', false)];
      },
      { pinned: true },
    );
    expect([...values, await client.getBooleanValue('chat', true)]).toEqual([true, false]);
  });

  it.each<[what: string, subjectOf: () => never]>([
    [
      'throws',
      () => {
        throw new Error('no tenant');
      },
    ],
    ['answers with a promise', () => Promise.reject(new Error('later')) as never],
  ])('that %s, answers INVALID_CONTEXT', async (_, subjectOf) => {
    const rollout = new Rollout();
    await rollout.addFeature('chat', { percentage: 100 });
    await OpenFeature.setProviderAndWait(new HanoiProvider(rollout, { subjectOf }));
    expect(await client.getBooleanDetails('chat', false)).toMatchObject({
      value: false,
      reason: 'ERROR',
      errorCode: 'INVALID_CONTEXT',
    });
    expect(() => client.track('chat')).not.toThrow();
  });
});

it('takes a rollout that was told of its features', async () => {
  const rollout = new Rollout<{ chat: boolean; color: 'red' | 'blue' }>();
  await rollout.addFeature('color', { percentage: 100, variants: ['red'] });
  await OpenFeature.setProviderAndWait(new HanoiProvider(rollout));
  expect(await client.getStringValue('color', 'blue')).toBe('red');
});

it.each([
  [5_000, {}],
  [700, { readyTimeoutMs: 700 }],
])('waits %i ms for the store where the options are %j', async (timeoutMs, options) => {
  const rollout = new Rollout();
  const ready = jest.spyOn(rollout, 'ready');
  await OpenFeature.setProviderAndWait(new HanoiProvider(rollout, options));
  expect(ready.mock.calls).toEqual([[{ timeoutMs }]]);
});

it.each<[wrong: string, make: () => unknown]>([
  ['no rollout', () => new HanoiProvider(undefined as never)],
  ['a backend', () => new HanoiProvider(new MemoryBackend() as never)],
  ['an unknown option', () => new HanoiProvider(new Rollout(), { subject: () => 7 } as never)],
  ['a subject', () => new HanoiProvider(new Rollout(), { subjectOf: 'ann' as never })],
  ['a negative time', () => new HanoiProvider(new Rollout(), { readyTimeoutMs: -1 })],
  ['a word', () => new HanoiProvider(new Rollout(), { closesRollout: 'no' as never })],
])('refuses %s', (_, make) => {
  expect(make).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
});

describe('when the provider is closed', () => {
  it.each([
    [{}, 'ready'],
    [{ closesRollout: true }, 'closed'],
  ])('with %j leaves the rollout %s, and hears nothing more of it', async (options, state) => {
    const rollout = new Rollout();
    const provider = new HanoiProvider(rollout, options);
    let changes = 0;
    provider.events.addHandler(ProviderEvents.ConfigurationChanged, () => {
      changes++;
    });
    await OpenFeature.setProviderAndWait(provider);
    await rollout.addFeature('chat');
    await OpenFeature.clearProviders();
    expect(rollout.health().state).toBe(state);
    await rollout.addFeature('search').catch(() => {});
    expect(changes).toBe(1);
    await rollout.close();
  });

  it('can be set again, and hears of each change once', async () => {
    const rollout = new Rollout();
    const provider = new HanoiProvider(rollout);
    await OpenFeature.setProviderAndWait(provider);
    await OpenFeature.clearProviders();
    await OpenFeature.setProviderAndWait(provider);
    // Not through a client: the SDK goes on passing events to it from before.
    const changed: unknown[] = [];
    provider.events.addHandler(ProviderEvents.ConfigurationChanged, (details) => {
      changed.push(details?.flagsChanged);
    });
    await rollout.addFeature('chat');
    expect(changed).toEqual([['chat']]);
  });
});

describe('given a rollout on Redis', () => {
  let server: RedisServer | undefined;
  let redis: Redis;
  const connect = (port: number) => {
    redis = new Redis(port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => 50 });
    redis.on('error', () => {});
    return new RedisBackend(redis);
  };
  const end = async (rollout: Rollout) => {
    await OpenFeature.clearProviders();
    await rollout.close();
    redis.disconnect();
    await server?.stop();
    server = undefined;
  };

  it.each<[kind: string, around: (backend: RedisBackend) => RedisBackend | ReplicaBackend]>([
    ['asked each time', (backend) => backend],
    ['copied', (backend) => new ReplicaBackend(backend)],
  ])(
    '%s that is away at first, is ready when it comes',
    async (_, around) => {
      const port = await freePort();
      const rollout = new Rollout(around(connect(port)));
      try {
        const provider = new HanoiProvider(rollout, { readyTimeoutMs: 200 });
        await expect(OpenFeature.setProviderAndWait(provider)).rejects.toThrow('The rollout is');
        expect(client.providerStatus).toBe(ProviderStatus.ERROR);
        server = await RedisServer.start([], port);
        await until(() => client.providerStatus === ProviderStatus.READY);
        await rollout.addFeature('chat', { percentage: 100 });
        expect(await client.getBooleanValue('chat', false)).toBe(true);
      } finally {
        await end(rollout);
      }
    },
    30_000,
  );

  it('tells that the store has lost what it held', async () => {
    server = await RedisServer.start();
    const rollout = new Rollout(new ReplicaBackend(connect(server.port)));
    try {
      await rollout.addFeature('chat', { percentage: 100 });
      await OpenFeature.setProviderAndWait(new HanoiProvider(rollout));
      const events = heard(ProviderEvents.Error);
      await redis.flushall();
      await until(() => events.length > 0);
      expect(events[0]?.details.message).toContain('holds nothing any more');
      expect(await client.getBooleanValue('chat', false)).toBe(true);
    } finally {
      await end(rollout);
    }
  }, 30_000);

  it('tells of changes that may have gone unheard, without saying of which feature', async () => {
    server = await RedisServer.start();
    const rollout = new Rollout(connect(server.port));
    try {
      await OpenFeature.setProviderAndWait(new HanoiProvider(rollout));
      const events = heard(ProviderEvents.ConfigurationChanged);
      const killed = () => redis.client('KILL', 'TYPE', 'pubsub');
      await until(async () => (await killed()) === 1);
      const before = events.length;
      await until(async () => (await killed()) === 1);
      await until(() => events.length > before);
      expect(new Set(events.map(({ details }) => details.flagsChanged))).toEqual(
        new Set([undefined]),
      );
    } finally {
      await end(rollout);
    }
  }, 30_000);

  it('is stale while Redis, asked each time, is away', async () => {
    server = await RedisServer.start(['--appendonly', 'yes']);
    const rollout = new Rollout(connect(server.port));
    const become = (status: ProviderStatus) =>
      until(async () => {
        await client.getBooleanValue('chat', false);
        return client.providerStatus === status;
      });
    try {
      await rollout.addFeature('chat', { percentage: 100 });
      await OpenFeature.setProviderAndWait(new HanoiProvider(rollout));
      await client.getBooleanValue('chat', false);
      await server.kill();
      await become(ProviderStatus.STALE);
      const expected = {
        value: true,
        reason: 'STALE',
        flagMetadata: { code: 'STORE_UNAVAILABLE' },
      };
      expect(await client.getBooleanDetails('chat', false)).toMatchObject(expected);
      await server.restart();
      await become(ProviderStatus.READY);
    } finally {
      await end(rollout);
    }
  }, 30_000);

  it('tells of another store in the place of the first, and is ready with that one', async () => {
    server = await RedisServer.start();
    const rollout = new Rollout(connect(server.port));
    const other = new Rollout(new RedisBackend(redis));
    try {
      await rollout.addFeature('chat', { percentage: 100 });
      await OpenFeature.setProviderAndWait(new HanoiProvider(rollout));
      await client.getBooleanValue('chat', false);
      const events = heard(ProviderEvents.Error);
      await redis.flushall();
      await other.addFeature('search', { percentage: 100 });
      expect(await client.getBooleanValue('search', false)).toBe(true);
      expect(events).toHaveLength(1);
      expect(client.providerStatus).toBe(ProviderStatus.READY);
    } finally {
      await other.close();
      await end(rollout);
    }
  }, 30_000);

  it('begins stale where Redis has gone before', async () => {
    server = await RedisServer.start();
    const rollout = new Rollout(new ReplicaBackend(connect(server.port), { maxStaleMs: 2_000 }));
    try {
      await rollout.addFeature('chat', { percentage: 100 });
      await server.kill();
      await until(() => rollout.health().state === 'stale');
      const events = heard(ProviderEvents.Stale);
      await OpenFeature.setProviderAndWait(new HanoiProvider(rollout, { readyTimeoutMs: 100 }));
      await until(() => events.length > 0);
      expect(client.providerStatus).toBe(ProviderStatus.STALE);
      expect(await client.getBooleanValue('chat', false)).toBe(true);
    } finally {
      await end(rollout);
    }
  }, 30_000);

  it('answers by the bootstrap of a replica, though it is not ready', async () => {
    const bootstrap = { features: { chat: { percentage: 100 } } };
    const rollout = new Rollout(new ReplicaBackend(connect(await freePort()), { bootstrap }));
    try {
      const provider = new HanoiProvider(rollout, { readyTimeoutMs: 100 });
      await OpenFeature.setProviderAndWait(provider).catch(() => {});
      const { value, reason, flagMetadata } = await client.getBooleanDetails('chat', false);
      expect([value, reason]).toEqual([true, 'STALE']);
      // Its age is not known, which no number says.
      expect(new Set(Object.keys(flagMetadata))).toEqual(new Set(['code', 'detail', 'enabled']));
    } finally {
      await end(rollout);
    }
  }, 30_000);
});
