import type { Write } from '../../backends/backend.js';
import { createFeature } from '../../domain/validate.js';
import { matches, rejects, same } from './expectation.js';
import type { Cases } from './given.js';

export const requestIdCases: Cases = {
  'applies a write once, and answers the same again': async ({ backend }) => {
    const document = createFeature('chat', 'id', {});
    const write: Write = {
      name: 'chat',
      expect: 'absent',
      document,
      add: ['ann'],
      requestId: 'r1',
    };
    const first = await backend.write(write);
    same(await backend.write(write), first);
    await backend.write({ name: 'chat', expect: 'present', remove: ['ann'] });
    same(await backend.write(write), first);
    same(await backend.countMembers('chat'), 0);
    same((await backend.history('chat', { limit: 10 })).length, 2);
  },

  'of another name is refused': async ({ backend, create }) => {
    await create('one');
    await create('two');
    await backend.write({ name: 'one', expect: 'present', add: ['ann'], requestId: 'r1' });
    await rejects(
      backend.write({ name: 'two', expect: 'present', add: ['ann'], requestId: 'r1' }),
      { code: 'INVALID_ARGUMENT' },
    );
    same(await backend.countMembers('two'), 0);
  },

  'of a refused write is free to be used': async ({ backend, create }) => {
    const write: Write = { name: 'chat', expect: 'present', add: ['ann'], requestId: 'r1' };
    await rejects(backend.write(write), { code: 'FEATURE_NOT_FOUND' });
    await create();
    matches(await backend.write(write), { added: 1 });
  },
};
