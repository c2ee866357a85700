import { amendFeature } from '../../domain/validate.js';
import { rejects, same } from './expectation.js';
import type { Cases } from './given.js';

export const tokenCases: Cases = {
  'is none before the first write': async ({ backend }) => {
    same(await backend.token(), undefined);
    same((await backend.loadAll()).token, undefined);
  },

  'moves its two halves with each change of their kind, and only then': async ({
    backend,
    create,
    add,
    replace,
  }) => {
    let last = await backend.token();
    const moved = async () => {
      const token = await backend.token();
      const halves = (['documents', 'members'] as const).filter(
        (half) => token?.[half] !== last?.[half],
      );
      last = token;
      return halves;
    };
    const document = await create();
    await moved();
    await create('other');
    same(await moved(), ['documents']);
    await add('chat', ['ann']);
    same(await moved(), ['members']);
    await replace(amendFeature(document, { percentage: 1 }));
    same(await moved(), ['documents']);
    await backend.write({ name: 'chat', expect: 'present', remove: ['ann'] });
    same(await moved(), ['members']);
    await backend.write({ name: 'other', expect: 'present', document: null });
    same(await moved(), ['documents']);
    await rejects(create(), { code: 'FEATURE_EXISTS' });
    await add('chat', []);
    await backend.write({ name: 'chat', expect: 'present', remove: ['eve'] });
    same(await moved(), []);
    same((await backend.loadAll()).token, last);
  },
};
