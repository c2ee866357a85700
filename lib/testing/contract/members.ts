import { MEMBERS_PER_WRITE } from '../../backends/backend.js';
import { amendFeature, createFeature } from '../../domain/validate.js';
import { holds, matches, rejects, same } from './expectation.js';
import type { Cases } from './given.js';

export const membersCases: Cases = {
  'are counted, asked for and streamed': async ({ backend, create, add, membersOf }) => {
    await create();
    matches(await add('chat', ['ann', 'bob', 'ann']), { added: 2, removed: 0 });
    same(await backend.countMembers('chat'), 2);
    same(await membersOf('chat'), new Set(['ann', 'bob']));
  },

  'have any id, and each is another': async ({ create, add, membersOf, isEnabled }) => {
    await create();
    const ids = [
      'a|b',
      'a,b',
      'a\nb',
      'a\0b',
      'a',
      'b',
      '😀',
      'x'.repeat(10_000),
      '__proto__',
      '42',
    ];
    await add('chat', ids);
    same(await membersOf('chat'), new Set(ids));
    for (const id of ids) same(await isEnabled('chat', id), true);
    for (const id of ['', 'a|', 'a\n', 'constructor', 'x'.repeat(9_999)]) {
      same(await isEnabled('chat', id), false);
    }
  },

  'change the answer of the next check': async ({ backend, create, add, isEnabled }) => {
    await create();
    same(await isEnabled('chat', 'ann'), false);
    await add('chat', ['ann']);
    same(await isEnabled('chat', 'ann'), true);
    same(await isEnabled('chat', { id: 'ann' }), true);
    await backend.write({ name: 'chat', expect: 'present', remove: ['ann', 'eve'] });
    same(await isEnabled('chat', 'ann'), false);
  },

  'stay through an update of the document': async ({ create, add, replace, isEnabled }) => {
    const document = await create();
    await add('chat', ['ann']);
    await replace(amendFeature(document, { percentage: 1 }));
    same(await isEnabled('chat', 'ann'), true);
  },

  'are written with the document, or neither is': async ({ backend, membersOf, isEnabled }) => {
    const document = createFeature('chat', 'id', {});
    await backend.write({ name: 'chat', expect: 'absent', document, add: ['ann'] });
    same(await isEnabled('chat', 'ann'), true);
    await rejects(
      backend.write({
        name: 'chat',
        expect: { id: 'id', revision: 9 },
        document: amendFeature(document, { percentage: 100 }),
        add: ['bob'],
        remove: ['ann'],
      }),
      { code: 'CONFLICT' },
    );
    same(await membersOf('chat'), new Set(['ann']));
    same((await backend.load('chat'))?.feature, document);
  },

  'come at most a thousand a write': async ({ backend, create, add }) => {
    await create();
    const many = Array.from({ length: MEMBERS_PER_WRITE + 1 }, (_, n) => `user-${n}`);
    await rejects(add('chat', many), { code: 'INVALID_ARGUMENT' });
    same(await backend.countMembers('chat'), 0);
    matches(await add('chat', many.slice(1)), { added: MEMBERS_PER_WRITE });
  },

  'go at most a thousand a write': async ({ backend, create }) => {
    await create();
    const remove = Array.from({ length: MEMBERS_PER_WRITE + 1 }, (_, n) => `user-${n}`);
    await rejects(backend.write({ name: 'chat', expect: 'present', remove }), {
      code: 'INVALID_ARGUMENT',
    });
  },

  'stream in batches, and the stream can be left': async ({ backend, create, add, membersOf }) => {
    await create();
    for (let from = 0; from < 5_000; from += 1_000) {
      await add(
        'chat',
        Array.from({ length: 1_000 }, (_, n) => `user-${from + n}`),
      );
    }
    let batches = 0;
    for await (const batch of backend.members('chat')) {
      holds(
        batch.length <= 2 * MEMBERS_PER_WRITE,
        `batches of about a thousand, got ${batch.length}`,
      );
      if (++batches === 2) break;
    }
    same((await membersOf('chat')).size, 5_000);
  },

  'are never streamed in part: the stream breaks when the feature goes': async ({
    backend,
    create,
    add,
  }) => {
    await create();
    for (let from = 0; from < 5_000; from += 1_000) {
      await add(
        'chat',
        Array.from({ length: 1_000 }, (_, n) => `user-${from + n}`),
      );
    }
    const stream = backend.members('chat')[Symbol.asyncIterator]();
    await stream.next();
    await backend.write({ name: 'chat', expect: 'present', document: null });
    const rest = async () => {
      while (!(await stream.next()).done);
    };
    await rejects(rest(), { code: 'CONFLICT' });
  },

  'are none of the feature that is created again': async ({ backend, create, add, isEnabled }) => {
    await create('chat', {}, 'first');
    await add('chat', ['ann']);
    await backend.write({ name: 'chat', expect: 'present', document: null });
    await create('chat', {}, 'second');
    same(await backend.countMembers('chat'), 0);
    same(await isEnabled('chat', 'ann'), false);
  },

  'are not written to the feature that took the place of the expected one': async ({
    backend,
    create,
  }) => {
    await create('chat', {}, 'first');
    await backend.write({ name: 'chat', expect: 'present', document: null });
    await create('chat', {}, 'second');
    await rejects(backend.write({ name: 'chat', expect: { id: 'first' }, add: ['ann'] }), {
      code: 'CONFLICT',
    });
    same(await backend.countMembers('chat'), 0);
  },

  'are there again when the removed feature is brought back': async ({
    backend,
    create,
    add,
    membersOf,
  }) => {
    const document = await create();
    await add('chat', ['ann']);
    await backend.write({ name: 'chat', expect: 'present', document: null });
    await backend.write({
      name: 'chat',
      expect: 'absent',
      document: amendFeature(document, { percentage: 1 }),
    });
    same(await membersOf('chat'), new Set(['ann']));
  },

  'come back once: then they are the members that are there': async ({ backend, create, add }) => {
    const document = await create('chat', {}, 'shared');
    const remove = () => backend.write({ name: 'chat', expect: 'present', document: null });
    const bringBack = (revision: number) =>
      backend.write({ name: 'chat', expect: 'absent', document: { ...document, revision } });
    await add('chat', ['ann']);
    await remove();
    await bringBack(2);
    await backend.write({ name: 'chat', expect: 'present', remove: ['ann'] });
    await remove();
    await bringBack(3);
    same(await backend.countMembers('chat'), 0);
  },

  'are emptied by a new id, and there again with the old one': async ({
    backend,
    create,
    add,
    membersOf,
    isEnabled,
  }) => {
    const first = await create('chat', {}, 'first');
    await add('chat', ['ann']);
    const emptied = { ...first, id: 'second', revision: 2 };
    await backend.write({ name: 'chat', expect: { id: 'first' }, document: emptied });
    same(await membersOf('chat'), new Set());
    same(await isEnabled('chat', 'ann'), false);
    await add('chat', ['bob']);
    await backend.write({
      name: 'chat',
      expect: { id: 'second' },
      document: { ...first, revision: 3 },
    });
    same(await membersOf('chat'), new Set(['ann']));
  },
};
