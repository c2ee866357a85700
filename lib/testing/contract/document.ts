import type { Write } from '../../backends/backend.js';
import type { Feature } from '../../domain/feature.js';
import { amendFeature, createFeature } from '../../domain/validate.js';
import { holds, matches, rejects, same } from './expectation.js';
import type { Cases } from './given.js';

/** As many as write at once. */
const WRITERS = 20;

export const documentCases: Cases = {
  'is loaded as it was written': async ({ backend, create }) => {
    const document = await create('chat', {
      percentage: 12.5,
      variants: [{ name: 'a', value: { deep: [null, 1] } }],
      patterns: [/01$/i],
      data: JSON.parse('{"__proto__":1}'),
    });
    same((await backend.load('chat'))?.feature, document);
    same(JSON.stringify((await backend.load('chat'))?.feature), JSON.stringify(document));
  },

  'is absent until it is written': async ({ backend, held }) => {
    same(await backend.load('chat'), undefined);
    same(await held('chat', 'ann'), undefined);
    same((await backend.loadAll()).features.size, 0);
  },

  'may have any name': async ({ backend, create, add, membersOf, isEnabled }) => {
    const names = ['__proto__', 'constructor', 'toString', 'a|b', 'a,b', 'a:b', '{a}', '😀', ' '];
    for (const each of names) await create(each, { percentage: 100 });
    const { features } = await backend.loadAll();
    same(new Set(features.keys()), new Set(names));
    for (const each of names) {
      await add(each, [`member of ${each}`]);
      same(features.get(each)?.feature?.name, each);
      same(await isEnabled(each, 'ann'), true);
    }
    for (const each of names) same(await membersOf(each), new Set([`member of ${each}`]));
    same(await backend.load('hasOwnProperty'), undefined);
  },

  'is not created over another': async ({ backend, create }) => {
    const first = await create();
    await rejects(create('chat', { percentage: 100 }, 'other'), {
      code: 'FEATURE_EXISTS',
      feature: 'chat',
    });
    same((await backend.load('chat'))?.feature, first);
  },

  'is replaced only where the expected one is there': async ({ backend, create }) => {
    const first = await create();
    const second = amendFeature(first, { percentage: 1 });
    const third = amendFeature(second, { percentage: 2 });
    const replaced = (document: Feature, expected: { id: string; revision?: number }) =>
      backend.write({ name: 'chat', expect: expected, document });
    await replaced(second, { id: first.id, revision: 1 });
    for (const expected of [
      { id: first.id, revision: 1 },
      { id: 'other', revision: 2 },
      { id: 'other' },
    ]) {
      await rejects(replaced(third, expected), { code: 'CONFLICT' });
    }
    same((await backend.load('chat'))?.feature, second);
    await replaced(third, { id: first.id });
    same((await backend.load('chat'))?.feature, third);
  },

  'is not replaced, removed or joined where there is none': async ({ backend }) => {
    const document = createFeature('chat', 'id', {});
    const expected = { id: 'id' };
    const writes: Write[] = [
      { name: 'chat', expect: expected, document },
      { name: 'chat', expect: expected, document: null },
      { name: 'chat', expect: 'present', document: null },
      { name: 'chat', expect: expected, add: ['ann'] },
      { name: 'chat', expect: 'present', add: ['ann'] },
      { name: 'chat', expect: 'present', remove: ['ann'] },
    ];
    for (const write of writes) {
      await rejects(backend.write(write), { code: 'FEATURE_NOT_FOUND' });
    }
    same(await backend.load('chat'), undefined);
    same(await backend.token(), undefined);
  },

  'loses no update where many write at once, each on what it read': async ({ backend, create }) => {
    await create();
    const increment = async () => {
      for (let attempts = 1; ; attempts++) {
        // Each conflict is another's success, so that there can't be as many.
        holds(attempts <= WRITERS, 'conflicts only where another has written');
        const feature = (await backend.load('chat'))?.feature as Feature;
        const { id, revision } = feature;
        const document = amendFeature(feature, { data: { n: revision } });
        try {
          await backend.write({ name: 'chat', expect: { id, revision }, document });
          return;
        } catch (error) {
          matches(error, { code: 'CONFLICT' });
        }
      }
    };
    await Promise.all(Array.from({ length: WRITERS }, increment));
    same((await backend.load('chat'))?.feature?.revision, 1 + WRITERS);
  },

  'that was removed is gone from every read': async ({ backend, create, add, membersOf, held }) => {
    await create();
    await add('chat', ['ann']);
    await backend.write({ name: 'chat', expect: 'present', document: null });
    same(await backend.load('chat'), undefined);
    same(await held('chat', 'ann'), undefined);
    same((await backend.loadAll()).features.size, 0);
    for (const read of [() => backend.countMembers('chat'), () => membersOf('chat')]) {
      await rejects(read(), { code: 'FEATURE_NOT_FOUND' });
    }
  },
};
