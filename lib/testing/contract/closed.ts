import { rejects, same } from './expectation.js';
import type { Cases } from './given.js';

export const closedCases: Cases = {
  'everything rejects with CLOSED': async ({ backend, create, add, membersOf }) => {
    await create();
    await backend.close();
    await backend.close();
    same(backend.local, undefined);
    const calls = [
      () => backend.load('chat'),
      () => backend.loadAll(),
      () => backend.loadMembers(new Map([['chat', 'id-chat']])),
      () => backend.token(),
      () => backend.read(['chat'], () => 'ann'),
      () => backend.readAll(() => 'ann'),
      () => backend.countMembers('chat'),
      () => membersOf('chat'),
      () => backend.history('chat', { limit: 1 }),
      () => backend.log({ limit: 1 }),
      () => add('chat', ['ann']),
    ];
    for (const call of calls) await rejects(call(), { code: 'CLOSED' });
  },
};
