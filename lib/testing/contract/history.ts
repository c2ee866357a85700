import type { Change, HistoryOptions } from '../../backends/backend.js';
import { amendFeature } from '../../domain/validate.js';
import { holds, matches, rejects, same } from './expectation.js';
import type { Cases } from './given.js';

export const historyCases: Cases = {
  'tells each change, the newest first': async ({ backend, create, replace }) => {
    const before = Date.now() - 60_000;
    const first = await create();
    const second = amendFeature(first, { percentage: 5 });
    await replace(second, { actor: 'alice', note: 'why not' });
    await backend.write({ name: 'chat', expect: 'present', add: ['ann', 'bob'], actor: 'bob' });
    await backend.write({
      name: 'chat',
      expect: 'present',
      add: ['ann'],
      remove: ['bob', 'eve'],
    });
    await backend.write({ name: 'chat', expect: 'present', document: null });
    const history = await backend.history('chat', { limit: 10 });
    const none = { before: undefined, after: undefined, added: [], removed: [] };
    matches(history, [
      { kind: 'removed', ...none, before: second },
      { kind: 'members', ...none, removed: ['bob'] },
      { kind: 'members', ...none, added: ['ann', 'bob'], actor: 'bob', note: undefined },
      {
        kind: 'updated',
        ...none,
        before: first,
        after: second,
        actor: 'alice',
        note: 'why not',
      },
      { kind: 'created', ...none, after: first, head: { id: first.id, revision: 1 } },
    ]);
    for (const { name: feature, at } of history) {
      same(feature, 'chat');
      holds(at > before, `the time of the change to be the present, got ${at}`);
    }
    same(history[0]?.head, history[1]?.head);
  },

  'is cut to what is asked for': async ({ backend, create, add }) => {
    await create();
    for (let n = 0; n < 5; n++) await add('chat', [`user-${n}`]);
    same(
      (await backend.history('chat', { limit: 2 })).map(({ added }) => added),
      [['user-4'], ['user-3']],
    );
    same(await backend.history('chat', { limit: 0 }), []);
    same(await backend.history('nobody', { limit: 10 }), []);
  },

  'counts the members after each change, and those that a removal took': async ({
    backend,
    create,
    add,
    replace,
  }) => {
    const document = await create('chat', {}, 'first');
    await add('chat', ['ann', 'bob']);
    await replace({ ...document, id: 'first', percentage: 1, revision: 2 });
    await backend.write({
      name: 'chat',
      expect: { id: 'first' },
      document: { ...document, id: 'second', revision: 3 },
    });
    await add('chat', ['eve']);
    await backend.write({ name: 'chat', expect: 'present', document: null });
    const history = await backend.history('chat', { limit: 10 });
    same(
      history.map(({ memberCount }) => memberCount),
      [1, 1, 0, 2, 2, 0],
    );
  },

  'tells which state of the members each change met': async ({
    backend,
    create,
    add,
    replace,
    head,
  }) => {
    const document = await create('chat', {}, 'first');
    await add('chat', ['ann', 'bob']);
    const first = await head('chat');
    await replace({ ...document, id: 'first', percentage: 1, revision: 2 });
    await backend.write({
      name: 'chat',
      expect: { id: 'first' },
      document: { ...document, id: 'second', revision: 3 },
    });
    await add('chat', ['eve']);
    const second = await head('chat');
    await backend.write({ name: 'chat', expect: 'present', document: null });
    await create('chat', {}, 'first');
    const history = await backend.history('chat', { limit: 10 });
    same(
      history.map(({ membersBefore }) => membersBefore),
      [...[0, second?.members, 0, first?.members, first?.members, 0, 0]],
    );
  },

  'can be read on from a change, and by its two kinds': async ({
    backend,
    create,
    add,
    replace,
  }) => {
    const document = await create();
    await add('chat', ['ann']);
    await replace(amendFeature(document, { percentage: 1 }));
    await add('chat', ['bob']);
    const kinds = async (options: Partial<HistoryOptions>) =>
      (await backend.history('chat', { limit: 10, ...options })).map(({ kind }) => kind);
    same(await kinds({ kind: 'documents' }), ['updated', 'created']);
    same(await kinds({ kind: 'members' }), ['members', 'members']);
    const [, second] = await backend.history('chat', { limit: 2 });
    same(await kinds({ before: second?.id }), ['members', 'created']);
    same(await kinds({ before: second?.id, kind: 'members' }), ['members']);
    const all = await backend.log({ limit: 10 });
    same(new Set(all.map(({ id }) => id)).size, 4);
  },

  'keeps the documents that many registrations come after': {
    timeoutMs: 60_000,
    run: async ({ backend, create, add }) => {
      await create();
      for (let n = 0; n < 250; n++) await add('chat', [`user-${n}`]);
      same((await backend.history('chat', { limit: 10, kind: 'documents' })).length, 1);
    },
  },

  'is not changed through what it hands out': async ({ backend, create, add, head }) => {
    await create();
    await add('chat', ['ann']);
    const [change] = (await backend.history('chat', { limit: 1 })) as [Change];
    (change.added as string[]).push('eve');
    holds(Object.isFrozen(change.head), 'the head to be frozen');
    same((await backend.history('chat', { limit: 1 }))[0]?.added, ['ann']);
    matches(await head('chat'), { revision: 1 });
  },

  'can be read page by page': async ({ backend, create, add }) => {
    await create();
    for (let n = 0; n < 25; n++) await add('chat', [`user-${n}`]);
    const seen: string[] = [];
    let before: string | undefined;
    // One that hands out the same page again would never end.
    while (seen.length <= 26) {
      const page = await backend.history('chat', { limit: 4, before });
      if (page.length === 0) break;
      seen.push(...page.map(({ added }) => added[0] ?? 'created'));
      before = page.at(-1)?.id;
    }
    const registered = Array.from({ length: 25 }, (_, n) => `user-${24 - n}`);
    same(seen, [...registered, 'created']);
  },

  'leaves out what changed nothing or was refused': async ({ backend, create, add }) => {
    await create();
    await add('chat', []);
    await backend.write({ name: 'chat', expect: 'present', remove: ['eve'] });
    await rejects(create());
    same((await backend.history('chat', { limit: 10 })).length, 1);
  },

  'of all features is the log': async ({ backend, create, add }) => {
    await create('one');
    await create('two');
    await add('one', ['ann']);
    same(
      (await backend.log({ limit: 10 })).map(({ name: feature, kind }) => [feature, kind]),
      [
        ['one', 'members'],
        ['two', 'created'],
        ['one', 'created'],
      ],
    );
    same((await backend.log({ limit: 1 })).length, 1);
  },
};
