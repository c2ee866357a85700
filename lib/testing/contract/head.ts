import { amendFeature } from '../../domain/validate.js';
import { holds, matches, same } from './expectation.js';
import type { Cases } from './given.js';

export const headCases: Cases = {
  'moves with each change, and only then': async ({
    backend,
    create,
    add,
    replace,
    held,
    head,
  }) => {
    const heads = new Set<string>();
    const note = async () => heads.add(JSON.stringify(await head('chat')));
    const document = await create();
    await note();
    await add('chat', ['ann']);
    await note();
    const { head: after } = await backend.write({
      name: 'chat',
      expect: 'present',
      remove: ['ann'],
    });
    await note();
    same(after, await head('chat'));
    await replace(amendFeature(document, { percentage: 1 }));
    await note();
    same(heads.size, 4);
    await add('chat', []);
    await backend.write({ name: 'chat', expect: 'present', remove: ['eve'] });
    await note();
    same(heads.size, 4);
    const [first, joined, left, replaced] = [...heads].map((each) => JSON.parse(each));
    matches(first, { id: document.id, revision: 1, members: 0 });
    same([joined.document, left.document], [first.document, first.document]);
    matches(replaced, { id: document.id, revision: 2, members: left.members });
    holds(replaced.document !== first.document, 'another number of the document');
    same((await held('chat', 'ann'))?.head, await head('chat'));
  },

  'never repeats, not even across a removal and its undoing': async ({
    backend,
    create,
    add,
    head,
  }) => {
    const seen: string[] = [];
    let document = await create();
    for (let round = 0; round < 3; round++) {
      await add('chat', [`user-${round}`]);
      seen.push(`${(await head('chat'))?.members}`);
      await backend.write({ name: 'chat', expect: 'present', document: null });
      document = { ...document, revision: document.revision + 1 };
      await backend.write({ name: 'chat', expect: 'absent', document });
      seen.push(`${(await head('chat'))?.members}`);
    }
    same(new Set(seen).size, seen.length);
  },
};
