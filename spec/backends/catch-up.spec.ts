import { changesBetween } from '../../lib/backends/catch-up.js';
import { MemoryBackend } from '../../lib/backends/memory.js';
import type { Feature } from '../../lib/domain/feature.js';
import { amendFeature, createFeature } from '../../lib/domain/validate.js';
import { seeded } from '../property.js';

const NAME = 'chat';

/** What a random life of one feature left behind at each step. */
async function live(seed: number, historyLength: number) {
  const random = seeded(seed);
  const backend = new MemoryBackend({ historyLength });
  const some = () => [`user-${Math.floor(random() * 3)}`];
  const states: { id: string; stamp: number; ids: Set<string> }[] = [];
  await backend.write({ name: NAME, expect: 'absent', document: createFeature(NAME, 'id', {}) });
  for (let step = 0; step < 20; step++) {
    const { feature } = (await backend.load(NAME)) as { feature: Feature };
    const { id } = feature;
    const what = random();
    const document = amendFeature(feature, { data: { step } });
    const [add, remove] = random() < 0.5 ? [some(), undefined] : [undefined, some()];
    if (what < 0.2) await backend.write({ name: NAME, expect: 'present', add: some() });
    else if (what < 0.4) await backend.write({ name: NAME, expect: 'present', remove: some() });
    else if (what < 0.6) await backend.write({ name: NAME, expect: { id }, document });
    else if (what < 0.97) {
      await backend.write({ name: NAME, expect: { id }, document, add, remove });
    } else {
      const other = { ...document, id: id === 'id' ? 'other' : 'id' };
      await backend.write({ name: NAME, expect: { id }, document: other });
    }
    const members = (await backend.loadMembers(new Map([[NAME, 'id']]))).get(NAME);
    if (members === undefined) continue;
    states.push({ id: 'id', stamp: members.head.members, ids: members.ids });
  }
  return { backend, states };
}

describe('the changes between two states of the members', () => {
  it.each([1, 2, 3, 5, 100])(
    'lead from one to the other, or are none, with a history of %i',
    async (length) => {
      let told = 0;
      for (let seed = 0; seed < 400; seed++) {
        const { backend, states } = await live(seed, length);
        const head = (await backend.load(NAME))?.head;
        if (head?.id !== 'id') continue;
        const now = (await backend.loadMembers(new Map([[NAME, 'id']]))).get(NAME);
        const history = await backend.history(NAME, { limit: 8 });
        for (const { stamp, ids } of states) {
          const reached = new Set(ids);
          const changes = changesBetween(stamp, ids.size, head, history);
          if (changes === undefined) continue;
          told++;
          for (const { added, removed } of changes) {
            for (const id of added) reached.add(id);
            for (const id of removed) reached.delete(id);
          }
          expect({ seed, stamp, reached }).toEqual({ seed, stamp, reached: now?.ids });
        }
      }
      expect(told).toBeGreaterThan(100);
    },
  );

  it('are one, where one was registered', async () => {
    const backend = new MemoryBackend();
    const write = { name: NAME, expect: 'present' } as const;
    await backend.write({ name: NAME, expect: 'absent', document: createFeature(NAME, 'id', {}) });
    const { head: before } = await backend.write({ ...write, add: ['ann'] });
    const { head } = await backend.write({ ...write, add: ['bob'] });
    const history = await backend.history(NAME, { limit: 8 });
    const changes = changesBetween(before.members, 1, head, history);
    expect(changes).toMatchObject([{ added: ['bob'], removed: [] }]);
    expect(changesBetween(before.members, 2, head, history)).toBeUndefined();
  });
});
