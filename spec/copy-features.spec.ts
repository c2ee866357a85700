import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { Backend } from '../lib/backends/backend.js';
import { FileBackend } from '../lib/backends/file/index.js';
import { HttpSource } from '../lib/backends/http-source/index.js';
import { RedisBackend, RedisSetBackend } from '../lib/backends/redis/index.js';
import { copyFeatures } from '../lib/copy-features.js';
import { MemoryBackend, ReplicaBackend, Rollout } from '../lib/index.js';
import { POPULATION } from '../lib/stored-name.js';
import { useBuilt } from './built.js';
import { RedisServer, useRedis } from './redis-server.js';

jest.setTimeout(60_000);

const redis = useRedis();
const built = useBuilt();
let client: Redis;
let folder: string;
beforeAll(() => {
  client = new Redis(redis.server.port);
  folder = mkdtempSync(join(tmpdir(), 'hanoi-copy-'));
});
afterAll(() => {
  client.disconnect();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => client.flushall());

const opened: Rollout[] = [];
afterEach(async () => {
  for (const rollout of opened.splice(0)) await rollout.close();
});

let count = 0;
const KINDS: Record<string, () => Backend> = {
  MemoryBackend: () => new MemoryBackend(),
  FileBackend: () => new FileBackend(join(folder, `${count++}.json`)),
  RedisBackend: () => new RedisBackend(client, { namespace: `copy-${count++}` }),
  RedisSetBackend: () => new RedisSetBackend(client, { namespace: `copy-${count++}` }),
  ReplicaBackend: () =>
    new ReplicaBackend(new RedisBackend(client, { namespace: `copy-${count++}` })),
};
const open = (kind: string) => {
  const backend = (KINDS[kind] as () => Backend)();
  const rollout = new Rollout(backend);
  opened.push(rollout);
  return { backend, rollout };
};

const ids = (n: number, prefix = 'user-') => Array.from({ length: n }, (_, at) => `${prefix}${at}`);

/** Every kind of setting there is. */
async function furnish(rollout: Rollout): Promise<void> {
  await rollout.addFeature('plain');
  await rollout.addFeature('all', {
    enabled: false,
    percentage: 33.3333,
    bucketing: 'independent',
    subjectKey: 'account',
    excluded: ['eve'],
    patterns: [/^user-\d+$/i],
    groups: ['staff'],
    variants: ['red', { name: 'blue', weight: 3, value: { shade: [1, null] } }],
    defaultVariant: 'red',
    offValue: null,
    data: { owner: 'me', deep: { list: [1, 'two'] } },
  });
  await rollout.addFeature('gem', { percentage: 12, bucketing: 'rollout-gem' });
  await rollout.addFeature('few', { percentage: 10 });
  await rollout.register('few', ids(1_000));
  await rollout.addFeature('many');
  await rollout.register('many', ids(2_500));
}

async function contents(rollout: Rollout): Promise<Record<string, unknown>> {
  const all: Record<string, unknown> = {};
  for (const { id: _, revision: __, ...settings } of await rollout.features()) {
    const members: string[] = [];
    for await (const id of rollout.members(settings.name)) members.push(id);
    all[settings.name] = { settings, members: [...new Set(members)].sort(bytewise) };
  }
  return all;
}

function bytewise(one: string, other: string): number {
  return one < other ? -1 : 1;
}

const PAIRS = Object.keys(KINDS).flatMap((one) => [
  [one, 'MemoryBackend'],
  ['MemoryBackend', one],
  [one, 'RedisSetBackend'],
]) as [string, string][];

describe.each([...new Map(PAIRS.map((pair) => [pair.join(), pair])).values()])(
  'from a %s to a %s',
  (one, other) => {
    it('copies all that a feature is, and finds it the same afterwards', async () => {
      const source = open(one);
      const target = open(other);
      await furnish(source.rollout);
      const names = ['plain', 'all', 'gem', 'few', 'many'];
      const done: string[] = [];
      const onProgress = (progress: object) => done.push(Object.values(progress).join('/'));

      const before = await target.backend.token();
      const dry = await copyFeatures(source.backend, target.backend, { dryRun: true });
      expect(await target.backend.token()).toEqual(before);
      const report = await copyFeatures(source.backend, target.backend, {
        onProgress,
        actor: 'me',
        note: 'moving',
      });
      expect(report).toEqual(dry);
      expect(new Set(report.copied)).toEqual(new Set(names));
      expect(report).toMatchObject({ replaced: [], same: [], skipped: [], problems: [] });
      expect(done).toEqual(['1/5', '2/5', '3/5', '4/5', '5/5']);
      expect(await contents(target.rollout)).toEqual(await contents(source.rollout));
      for (const id of ids(300, 'anyone-')) {
        expect(await target.rollout.decide('gem', id)).toEqual(
          await source.rollout.decide('gem', id),
        );
      }
      expect((await target.rollout.history('few'))[0]).toMatchObject({
        kind: 'created',
        actor: 'me',
        note: 'moving',
        memberCount: 1_000,
      });
      expect((await target.rollout.get('many'))?.id).not.toBe(
        (await source.rollout.get('many'))?.id,
      );

      const after = await target.backend.token();
      const again = await copyFeatures(source.backend, target.backend);
      expect(new Set(again.same)).toEqual(new Set(names));
      expect(await target.backend.token()).toEqual(after);
    });
  },
);

/** What features go by beside themselves, and what is assigned to ids. */
async function furnishBeside({ rollout, backend }: ReturnType<typeof open>): Promise<void> {
  await rollout.addToGroup('friends', ids(1_200), { actor: 'me' });
  await rollout.addToGroup('partners', 'acme', { subjectKey: 'account' });
  await rollout.population.increaseBuckets(7);
  await rollout.population.register(ids(1_500).map((id, n) => [id, 1 + (n % 17) / 4] as const));
  await rollout.addFeature('heavy', { bucketing: 'population', percentage: 40 });
  await rollout.addFeature('open', { groups: ['friends'] });
  await rollout.overrideGroup('open', 'partners', 'off');
  await rollout.addFeature('sticky', {
    variants: ['a', 'b'],
    rules: [{ id: 'r', when: { group: 'all' }, serve: 'on', sticky: true }],
  });
  const assign = ids(10).map((id, n) => ({ id, value: n % 3 === 0 ? 'a' : 'b' }));
  await backend.write({ name: 'sticky', expect: 'present', assign });
}

async function assignedIn(backend: Backend, name: string) {
  const all = new Map<string, string>();
  for await (const batch of backend.assignments(name)) {
    for (const { id, value, weight } of batch) all.set(id, `${value} ${weight}`);
  }
  return { all, weights: await backend.assignedWeights(name) };
}

const BESIDE = ['Group "friends"', 'Group "partners"', 'Population "all"'];

describe.each([...new Map(PAIRS.map((pair) => [pair.join(), pair])).values()])(
  'what features go by, from a %s to a %s',
  (one, other) => {
    it('is copied before them, with what is assigned, and found the same afterwards', async () => {
      const source = open(one);
      const target = open(other);
      await furnishBeside(source);
      const { copied, problems } = await copyFeatures(source.backend, target.backend);
      expect(problems).toEqual([]);
      expect(new Set(copied.slice(0, 3))).toEqual(new Set(BESIDE));
      expect(new Set(copied.slice(3))).toEqual(new Set(['heavy', 'open', 'sticky']));
      expect(await contents(target.rollout)).toEqual(await contents(source.rollout));
      expect(await target.rollout.groups()).toEqual(await source.rollout.groups());
      expect(await target.rollout.countGroup('friends')).toBe(1_200);
      for (const name of [POPULATION, 'sticky']) {
        const expected = await assignedIn(source.backend, name);
        expect(expected.all.size).toBeGreaterThan(0);
        expect(await assignedIn(target.backend, name)).toEqual(expected);
      }
      for (const id of ids(40)) {
        for (const name of ['heavy', 'open', 'sticky']) {
          expect(await target.rollout.decide(name, id)).toEqual(
            await source.rollout.decide(name, id),
          );
        }
      }
      const again = await copyFeatures(source.backend, target.backend);
      expect(new Set(again.same)).toEqual(new Set(copied));
    });
  },
);

describe('what is assigned', () => {
  const setUp = async () => {
    const source = open('RedisSetBackend');
    const target = open('RedisBackend');
    await furnishBeside(source);
    await copyFeatures(source.backend, target.backend);
    return { source, target };
  };

  it('is also who has used an arm of an experiment, kept in it or not', async () => {
    const source = open('RedisBackend');
    const target = open('MemoryBackend');
    await source.rollout.addFeature('pages', { variants: ['long'] });
    await source.rollout.addExperiment('test', {
      from: new Date(Date.now() - 3_600_000),
      until: new Date(Date.now() + 3_600_000),
      arms: [
        { name: 'control', proportion: 0.5, features: { pages: false } },
        { name: 'tested', proportion: 0.5, features: { pages: 'long' } },
      ],
    });
    await Promise.all(ids(50).map((id) => source.rollout.use('pages', id)));
    const expected = (await source.rollout.experiment('test'))?.arms;
    expect(expected?.reduce((sum, { uses }) => sum + uses, 0)).toBe(50);
    await copyFeatures(source.backend, target.backend);
    expect((await target.rollout.experiment('test'))?.arms).toEqual(expected);
    await Promise.all(ids(60).map((id) => target.rollout.use('pages', id)));
    const after = (await target.rollout.experiment('test'))?.arms ?? [];
    expect(after.reduce((sum, { uses }) => sum + uses, 0)).toBe(60);
  });

  it('is brought up to the source where that is wanted, and else left alone', async () => {
    const { source, target } = await setUp();
    await source.rollout.population.register([
      ['user-0', 99],
      ['new', 0.1],
    ]);
    await source.rollout.population.unregister(['user-1', 'user-2']);
    // In another bucket there.
    const bucket = async () => (await assignedIn(target.backend, POPULATION)).all.get('user-2');
    await target.rollout.population.unregister('user-2');
    await target.rollout.population.register('other', { weight: 500 });
    await source.rollout.population.register('user-2', { weight: 3 });
    const left = await copyFeatures(source.backend, target.backend);
    expect(left.skipped).toEqual(['Population "all"']);
    expect(await bucket()).toBeUndefined();

    const report = await copyFeatures(source.backend, target.backend, { onConflict: 'replace' });
    expect(report).toMatchObject({ replaced: ['Population "all"'], problems: [] });
    const expected = await assignedIn(source.backend, POPULATION);
    const found = await assignedIn(target.backend, POPULATION);
    expect(found.all).toEqual(expected.all);
    for (const [value, weight] of expected.weights) {
      expect(found.weights.get(value)).toBeCloseTo(weight, 9);
    }
  });

  it('goes where all of it went', async () => {
    const { source, target } = await setUp();
    await source.rollout.population.unregister(ids(1_500));
    await copyFeatures(source.backend, target.backend, { onConflict: 'replace' });
    expect(await target.rollout.population.count()).toBe(0);
    expect(await target.rollout.population.weight()).toBeCloseTo(0, 9);
  });

  it('goes on where a copy was cut short, off until then', async () => {
    const source = open('RedisSetBackend');
    const target = open('RedisBackend');
    await furnishBeside(source);
    const { backend } = target;
    const cut: Backend = Object.assign(Object.create(backend), {
      async write(write: Parameters<Backend['write']>[0]) {
        if ('assign' in write && write.name === POPULATION) {
          if ((await backend.countAssigned(POPULATION)) > 0) throw new Error('cut');
        }
        return backend.write(write);
      },
    });
    await expect(copyFeatures(source.backend, cut)).rejects.toThrow('cut');
    expect(await target.rollout.population.count()).toBeGreaterThan(0);
    expect((await backend.load(POPULATION))?.feature?.enabled).toBe(false);
    const report = await copyFeatures(source.backend, backend);
    expect(report.copied).toContain('Population "all"');
    expect(await assignedIn(backend, POPULATION)).toEqual(
      await assignedIn(source.backend, POPULATION),
    );
    expect((await backend.load(POPULATION))?.feature?.enabled).toBe(true);
  });

  it('comes with the features that are named', async () => {
    const source = open('MemoryBackend');
    const target = open('MemoryBackend');
    await furnishBeside(source);
    const { copied } = await copyFeatures(source.backend, target.backend, { names: ['open'] });
    expect(new Set(copied)).toEqual(new Set([...BESIDE.slice(0, 2), 'open']));
    const more = await copyFeatures(source.backend, target.backend, { names: ['heavy'] });
    expect(more.copied).toEqual(['Population "all"', 'heavy']);
  });
});

describe('where there is another one of that name', () => {
  const setUp = async (members: number) => {
    const source = open('MemoryBackend');
    const target = open('RedisBackend');
    await source.rollout.addFeature('chat', { percentage: 20 });
    await source.rollout.register('chat', ids(members));
    await source.rollout.addFeature('new', { percentage: 1 });
    await target.rollout.addFeature('chat', { percentage: 80, groups: ['staff'] });
    await target.rollout.register('chat', ['user-0', 'zoe']);
    return { source, target };
  };

  it('leaves it alone', async () => {
    const { source, target } = await setUp(2);
    const before = (await contents(target.rollout)).chat;
    const report = await copyFeatures(source.backend, target.backend);
    expect(report).toMatchObject({ copied: ['new'], skipped: ['chat'] });
    expect((await contents(target.rollout)).chat).toEqual(before);
    // Also where only the members differ.
    const { percentage, groups } = (await target.rollout.get('chat')) as never;
    await source.rollout.update('chat', { percentage, groups });
    const again = await copyFeatures(source.backend, target.backend);
    expect(again).toMatchObject({ same: ['new'], skipped: ['chat'] });
  });

  it.each([2, 3_000])(
    'replaces it if it is told to, with %p members, and can be undone',
    async (n) => {
      const { source, target } = await setUp(n);
      const first = await target.rollout.get('chat');
      const dry = await copyFeatures(source.backend, target.backend, {
        dryRun: true,
        onConflict: 'replace',
      });
      expect(await target.rollout.get('chat')).toEqual(first);
      const report = await copyFeatures(source.backend, target.backend, { onConflict: 'replace' });
      expect(report).toEqual(dry);
      expect(report).toMatchObject({ copied: ['new'], replaced: ['chat'] });
      expect(await contents(target.rollout)).toEqual(await contents(source.rollout));
      const history = await target.rollout.history('chat');
      expect(history[0]).toMatchObject({ kind: 'updated', before: first, memberCount: n });
      if (n === 2) expect(history[0]).toMatchObject({ added: ['user-1'], removed: ['zoe'] });
    },
  );

  it('overwrites nothing that somebody has changed meanwhile', async () => {
    const { source, target } = await setUp(2);
    const { backend } = target;
    let isFirst = true;
    const between: Backend = Object.assign(Object.create(backend), {
      async write(write: Parameters<Backend['write']>[0]) {
        if (isFirst && write.name === 'chat') {
          isFirst = false;
          await target.rollout.update('chat', { data: { theirs: true } });
        }
        return backend.write(write);
      },
    });
    await copyFeatures(source.backend, between, { onConflict: 'replace' });
    expect(await contents(target.rollout)).toEqual(await contents(source.rollout));
    const history = await target.rollout.history('chat', { limit: 2 });
    expect(history.map(({ before }) => before?.data)).toEqual([{ theirs: true }, {}]);
  });
});

it('reports what can not be read, on either side, and copies the rest', async () => {
  const source = open('RedisBackend');
  const target = open('RedisSetBackend');
  for (const name of ['good', 'bad', 'theirs']) await source.rollout.addFeature(name);
  await target.rollout.addFeature('theirs');
  const key = (n: number) => `{copy-${count - n}}:features`;
  await client.hset(key(2), 'bad', 'nonsense');
  await client.hset(key(1), 'theirs', 'nonsense');
  const report = await copyFeatures(source.backend, target.backend, { onConflict: 'replace' });
  expect(report).toMatchObject({ copied: ['good'], replaced: [] });
  expect(report.problems).toMatchObject([
    { code: 'CORRUPT_FEATURE', feature: 'bad' },
    { code: 'CORRUPT_FEATURE', feature: 'theirs' },
  ]);
  expect(await client.hget(key(1), 'theirs')).toBe('nonsense');
});

it('copies the named ones, all of which have to be there', async () => {
  const source = open('MemoryBackend');
  const target = open('MemoryBackend');
  await furnish(source.rollout);
  const names = new Set(['gem', 'few']);
  expect((await copyFeatures(source.backend, target.backend, { names })).copied).toEqual([
    'gem',
    'few',
  ]);
  const wrong = copyFeatures(source.backend, target.backend, { names: ['plain', 'nope'] });
  await expect(wrong).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND', feature: 'nope' });
  expect((await target.rollout.features()).length).toBe(2);
  for (const options of [{ dry: true }, { dryRun: 1 }, { onConflict: 'fail' }] as object[]) {
    await expect(copyFeatures(source.backend, target.backend, options)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  }
});

it('takes a source or a target that is away for away, not for empty', async () => {
  const server = await RedisServer.start();
  const away = new Redis(server.port);
  away.on('error', () => {});
  const backend = new RedisBackend(away, { operationTimeoutMs: 500 });
  const here = open('MemoryBackend');
  await here.rollout.addFeature('chat');
  try {
    await server.kill();
    await expect(copyFeatures(backend, here.backend)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
    await expect(copyFeatures(here.backend, backend)).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
  } finally {
    await backend.close();
    away.disconnect();
    await server.stop();
  }
});

it('copies each feature as it was at one moment, while the source goes on', async () => {
  const source = open('RedisSetBackend');
  const target = open('RedisBackend');
  // Either everybody is a member, or excluded, but never half of them.
  const all = ids(3_000);
  await source.rollout.addFeature('list');
  await source.rollout.register('list', all);
  let isOver: boolean = false;
  const writing = (async () => {
    for (let n = 0; !isOver; n++) {
      const who = [`extra-${n}`, `twin-${n}`];
      await source.rollout.register('list', who);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  try {
    await copyFeatures(source.backend, target.backend);
  } finally {
    isOver = true;
    await writing;
  }
  const there = ((await contents(target.rollout)).list as { members: string[] }).members;
  const extras = there.filter((id) => id.startsWith('extra-')).map((id) => id.slice(6));
  const twins = there.filter((id) => id.startsWith('twin-')).map((id) => id.slice(5));
  expect(extras).toEqual(twins);
  expect(there.length).toBe(3_000 + 2 * extras.length);
  expect((await target.rollout.get('list'))?.enabled).toBe(true);
});

/** Registers and unregisters, so often, until it is told to end. */
function changing(rollout: Rollout, name: string, everyMs: number) {
  let isOver: boolean = false;
  const done = (async () => {
    for (let n = 0; !isOver; n++) {
      await rollout.register(name, [`new-${n}`, `short-${n}`]);
      await rollout.unregister(name, [`short-${n}`, `user-${n}`]);
      if (n % 10 === 0) await rollout.update(name, { data: { n } });
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
  })();
  return () => {
    isOver = true;
    return done;
  };
}

it.each([
  ['created', 'RedisBackend', {}],
  ['replaced', 'RedisSetBackend', { onConflict: 'replace' }],
] as const)('a feature that lives on is %s as it was at one moment', async (kind, to, options) => {
  const source = open('RedisSetBackend');
  const target = open(to);
  await source.rollout.addFeature('list', { percentage: 10 });
  await source.rollout.register('list', ids(100_000));
  if (kind === 'replaced') {
    await target.rollout.addFeature('list', { percentage: 90 });
    await target.rollout.register('list', ['zoe', ...ids(5_000)]);
  }
  const stop = changing(source.rollout, 'list', 10);
  try {
    const report = await copyFeatures(source.backend, target.backend, options);
    expect(report).toMatchObject({
      problems: [],
      [kind === 'created' ? 'copied' : kind]: ['list'],
    });
  } finally {
    await stop();
  }
  const { settings, members } = (await contents(target.rollout)).list as {
    settings: { data: { n: number }; percentage: number; enabled: boolean };
    members: string[];
  };
  expect(settings).toMatchObject({ percentage: 10, enabled: true });
  const is = new Set(members);
  const count = members.filter((id) => id.startsWith('new-')).length;
  expect(count).toBeGreaterThan(1);
  // The steps up to a moment, and no other.
  const last = count - 1;
  const gone = is.has(`short-${last}`) ? last : count;
  const expected = [...ids(100_000).slice(gone), ...ids(count, 'new-')];
  if (gone === last) expected.push(`short-${last}`);
  expect(members).toEqual(expected.sort(bytewise));
  const steps = [settings.data.n, settings.data.n + 10];
  expect(gone === last ? last : count).toBeGreaterThan(steps[0] as number);
  expect(last).toBeLessThanOrEqual(steps[1] as number);
});

it('keeps up with more changes than the history keeps, while members are read', async () => {
  const source = new MemoryBackend({ historyLength: 100 });
  const rollout = new Rollout(source);
  const target = open('MemoryBackend');
  await rollout.addFeature('list');
  await rollout.register('list', ids(3_000));
  const { members } = source;
  source.members = async function* (name) {
    for await (const batch of members.call(source, name)) {
      for (let n = 0; n < 60; n++) await rollout.register(name, crypto.randomUUID());
      await new Promise((resolve) => setTimeout(resolve, 120));
      yield batch;
    }
  };
  expect((await copyFeatures(source, target.backend)).problems).toEqual([]);
  source.members = members;
  expect(await contents(target.rollout)).toEqual(await contents(rollout));
});

it('tells of one that changes too fast, and copies the others', async () => {
  const source = new MemoryBackend({ historyLength: 0 });
  const rollout = new Rollout(source);
  const target = open('MemoryBackend');
  for (const name of ['first', 'busy', 'last']) await rollout.addFeature(name);
  await rollout.register('busy', ids(3_000));
  const { members } = source;
  let isBusy: boolean = true;
  source.members = async function* (name) {
    for await (const batch of members.call(source, name)) {
      yield batch;
      if (isBusy) await rollout.register(name, crypto.randomUUID());
    }
  };
  const report = await copyFeatures(source, target.backend);
  expect(report).toMatchObject({
    copied: ['first', 'last'],
    problems: [{ code: 'CONFLICT', feature: 'busy' }],
  });
  expect((await target.rollout.decide('busy', 'user-1')).reason).toBe('DISABLED');
  isBusy = false;
  expect(await copyFeatures(source, target.backend)).toMatchObject({
    copied: ['busy'],
    same: ['first', 'last'],
    problems: [],
  });
  expect(await contents(target.rollout)).toEqual(await contents(rollout));
});

it('refuses what is no backend, list or option', async () => {
  const { backend } = open('MemoryBackend');
  const { backend: other, rollout } = open('MemoryBackend');
  await rollout.addFeature('c');
  const readOnly = new HttpSource(async () => ({ body: { features: {} } }));
  const refused: [unknown[], string, RegExp][] = [
    [[rollout, backend], 'INVALID_ARGUMENT', /copy from; of a Rollout, the one/],
    [[other, new Rollout(backend)], 'INVALID_ARGUMENT', /copy to; of a Rollout, the one/],
    [[], 'INVALID_ARGUMENT', /copy from/],
    [[other, null], 'INVALID_ARGUMENT', /copy to/],
    [[other, readOnly], 'READ_ONLY', /only reads/],
    [[other, readOnly, { dryRun: true }], 'READ_ONLY', /only reads/],
    [[other, backend, null], 'INVALID_ARGUMENT', /object of options/],
    [[other, backend, 'all'], 'INVALID_ARGUMENT', /object of options/],
    [[other, backend, { names: 'c' }], 'INVALID_ARGUMENT', /`names` to be a list/],
    [[other, backend, { names: 5 }], 'INVALID_ARGUMENT', /`names` to be a list/],
    [[other, backend, { names: null }], 'INVALID_ARGUMENT', /`names` to be a list/],
    [[other, backend, { onProgress: 5 }], 'INVALID_ARGUMENT', /`onProgress` to be a function/],
  ];
  try {
    for (const [given, code, message] of refused) {
      await expect(copyFeatures(...(given as [never, never, never]))).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    }
  } finally {
    await readOnly.close();
  }
  expect(await backend.token()).toBeUndefined();
});

it('is one copy, however many copy at once', async () => {
  const source = open('MemoryBackend');
  const target = open('RedisBackend');
  await furnish(source.rollout);
  const reports = await Promise.all(
    [1, 2, 3].map(() => copyFeatures(source.backend, target.backend)),
  );
  for (const { problems, skipped } of reports) expect([...problems, ...skipped]).toEqual([]);
  expect(await contents(target.rollout)).toEqual(await contents(source.rollout));
});

it('shows nobody a half, and goes on after it was killed', async () => {
  const source = new Rollout(new RedisSetBackend(client, { namespace: 'from' }));
  const target = new Rollout(new RedisSetBackend(client, { namespace: 'to' }));
  opened.push(source, target);
  await source.addFeature('list', { percentage: 100, excluded: ['eve'] });
  await source.register('list', ids(100_000));
  await source.addFeature('small', { percentage: 5 });
  const text = `
    import { copyFeatures } from ${built.at('index.js')};
    import { RedisSetBackend } from ${built.at('backends/redis/index.js')};
    import { Redis } from 'ioredis';
    const redis = new Redis(${redis.server.port});
    const on = (namespace) => new RedisSetBackend(redis, { namespace });
    await copyFeatures(on('from'), on('to'));`;
  for (const share of [0.1, 0.4, 0.7]) {
    const child = built.start(text);
    const isThere = async () => {
      const stored = await target.get('list');
      return stored !== undefined && (await target.countMembers('list')) > share * 100_000;
    };
    while (!(await isThere())) expect(child.exitCode).toBeNull();
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    // Half of it is nobody's.
    expect((await target.decide('list', 'user-1')).reason).toBe('DISABLED');
  }
  await built.run(`${text} process.exit();`);
  expect(await contents(target)).toEqual(await contents(source));
  expect((await target.decide('list', 'user-1')).enabled).toBe(true);
  expect(Object.keys((await target.get('list')) as object)).not.toContain('incomplete');
});

describe('a prerequisite that is left behind', () => {
  const filled = async () => {
    const [source, target] = [open('MemoryBackend'), open('RedisBackend')];
    await source.rollout.addFeature('base', { percentage: 100 });
    await source.rollout.addFeature('chat', { percentage: 100, requires: [{ feature: 'base' }] });
    await source.rollout.addFeature('shop', { percentage: 100, requires: [{ feature: 'base' }] });
    return { from: source.backend, to: target.backend, source, target };
  };
  const told = [
    {
      ...{ code: 'FEATURE_NOT_FOUND', feature: 'base' },
      message:
        'Feature "base" was left behind. What requires it is off for everyone there: "chat", "shop". Copy it too.',
    },
  ];

  it('is a problem, until it is there', async () => {
    const { from, to, target } = await filled();
    const names = ['chat', 'shop'];
    expect((await copyFeatures(from, to, { names, dryRun: true })).problems).toMatchObject(told);
    expect((await copyFeatures(from, to, { names })).problems).toMatchObject(told);
    expect(await target.rollout.isEnabled('chat', 'ann')).toBe(false);
    const again = await copyFeatures(from, to, { names });
    expect([again.same, again.problems]).toMatchObject([names, told]);
    expect((await copyFeatures(from, to, { names: ['base'] })).problems).toEqual([]);
    expect((await copyFeatures(from, to, { names })).problems).toEqual([]);
    expect(await target.rollout.isEnabled('chat', 'ann')).toBe(true);
  });

  it('is none where it comes along, or is not there to copy', async () => {
    const { from, to, source } = await filled();
    expect((await copyFeatures(from, to, { dryRun: true })).problems).toEqual([]);
    await source.rollout.remove('base');
    expect((await copyFeatures(from, to)).problems).toEqual([]);
  });
});
