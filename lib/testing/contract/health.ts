import { holds, same } from './expectation.js';
import type { Cases } from './given.js';

export const healthCases: Cases = {
  'is ready once the store has answered, and says so': async ({ backend, create }) => {
    await create();
    const health = await backend.ready(5_000);
    same(
      { ...health, ageMs: typeof health.ageMs },
      { state: 'ready', ageMs: 'number', token: await backend.token(), error: undefined },
    );
    holds(health.ageMs < 5_000, `an age below 5,000 ms, got ${health.ageMs}`);
    same({ ...backend.health(), ageMs: 0 }, { ...health, ageMs: 0 });
  },

  'of a closed one is closed, and nobody is told any more': async ({ backend }) => {
    const unwatch = backend.watch(() => {
      throw new Error('told');
    });
    await backend.close();
    unwatch();
    unwatch();
    same(await backend.ready(5_000), backend.health());
    same(backend.health(), {
      state: 'closed',
      ageMs: Number.POSITIVE_INFINITY,
      token: undefined,
      error: 'CLOSED',
    });
  },
};
