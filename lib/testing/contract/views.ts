import type { HeldFeature } from '../../backends/backend.js';
import { decide, lookupId } from '../../domain/decide.js';
import { same, until } from './expectation.js';
import { type Cases, SURROUNDINGS } from './given.js';

export const viewsCases: Cases = {
  'of all features hold all, with their facts': async ({ backend, create, add }) => {
    await create('one');
    await create('two', { percentage: 100 });
    await add('one', ['ann']);
    const view = await backend.readAll((compiled) => lookupId(compiled, 'ann', SURROUNDINGS));
    same(new Set(view.names()), new Set(['one', 'two']));
    for (const each of ['one', 'two']) {
      const found = view.get(each) as HeldFeature;
      same(decide(found.compiled, 'ann', found.facts, SURROUNDINGS).enabled, true);
    }
    same(view.get('three'), undefined);
  },

  'that need no I/O show the present state': async ({ backend, create }) => {
    if (backend.local === undefined) return;
    await create('one', { percentage: 100 });
    await until(() => backend.local?.get('one') !== undefined, '`local` to hold the feature');
    same([...(backend.local?.names() ?? [])], ['one']);
  },
};
