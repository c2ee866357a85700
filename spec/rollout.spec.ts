import type { Head, Source, Stored, View } from '../lib/backends/backend.js';
import { REPORT_EVERY_MS } from '../lib/events.js';
import { type ChangeEvent, HanoiError, MemoryBackend, Rollout } from '../lib/index.js';

let rollout: Rollout;
let errors: HanoiError[];

beforeEach(() => {
  rollout = new Rollout();
  errors = [];
  rollout.on('error', (error) => errors.push(error));
});
afterEach(() => rollout.close());

describe('a new Rollout', () => {
  it.each([
    [{ identify: 'id' }, 'identify'],
    [{ unknownFeature: 'on' }, 'unknownFeature'],
    [{ unknownFeatures: true }, 'unknownFeatures'],
    [{ now: 5 }, 'now'],
    [{ defaults: null }, 'defaults'],
    [{ defaults: ['chat'] }, 'defaults'],
    [{ defaults: { chat: 1 } }, 'defaults["chat"]'],
    [{ defaults: { 'a"b': { enabled: true } } }, 'defaults["a\\"b"]'],
  ])('refuses the options %j', (options, message) => {
    expect(() => new Rollout(new MemoryBackend(), options as object)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining(message),
      }),
    );
  });

  it('takes no identify that answers later', async () => {
    expect(() => new Rollout(undefined, { identify: async () => 'id' })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    const late = new Rollout(undefined, { identify: () => Promise.reject(new Error('late')) });
    late.on('error', (error) => errors.push(error));
    await late.addFeature('chat', { percentage: 50 });
    expect(await late.isEnabled('chat', { id: 1 })).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(errors).toMatchObject([{ code: 'SUBJECT_UNREADABLE', feature: 'chat' }]);
  });

  it.each([
    ['options', { identify: () => 1 }],
    ['an address', 'redis://localhost'],
    ['null', null],
    ['a number', 6379],
  ])('refuses %s as a backend', (_, backend) => {
    expect(() => new Rollout(backend as unknown as Source)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('new Rollout(undefined, options)'),
      }),
    );
  });

  it('knows no feature', async () => {
    expect(await rollout.features()).toEqual([]);
    expect(await rollout.get('chat')).toBeUndefined();
    expect(await rollout.decide('chat', 'ann')).toMatchObject({
      feature: 'chat',
      enabled: false,
      value: undefined,
      reason: 'ERROR',
      errorCode: 'FLAG_NOT_FOUND',
      code: 'FEATURE_NOT_FOUND',
    });
  });

  it('turns unknown features on where it is told so', async () => {
    const open = new Rollout(new MemoryBackend(), { unknownFeature: true });
    expect(await open.isEnabled('chat', 'ann')).toBe(true);
    expect(open.isEnabledSync('chat', undefined)).toBe(true);
    expect((await open.decide('chat', 'ann')).errorCode).toBe('FLAG_NOT_FOUND');
    expect(await open.value('chat', { of: 'mine' }, 'ann')).toEqual({ of: 'mine' });
    await open.addFeature('chat');
    expect(await open.isEnabled('chat', 'ann')).toBe(false);
  });

  it('reads ids as it is told', async () => {
    const byUuid = new Rollout(new MemoryBackend(), {
      identify: (user: { uuid: string }) => user.uuid,
    });
    await byUuid.addFeature('chat');
    await byUuid.register('chat', { uuid: 'u1' });
    expect(await byUuid.isEnabled('chat', { uuid: 'u1' })).toBe(true);
    expect(await byUuid.isEnabled('chat', { id: 'u1' })).toBe(false);
    expect(await byUuid.isEnabled('chat', 'u1')).toBe(true);
  });
});

describe('every way of asking', () => {
  beforeEach(async () => {
    await rollout.addFeature('color', {
      variants: [{ name: 'red', value: { hex: '#f00' } }],
      offValue: 'none',
    });
    await rollout.addFeature('size', { variants: ['big'] });
    await rollout.addFeature('chat');
    for (const name of ['color', 'size', 'chat']) await rollout.register(name, 'ann');
  });

  it('gives one answer', async () => {
    expect(await rollout.isEnabled('color', 'ann')).toBe(true);
    expect(rollout.isEnabledSync('color', 'ann')).toBe(true);
    expect(await rollout.variant('color', 'ann')).toBe('red');
    expect(await rollout.value('color', 'x', 'ann')).toEqual({ hex: '#f00' });
    expect(await rollout.value('size', 'x', 'ann')).toBe('big');
    expect(await rollout.value('chat', false, 'ann')).toBe(true);
    const snapshot = await rollout.snapshot('ann');
    expect(snapshot.isEnabled('color')).toBe(true);
    expect(snapshot.variant('color')).toBe('red');
    expect(snapshot.value('color', 'x')).toEqual({ hex: '#f00' });
    expect(snapshot.decide('color')).toBe(await rollout.decide('color', 'ann'));
    expect(rollout.decideSync('color', 'ann')).toBe(snapshot.decide('color'));
  });

  it('gives one answer where it is off', async () => {
    expect(await rollout.isEnabled('color', 'bob')).toBe(false);
    expect(await rollout.variant('color', 'bob')).toBeUndefined();
    expect(await rollout.value('color', 'x', 'bob')).toBe('none');
    expect(await rollout.value('size', 'x', 'bob')).toBe('x');
    expect(await rollout.value('nothing', 'x', 'bob')).toBe('x');
  });

  it('asks about the current subject if none is written', async () => {
    await rollout.runAs('ann', async () => {
      expect(await rollout.isEnabled('chat')).toBe(true);
      expect(rollout.isEnabledSync('chat')).toBe(true);
      expect(rollout.decideSync('chat').enabled).toBe(true);
      expect(await rollout.variant('size')).toBe('big');
      expect(await rollout.value('size', 'x')).toBe('big');
      expect((await rollout.decide('chat')).enabled).toBe(true);
      expect((await rollout.snapshot()).isEnabled('chat')).toBe(true);
    });
  });

  it.each([undefined, null])('asks about nobody if %s is written', async (nobody) => {
    await rollout.runAs('ann', async () => {
      expect(await rollout.isEnabled('chat', nobody)).toBe(false);
      expect(rollout.isEnabledSync('chat', nobody)).toBe(false);
      expect(rollout.decideSync('chat', nobody).detail).toBe('no subject');
      expect(await rollout.variant('size', nobody)).toBeUndefined();
      expect(await rollout.value('size', 'x', nobody)).toBe('x');
      expect((await rollout.decide('chat', nobody)).detail).toBe('no subject');
      expect((await rollout.snapshot(nobody)).isEnabled('chat')).toBe(false);
    });
  });
});

describe('a snapshot', () => {
  it('does not change any more', async () => {
    await rollout.addFeature('chat', { percentage: 100 });
    const snapshot = await rollout.snapshot('ann');
    await rollout.disable('chat');
    await rollout.addFeature('later', { percentage: 100 });
    expect(snapshot.isEnabled('chat')).toBe(true);
    expect(snapshot.decide('later').errorCode).toBe('FLAG_NOT_FOUND');
  });

  it('becomes JSON for a page, with any name', async () => {
    await rollout.addFeature('__proto__', { percentage: 100, variants: ['a'] });
    await rollout.addFeature('off', { offValue: null });
    expect(JSON.stringify(await rollout.snapshot('ann'))).toBe(
      '{"__proto__":{"enabled":true,"variant":"a","value":"a"},"off":{"enabled":false,"value":null}}',
    );
  });
});

describe('changing a feature', () => {
  beforeEach(() => rollout.addFeature('chat', { percentage: 20, excluded: ['bob'] }));

  it('is refused where the feature is not there', async () => {
    const calls = [
      () => rollout.update('nope', {}),
      () => rollout.enable('nope'),
      () => rollout.disable('nope'),
      () => rollout.toggle('nope'),
      () => rollout.activate('nope'),
      () => rollout.deactivate('nope'),
      () => rollout.setPercentage('nope', 1),
      () => rollout.remove('nope'),
      () => rollout.register('nope', 'ann'),
      () => rollout.register('nope', ['ann', { id: 'bob' }]),
      () => rollout.register('nope', []),
      () => rollout.register('nope', /a/),
      () => rollout.unregister('nope', 'ann'),
      () => rollout.exclude('nope', 'ann'),
      () => rollout.unexclude('nope', 'ann'),
      () => rollout.activateGroup('nope', 'g'),
      () => rollout.countMembers('nope'),
      () => rollout.members('nope').next(),
    ];
    for (const call of calls) {
      await expect(call()).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND', feature: 'nope' });
    }
  });

  it('is refused for a bad setting, and nothing is written', async () => {
    const calls = [
      () => rollout.setPercentage('chat', 101),
      () => rollout.setPercentage('chat', '20%' as unknown as number),
      () => rollout.update('chat', { percentage: 30, bucketing: 'x' as 'modulo' }),
      () => rollout.register('chat', /(?=a)/),
      () => rollout.register('chat', ''),
      () => rollout.register('chat', { name: 'no id' }),
      () => rollout.register('chat', undefined as unknown as string),
      () => rollout.exclude('chat', Number.NaN),
      () => rollout.activateGroup('chat', ''),
      () => rollout.addFeature(''),
    ];
    const before = await rollout.get('chat');
    for (const call of calls) {
      await expect(call()).rejects.toMatchObject({ code: 'INVALID_FEATURE' });
    }
    expect(await rollout.get('chat')).toBe(before);
    expect(await rollout.history('chat')).toHaveLength(1);
  });

  it('switches it', async () => {
    expect(await rollout.disable('chat')).toMatchObject({ enabled: false, percentage: 20 });
    expect(await rollout.enable('chat')).toMatchObject({ enabled: true, percentage: 20 });
    expect(await rollout.toggle('chat')).toMatchObject({ enabled: false });
    expect(await rollout.activate('chat')).toMatchObject({ enabled: true, percentage: 100 });
    expect(await rollout.setPercentage('chat', 0.5)).toMatchObject({ percentage: 0.5 });
  });

  it('writes nothing where nothing changes', async () => {
    const feature = await rollout.get('chat');
    expect(await rollout.setPercentage('chat', 20)).toEqual(feature);
    expect(await rollout.exclude('chat', 'bob')).toEqual(feature);
    expect(await rollout.history('chat')).toHaveLength(1);
  });

  it('deactivates it: nobody is let in any more, and the rest is kept', async () => {
    await rollout.register('chat', ['ann', 'eve']);
    await rollout.register('chat', /^x/);
    await rollout.activateGroup('chat', 'staff');
    const before = await rollout.get('chat');
    const after = await rollout.deactivate('chat');
    expect(after).toMatchObject({
      revision: (before?.revision ?? 0) + 1,
      percentage: 0,
      patterns: [],
      groups: [],
      excluded: ['bob'],
      enabled: true,
    });
    expect(await rollout.countMembers('chat')).toBe(0);
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
    await rollout.register('chat', 'ann');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
  });

  it('loses none of many updates at once', async () => {
    await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        n % 2 ? rollout.exclude('chat', `user-${n}`) : rollout.activateGroup('chat', `group-${n}`),
      ),
    );
    const feature = await rollout.get('chat');
    expect(feature?.excluded).toHaveLength(26);
    expect(feature?.groups).toHaveLength(25);
    expect(feature?.revision).toBe(51);
  });

  it('loses none against another Rollout on the same backend', async () => {
    const backend = new MemoryBackend();
    const rollouts = [new Rollout(backend), new Rollout(backend)];
    await rollouts[0]?.addFeature('chat');
    await Promise.all(
      Array.from({ length: 40 }, (_, n) => rollouts[n % 2]?.exclude('chat', `user-${n}`)),
    );
    expect((await rollouts[1]?.get('chat'))?.excluded).toHaveLength(40);
  });

  it('can expect the feature to be as it was read', async () => {
    const expected = (await rollout.get('chat')) as { id: string; revision: number };
    await rollout.setPercentage('chat', 30, { expect: expected });
    for (const call of [
      () => rollout.setPercentage('chat', 40, { expect: expected }),
      () => rollout.remove('chat', { expect: expected }),
      () => rollout.update('chat', {}, { expect: { id: 'other', revision: 2 } }),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'CONFLICT' });
    }
    expect(await rollout.get('chat')).toMatchObject({ percentage: 30 });
  });

  it('goes on after one of those queued has failed', async () => {
    const results = await Promise.allSettled([
      rollout.setPercentage('chat', 101),
      rollout.setPercentage('chat', 50),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  });

  it('leaves a history: what, who and why', async () => {
    await rollout.setPercentage('chat', 30, { actor: 'alice', note: 'launch' });
    await rollout.register('chat', 'ann', { actor: 'bob' });
    expect(await rollout.history('chat')).toMatchObject([
      { kind: 'members', added: ['ann'], actor: 'bob' },
      {
        kind: 'updated',
        before: { percentage: 20 },
        after: { percentage: 30 },
        actor: 'alice',
        note: 'launch',
      },
      { kind: 'created' },
    ]);
    expect(await rollout.history('chat', { limit: 1 })).toHaveLength(1);
  });

  it('removes it, and its members do not come back with its name', async () => {
    await rollout.register('chat', 'ann');
    await rollout.remove('chat');
    expect(await rollout.get('chat')).toBeUndefined();
    await rollout.addFeature('chat');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
  });

  it('rejects, and never throws at once', async () => {
    const hostile = new Proxy({}, { get: () => fail('get'), has: () => fail('has') });
    for (const call of [
      () => rollout.unregister('chat', /(?=a)/),
      () => rollout.unregister('chat', /a/y),
      () => rollout.register('chat', hostile),
      () => rollout.update('chat', () => fail('settings')),
      () => rollout.history('chat', { limit: 1.5 }),
      () => rollout.history('chat', { kind: 'member' as 'members' }),
      () => rollout.history('chat', { kinds: 'members' } as object),
    ]) {
      let made: Promise<unknown> | undefined;
      expect(() => {
        made = call();
      }).not.toThrow();
      await expect(made).rejects.toThrow();
    }
  });

  it('queues here, so that one after the other needs no second try', async () => {
    const backend = new MemoryBackend();
    const load = jest.spyOn(backend, 'load');
    const queued = new Rollout(backend);
    await queued.addFeature('chat');
    await Promise.all(Array.from({ length: 20 }, (_, n) => queued.exclude('chat', `user-${n}`)));
    expect(load).toHaveBeenCalledTimes(20);
  });

  it('tries again while others are faster, and in the end says so', async () => {
    const backend = new MemoryBackend();
    const write = backend.write.bind(backend);
    const busy = new Rollout(backend);
    await busy.addFeature('chat');
    let others = 50;
    backend.write = async (wanted) => {
      if (others-- > 0) throw Object.assign(new Error('others'), { code: 'CONFLICT' });
      return write(wanted);
    };
    expect(await busy.setPercentage('chat', 5)).toMatchObject({ percentage: 5 });
    others = Number.POSITIVE_INFINITY;
    await expect(busy.setPercentage('chat', 6)).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('tells who removed it, and why', async () => {
    await rollout.remove('chat', { actor: 'alice', note: 'done' });
    expect((await rollout.history('chat'))[0]).toMatchObject({
      kind: 'removed',
      actor: 'alice',
      note: 'done',
    });
  });

  it('is refused for one that is there already', async () => {
    await expect(rollout.addFeature('chat')).rejects.toMatchObject({ code: 'FEATURE_EXISTS' });
    const results = await Promise.allSettled([rollout.addFeature('x'), rollout.addFeature('x')]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
  });

  it('is refused on a source that only reads', async () => {
    const { write: _, ...source } = Object.assign(Object.create(null), {
      subscribe: () => () => {},
      watch: () => () => {},
      readAll: async () => undefined,
      load: async () => undefined,
      close: async () => {},
    });
    const readOnly = new Rollout(source as unknown as Source);
    for (const call of [() => readOnly.addFeature('x'), () => readOnly.register('x', 'ann')]) {
      await expect(call()).rejects.toMatchObject({ code: 'READ_ONLY' });
    }
  });
});

describe('a write that is repeated with its request id', () => {
  const requestId = 'r1';

  it('adds a feature once, and resolves with that one', async () => {
    const first = await rollout.addFeature('chat', { percentage: 5 }, { requestId });
    expect(await rollout.addFeature('chat', { percentage: 5 }, { requestId })).toEqual(first);
    expect(await rollout.history('chat')).toHaveLength(1);
  });

  it('changes it once, also where the change depends on what is there', async () => {
    const added = await rollout.addFeature('chat');
    const first = await rollout.toggle('chat', { requestId });
    expect(first.enabled).toBe(false);
    expect(await rollout.toggle('chat', { requestId })).toEqual(first);
    const set = { requestId: 'r2', expect: first };
    const second = await rollout.setPercentage('chat', 7, set);
    expect(await rollout.setPercentage('chat', 7, set)).toEqual(second);
    expect(await rollout.deactivate('chat', { requestId: 'r3' })).toEqual(
      await rollout.deactivate('chat', { requestId: 'r3' }),
    );
    await expect(
      rollout.setPercentage('chat', 8, { requestId: 'r4', expect: added }),
    ).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await rollout.history('chat')).toHaveLength(4);
  });

  it('registers once, one or many, and removes once', async () => {
    await rollout.addFeature('chat');
    const many = Array.from({ length: 2_500 }, (_, n) => `user-${n}`);
    expect(await rollout.register('chat', many, { requestId })).toBe(2_500);
    expect(await rollout.register('chat', 'ann', { requestId: 'r2' })).toBe(1);
    await rollout.unregister('chat', ['user-1', 'user-2000', 'ann']);
    expect(await rollout.register('chat', many, { requestId })).toBe(2_500);
    expect(await rollout.register('chat', 'ann', { requestId: 'r2' })).toBe(1);
    expect(await rollout.countMembers('chat')).toBe(2_498);
    await rollout.remove('chat', { requestId: 'r3' });
    await rollout.addFeature('chat');
    await rollout.remove('chat', { requestId: 'r3' });
    expect(await rollout.get('chat')).toBeDefined();
  });
});

describe('members', () => {
  beforeEach(() => rollout.addFeature('chat'));

  it.each([
    ['a string', 'ann', ['ann']],
    ['a number', 42, ['42']],
    ['a bigint', 42n, ['42']],
    ['an object', { id: 7 }, ['7']],
    ['an array', ['ann', 7, { id: 'bob' }], ['ann', '7', 'bob']],
    ['a Set', new Set(['ann', 'bob']), ['ann', 'bob']],
    ['a generator', generated(), ['u0', 'u1', 'u2']],
    ['an async generator', asyncGenerated(), ['u0', 'u1', 'u2']],
  ])('come as %s, and go', async (_, who, expected) => {
    expect(await rollout.register('chat', who)).toBe(expected.length);
    expect(await rollout.register('chat', expected)).toBe(0);
    expect(await listed(rollout.members('chat'))).toEqual(expected);
    expect(await rollout.countMembers('chat')).toBe(expected.length);
    for (const id of expected) expect(await rollout.isEnabled('chat', id)).toBe(true);
    expect(await rollout.unregister('chat', expected)).toBe(expected.length);
    expect(await rollout.countMembers('chat')).toBe(0);
  });

  it('come by a pattern, and go by it', async () => {
    expect(await rollout.register('chat', /01$/g)).toBe(1);
    expect(await rollout.register('chat', /01$/)).toBe(0);
    expect(await rollout.isEnabled('chat', '443301')).toBe(true);
    expect(await rollout.unregister('chat', /02$/)).toBe(0);
    expect(await rollout.unregister('chat', /01$/i)).toBe(0);
    expect(await rollout.unregister('chat', /01$/g)).toBe(1);
    expect(await rollout.isEnabled('chat', '443301')).toBe(false);
  });

  it('are known by the attribute that subjectKey names', async () => {
    await rollout.addFeature('byAccount', { subjectKey: 'account' });
    await rollout.register('byAccount', { id: 1, account: 'acme' });
    expect(await listed(rollout.members('byAccount'))).toEqual(['acme']);
    expect(await rollout.isEnabled('byAccount', { id: 2, account: 'acme' })).toBe(true);
    await expect(rollout.register('byAccount', { id: 1 })).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
    });
    await rollout.exclude('byAccount', { account: 'acme' });
    expect(await rollout.isEnabled('byAccount', { account: 'acme' })).toBe(false);
  });

  it('come by the ten thousand, with progress, in turns of the event loop', async () => {
    const progress: unknown[] = [];
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const count = await rollout.register('chat', many(10_500), {
      onProgress: (done) => progress.push(done),
    });
    clearInterval(timer);
    expect(count).toBe(10_500);
    expect(progress).toHaveLength(11);
    expect(progress[0]).toEqual({ done: 1_000, changed: 1_000 });
    expect(progress[10]).toEqual({ done: 10_500, changed: 10_500 });
    expect(turns).toBeGreaterThan(1);
  });

  it('stop coming when the feature is replaced underway', async () => {
    const replace = async () => {
      await rollout.remove('chat');
      await rollout.addFeature('chat');
    };
    async function* source() {
      yield* many(1_000);
      yield 'one more, so that the batch is written';
      await replace();
      yield* many(1_000);
    }
    await expect(rollout.register('chat', source())).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await rollout.countMembers('chat')).toBe(0);
  });

  it('are never named in a message', async () => {
    const secret = 'secret@mail\ud800';
    for (const call of [
      () => rollout.register('chat', secret),
      () => rollout.exclude('chat', secret),
    ]) {
      const error: HanoiError = await call().then(
        () => fail('taken'),
        (thrown) => thrown,
      );
      expect(error.code).toBe('INVALID_FEATURE');
      expect(error.message).not.toContain('secret');
    }
  });

  it.each([
    ['bytes', Buffer.from('abc')],
    ['a String', Object('ann')],
  ])('are not the parts of %s', async (_, who) => {
    await expect(rollout.register('chat', who)).rejects.toMatchObject({ code: 'INVALID_FEATURE' });
    expect(await rollout.countMembers('chat')).toBe(0);
  });

  it('come by the hundred thousand', async () => {
    expect(await rollout.register('chat', many(200_000))).toBe(200_000);
    expect(await rollout.countMembers('chat')).toBe(200_000);
    expect(rollout.isEnabledSync('chat', 'user-199999')).toBe(true);
    let streamed = 0;
    for await (const _ of rollout.members('chat')) streamed++;
    expect(streamed).toBe(200_000);
  }, 60_000);

  it('name the one that is refused', async () => {
    await expect(rollout.register('chat', ['ann', '', 'bob'])).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
      path: 'subjects[1]',
    });
    expect(await rollout.countMembers('chat')).toBe(0);
  });
});

describe('any name', () => {
  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'a|b', 'a,b', '😀', ' '])(
    '%j may be a feature, a variant, a group, a user and a data key, and is only that one',
    async (name) => {
      const data = Object.fromEntries([[name, 'x']]);
      await rollout.addFeature(name, { variants: [name], groups: [name], data });
      expect(await rollout.isEnabled(name, 'ann')).toBe(false);
      expect(await rollout.register(name, name)).toBe(1);
      expect(await rollout.decide(name, name)).toMatchObject({
        feature: name,
        enabled: true,
        variant: name,
      });
      expect(await rollout.isEnabled(name, { id: 1, groups: [name] })).toBe(true);
      expect((await rollout.snapshot(name)).variant(name)).toBe(name);
      expect(JSON.stringify((await rollout.get(name))?.data)).toBe(JSON.stringify(data));
      await rollout.exclude(name, name);
      expect(await rollout.isEnabled(name, name)).toBe(false);
      expect(await rollout.isEnabled(`${name}x`, name)).toBe(false);
      expect((await rollout.features()).map((feature) => feature.name)).toEqual([name]);
      expect(({} as Record<string, unknown>).x).toBeUndefined();
    },
  );
});

describe('exclusion', () => {
  it('keeps out whom all else lets in, and is lifted', async () => {
    await rollout.addFeature('chat', { percentage: 100 });
    await rollout.register('chat', 'bob');
    await rollout.exclude('chat', ['bob', { id: 'eve' }]);
    expect(await rollout.decide('chat', 'bob')).toMatchObject({
      enabled: false,
      reason: 'TARGETING_MATCH',
      detail: 'excluded',
    });
    expect(await rollout.unexclude('chat', 'bob')).toMatchObject({ excluded: ['eve'] });
    expect(await rollout.isEnabled('chat', 'bob')).toBe(true);
  });
});

describe('groups', () => {
  beforeEach(async () => {
    await rollout.addFeature('chat');
    await rollout.activateGroup('chat', 'staff');
  });

  it('are what is defined here', async () => {
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
    rollout.defineGroup('staff', (id: string) => id.startsWith('a'));
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
    expect(await rollout.isEnabled('chat', 'bob')).toBe(false);
    await rollout.deactivateGroup('chat', 'staff');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
  });

  it('are what subjects say of themselves, too', async () => {
    expect(await rollout.isEnabled('chat', { id: 1, groups: ['x', 'staff'] })).toBe(true);
    rollout.defineGroup('staff', () => false);
    expect(await rollout.isEnabled('chat', { id: 1, groups: ['staff'] })).toBe(true);
    expect(await rollout.isEnabled('chat', { id: 1, groups: 'staff' })).toBe(false);
    expect(await rollout.isEnabled('chat', { id: 1, groups: [] })).toBe(false);
  });

  it('that nobody has defined have nobody in them, whatever their name', async () => {
    for (const group of ['__proto__', 'constructor', 'toString']) {
      await rollout.addFeature(group, { groups: [group] });
      expect(await rollout.isEnabled(group, 'ann')).toBe(false);
      rollout.defineGroup(group, () => true);
      expect(await rollout.isEnabled(group, 'ann')).toBe(true);
    }
  });

  it.each([
    ['throws', () => fail('db down')],
    ['answers with a promise', () => Promise.resolve(true)],
    ['answers with a rejected promise', () => Promise.reject(new Error('db down'))],
    // biome-ignore lint/suspicious/noThenProperty: it is about such objects
    ['answers with a thenable', () => ({ then: () => {} })],
  ])('whose function %s have nobody in them, and say so once', async (_, isIn) => {
    rollout.defineGroup('staff', isIn);
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
    expect(await rollout.isEnabled('chat', 'bob')).toBe(false);
    expect(errors).toMatchObject([{ code: 'GROUP_FAILED' }]);
  });

  it('that fail are reported each, once in a while', async () => {
    await rollout.activateGroup('chat', 'other');
    await rollout.addFeature('search', { groups: ['staff'] });
    for (const group of ['staff', 'other']) rollout.defineGroup(group, () => fail('db down'));
    const clock = jest.spyOn(performance, 'now').mockReturnValue(1_000);
    for (let n = 0; n < 3; n++) {
      await rollout.isEnabled('chat', `user-${n}`);
      await rollout.isEnabled('search', `user-${n}`);
    }
    expect(errors.map(({ message }) => message)).toEqual([
      expect.stringContaining('"staff"'),
      expect.stringContaining('"other"'),
    ]);
    clock.mockReturnValue(1_000 + REPORT_EVERY_MS);
    await rollout.isEnabled('search', 'ann');
    clock.mockRestore();
    expect(errors).toHaveLength(3);
  });

  it('that fail under ever other names are reported at a bounded rate', async () => {
    const clock = jest.spyOn(performance, 'now').mockReturnValue(1_000);
    const report = async () => {
      for (let n = 0; n < 1_100; n++) {
        const group = `group-${n}`;
        rollout.defineGroup(group, () => fail('db down'));
        await rollout.update('chat', { groups: [group] });
        await rollout.isEnabled('chat', 'ann');
      }
    };
    await report();
    await report();
    expect(errors).toHaveLength(1_000);
    clock.mockReturnValue(1_000 + REPORT_EVERY_MS);
    await report();
    clock.mockRestore();
    expect(errors).toHaveLength(2_000);
  });

  it.each([
    ['all', () => true],
    ['NONE', () => true],
    ['', () => true],
    ['x', 'not a function'],
    ['x', async () => true],
  ])('are refused as %j with %p', (group, isIn) => {
    expect(() => rollout.defineGroup(group, isIn as () => boolean)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^INVALID_/) }),
    );
  });
});

describe('events', () => {
  it('tell of every change, until off', async () => {
    const seen: ChangeEvent[] = [];
    const listener = (event: ChangeEvent) => seen.push(event);
    rollout.on('change', listener);
    await rollout.addFeature('chat');
    await rollout.register('chat', 'ann');
    await rollout.disable('chat');
    await rollout.remove('chat');
    rollout.off('change', listener);
    await rollout.addFeature('other');
    expect(seen.map(({ name, kind }) => [name, kind])).toEqual([
      ['chat', 'created'],
      ['chat', 'members'],
      ['chat', 'updated'],
      ['chat', 'removed'],
    ]);
  });

  it.each([
    ['throws', () => fail('listener')],
    ['rejects', async () => fail('listener')],
  ])('survive a listener that %s, and so do the others', async (_, listener) => {
    const other = jest.fn();
    rollout.on('change', listener).on('change', other);
    await rollout.addFeature('chat');
    await Promise.resolve();
    expect(other).toHaveBeenCalledTimes(1);
    expect(errors).toMatchObject([{ code: 'LISTENER_FAILED' }]);
  });

  it('of errors need no listener, and may have a bad one', async () => {
    const lonely = new Rollout();
    await lonely.addFeature('chat', { groups: ['staff'] });
    lonely.defineGroup('staff', () => fail('db down'));
    expect(await lonely.isEnabled('chat', 'ann')).toBe(false);
    lonely.on('error', () => fail('listener'));
    lonely.defineGroup('other', () => fail('db down'));
    expect(await lonely.isEnabled('chat', 'ann')).toBe(false);
  });

  it('are heard by functions', () => {
    expect(() => rollout.on('change', 3 as unknown as () => void)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    expect(() => rollout.runAs('ann', undefined as unknown as () => void)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it('are known by name', () => {
    for (const name of ['changes', 'toString', '__proto__']) {
      expect(() => rollout.on(name as 'change', () => {})).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    }
  });
});

describe('a subject that throws from its id', () => {
  it('is no subject, and is reported without its id', async () => {
    await rollout.addFeature('chat', { percentage: 99 });
    const hostile = {
      get id(): string {
        return fail('secret-id');
      },
    };
    expect(await rollout.isEnabled('chat', hostile)).toBe(false);
    expect((await rollout.snapshot(hostile)).isEnabled('chat')).toBe(false);
    expect(errors).toMatchObject([{ code: 'SUBJECT_UNREADABLE', feature: 'chat' }]);
    expect(errors[0]?.message).not.toContain('secret-id');
    await expect(rollout.register('chat', hostile)).rejects.toThrow('secret-id');
  });
});

describe('a source that does I/O', () => {
  /** A memory backend that hides that it is local, and fails when told to. */
  class Remote extends MemoryBackend {
    down: boolean = false;
    reads = 0;
    private view: View | undefined;

    constructor() {
      super();
      this.view = this.local;
      this.local = undefined;
    }

    override async read(): Promise<View> {
      this.reads++;
      if (this.down) throw new Error('connect ECONNREFUSED redis://:password@host');
      this.local = this.view;
      const view = await super.read();
      this.local = undefined;
      return view;
    }

    override readAll(): Promise<View> {
      return this.read();
    }

    override async write(...args: Parameters<MemoryBackend['write']>) {
      this.local = this.view;
      const written = await super.write(...args);
      this.local = undefined;
      return written;
    }
  }

  let backend: Remote;
  beforeEach(async () => {
    backend = new Remote();
    rollout = new Rollout(backend);
    rollout.on('error', (error) => errors.push(error));
    await rollout.addFeature('chat', { variants: ['foo'] });
    await rollout.register('chat', 'ann');
  });

  it('is awaited', async () => {
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
    expect(await rollout.variant('chat', 'ann')).toBe('foo');
    expect((await rollout.snapshot('ann')).isEnabled('chat')).toBe(true);
    expect(backend.reads).toBe(3);
  });

  it('can not be asked synchronously', () => {
    for (const ask of [
      () => rollout.isEnabledSync('chat', 'ann'),
      () => rollout.decideSync('chat', 'ann'),
    ]) {
      expect(ask).toThrow(expect.objectContaining({ code: 'BACKEND_NOT_LOCAL', feature: 'chat' }));
    }
  });

  it('answers closed while it is down, and never "no such feature"', async () => {
    backend.down = true;
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
    expect(await rollout.decide('chat', 'ann')).toMatchObject({
      enabled: false,
      reason: 'ERROR',
      errorCode: 'GENERAL',
      code: 'STORE_UNAVAILABLE',
    });
    expect(await rollout.value('chat', 'x', 'ann')).toBe('x');
    const snapshot = await rollout.snapshot('ann');
    expect(snapshot.decide('chat').code).toBe('STORE_UNAVAILABLE');
    expect(errors).toMatchObject([{ code: 'STORE_UNAVAILABLE', feature: 'chat' }]);
    expect(errors[0]?.message).not.toContain('password');
  });

  it('does not turn unknown features on while it is down', async () => {
    const open = new Rollout(backend, { unknownFeature: true });
    expect(await open.isEnabled('nope', 'ann')).toBe(true);
    backend.down = true;
    expect(await open.isEnabled('nope', 'ann')).toBe(false);
    expect((await open.snapshot('ann')).isEnabled('nope')).toBe(false);
  });
});

describe('facts that a local view does not know', () => {
  it('are looked up by an awaited check, and close a synchronous one', async () => {
    const backend = new MemoryBackend();
    const known = backend.local as View;
    backend.local = {
      stale: undefined,
      names: () => known.names(),
      get: (name) => {
        const held = known.get(name);
        return held && { ...held, facts: { isMember: () => undefined, assigned: () => null } };
      },
    };
    backend.read = async () => known;
    backend.readAll = async () => known;
    rollout = new Rollout(backend);
    rollout.on('error', (error) => errors.push(error));
    await rollout.addFeature('chat');
    await rollout.register('chat', 'ann');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
    expect((await rollout.snapshot('ann')).isEnabled('chat')).toBe(true);
    expect(errors).toEqual([]);
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(false);
    expect(errors).toMatchObject([{ code: 'NEEDS_LOOKUP', feature: 'chat' }]);
  });
});

describe('after close', () => {
  it('checks answer closed, and writes are refused', async () => {
    await rollout.addFeature('chat', { percentage: 100 });
    await rollout.close();
    await rollout.close();
    expect(await rollout.decide('chat', 'ann')).toMatchObject({ enabled: false, code: 'CLOSED' });
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(false);
    expect((await rollout.snapshot('ann')).isEnabled('chat')).toBe(false);
    await expect(rollout.addFeature('other')).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(rollout.get('chat')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('is what leaving an `await using` block does', async () => {
    expect(rollout[Symbol.asyncDispose]()).toBe(rollout.close());
  });

  it('nothing is heard of the backend any more', async () => {
    const backend = new MemoryBackend();
    backend.close = async () => {};
    const [one, other] = [new Rollout(backend), new Rollout(backend)];
    const heard = jest.fn();
    one.on('change', heard);
    await other.addFeature('before');
    await one.close();
    await other.addFeature('after');
    expect(heard).toHaveBeenCalledTimes(1);
  });
});

describe('a document that can not be read', () => {
  it('is named by what people call it, though it is of no feature', async () => {
    const contents = JSON.stringify({
      features: {
        zoo: { percentage: 'all' },
        'group\u001ffriends': { subjectKey: 7 },
        'experiment\u001fbest': { variants: 7 },
        'population\u001fall': { variants: 7 },
        // Of a kind that a newer version knows.
        'alien\u001fthing': { percentage: 'all' },
        fine: {},
      },
    });
    rollout = new Rollout(new MemoryBackend({ contents }));
    const found = await rollout.unreadable();
    expect(found.map(({ of, name }) => [of, name])).toEqual([
      ['population', 'all'],
      ['experiment', 'best'],
      ['group', 'friends'],
      ['feature', 'zoo'],
    ]);
    expect(found.map(({ problem }) => problem.code)).toEqual(Array(4).fill('CORRUPT_FEATURE'));
    expect(found[3]?.problem.path).toBe('features.zoo.percentage');
  });

  it('is off, reported, and never overwritten', async () => {
    const backend = new MemoryBackend();
    rollout = new Rollout(backend);
    rollout.on('error', (error) => errors.push(error));
    for (const name of ['zoo', 'fine', 'also']) await rollout.addFeature(name);
    const problem = new HanoiError('CORRUPT_FEATURE', 'It is no JSON.', { feature: 'zoo' });
    const corrupt = (stored: Stored): Stored =>
      stored.feature?.name === 'zoo' ? { head: stored.head, problem } : stored;
    const { load, loadAll } = backend;
    backend.load = async (name) => {
      const stored = await load.call(backend, name);
      return stored && corrupt(stored);
    };
    backend.loadAll = async () => {
      const { token, features } = await loadAll.call(backend);
      return {
        token,
        features: new Map(Array.from(features, ([name, stored]) => [name, corrupt(stored)])),
      };
    };
    const write = jest.spyOn(backend, 'write');
    await expect(rollout.get('zoo')).rejects.toBe(problem);
    await expect(rollout.setPercentage('zoo', 5)).rejects.toBe(problem);
    expect(write).not.toHaveBeenCalled();
    expect((await rollout.features()).map(({ name }) => name)).toEqual(['also', 'fine']);
    expect(errors).toEqual([problem]);
    const { id, revision } = ((await load.call(backend, 'zoo')) as Stored).head as Head;
    const unreadable = [{ of: 'feature', name: 'zoo', problem, state: { id, revision } }];
    expect(await rollout.unreadable()).toEqual(unreadable);
    expect(await rollout.unreadable('zoo')).toEqual(unreadable);
    expect(await rollout.readOnly().unreadable()).toEqual(unreadable);
    expect(await rollout.unreadable('fine')).toEqual([]);
    expect(await rollout.unreadable('gone')).toEqual([]);
    await rollout.remove('zoo');
    expect(await rollout.unreadable('zoo')).toEqual([]);
    expect(await rollout.get('zoo')).toBeUndefined();
  });
});

describe('a view that throws', () => {
  it('is a store that does not answer', async () => {
    const backend = new MemoryBackend();
    rollout = new Rollout(backend);
    backend.local = { get: () => fail('broken'), names: () => ['chat'], stale: undefined };
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
    expect(rollout.decideSync('chat', 'ann').code).toBe('STORE_UNAVAILABLE');
    expect((await rollout.snapshot('ann')).decide('chat').code).toBe('STORE_UNAVAILABLE');
  });
});

function* generated() {
  for (let n = 0; n < 3; n++) yield `u${n}`;
}

async function* asyncGenerated() {
  yield* generated();
}

function* many(count: number) {
  for (let n = 0; n < count; n++) yield `user-${n}`;
}

async function listed(ids: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = [];
  for await (const id of ids) all.push(id);
  return all;
}

function fail(message: string): never {
  throw new Error(message);
}
