import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type Backend, KEEP_REMOVED_MS } from '../lib/backends/backend.js';
import { FileBackend } from '../lib/backends/file/index.js';
import { RedisBackend, RedisSetBackend, RolloutGemSource } from '../lib/backends/redis/index.js';
import type { Feature } from '../lib/domain/feature.js';
import { createFeature } from '../lib/domain/validate.js';
import {
  type Change,
  MemoryBackend,
  ReplicaBackend,
  Rollout,
  type Write,
  type Written,
} from '../lib/index.js';
import { seeded } from './property.js';
import { useRedis } from './redis-server.js';

const redis = useRedis();
let client: Redis;
let folder: string;
beforeAll(() => {
  client = new Redis(redis.server.port);
  folder = mkdtempSync(join(tmpdir(), 'hanoi-history-'));
});
beforeEach(async () => {
  await client.flushall();
});
afterAll(() => {
  client.disconnect();
  rmSync(folder, { recursive: true });
});

let files = 0;
const BACKENDS: [string, () => Backend][] = [
  ['memory', () => new MemoryBackend()],
  ['a file', () => new FileBackend(join(folder, `${files++}.json`), { historyLength: 100 })],
  ['Redis', () => new RedisBackend(client)],
  ['Redis sets', () => new RedisSetBackend(client)],
  ['a replica', () => new ReplicaBackend(new RedisBackend(client))],
];

const membersOf = async (rollout: Rollout, name = 'chat') => {
  const ids: string[] = [];
  for await (const id of rollout.members(name)) ids.push(id);
  return ids.sort((one, other) => (one < other ? -1 : 1));
};
const lastId = async (rollout: Rollout, name = 'chat') =>
  (await rollout.history(name, { limit: 1 }))[0]?.id as string;

describe.each(BACKENDS)('the past on %s', (_, open) => {
  let rollout: Rollout;
  beforeEach(async () => {
    rollout = new Rollout(open());
    await rollout.ready();
  });
  afterEach(() => rollout.close());

  it('has one log of everything, the newest first, as `change` events name it', async () => {
    await rollout.addFeature('chat', {}, { actor: 'alice', note: 'launch' });
    await rollout.addToGroup('friends', ['ann', 'bob']);
    await rollout.setPercentage('chat', 20);
    const log = await rollout.log();
    expect(log.map(({ of, name, kind }) => `${of} ${name} ${kind}`)).toEqual([
      'feature chat updated',
      'group friends members',
      'group friends created',
      'feature chat created',
    ]);
    expect(log.at(-1)).toMatchObject({ actor: 'alice', note: 'launch', after: { percentage: 0 } });
    const before = log[1]?.id;
    expect(await rollout.log({ before, limit: 1 })).toEqual(log.slice(2, 3));
    expect(await rollout.log({ kind: 'members' })).toEqual([log[1]]);
    for (const other of ['0-0', '00-0', `${2n ** 64n}-0`, `${'9'.repeat(30)}-1`, 'x']) {
      const refused = rollout.log({ before: other }).then(
        () => undefined,
        ({ code }) => code,
      );
      expect([other, [undefined, 'INVALID_ARGUMENT']]).toEqual([
        other,
        expect.arrayContaining([await refused]),
      ]);
    }
    await expect(rollout.log({ limit: -1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  describe('a rollback to a revision', () => {
    it('brings back the document, and leaves the members', async () => {
      await rollout.addFeature('chat', { percentage: 5, data: { owner: 'a' } });
      await rollout.register('chat', ['ann', 'bob']);
      const second = await rollout.update('chat', { percentage: 50, groups: ['staff'] });
      await rollout.register('chat', 'eve');
      const back = await rollout.rollback('chat', 1, { actor: 'alice', note: 'too early' });
      expect(back).toMatchObject({ id: second.id, revision: 3, percentage: 5, groups: [] });
      expect(await rollout.get('chat')).toEqual(back);
      expect(await membersOf(rollout)).toEqual(['ann', 'bob', 'eve']);
      const [change] = await rollout.history('chat', { limit: 1 });
      expect(change).toMatchObject({ kind: 'updated', actor: 'alice', note: 'too early' });
      expect(change).toMatchObject({ before: second, after: back });
    });

    it('brings back the members that were emptied since', async () => {
      await rollout.addFeature('chat', { percentage: 5 });
      await rollout.register('chat', ['ann', 'bob']);
      await rollout.deactivate('chat');
      await rollout.register('chat', 'eve');
      const { id } = await rollout.rollback('chat', 1);
      expect(await membersOf(rollout)).toEqual(['ann', 'bob']);
      // And those of the id in between, when that is what is wanted.
      const there = await rollout.rollback('chat', 2);
      expect(there).toMatchObject({ revision: 4 });
      expect(there.id).not.toBe(id);
      expect(await membersOf(rollout)).toEqual(['eve']);
    });

    it('writes nothing where all is so already', async () => {
      const first = await rollout.addFeature('chat', { percentage: 5 });
      expect(await rollout.rollback('chat', 1)).toEqual(first);
      await rollout.setPercentage('chat', 6);
      await rollout.setPercentage('chat', 5);
      expect((await rollout.rollback('chat', 1)).revision).toBe(3);
      expect(await rollout.history('chat')).toHaveLength(3);
    });

    it('asks which one is meant where a feature was there before', async () => {
      const old = await rollout.addFeature('chat', { percentage: 1 });
      await rollout.setPercentage('chat', 2);
      await rollout.register('chat', 'ann');
      await rollout.remove('chat');
      const anew = await rollout.addFeature('chat', { percentage: 3 });
      expect((await rollout.rollback('chat', 1)).id).toBe(anew.id);
      // The one before was another feature.
      await expect(rollout.rollback('chat', 2)).rejects.toMatchObject({ code: 'NOT_KEPT' });
      const back = await rollout.rollback('chat', { id: old.id, revision: 2 });
      expect(back).toMatchObject({ id: old.id, revision: 3, percentage: 2 });
      expect(await membersOf(rollout)).toEqual(['ann']);
      // Now both are of its past.
      const empty = await rollout.deactivate('chat');
      expect(empty.revision).toBe(4);
      await expect(rollout.rollback('chat', 1)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining(`{ id: "${anew.id}", revision: 1 }`),
      });
      expect(await rollout.rollback('chat', anew)).toMatchObject({ id: anew.id, percentage: 3 });
    });

    it('takes an old document whole, with what a newer version has written', async () => {
      const backend = open();
      const own = new Rollout(backend);
      const document = Object.freeze({
        ...createFeature('new', 'id-1', { percentage: 1 }),
        newer: { deep: [1] },
      });
      await backend.write({ name: 'new', expect: 'absent', document });
      await own.setPercentage('new', 2);
      await own.update('new', { data: { owner: 'a' } });
      expect(await own.rollback('new', 1)).toEqual({ ...document, revision: 4 });
      await own.undo('new');
      expect(await own.get('new')).toMatchObject({ newer: { deep: [1] }, percentage: 2 });
      await own.close();
    });

    it('is refused while others require what it takes away, or it what is gone', async () => {
      await rollout.addFeature('base');
      await rollout.addFeature('chat', { requires: ['base'] });
      await rollout.update('chat', { requires: [] });
      await rollout.update('base', { requires: ['chat'] });
      const circle = rollout.rollback('chat', 1);
      await expect(circle).rejects.toMatchObject({
        ...{ code: 'INVALID_FEATURE', path: 'requires[0].feature' },
      });
      await rollout.remove('base');
      await expect(rollout.rollback('chat', 1)).rejects.toMatchObject({ code: 'INVALID_FEATURE' });
      await rollout.restore('base').catch(() => {});
      await rollout.rollback('base', 1);
      expect((await rollout.rollback('chat', 1)).requires).toEqual([{ feature: 'base' }]);
    });
  });

  describe('a rollback to a change', () => {
    it('brings back the members too, in one write', async () => {
      await rollout.addFeature('chat', { percentage: 5 });
      await rollout.register('chat', ['ann', 'bob']);
      const then = await lastId(rollout);
      await rollout.unregister('chat', 'ann');
      await rollout.register('chat', ['eve', 'zoe']);
      await rollout.setPercentage('chat', 7);
      await rollout.unregister('chat', 'zoe');
      const before = (await rollout.history('chat')).length;
      expect(await rollout.rollback('chat', then)).toMatchObject({ percentage: 5, revision: 3 });
      expect(await membersOf(rollout)).toEqual(['ann', 'bob']);
      expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
      expect(await rollout.isEnabled('chat', 'eve')).toBe(false);
      const history = await rollout.history('chat');
      expect(history).toHaveLength(before + 1);
      expect(history[0]).toMatchObject({ added: ['ann'], removed: ['eve'], memberCount: 2 });
      // It is a change like any other.
      await rollout.rollback('chat', history[1]?.id as string);
      expect(await membersOf(rollout)).toEqual(['bob', 'eve']);
      expect(await rollout.get('chat')).toMatchObject({ percentage: 7, revision: 4 });
    });

    it('leaves the members, or brings back none of them, where that is asked', async () => {
      await rollout.addFeature('chat', { percentage: 5 });
      const created = await lastId(rollout);
      await rollout.register('chat', ['ann']);
      await rollout.setPercentage('chat', 6);
      await rollout.rollback('chat', created, { members: 'keep' });
      expect(await membersOf(rollout)).toEqual(['ann']);
      await rollout.rollback('chat', 2, { members: 'none' });
      expect(await rollout.get('chat')).toMatchObject({ percentage: 6, revision: 4 });
      expect(await membersOf(rollout)).toEqual([]);
      await rollout.rollback('chat', 1, { members: 'restore' });
      expect(await rollout.get('chat')).toMatchObject({ percentage: 5, revision: 5 });
      expect(await membersOf(rollout)).toEqual([]);
    });

    it('brings back a removed feature, under the id that it had', async () => {
      const { id } = await rollout.addFeature('chat', { percentage: 5 });
      await rollout.register('chat', 'ann');
      const then = await lastId(rollout);
      await rollout.register('chat', 'bob');
      await rollout.setPercentage('chat', 6);
      await rollout.remove('chat');
      expect(await rollout.rollback('chat', then)).toMatchObject({
        id,
        revision: 3,
        percentage: 5,
      });
      expect(await membersOf(rollout)).toEqual(['ann']);
    });

    it('is refused where more than 1,000 members differ', async () => {
      await rollout.addFeature('chat');
      const created = await lastId(rollout);
      await rollout.register(
        'chat',
        Array.from({ length: 1_001 }, (_, n) => n),
      );
      await expect(rollout.rollback('chat', created)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('1001 to go'),
      });
      await rollout.unregister('chat', 0);
      await rollout.rollback('chat', created);
      expect(await membersOf(rollout)).toEqual([]);
    });
  });

  describe('undo', () => {
    it('takes back the last change, whatever it was', async () => {
      const first = await rollout.addFeature('chat', { percentage: 5 });
      await rollout.register('chat', ['ann', 'bob']);
      await rollout.unregister('chat', 'ann');
      await rollout.undo('chat');
      expect(await membersOf(rollout)).toEqual(['ann', 'bob']);
      await rollout.setPercentage('chat', 50);
      await rollout.undo('chat', undefined, { actor: 'alice' });
      expect(await rollout.get('chat')).toEqual({ ...first, revision: 3 });
      expect((await rollout.history('chat'))[0]).toMatchObject({ actor: 'alice' });
      await rollout.deactivate('chat');
      await rollout.undo('chat');
      expect(await membersOf(rollout)).toEqual(['ann', 'bob']);
      expect(await rollout.get('chat')).toMatchObject({ id: first.id, revision: 5, percentage: 5 });
      await rollout.remove('chat');
      expect(await rollout.undo('chat')).toMatchObject({ id: first.id, revision: 6 });
      expect(await membersOf(rollout)).toEqual(['ann', 'bob']);
      await rollout.addFeature('new');
      expect(await rollout.undo('new')).toBeUndefined();
      expect(await rollout.get('new')).toBeUndefined();
    });

    it('is undone by another', async () => {
      await rollout.addFeature('chat', { percentage: 5 });
      await rollout.setPercentage('chat', 6);
      await rollout.undo('chat');
      await rollout.undo('chat');
      expect(await rollout.get('chat')).toMatchObject({ percentage: 6, revision: 4 });
    });

    it('takes back one change among others', async () => {
      await rollout.addFeature('chat', { percentage: 5 });
      await rollout.exclude('chat', 'eve');
      const excluded = await lastId(rollout);
      await rollout.register('chat', ['ann', 'bob']);
      const registered = await lastId(rollout);
      await rollout.exclude('chat', 'mallory');
      await rollout.setPercentage('chat', 60);
      await rollout.register('chat', 'zoe');
      await rollout.undo('chat', excluded);
      await rollout.undo('chat', registered);
      expect(await rollout.get('chat')).toMatchObject({ excluded: ['mallory'], percentage: 60 });
      expect(await membersOf(rollout)).toEqual(['zoe']);
    });

    it('is refused where something later has changed the same', async () => {
      const conflict = { code: 'CONFLICT', feature: 'chat' };
      await rollout.addFeature('chat', { percentage: 5 });
      const created = await lastId(rollout);
      await rollout.register('chat', ['ann', 'bob']);
      const registered = await lastId(rollout);
      await expect(rollout.undo('chat', created)).rejects.toMatchObject({
        ...{ ...conflict, message: expect.stringContaining('members') },
      });
      await rollout.unregister('chat', 'ann');
      await expect(rollout.undo('chat', registered)).rejects.toMatchObject(conflict);
      await rollout.setPercentage('chat', 6);
      const raised = await lastId(rollout);
      await rollout.setPercentage('chat', 7);
      await expect(rollout.undo('chat', raised)).rejects.toMatchObject({
        ...{ ...conflict, message: expect.stringContaining('percentage') },
      });
      await rollout.update('chat', { variants: ['red'] });
      const varied = await lastId(rollout);
      await rollout.update('chat', { defaultVariant: 'red' });
      await expect(rollout.undo('chat', varied)).rejects.toMatchObject({
        ...{ ...conflict, message: expect.stringContaining('defaultVariant') },
      });
      await rollout.deactivate('chat');
      const emptied = await lastId(rollout);
      await expect(rollout.undo('chat', varied)).rejects.toMatchObject(conflict);
      await rollout.register('chat', 'eve');
      await expect(rollout.undo('chat', emptied)).rejects.toMatchObject(conflict);
      await rollout.remove('chat');
      await expect(rollout.undo('chat', emptied)).rejects.toMatchObject(conflict);
      expect(await rollout.history('chat', { kind: 'documents' })).toHaveLength(7);
    });

    it('of two at once takes back one change', async () => {
      await rollout.addFeature('chat', { percentage: 5 });
      await rollout.setPercentage('chat', 6);
      const outcomes = await Promise.allSettled([rollout.undo('chat'), rollout.undo('chat')]);
      expect(outcomes.filter(({ status }) => status === 'rejected')).toMatchObject([
        { reason: { code: 'CONFLICT' } },
      ]);
      expect((await rollout.get('chat'))?.percentage).toBe(5);
    });
  });

  describe('restoring a removed feature', () => {
    it('brings it back with its members', async () => {
      const { id } = await rollout.addFeature('chat', { percentage: 5 });
      await rollout.register('chat', ['ann', 'bob']);
      await rollout.remove('chat');
      expect(await rollout.restore('chat', { note: 'by mistake' })).toMatchObject({
        ...{ id, revision: 2, percentage: 5 },
      });
      expect(await membersOf(rollout)).toEqual(['ann', 'bob']);
      expect((await rollout.history('chat'))[0]).toMatchObject({ note: 'by mistake' });
    });

    it('is refused where there is one, or never was', async () => {
      await expect(rollout.restore('chat')).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
      await expect(rollout.undo('chat')).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
      await rollout.addFeature('chat');
      await expect(rollout.restore('chat')).rejects.toMatchObject({ code: 'FEATURE_EXISTS' });
      await rollout.remove('chat');
      await rollout.addFeature('chat');
      await expect(rollout.restore('chat')).rejects.toMatchObject({ code: 'FEATURE_EXISTS' });
    });
  });

  it('of two rollbacks at once, to different states, refuses one', async () => {
    await rollout.addFeature('chat', { percentage: 1 });
    await rollout.setPercentage('chat', 2);
    await rollout.setPercentage('chat', 3);
    const outcomes = await Promise.allSettled([
      rollout.rollback('chat', 1),
      rollout.rollback('chat', 2),
    ]);
    expect(outcomes.filter(({ status }) => status === 'rejected')).toMatchObject([
      { reason: { code: 'CONFLICT', feature: 'chat' } },
    ]);
    expect((await rollout.get('chat'))?.revision).toBe(4);
  });

  it('is written to under a condition, and once for a request id', async () => {
    const first = await rollout.addFeature('chat', { percentage: 1 });
    const second = await rollout.setPercentage('chat', 2);
    const expected = { code: 'CONFLICT' };
    await expect(rollout.rollback('chat', 1, { expect: first })).rejects.toMatchObject(expected);
    await expect(rollout.undo('chat', undefined, { expect: first })).rejects.toMatchObject(
      expected,
    );
    const given = { expect: second, requestId: 'r-1' };
    const back = await rollout.rollback('chat', 1, given);
    await rollout.setPercentage('chat', 9);
    await rollout.rollback('chat', 1, given);
    expect(await rollout.get('chat')).toMatchObject({ percentage: 9, revision: back.revision + 1 });
    const last = (await rollout.history('chat'))[0]?.id;
    await rollout.undo('chat', last, { requestId: 'r-2' });
    await rollout.undo('chat', last, { requestId: 'r-2' });
    // Another one can be the last when it is repeated.
    await expect(rollout.undo('chat', undefined, { requestId: 'r-4' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(await rollout.get('chat')).toMatchObject({ percentage: 1, revision: 5 });
    await rollout.remove('chat');
    await rollout.restore('chat', { requestId: 'r-3' });
    expect(await rollout.restore('chat', { requestId: 'r-3' })).toMatchObject({ revision: 6 });
  });

  it.each<[string, unknown, string]>([
    ['a revision to come', 2, 'NOT_KEPT'],
    ['no whole number', 1.5, 'INVALID_ARGUMENT'],
    ['0', 0, 'INVALID_ARGUMENT'],
    ['NaN', Number.NaN, 'INVALID_ARGUMENT'],
    ['nothing', undefined, 'INVALID_ARGUMENT'],
    ['null', null, 'INVALID_ARGUMENT'],
    ['an empty id', '', 'INVALID_ARGUMENT'],
    ['no change', 'nope', 'NOT_KEPT'],
    ['a revision without an id', { revision: 1 }, 'INVALID_ARGUMENT'],
    ['another id', { id: 'nope', revision: 1 }, 'NOT_KEPT'],
    ['a list', [1], 'INVALID_ARGUMENT'],
  ])('is not rolled back to %s', async (_, to, code) => {
    await rollout.addFeature('chat');
    const rollback = rollout.rollback('chat', to as number);
    await expect(rollback).rejects.toMatchObject({ code });
  });

  it.each([
    ['nothing', undefined],
    ['a number', 42],
    ['a kind that there is not', { of: 'segment', name: 'chat' }],
    ['a kind without a name', { of: 'group' }],
  ])('is not asked for by %s', async (_, of) => {
    const named = of as unknown as string;
    for (const asked of [
      () => rollout.history(named),
      () => rollout.diff(named, 1),
      () => rollout.rollback(named, 1),
      () => rollout.undo(named),
      () => rollout.restore(named),
    ]) {
      await expect(asked()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    }
  });

  it('that is not kept at all is no absence of the feature', async () => {
    const forgetful = new Rollout(new MemoryBackend({ historyLength: 0 }));
    await forgetful.addFeature('chat');
    await expect(forgetful.undo('chat')).rejects.toMatchObject({ code: 'NOT_KEPT' });
    await expect(forgetful.undo('nope')).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
    await forgetful.close();
  });

  it('is not rolled back to a change of another feature', async () => {
    await rollout.addFeature('chat');
    await rollout.addFeature('other');
    const other = rollout.rollback('chat', await lastId(rollout, 'other'));
    await expect(other).rejects.toMatchObject({ code: 'NOT_KEPT', feature: 'chat' });
  });

  it('is not rolled back to a removal, nor by options that there are not', async () => {
    await rollout.addFeature('chat');
    await rollout.remove('chat');
    const removed = await lastId(rollout);
    await rollout.addFeature('chat');
    const invalid = { code: 'INVALID_ARGUMENT' };
    await expect(rollout.rollback('chat', removed)).rejects.toMatchObject(invalid);
    const refuse = (options: object) => rollout.rollback('chat', 1, options);
    await expect(refuse({ member: 'keep' })).rejects.toMatchObject(invalid);
    await expect(refuse({ members: 'all' })).rejects.toMatchObject(invalid);
    await expect(rollout.restore('chat', { members: 'restore' as 'keep' })).rejects.toMatchObject(
      invalid,
    );
    await expect(rollout.undo('chat', 7 as never)).rejects.toMatchObject(invalid);
    await expect(
      rollout.undo('chat', undefined, { members: 'keep' } as never),
    ).rejects.toMatchObject(invalid);
  });

  it('says what differs between two states', async () => {
    const first = await rollout.addFeature('chat', { percentage: 1 });
    const created = await lastId(rollout);
    await rollout.exclude('chat', 'eve');
    await rollout.setPercentage('chat', 2);
    const excluded = { path: 'excluded', kind: 'added', after: 'eve' };
    const raised = { path: 'percentage', kind: 'changed', before: 1, after: 2 };
    expect(await rollout.diff('chat', 1)).toEqual([raised, excluded]);
    expect(await rollout.diff('chat', created, 2)).toEqual([excluded]);
    expect(await rollout.diff('chat', 2, first)).toEqual([
      { path: 'excluded', kind: 'removed', before: 'eve' },
    ]);
    await expect(rollout.diff('chat', 9)).rejects.toMatchObject({ code: 'NOT_KEPT' });
    await rollout.remove('chat');
    await expect(rollout.diff('chat', 1)).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
    expect(await rollout.diff('chat', 1, 3)).toHaveLength(2);
  });
});

describe('a past that is not kept', () => {
  it('does not come back without the members that it had', async () => {
    let now = 0;
    const rollout = new Rollout(new MemoryBackend({ now: () => now }));
    await rollout.addFeature('chat', { percentage: 5 });
    await rollout.register('chat', ['ann', 'bob']);
    const registered = await lastId(rollout);
    await rollout.deactivate('chat');
    now += KEEP_REMOVED_MS;
    const lost = { code: 'NOT_KEPT', message: expect.stringContaining('2 members') };
    await expect(rollout.rollback('chat', 1)).rejects.toMatchObject(lost);
    await expect(rollout.rollback('chat', registered)).rejects.toMatchObject(lost);
    await expect(rollout.undo('chat')).rejects.toMatchObject(lost);
    await rollout.rollback('chat', 1, { members: 'none' });
    expect(await rollout.get('chat')).toMatchObject({ percentage: 5, revision: 3 });
    await rollout.register('chat', 'eve');
    await rollout.remove('chat');
    now += KEEP_REMOVED_MS;
    await expect(rollout.restore('chat')).rejects.toMatchObject({ code: 'NOT_KEPT' });
    expect(await rollout.get('chat')).toBeUndefined();
    await rollout.restore('chat', { members: 'none' });
    expect(await rollout.get('chat')).toMatchObject({ percentage: 5, revision: 4 });
    expect(await rollout.countMembers('chat')).toBe(0);
    await rollout.remove('chat');
    now += KEEP_REMOVED_MS;
    // It had none.
    await rollout.restore('chat');
    await rollout.close();
  });
});

describe('a past that a store has lost', () => {
  it('on Redis, whose members have expired, is told so', async () => {
    const rollout = new Rollout(new RedisSetBackend(client));
    try {
      const { id } = await rollout.addFeature('chat', { percentage: 5 });
      await rollout.register('chat', ['ann', 'bob']);
      const registered = await lastId(rollout);
      await rollout.deactivate('chat');
      const key = `{hanoi}:users:${id}`;
      const ttlMs = await client.pttl(key);
      expect(ttlMs).toBeGreaterThan(KEEP_REMOVED_MS - 60_000);
      await client.pexpire(key, 1);
      while ((await client.exists(key)) === 1);
      for (const to of [1, registered]) {
        await expect(rollout.rollback('chat', to)).rejects.toMatchObject({
          ...{ code: 'NOT_KEPT', message: expect.stringContaining('2 members') },
        });
      }
      await expect(rollout.undo('chat')).rejects.toMatchObject({ code: 'NOT_KEPT' });
      expect((await rollout.get('chat'))?.revision).toBe(2);
      // As it is in the history from then on: without them.
      await rollout.rollback('chat', 1, { members: 'none' });
      expect(await membersOf(rollout)).toEqual([]);
    } finally {
      await rollout.close();
    }
  });

  it('on Redis, of entries that can not be read any more, is told so', async () => {
    const rollout = new Rollout(new RedisBackend(client));
    try {
      await rollout.addFeature('chat', { percentage: 5 });
      await rollout.setPercentage('chat', 6);
      const key = '{hanoi}:history:documents:chat';
      const stream = (await client.keys('*history*')).find((each) => each.includes('chat')) ?? key;
      const entries = await client.xrange(stream, '-', '+');
      await client.del(stream);
      for (const [id, fields] of entries) {
        const broken = fields.map((field, at) =>
          fields[at - 1] === 'after' || fields[at - 1] === 'before' ? '{"name":1}' : field,
        );
        await client.xadd(stream, id, ...broken);
      }
      const history = await rollout.history('chat');
      expect(history.map(({ before, after }) => [before, after])).toEqual([
        ...[
          [undefined, undefined],
          [undefined, undefined],
        ],
      ]);
      const unreadable = { code: 'NOT_KEPT', message: expect.stringContaining("can't be read") };
      await expect(rollout.rollback('chat', 1)).rejects.toMatchObject(unreadable);
      await expect(rollout.undo('chat')).rejects.toMatchObject(unreadable);
      const created = history[1]?.id as string;
      await expect(rollout.rollback('chat', created)).rejects.toMatchObject(unreadable);
      await rollout.remove('chat');
      // The removal was told since.
      expect(await rollout.restore('chat')).toMatchObject({ percentage: 6 });
    } finally {
      await rollout.close();
    }
  });

  it('of which a part is trimmed, does not guess who the members were', async () => {
    const rollout = new Rollout(new MemoryBackend({ historyLength: 4 }));
    await rollout.addFeature('chat', { percentage: 5 });
    const created = await lastId(rollout);
    await rollout.register('chat', 'ann');
    await rollout.setPercentage('chat', 6);
    const raised = await lastId(rollout);
    // As many come as go: by their number alone, nothing would have changed.
    for (let n = 0; n < 8; n++) await rollout.register('chat', `user-${n}`);
    for (let n = 0; n < 8; n++) await rollout.unregister('chat', `user-${n}`);
    const untold = { code: 'NOT_KEPT', message: expect.stringContaining('does not tell any more') };
    await expect(rollout.rollback('chat', raised)).rejects.toMatchObject(untold);
    await expect(rollout.rollback('chat', created)).rejects.toMatchObject(untold);
    await expect(rollout.rollback('chat', 1, { members: 'restore' })).rejects.toMatchObject(untold);
    expect(await rollout.undo('chat', raised)).toMatchObject({ percentage: 5 });
    expect(await rollout.rollback('chat', 2)).toMatchObject({ percentage: 6 });
    await rollout.rollback('chat', created, { members: 'keep' });
    expect(await membersOf(rollout)).toEqual(['ann']);
    for (let n = 0; n < 8; n++) await rollout.setPercentage('chat', 10 + n);
    await expect(rollout.rollback('chat', 2)).rejects.toMatchObject({ code: 'NOT_KEPT' });
    await expect(rollout.undo('chat', created)).rejects.toMatchObject({ code: 'NOT_KEPT' });
    // What came before the oldest change is kept with it.
    const [oldest] = (await rollout.history('chat', { kind: 'documents' })).slice(-1);
    const { revision, percentage } = (oldest as Change).before as Feature;
    expect(await rollout.rollback('chat', revision)).toMatchObject({ percentage });
    await rollout.close();
  });

  it('of which a part is trimmed, does not take as many for the same', async () => {
    const rollout = new Rollout(new MemoryBackend({ historyLength: 4 }));
    await rollout.addFeature('chat', { percentage: 5 });
    await rollout.register('chat', 'ann');
    await rollout.setPercentage('chat', 6);
    const raised = await lastId(rollout);
    await rollout.register('chat', 'eve');
    await rollout.unregister('chat', 'ann');
    for (let n = 0; n < 8; n++) {
      await rollout.register('chat', 'zoe');
      await rollout.unregister('chat', 'zoe');
    }
    await expect(rollout.rollback('chat', raised)).rejects.toMatchObject({ code: 'NOT_KEPT' });
    expect(await membersOf(rollout)).toEqual(['eve']);
    await rollout.close();
  });

  it('that was edited by hand, does not guess either', async () => {
    const path = join(folder, 'edited.json');
    const rollout = new Rollout(new FileBackend(path, { pollMs: 20 }));
    try {
      await rollout.addFeature('chat', { percentage: 5 });
      await rollout.register('chat', ['ann', 'bob']);
      const registered = await lastId(rollout);
      const edited = JSON.parse(readFileSync(path, 'utf8'));
      edited.members.chat = ['ann', 'eve'];
      writeFileSync(path, JSON.stringify(edited));
      await rollout.setPercentage('chat', 6);
      expect(await membersOf(rollout)).toEqual(['ann', 'eve']);
      const untold = { code: 'NOT_KEPT' };
      await expect(rollout.rollback('chat', registered)).rejects.toMatchObject(untold);
      await expect(rollout.undo('chat', registered)).rejects.toMatchObject(untold);
      await rollout.rollback('chat', 1);
      expect(await membersOf(rollout)).toEqual(['ann', 'eve']);
    } finally {
      await rollout.close();
    }
  });
});

describe('a rollback among others that write', () => {
  it('takes members as they were, whoever is registered meanwhile', async () => {
    const one = new Rollout(new RedisSetBackend(client));
    const other = new Rollout(new RedisSetBackend(client));
    try {
      await one.addFeature('chat', { percentage: 5 });
      await one.register('chat', ['ann', 'bob']);
      const then = await lastId(one);
      await one.unregister('chat', 'ann');
      const stop = new AbortController();
      let registered = 0;
      const registering = (async () => {
        while (!stop.signal.aborted) {
          registered += await other.register('chat', `user-${registered}`);
          await setTimeout(1);
        }
      })();
      await one.rollback('chat', then);
      stop.abort();
      await registering;
      const history = await one.history('chat', { limit: 1_000 });
      const at = history.findIndex(({ kind }) => kind === 'updated');
      const members = new Set<string>();
      for (const { added, removed } of history.slice(at).reverse()) {
        for (const id of added) members.add(id);
        for (const id of removed) members.delete(id);
      }
      // What came afterwards is there.
      expect(members).toEqual(new Set(['ann', 'bob']));
      expect(await one.countMembers('chat')).toBe(2 + at);
    } finally {
      await one.close();
      await other.close();
    }
  });

  it('takes members as they were, also where one has come for another at the last moment', async () => {
    class Overtaken extends MemoryBackend {
      isNext: boolean = false;
      override async write(write: Write): Promise<Written> {
        if (this.isNext && write.document) {
          this.isNext = false;
          await super.write({ name: 'chat', expect: 'present', add: ['eve'], remove: ['bob'] });
        }
        return super.write(write);
      }
    }
    const backend = new Overtaken();
    const rollout = new Rollout(backend);
    await rollout.addFeature('chat', { percentage: 5 });
    await rollout.register('chat', ['ann', 'bob']);
    const then = await lastId(rollout);
    await rollout.setPercentage('chat', 6);
    await rollout.unregister('chat', 'ann');
    backend.isNext = true;
    await rollout.rollback('chat', then);
    expect(backend.isNext).toBe(false);
    expect(await membersOf(rollout)).toEqual(['ann', 'bob']);
    await rollout.close();
  });

  it('of two processes to two states, is refused for one where both have read the same', async () => {
    const one = new Rollout(new RedisBackend(client));
    const other = new Rollout(new RedisBackend(client));
    try {
      let refused = 0;
      for (let round = 0; round < 10; round++) {
        const name = `f${round}`;
        await one.addFeature(name, { percentage: 1 });
        await one.setPercentage(name, 2);
        await one.setPercentage(name, 3);
        // Connected by now, both read within a moment.
        expect((await other.get(name))?.percentage).toBe(3);
        const outcomes = await Promise.allSettled([one.rollback(name, 1), other.rollback(name, 2)]);
        const reasons = outcomes.flatMap((each) => (each.status === 'rejected' ? each.reason : []));
        expect(reasons).toMatchObject(reasons.map(() => ({ code: 'CONFLICT' })));
        // Where one came after the other all the same, each has its revision.
        expect((await one.get(name))?.revision).toBe(5 - reasons.length);
        refused += reasons.length;
      }
      expect(refused).toBeGreaterThan(0);
    } finally {
      await one.close();
      await other.close();
    }
  });
});

it('a source that only reads is left alone', async () => {
  const rollout = new Rollout(new RolloutGemSource(client));
  try {
    const readOnly = { code: 'READ_ONLY' };
    await expect(rollout.rollback('chat', 1)).rejects.toMatchObject(readOnly);
    await expect(rollout.undo('chat')).rejects.toMatchObject(readOnly);
    await expect(rollout.restore('chat')).rejects.toMatchObject(readOnly);
  } finally {
    await rollout.close();
  }
});

it('a store that does not answer has applied nothing', async () => {
  const nowhere = new Redis({ port: 1, lazyConnect: true });
  nowhere.on('error', () => {});
  const rollout = new Rollout(new RedisBackend(nowhere, { operationTimeoutMs: 100 }));
  try {
    const notApplied = { code: 'NOT_APPLIED' };
    await expect(rollout.rollback('chat', 1)).rejects.toMatchObject(notApplied);
    await expect(rollout.undo('chat')).rejects.toMatchObject(notApplied);
    await expect(rollout.restore('chat')).rejects.toMatchObject(notApplied);
  } finally {
    await rollout.close();
    nowhere.disconnect();
  }
});

/** What there is of a feature: its document but for the revision, and its members. */
interface State {
  readonly document: Feature | undefined;
  readonly members: readonly string[];
}

async function stateOf(rollout: Rollout): Promise<State> {
  const feature = await rollout.get('chat');
  if (feature === undefined) return { document: undefined, members: [] };
  return { document: { ...feature, revision: 0 }, members: await membersOf(rollout) };
}

/** One change of a random kind; some change nothing. */
async function changeSomething(rollout: Rollout, random: () => number): Promise<void> {
  const any = (most: number) => Math.floor(random() * most);
  const ids = () => Array.from({ length: 1 + any(4) }, () => `user-${any(12)}`);
  if ((await rollout.get('chat')) === undefined) {
    const removed = await rollout.history('chat', { limit: 1 });
    if (removed.length > 0 && any(3) === 0) await rollout.restore('chat');
    else await rollout.addFeature('chat', { percentage: any(100) });
    return;
  }
  switch (any(10)) {
    case 0:
      return rollout.remove('chat');
    case 1:
      await rollout.deactivate('chat');
      return;
    case 2:
    case 3:
    case 4:
      await rollout.register('chat', ids());
      return;
    case 5:
      await rollout.unregister('chat', ids());
      return;
    case 6:
      await rollout.exclude('chat', ids());
      return;
    case 7:
      await rollout.undo('chat').catch((error) => {
        if (error.code !== 'CONFLICT') throw error;
      });
      return;
    case 8: {
      const changes = await rollout.history('chat');
      const { id, kind } = changes[any(changes.length)] as Change;
      if (kind !== 'removed') await rollout.rollback('chat', id);
      return;
    }
    default:
      await rollout.update('chat', { percentage: any(100), groups: [`g${any(3)}`] });
  }
}

describe.each<[string, () => Backend, number, number]>([
  ['memory', () => new MemoryBackend({ historyLength: 1_000 }), 100, 30],
  ['Redis', () => new RedisBackend(client, { historyLength: 1_000 }), 8, 20],
  ['Redis sets', () => new RedisSetBackend(client, { historyLength: 1_000 }), 8, 20],
])('after any changes on %s', (_, open, rounds, steps) => {
  it('a rollback to any of them brings back document and members', async () => {
    const start = Math.floor(Math.random() * 2 ** 31);
    for (let round = 0; round < rounds; round++) {
      const seed = start + round;
      const random = seeded(seed);
      await client.flushall();
      const rollout = new Rollout(open());
      try {
        const states = new Map<string, State>();
        const note = async () => {
          const id = await lastId(rollout);
          if (!states.has(id)) states.set(id, await stateOf(rollout));
        };
        for (let step = 0; step < steps; step++) {
          await changeSomething(rollout, random);
          await note();
        }
        const ids = [...states.keys()].sort(() => random() - 0.5).slice(0, 8);
        for (const id of ids) {
          const { document, members } = states.get(id) as State;
          const at = { seed, id };
          if (document === undefined) continue;
          const before = await rollout.history('chat', { limit: 1_000 });
          const written = await rollout.rollback('chat', id);
          expect({ at, ...(await stateOf(rollout)) }).toEqual({ at, document, members });
          // It is a change itself, and nothing of the history before is lost.
          const history = await rollout.history('chat', { limit: 1_000 });
          const isNew = history.length > before.length;
          expect({ at, rest: history.slice(isNew ? 1 : 0) }).toEqual({ at, rest: before });
          if (isNew) expect(history[0]?.after).toEqual(written);
          const revisions = history
            .filter(
              ({ kind, head }) =>
                kind !== 'members' && kind !== 'removed' && head.id === written.id,
            )
            .map(({ head }) => head.revision);
          expect(revisions).toEqual([...new Set(revisions)].sort((one, other) => other - one));
          await note();
        }
      } finally {
        await rollout.close();
      }
    }
  }, 60_000);
});
