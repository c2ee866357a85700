import { Redis } from 'ioredis';
import { RedisBackend } from '../lib/backends/redis/index.js';
import { MemoryBackend, Rollout } from '../lib/index.js';
import { POPULATION } from '../lib/stored-name.js';
import { RedisServer } from './redis-server.js';

interface User {
  readonly id: string;
  readonly country: string;
}

const ann: User = { id: 'ann', country: 'US' };
const bob: User = { id: 'bob', country: 'CA' };

const premiumIn = (country: string) => ({
  variants: ['acme', 'premium'] as const,
  rules: [
    {
      id: country,
      when: { attribute: 'country', op: 'equals', value: country },
      serve: { variant: 'premium' },
    },
  ] as const,
});

const processors = (rollout: Rollout) =>
  rollout.implementations(
    'payments',
    {
      acme: (user: User) => `acme for ${user.id}`,
      premium: async (user: User) => ({ premium: user.id }),
    },
    { default: 'acme' },
  );

describe('implementations', () => {
  it('are chosen by the variant of the first argument, and called with all', async () => {
    const rollout = new Rollout();
    await rollout.addFeature('payments', premiumIn('CA'));
    const processor = processors(rollout);
    expect(await processor.create(ann)).toBe('acme for ann');
    expect(await processor.create(bob)).toEqual({ premium: 'bob' });
    expect(await processor.find(bob)).toBe('premium');
    const adding = rollout.implementations(
      'payments',
      { acme: (_: User, ...more: number[]) => more, premium: (_: User, ...more: number[]) => more },
      { default: 'acme' },
    );
    expect(await adding.create(bob, 1, 2)).toEqual([1, 2]);
  });

  it('are the default where the feature is off, unknown, or gives another name', async () => {
    const rollout = new Rollout();
    const processor = processors(rollout);
    expect(await processor.find(bob)).toBe('acme');
    await rollout.addFeature('payments', { ...premiumIn('CA'), enabled: false });
    expect(await processor.create(bob)).toBe('acme for bob');
    await rollout.update('payments', {
      enabled: true,
      variants: ['constructor', 'acme'],
      rules: [{ id: 'all', when: { group: 'all' }, serve: { variant: 'constructor' } }],
    });
    expect(await processor.create(bob)).toBe('acme for bob');
    await rollout.update('payments', { rules: [], variants: [], percentage: 100 });
    expect(await processor.create(bob)).toBe('acme for bob');
  });

  it('are found without being used; to create one uses it, once for each subject', async () => {
    const backend = new MemoryBackend();
    const rollout = new Rollout(backend);
    const sticky = { id: 's', when: { group: 'all' }, serve: 'on', sticky: true } as const;
    await rollout.addFeature('payments', {
      variants: [
        { name: 'acme', weight: 0 },
        { name: 'premium', weight: 1 },
      ],
      rules: [sticky],
    });
    const processor = processors(rollout);
    const counts = async () => Object.fromEntries(await backend.assignedWeights('payments'));
    expect(await processor.find(ann)).toBe('premium');
    expect(await counts()).toEqual({});
    await processor.create(ann);
    await processor.create(ann);
    expect(await counts()).toEqual({ premium: 1 });
    // What a client had found before is marked when it says so.
    await processor.used('acme', bob);
    expect(await processor.find(bob)).toBe('acme');
    expect(await counts()).toEqual({ premium: 1, acme: 1 });
    await expect(processor.used('other' as never, bob)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('are counted in a test as they were found, also where off is the default one', async () => {
    const rollout = new Rollout();
    await rollout.addFeature('payments', { variants: ['premium'] });
    const hour = 60 * 60 * 1000;
    await rollout.addExperiment('test', {
      from: new Date(Date.now() - hour),
      until: new Date(Date.now() + hour),
      arms: [
        { name: 'control', proportion: 0.5, features: { payments: false } },
        { name: 'tested', proportion: 0.5, features: { payments: 'premium' } },
      ],
    });
    const processor = processors(rollout);
    const found = { acme: 0, premium: 0 };
    for (let n = 0; n < 200; n++) {
      const user = { id: `user-${n}`, country: 'US' };
      const name = await processor.find(user);
      found[name]++;
      await processor.used(name, user);
    }
    const { arms = [], sampleRatio } = (await rollout.experiment('test')) ?? {};
    expect(arms.map(({ uses }) => uses)).toEqual([found.acme, found.premium]);
    expect(sampleRatio?.isMismatched).toBe(false);
  });

  it('are about the current subject where they take nothing, or about whom they are told', async () => {
    const rollout = new Rollout();
    await rollout.addFeature('payments', premiumIn('CA'));
    const text = rollout.implementations(
      'payments',
      { acme: () => 'a', premium: () => 'p' },
      { default: 'acme' },
    );
    expect(await rollout.runAs(bob, () => text.create())).toBe('p');
    expect(await text.create()).toBe('a');
    const table = { acme: (n: number, _: User) => n, premium: (n: number, _: User) => -n };
    const second = rollout.implementations('payments', table, { default: 'acme', subject: 2 });
    expect([await second.create(5, ann), await second.create(5, bob)]).toEqual([5, -5]);
    const picked = rollout.implementations('payments', table, {
      default: 'acme',
      subject: (n: number) => (n > 3 ? bob : ann),
    });
    expect([await picked.create(3, bob), await picked.create(4, ann)]).toEqual([3, -4]);
  });

  it('keep nothing of a variant that they have not', async () => {
    const backend = new MemoryBackend();
    const rollout = new Rollout(backend);
    const sticky = { id: 's', when: { group: 'all' }, serve: 'on', sticky: true } as const;
    await rollout.addFeature('payments', { variants: ['newer'], rules: [sticky] });
    const heard: unknown[] = [];
    rollout.on('exposure', (exposure) => heard.push(exposure));
    expect(await processors(rollout).create(ann)).toBe('acme for ann');
    expect(heard).toEqual([]);
    expect((await backend.assignedWeights('payments')).size).toBe(0);
  });

  it('can not be reached past the handle, nor changed behind it', async () => {
    const table = { acme: (user: User) => user.id, premium: (user: User) => user.country };
    const rollout = new Rollout();
    const processor = rollout.implementations('payments', table, { default: 'acme' });
    expect(Object.keys(processor)).toEqual(['create', 'find', 'used']);
    expect(Object.isFrozen(processor)).toBe(true);
    // @ts-expect-error
    expect(processor.acme).toBeUndefined();
    table.acme = () => 'another';
    expect(await processor.create(ann)).toBe('ann');
  });

  it('throw what they throw', async () => {
    const rollout = new Rollout();
    const fail = (_: User): string => {
      throw new RangeError('No.');
    };
    const handle = rollout.implementations('payments', { fail }, { default: 'fail' });
    await expect(handle.create(ann)).rejects.toThrow(RangeError);
  });

  it.each([
    [{ acme: 5 }, { default: 'acme' }],
    [{ acme: () => 1 }, { default: 'other' }],
    [{ acme: () => 1 }, {}],
    ['acme', { default: 'acme' }],
    [null, { default: 'acme' }],
    [{ acme: () => 1 }, undefined],
    [{ acme: () => 1 }, { default: 'acme', subjects: 1 }],
    [{ acme: () => 1 }, { default: 'acme', subject: 0 }],
  ])('are refused as %j with %j', (table, options) => {
    const { implementations } = Rollout.prototype;
    expect(() =>
      implementations.call(new Rollout(), 'f', table as never, options as never),
    ).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('have types that say what goes', () => {
    const rollout = new Rollout();
    const wrong = () => [
      rollout.implementations(
        'payments',
        // @ts-expect-error: it takes other arguments than the default one
        { acme: (user: User) => user.id, premium: (id: number) => id },
        { default: 'acme' },
      ),
      rollout.implementations(
        'payments',
        // @ts-expect-error: it takes fewer
        { acme: (user: User) => user.id, premium: () => 'p' },
        { default: 'acme' },
      ),
      // @ts-expect-error: there is no such one
      rollout.implementations('payments', { acme: () => 1 }, { default: 'premium' }),
      // @ts-expect-error: a default is needed
      rollout.implementations('payments', { acme: () => 1 }, {}),
      // @ts-expect-error: the user is missing
      processors(rollout).create(),
      // @ts-expect-error: there is no such one
      processors(rollout).used('other', ann),
    ];
    const right = async () => {
      const made: string | { premium: string } = await processors(rollout).create(ann);
      const name: 'acme' | 'premium' = await processors(rollout).find(ann);
      return [made, name];
    };
    expect([typeof wrong, typeof right]).toEqual(['function', 'function']);
  });
});

describe('a boolean feature', () => {
  it('is what its function says, until somebody says otherwise', async () => {
    const rollout = new Rollout();
    const processing = rollout.booleanFeature('images', (user: User) => user.country === 'US');
    const answers = async () => [
      await processing.isEnabled(ann),
      await processing.isEnabled(bob),
      await processing.find(bob),
    ];
    expect(await answers()).toEqual([true, false, false]);
    await rollout.addFeature('images');
    expect(await answers()).toEqual([true, false, false]);
    await rollout.activate('images');
    expect(await answers()).toEqual([true, true, true]);
    await rollout.disable('images');
    expect(await answers()).toEqual([false, false, false]);
    await rollout.enable('images');
    await rollout.setPercentage('images', 0);
    await rollout.exclude('images', ann);
    expect(await answers()).toEqual([false, false, false]);
    await rollout.update('images', {
      excluded: [],
      rules: [{ id: 'CA', when: { users: ['bob'] }, serve: 'on' }],
    });
    expect(await answers()).toEqual([true, true, true]);
  });

  it('is what its function says in an outage too, but where somebody had said otherwise', async () => {
    const server = await RedisServer.start();
    const client = new Redis(server.port, { disconnectTimeout: 50 });
    client.on('error', () => {});
    const rollout = new Rollout(new RedisBackend(client));
    try {
      await rollout.addFeature('images');
      await rollout.addFeature('texts', { excluded: ['ann'] });
      const [images, texts] = ['images', 'texts'].map((name) =>
        rollout.booleanFeature(name, (_: string | undefined) => true),
      ) as [ReturnType<typeof rollout.booleanFeature>, ReturnType<typeof rollout.booleanFeature>];
      const answers = () =>
        Promise.all([images.find('ann'), images.find(undefined), texts.find('ann')]);
      expect(await answers()).toEqual([true, true, false]);
      await server.stop();
      await answers();
      expect((await rollout.decide('images', 'ann')).reason).toBe('STALE');
      expect(await answers()).toEqual([true, true, false]);
    } finally {
      await rollout.close();
      client.disconnect();
      await server.stop();
    }
  });

  it('is told of where somebody has said so, and not where its function did', async () => {
    const rollout = new Rollout();
    await rollout.addFeature('images');
    const heard: boolean[] = [];
    rollout.on('exposure', ({ enabled }) => heard.push(enabled));
    const processing = rollout.booleanFeature('images', (_: User) => true);
    expect(await processing.isEnabled(ann)).toBe(true);
    expect(heard).toEqual([]);
    await rollout.disable('images');
    expect(await processing.isEnabled(ann)).toBe(false);
    expect(heard).toEqual([false]);
  });

  it('takes a function of nothing, and a promise', async () => {
    const rollout = new Rollout();
    const processing = rollout.booleanFeature('images', async () => true);
    expect(await processing.isEnabled()).toBe(true);
    expect(() => rollout.booleanFeature('images', true as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

it('is not fooled by a name that stands for something else in the store', async () => {
  const rollout = new Rollout();
  expect((await rollout.use(POPULATION, 'ann')).enabled).toBe(false);
});
