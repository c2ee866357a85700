import type { RecordedWrite, Written } from '../../backends/backend.js';
import type { Feature } from '../../domain/feature.js';
import { amendFeature, createFeature } from '../../domain/validate.js';
import { rejects, same } from './expectation.js';
import type { Cases, Given } from './given.js';

/** Changes a feature by what was read of others. */
async function decided({ backend }: Given, beside: RecordedWrite['beside']): Promise<Written> {
  const feature = (await backend.load('chat'))?.feature as Feature;
  const document = amendFeature(feature, { percentage: 1 });
  return backend.write({ name: 'chat', expect: { id: feature.id }, document, beside });
}

export const besideCases: Cases = {
  'is applied while they are as they were, whoever joins them': async (given) => {
    const { backend, create, add, head } = given;
    await create();
    await create('list');
    const beside = new Map([
      ['list', await head('list')],
      ['none', undefined],
    ]);
    await add('list', ['ann']);
    await decided(given, beside);
    same((await backend.load('chat'))?.feature?.percentage, 1);
  },

  'meets a conflict where one was changed, removed, made again, or is there': async (given) => {
    const { backend, create, replace, head } = given;
    const first = await create();
    const list = await create('list');
    const beside = new Map([['list', await head('list')]]);
    const expectConflict = () =>
      rejects(decided(given, beside), { code: 'CONFLICT', feature: 'list' });
    await replace(amendFeature(list, { percentage: 5 }));
    await expectConflict();
    await backend.write({ name: 'list', expect: 'present', document: null });
    await expectConflict();
    await create('list');
    await expectConflict();
    await rejects(decided(given, new Map([['list', undefined]])), {
      code: 'CONFLICT',
      feature: 'list',
    });
    same((await backend.load('chat'))?.feature, first);
    const document = createFeature('new', 'id-new', {});
    await rejects(backend.write({ name: 'new', expect: 'absent', document, beside }), {
      code: 'CONFLICT',
      feature: 'list',
    });
    same(await backend.load('new'), undefined);
  },
};
