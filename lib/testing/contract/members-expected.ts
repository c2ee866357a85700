import { matches, rejects, same } from './expectation.js';
import type { Cases } from './given.js';

export const membersExpectedCases: Cases = {
  'is refused where they are in another state': async ({
    backend,
    create,
    add,
    membersOf,
    head,
  }) => {
    const document = await create('chat');
    await add('chat', ['ann']);
    const { id, members = 0 } = (await head('chat')) ?? {};
    await add('chat', ['bob']);
    const next = { ...document, revision: 2 };
    const put = (of: number | undefined) =>
      backend.write({
        ...{ name: 'chat', document: next, remove: ['ann'] },
        expect: { id: id as string, revision: 1, members: of },
      });
    await rejects(put(members), { code: 'CONFLICT', feature: 'chat' });
    const remove = { name: 'chat', document: null, expect: { id: id as string, members } };
    await rejects(backend.write(remove), { code: 'CONFLICT' });
    same(await membersOf('chat'), new Set(['ann', 'bob']));
    await put((await head('chat'))?.members);
    same(await membersOf('chat'), new Set(['bob']));
  },

  'is refused where the id that comes back has others, or none any more': async ({
    backend,
    create,
    add,
    head,
  }) => {
    const document = await create('chat', {}, 'first');
    await add('chat', ['ann', 'bob']);
    await backend.write({ name: 'chat', expect: 'present', document: null });
    const back = (memberCount: number) =>
      backend.write({ name: 'chat', expect: 'absent', document, memberCount });
    await rejects(back(1), { code: 'CONFLICT', feature: 'chat' });
    same(await backend.load('chat'), undefined);
    await back(2);
    const other = { ...document, id: 'other', revision: 2 };
    const replaced = (memberCount: number) =>
      backend.write({ name: 'chat', expect: { id: 'first' }, document: other, memberCount });
    await rejects(replaced(2), { code: 'CONFLICT' });
    await replaced(0);
    const kept = { ...other, revision: 3 };
    const write = { name: 'chat', expect: { id: 'other' }, document: kept, memberCount: 1 };
    await rejects(backend.write(write), { code: 'CONFLICT' });
    matches(await head('chat'), { id: 'other', revision: 2 });
  },
};
