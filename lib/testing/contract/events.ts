import type { ChangeEvent } from '../../backends/backend.js';
import { amendFeature } from '../../domain/validate.js';
import { same, until } from './expectation.js';
import type { Cases } from './given.js';

export const eventsCases: Cases = {
  'tell of each change once it is visible, until unsubscribed': async ({
    backend,
    create,
    add,
    replace,
  }) => {
    const events: ChangeEvent[] = [];
    const heard = (count: number) =>
      until(() => events.length >= count, `${count} events, got ${events.length}`);
    const unsubscribe = backend.subscribe((event) => event && events.push(event));
    const document = await create();
    await heard(1);
    await add('chat', ['ann']);
    await heard(2);
    await replace(amendFeature(document, { percentage: 1 }));
    await heard(3);
    const { head: last } = await backend.write({
      name: 'chat',
      expect: 'present',
      document: null,
    });
    await heard(4);
    same(
      events.map(({ kind }) => kind),
      ['created', 'members', 'updated', 'removed'],
    );
    same(events.at(-1), { name: 'chat', kind: 'removed', head: last });
    unsubscribe();
    unsubscribe();
    await create('other');
    await new Promise((resolve) => setTimeout(resolve, 20));
    same(events.length, 4);
  },

  'reach one function twice if it subscribed twice': async ({ backend, create }) => {
    let calls = 0;
    const listener = (event: ChangeEvent | undefined) => {
      if (event !== undefined) calls++;
    };
    const first = backend.subscribe(listener);
    backend.subscribe(listener);
    await create('one');
    await until(() => calls >= 2, 'two calls');
    first();
    await create('two');
    await until(() => calls >= 3, 'one call more');
    same(calls, 3);
  },
};
