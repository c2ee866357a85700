import type { Feature } from '../../domain/feature.js';
import { amendFeature } from '../../domain/validate.js';
import { holds, same } from './expectation.js';
import type { Cases } from './given.js';

export const wholeCases: Cases = {
  'is loaded whole, also by who knows a part': async ({ backend, create, add, replace, head }) => {
    const kept = await create('kept');
    const changed = await create('changed');
    await create('removed');
    const known = await backend.loadAll();
    await add('kept', ['ann']);
    await replace(amendFeature(changed, { percentage: 1 }));
    await backend.write({ name: 'removed', expect: 'present', document: null });
    await create('new');
    const loaded = await backend.loadAll(known);
    same(loaded, await backend.loadAll());
    same(new Set(loaded.features.keys()), new Set(['kept', 'changed', 'new']));
    same(loaded.features.get('kept'), { head: await head('kept'), feature: kept });
    same(loaded.features.get('changed')?.feature?.percentage, 1);
  },

  'is one moment, while it keeps changing': async ({ backend, create, replace }) => {
    // Before each change of the second, the first is already there with the same number.
    await create('one', { data: { n: 0 } });
    await create('two', { data: { n: 0 } });
    let isOver: boolean = false;
    const write = async () => {
      for (let n = 1; n <= 50; n++) {
        for (const each of ['one', 'two']) {
          const { feature } = (await backend.load(each)) as { feature: Feature };
          await replace(amendFeature(feature, { data: { n } }));
        }
        // A store in memory would be done before anybody looks.
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const look = async () => {
      let loaded = await backend.loadAll();
      while (!isOver) {
        loaded = await backend.loadAll(loaded);
        const { features } = loaded;
        const [one, two] = ['one', 'two'].map((each) => features.get(each)?.feature?.data.n);
        const ahead = (one as number) - (two as number);
        holds(ahead === 0 || ahead === 1, `the first to be ahead by 0 or 1, got ${ahead}`);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const writing = write().finally(() => {
      isOver = true;
    });
    await Promise.all([writing, look()]);
  },

  'has its members under their heads, or leaves them out': async ({
    backend,
    create,
    add,
    membersOf,
    head,
  }) => {
    await create('one');
    await create('two');
    await create('none');
    await add('one', ['ann', 'bob']);
    await add('two', ['eve']);
    const ids = new Map(['one', 'two', 'none', 'nope'].map((each) => [each, `id-${each}`]));
    const found = await backend.loadMembers(new Map([...ids, ['two', 'another']]));
    same(found.has('two'), false);
    same(found.has('nope'), false);
    for (const [name, members] of found) {
      same(members.head, await head(name));
      same(members.ids, await membersOf(name));
    }
    same((await backend.loadMembers(new Map())).size, 0);
  },
};
