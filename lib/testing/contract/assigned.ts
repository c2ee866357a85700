import { type AssignmentsWrite, MEMBERS_PER_WRITE } from '../../backends/backend.js';
import { amendFeature, type FeatureSettings } from '../../domain/validate.js';
import { matches, rejects, same } from './expectation.js';
import type { Cases, Given } from './given.js';

const STICKY: FeatureSettings = {
  variants: ['a', 'b'],
  rules: [{ id: 'r', when: { group: 'all' }, serve: 'on', sticky: true }],
};

/** What these cases ask beside, all of the feature `chat`. */
function assigning({ backend, held }: Given) {
  return {
    assign: (
      assigned: readonly (readonly [id: string, value?: string | undefined, weight?: number])[],
      options: Partial<AssignmentsWrite> = {},
    ) =>
      backend.write({
        name: 'chat',
        expect: 'present',
        assign: assigned.map(([id, value, weight]) => ({ id, value, weight })),
        ...options,
      }),
    all: async () => {
      const found: [id: string, what: [value: string, weight: number]][] = [];
      for await (const batch of backend.assignments('chat')) {
        for (const { id, value, weight } of batch) found.push([id, [value, weight]]);
      }
      return Object.fromEntries(found);
    },
    weights: async () => Object.fromEntries(await backend.assignedWeights('chat')),
    kept: async (subject: string) => (await held('chat', subject))?.facts.assigned(subject),
  };
}

export const assignedCases: Cases = {
  'is kept for each id, and counted by its value': async (given) => {
    const { backend, create } = given;
    const { assign, all, weights, kept } = assigning(given);
    await create('chat', STICKY);
    const written = await assign([
      ['ann', 'a'],
      ['bob', 'b'],
      ['cid', 'a'],
    ]);
    matches(written, { added: 3, removed: 0, assigned: ['a', 'b', 'a'] });
    same(await all(), { ann: ['a', 1], bob: ['b', 1], cid: ['a', 1] });
    same(await weights(), { a: 2, b: 1 });
    same(await backend.countAssigned('chat'), 3);
    same([await kept('ann'), await kept('bob'), await kept('dan')], ['a', 'b', null]);
  },

  'stays, whatever comes later, and is answered': async (given) => {
    const { create } = given;
    const { assign, weights } = assigning(given);
    await create('chat', STICKY);
    await assign([['ann', 'a']]);
    matches(
      await assign([
        ['ann', 'b'],
        ['ann', 'a'],
      ]),
      {
        added: 0,
        assigned: ['a', 'a'],
      },
    );
    matches(
      await assign([
        ['bob', 'b'],
        ['bob', 'a'],
      ]),
      {
        added: 1,
        assigned: ['b', 'b'],
      },
    );
    same(await weights(), { a: 1, b: 1 });
  },

  'is counted exactly where many assign at once': async (given) => {
    const { create } = given;
    const { assign, all, weights } = assigning(given);
    await create('chat', STICKY);
    const ids = Array.from({ length: 50 }, (_, n) => `user-${n}`);
    const each = (value: string) => ids.map((id) => assign([[id, value]]));
    const written = await Promise.all([...each('a'), ...each('b'), ...each('a')]);
    const found = await all();
    const sums = { a: 0, b: 0 };
    for (const [value] of Object.values(found)) sums[value as 'a' | 'b']++;
    same(Object.keys(found).length, 50);
    same({ a: 0, b: 0, ...(await weights()) }, sums);
    same(
      written.reduce((sum, { added }) => sum + added, 0),
      50,
    );
    for (const [at, { assigned }] of written.entries()) {
      same(assigned, [found[ids[at % 50] as string]?.[0]]);
    }
  },

  'goes to the value that has the least weight, the first of equals': async (given) => {
    const { create } = given;
    const { assign, all, weights } = assigning(given);
    await create('chat', STICKY);
    const among = ['x', 'y', 'z'];
    const dealt = await assign([['1', undefined, 5], ['2', undefined, 2], ['3']], { among });
    same(dealt.assigned, ['x', 'y', 'z']);
    const more = [['4'], ['5', undefined, 0.5], ['6'], ['7', undefined, 9], ['8']] as const;
    same((await assign(more, { among })).assigned, ['z', 'y', 'z', 'y', 'z']);
    same(await weights(), { x: 5, y: 11.5, z: 4 });
    // A heavier one, and a value of its own, are known at once to those that come after.
    const last = [['1', undefined, 0.25], ['9', 'z', 100], ['10'], ['11']] as const;
    same((await assign(last, { among })).assigned, ['x', 'z', 'x', 'x']);
    same(await weights(), { x: 2.25, y: 11.5, z: 104 });
    same((await all())['1'], ['x', 0.25]);
  },

  'balances any weights, as one that adds them up finds it': async (given) => {
    const { create } = given;
    const { assign, weights } = assigning(given);
    await create('chat', STICKY);
    const among = Array.from({ length: 7 }, (_, n) => `bucket ${n}`);
    const sums = new Map(among.map((value) => [value, 0]));
    for (let batch = 0; batch < 3; batch++) {
      const subjects = Array.from({ length: 300 }, (_, n) => {
        return [`user-${batch}-${n}`, undefined, 1 + ((n * 7919 + batch) % 13)] as const;
      });
      const { assigned } = await assign(subjects, { among });
      for (const [at, [, , weight]] of subjects.entries()) {
        const [least] = [...sums].reduce((one, other) => (other[1] < one[1] ? other : one));
        same(assigned[at], least);
        sums.set(least, (sums.get(least) as number) + weight);
      }
    }
    same(await weights(), Object.fromEntries(sums));
  },

  'is refused where the feature is another, or there are too many': async (given) => {
    const { create } = given;
    const { assign, all, weights } = assigning(given);
    await rejects(assign([['ann', 'a']]), { code: 'FEATURE_NOT_FOUND' });
    const { id } = await create('chat', STICKY);
    for (const expected of [{ id: 'other' }, { id, revision: 2 }]) {
      await rejects(assign([['ann', 'a']], { expect: expected }), {
        code: 'CONFLICT',
      });
    }
    const many = Array.from({ length: MEMBERS_PER_WRITE + 1 }, (_, n) => [`${n}`, 'a'] as const);
    await rejects(assign(many), { code: 'INVALID_ARGUMENT' });
    await rejects(assign([['ann']]), { code: 'INVALID_ARGUMENT' });
    same(await all(), {});
    same((await assign(many.slice(1), { expect: { id, revision: 1 } })).added, 1_000);
    same(await weights(), { a: 1_000 });
  },

  'moves no head and no token, and leaves no change': async (given) => {
    const { backend, create, head } = given;
    const { assign } = assigning(given);
    await create('chat', STICKY);
    const before = [await head('chat'), await backend.token()];
    await assign([['ann', 'a']]);
    same([await head('chat'), await backend.token()], before);
    same((await backend.history('chat', { limit: 10 })).length, 1);
  },

  'is released with a write of the document, and given back': async (given) => {
    const { backend, create } = given;
    const { assign, all, weights, kept } = assigning(given);
    const first = await create('chat', STICKY);
    await assign([
      ['ann', 'a', 2],
      ['bob', 'b'],
      ['cid', 'a', 0.5],
    ]);
    const written = await backend.write({
      name: 'chat',
      expect: { id: first.id, revision: 1 },
      document: amendFeature(first, { data: { n: 1 } }),
      release: ['ann', 'ann', 'dan'],
    });
    same(written.removed, 1);
    same(await all(), { bob: ['b', 1], cid: ['a', 0.5] });
    same(await backend.countAssigned('chat'), 2);
    same(await weights(), { a: 0.5, b: 1 });
    same([await kept('ann'), await kept('bob')], [null, 'b']);
    same((await assign([['ann', 'b']])).assigned, ['b']);
    same(await kept('ann'), 'b');
    // Of decimals too, nothing is left once nobody has anything.
    await assign([
      ['dan', 'a', 0.1],
      ['eve', 'a', 0.7],
    ]);
    for (const [at, ids] of [
      ['dan', 'bob'],
      ['eve', 'ann', 'cid'],
    ].entries()) {
      const document = amendFeature(first, { data: { n: at + 2 } });
      await backend.write({
        name: 'chat',
        expect: { id: first.id },
        document: { ...document, revision: at + 3 },
        release: ids,
      });
    }
    same([await all(), await weights()], [{}, {}]);
  },

  'goes with its feature, and comes back with its id': async (given) => {
    const { backend, create } = given;
    const { assign, all, weights, kept } = assigning(given);
    const first = await create('chat', STICKY);
    await assign([['ann', 'a']]);
    await backend.write({ name: 'chat', expect: 'present', document: null });
    await rejects(all(), { code: 'FEATURE_NOT_FOUND' });
    await rejects(weights(), { code: 'FEATURE_NOT_FOUND' });
    await rejects(backend.countAssigned('chat'), {
      code: 'FEATURE_NOT_FOUND',
    });
    await create('chat', STICKY, 'another');
    same([await all(), await weights(), await kept('ann')], [{}, {}, null]);
    const again = { ...first, revision: 2 };
    await backend.write({ name: 'chat', expect: { id: 'another' }, document: again });
    same([await all(), await weights(), await kept('ann')], [{ ann: ['a', 1] }, { a: 1 }, 'a']);
  },

  'is any text, of any id': async (given) => {
    const { create } = given;
    const { assign, all, kept } = assigning(given);
    await create('chat', STICKY);
    const ids = ['__proto__', 'a:b', 'a b', '😀', '0', '%s'];
    for (const id of ids) await assign([[id, `value of ${id}`, 1e-6]]);
    same(await all(), Object.fromEntries(ids.map((id) => [id, [`value of ${id}`, 1e-6]])));
    same(await kept('😀'), 'value of 😀');
  },

  'is not asked about where the feature keeps nothing': async (given) => {
    const { create, isEnabled } = given;
    const { assign } = assigning(given);
    await create('chat');
    await assign([['ann', 'a']]);
    same(await isEnabled('chat', 'ann'), false);
  },
};
