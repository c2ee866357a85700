import type {
  AssignmentsWrite,
  Backend,
  Change,
  ChangeEvent,
  HeldFeature,
  HistoryOptions,
  RecordedWrite,
  Write,
} from '../../lib/backends/backend.js';
import { MEMBERS_PER_WRITE } from '../../lib/backends/backend.js';
import { decide, lookupId } from '../../lib/domain/decide.js';
import type { Feature } from '../../lib/domain/feature.js';
import { amendFeature, createFeature, type FeatureSettings } from '../../lib/domain/validate.js';

/** A case that this backend does otherwise, and why. */
export interface Deviation {
  readonly test: string;
  readonly reason: string;
}

export interface ContractOptions {
  /** A new, empty backend. The suite closes it. */
  open(): Promise<Backend>;
  readonly deviations?: readonly Deviation[];
}

const SURROUNDINGS = {
  identify: (subject: object) => (subject as { id?: unknown }).id,
  now: Date.now,
  inGroup: () => undefined,
  segmentOf: () => undefined,
  unreadableSubject: () => {},
};

/** What every backend does. Each `it` is one sentence of the contract. */
export function backendContract(name: string, { open, deviations = [] }: ContractOptions): void {
  describe(`${name}, by the backend contract`, () => {
    let backend: Backend;

    beforeEach(async () => {
      backend = await open();
    });
    afterEach(() => backend.close());

    const used = new Set<string>();
    const test = (sentence: string, run: () => Promise<void>, timeoutMs?: number) => {
      const deviation = deviations.find((each) => each.test === sentence);
      if (deviation === undefined) return it(sentence, run, timeoutMs);
      used.add(sentence);
      return it(`${sentence} (deviates: ${deviation.reason})`, async () => {
        await expect(run()).rejects.toThrow();
      });
    };

    const create = async (
      feature = 'chat',
      settings: FeatureSettings = {},
      id = `id-${feature}`,
    ) => {
      const document = createFeature(feature, id, settings);
      await backend.write({ name: feature, expect: 'absent', document });
      return document;
    };
    const add = (feature: string, ids: readonly string[]) =>
      backend.write({ name: feature, expect: 'present', add: ids });
    const replace = (document: Feature, about: { actor?: string; note?: string } = {}) =>
      backend.write({ name: document.name, expect: { id: document.id }, document, ...about });
    const membersOf = async (feature: string) => {
      const all: string[] = [];
      for await (const batch of backend.members(feature)) all.push(...batch);
      return new Set(all);
    };
    const held = async (feature: string, subject: unknown): Promise<HeldFeature | undefined> => {
      const view = await backend.read([feature], (compiled) =>
        lookupId(compiled, subject, SURROUNDINGS),
      );
      return view.get(feature);
    };
    const isEnabled = async (feature: string, subject: unknown) => {
      const found = await held(feature, subject);
      return found && decide(found.compiled, subject, found.facts, SURROUNDINGS).enabled;
    };
    const head = async (feature: string) => (await backend.load(feature))?.head;

    describe('a document', () => {
      test('is loaded as it was written', async () => {
        const document = await create('chat', {
          percentage: 12.5,
          variants: [{ name: 'a', value: { deep: [null, 1] } }],
          patterns: [/01$/i],
          data: JSON.parse('{"__proto__":1}'),
        });
        expect((await backend.load('chat'))?.feature).toEqual(document);
        expect(JSON.stringify((await backend.load('chat'))?.feature)).toBe(
          JSON.stringify(document),
        );
      });

      test('is absent until it is written', async () => {
        expect(await backend.load('chat')).toBeUndefined();
        expect(await held('chat', 'ann')).toBeUndefined();
        expect((await backend.loadAll()).features.size).toBe(0);
      });

      test('may have any name', async () => {
        const names = [
          '__proto__',
          'constructor',
          'toString',
          'a|b',
          'a,b',
          'a:b',
          '{a}',
          '😀',
          ' ',
        ];
        for (const each of names) await create(each, { percentage: 100 });
        const { features } = await backend.loadAll();
        expect(new Set(features.keys())).toEqual(new Set(names));
        for (const each of names) {
          await add(each, [`member of ${each}`]);
          expect(features.get(each)?.feature?.name).toBe(each);
          expect(await isEnabled(each, 'ann')).toBe(true);
        }
        for (const each of names)
          expect(await membersOf(each)).toEqual(new Set([`member of ${each}`]));
        expect(await backend.load('hasOwnProperty')).toBeUndefined();
      });

      test('is not created over another', async () => {
        const first = await create();
        await expect(create('chat', { percentage: 100 }, 'other')).rejects.toMatchObject({
          code: 'FEATURE_EXISTS',
          feature: 'chat',
        });
        expect((await backend.load('chat'))?.feature).toEqual(first);
      });

      test('is replaced only where the expected one is there', async () => {
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
          await expect(replaced(third, expected)).rejects.toMatchObject({ code: 'CONFLICT' });
        }
        expect((await backend.load('chat'))?.feature).toEqual(second);
        await replaced(third, { id: first.id });
        expect((await backend.load('chat'))?.feature).toEqual(third);
      });

      test('is not replaced, removed or joined where there is none', async () => {
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
          await expect(backend.write(write)).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
        }
        expect(await backend.load('chat')).toBeUndefined();
        expect(await backend.token()).toBeUndefined();
      });

      test('loses no update where many write at once, each on what it read', async () => {
        await create();
        const increment = async () => {
          for (;;) {
            const feature = (await backend.load('chat'))?.feature as Feature;
            const { id, revision } = feature;
            const document = amendFeature(feature, { data: { n: revision } });
            try {
              await backend.write({ name: 'chat', expect: { id, revision }, document });
              return;
            } catch (error) {
              expect(error).toMatchObject({ code: 'CONFLICT' });
            }
          }
        };
        await Promise.all(Array.from({ length: 20 }, increment));
        expect((await backend.load('chat'))?.feature?.revision).toBe(21);
      });

      test('that was removed is gone from every read', async () => {
        await create();
        await add('chat', ['ann']);
        await backend.write({ name: 'chat', expect: 'present', document: null });
        expect(await backend.load('chat')).toBeUndefined();
        expect(await held('chat', 'ann')).toBeUndefined();
        expect((await backend.loadAll()).features.size).toBe(0);
        for (const read of [backend.countMembers('chat'), membersOf('chat')]) {
          await expect(read).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
        }
      });
    });

    describe('members', () => {
      test('are counted, asked for and streamed', async () => {
        await create();
        expect(await add('chat', ['ann', 'bob', 'ann'])).toMatchObject({ added: 2, removed: 0 });
        expect(await backend.countMembers('chat')).toBe(2);
        expect(await membersOf('chat')).toEqual(new Set(['ann', 'bob']));
      });

      test('have any id, and each is another', async () => {
        await create();
        const ids = [
          'a|b',
          'a,b',
          'a\nb',
          'a\0b',
          'a',
          'b',
          '😀',
          'x'.repeat(10_000),
          '__proto__',
          '42',
        ];
        await add('chat', ids);
        expect(await membersOf('chat')).toEqual(new Set(ids));
        for (const id of ids) expect(await isEnabled('chat', id)).toBe(true);
        for (const id of ['', 'a|', 'a\n', 'constructor', 'x'.repeat(9_999)]) {
          expect(await isEnabled('chat', id)).toBe(false);
        }
      });

      test('change the answer of the next check', async () => {
        await create();
        expect(await isEnabled('chat', 'ann')).toBe(false);
        await add('chat', ['ann']);
        expect(await isEnabled('chat', 'ann')).toBe(true);
        expect(await isEnabled('chat', { id: 'ann' })).toBe(true);
        await backend.write({ name: 'chat', expect: 'present', remove: ['ann', 'eve'] });
        expect(await isEnabled('chat', 'ann')).toBe(false);
      });

      test('stay through an update of the document', async () => {
        const document = await create();
        await add('chat', ['ann']);
        await replace(amendFeature(document, { percentage: 1 }));
        expect(await isEnabled('chat', 'ann')).toBe(true);
      });

      test('are written with the document, or neither is', async () => {
        const document = createFeature('chat', 'id', {});
        await backend.write({ name: 'chat', expect: 'absent', document, add: ['ann'] });
        expect(await isEnabled('chat', 'ann')).toBe(true);
        await expect(
          backend.write({
            name: 'chat',
            expect: { id: 'id', revision: 9 },
            document: amendFeature(document, { percentage: 100 }),
            add: ['bob'],
            remove: ['ann'],
          }),
        ).rejects.toMatchObject({ code: 'CONFLICT' });
        expect(await membersOf('chat')).toEqual(new Set(['ann']));
        expect((await backend.load('chat'))?.feature).toEqual(document);
      });

      test('come at most a thousand a write', async () => {
        await create();
        const many = Array.from({ length: MEMBERS_PER_WRITE + 1 }, (_, n) => `user-${n}`);
        await expect(add('chat', many)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
        expect(await backend.countMembers('chat')).toBe(0);
        expect(await add('chat', many.slice(1))).toMatchObject({ added: MEMBERS_PER_WRITE });
      });

      test('go at most a thousand a write', async () => {
        await create();
        const remove = Array.from({ length: MEMBERS_PER_WRITE + 1 }, (_, n) => `user-${n}`);
        await expect(
          backend.write({ name: 'chat', expect: 'present', remove }),
        ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
      });

      test('stream in batches, and the stream can be left', async () => {
        await create();
        for (let from = 0; from < 5_000; from += 1_000) {
          await add(
            'chat',
            Array.from({ length: 1_000 }, (_, n) => `user-${from + n}`),
          );
        }
        let batches = 0;
        for await (const batch of backend.members('chat')) {
          expect(batch.length).toBeLessThanOrEqual(2 * MEMBERS_PER_WRITE);
          if (++batches === 2) break;
        }
        expect((await membersOf('chat')).size).toBe(5_000);
      });

      test('are never streamed in part: the stream breaks when the feature goes', async () => {
        await create();
        for (let from = 0; from < 5_000; from += 1_000) {
          await add(
            'chat',
            Array.from({ length: 1_000 }, (_, n) => `user-${from + n}`),
          );
        }
        const stream = backend.members('chat')[Symbol.asyncIterator]();
        await stream.next();
        await backend.write({ name: 'chat', expect: 'present', document: null });
        const rest = async () => {
          while (!(await stream.next()).done);
        };
        await expect(rest()).rejects.toMatchObject({ code: 'CONFLICT' });
      });

      test('are none of the feature that is created again', async () => {
        await create('chat', {}, 'first');
        await add('chat', ['ann']);
        await backend.write({ name: 'chat', expect: 'present', document: null });
        await create('chat', {}, 'second');
        expect(await backend.countMembers('chat')).toBe(0);
        expect(await isEnabled('chat', 'ann')).toBe(false);
      });

      test('are not written to the feature that took the place of the expected one', async () => {
        await create('chat', {}, 'first');
        await backend.write({ name: 'chat', expect: 'present', document: null });
        await create('chat', {}, 'second');
        await expect(
          backend.write({ name: 'chat', expect: { id: 'first' }, add: ['ann'] }),
        ).rejects.toMatchObject({ code: 'CONFLICT' });
        expect(await backend.countMembers('chat')).toBe(0);
      });

      test('are there again when the removed feature is brought back', async () => {
        const document = await create();
        await add('chat', ['ann']);
        await backend.write({ name: 'chat', expect: 'present', document: null });
        await backend.write({
          name: 'chat',
          expect: 'absent',
          document: amendFeature(document, { percentage: 1 }),
        });
        expect(await membersOf('chat')).toEqual(new Set(['ann']));
      });

      test('come back once: then they are the members that are there', async () => {
        const document = await create('chat', {}, 'shared');
        const remove = () => backend.write({ name: 'chat', expect: 'present', document: null });
        const bringBack = (revision: number) =>
          backend.write({ name: 'chat', expect: 'absent', document: { ...document, revision } });
        await add('chat', ['ann']);
        await remove();
        await bringBack(2);
        await backend.write({ name: 'chat', expect: 'present', remove: ['ann'] });
        await remove();
        await bringBack(3);
        expect(await backend.countMembers('chat')).toBe(0);
      });

      test('are emptied by a new id, and there again with the old one', async () => {
        const first = await create('chat', {}, 'first');
        await add('chat', ['ann']);
        const emptied = { ...first, id: 'second', revision: 2 };
        await backend.write({ name: 'chat', expect: { id: 'first' }, document: emptied });
        expect(await membersOf('chat')).toEqual(new Set());
        expect(await isEnabled('chat', 'ann')).toBe(false);
        await add('chat', ['bob']);
        await backend.write({
          name: 'chat',
          expect: { id: 'second' },
          document: { ...first, revision: 3 },
        });
        expect(await membersOf('chat')).toEqual(new Set(['ann']));
      });
    });

    describe('a write that was decided by other features', () => {
      const decided = async (beside: RecordedWrite['beside']) => {
        const feature = (await backend.load('chat'))?.feature as Feature;
        const document = amendFeature(feature, { percentage: 1 });
        return backend.write({ name: 'chat', expect: { id: feature.id }, document, beside });
      };

      test('is applied while they are as they were, whoever joins them', async () => {
        await create();
        await create('list');
        const beside = new Map([
          ['list', await head('list')],
          ['none', undefined],
        ]);
        await add('list', ['ann']);
        await decided(beside);
        expect((await backend.load('chat'))?.feature?.percentage).toBe(1);
      });

      test('meets a conflict where one was changed, removed, made again, or is there', async () => {
        const first = await create();
        const list = await create('list');
        const beside = new Map([['list', await head('list')]]);
        const expectConflict = () =>
          expect(decided(beside)).rejects.toMatchObject({ code: 'CONFLICT', feature: 'list' });
        await replace(amendFeature(list, { percentage: 5 }));
        await expectConflict();
        await backend.write({ name: 'list', expect: 'present', document: null });
        await expectConflict();
        await create('list');
        await expectConflict();
        await expect(decided(new Map([['list', undefined]]))).rejects.toMatchObject({
          code: 'CONFLICT',
          feature: 'list',
        });
        expect((await backend.load('chat'))?.feature).toEqual(first);
        const document = createFeature('new', 'id-new', {});
        await expect(
          backend.write({ name: 'new', expect: 'absent', document, beside }),
        ).rejects.toMatchObject({ code: 'CONFLICT', feature: 'list' });
        expect(await backend.load('new')).toBeUndefined();
      });
    });

    describe('what is assigned', () => {
      const assign = (
        assigned: readonly (readonly [id: string, value?: string | undefined, weight?: number])[],
        options: Partial<AssignmentsWrite> = {},
      ) =>
        backend.write({
          name: 'chat',
          expect: 'present',
          assign: assigned.map(([id, value, weight]) => ({ id, value, weight })),
          ...options,
        });
      const all = async () => {
        const found: [id: string, what: [value: string, weight: number]][] = [];
        for await (const batch of backend.assignments('chat')) {
          for (const { id, value, weight } of batch) found.push([id, [value, weight]]);
        }
        return Object.fromEntries(found);
      };
      const weights = async () => Object.fromEntries(await backend.assignedWeights('chat'));
      const sticky: FeatureSettings = {
        variants: ['a', 'b'],
        rules: [{ id: 'r', when: { group: 'all' }, serve: 'on', sticky: true }],
      };
      const kept = async (subject: string) =>
        (await held('chat', subject))?.facts.assigned(subject);

      test('is kept for each id, and counted by its value', async () => {
        await create('chat', sticky);
        const written = await assign([
          ['ann', 'a'],
          ['bob', 'b'],
          ['cid', 'a'],
        ]);
        expect(written).toMatchObject({ added: 3, removed: 0, assigned: ['a', 'b', 'a'] });
        expect(await all()).toEqual({ ann: ['a', 1], bob: ['b', 1], cid: ['a', 1] });
        expect(await weights()).toEqual({ a: 2, b: 1 });
        expect(await backend.countAssigned('chat')).toBe(3);
        expect([await kept('ann'), await kept('bob'), await kept('dan')]).toEqual(['a', 'b', null]);
      });

      test('stays, whatever comes later, and is answered', async () => {
        await create('chat', sticky);
        await assign([['ann', 'a']]);
        expect(
          await assign([
            ['ann', 'b'],
            ['ann', 'a'],
          ]),
        ).toMatchObject({
          added: 0,
          assigned: ['a', 'a'],
        });
        expect(
          await assign([
            ['bob', 'b'],
            ['bob', 'a'],
          ]),
        ).toMatchObject({
          added: 1,
          assigned: ['b', 'b'],
        });
        expect(await weights()).toEqual({ a: 1, b: 1 });
      });

      test('is counted exactly where many assign at once', async () => {
        await create('chat', sticky);
        const ids = Array.from({ length: 50 }, (_, n) => `user-${n}`);
        const each = (value: string) => ids.map((id) => assign([[id, value]]));
        const written = await Promise.all([...each('a'), ...each('b'), ...each('a')]);
        const found = await all();
        const sums = { a: 0, b: 0 };
        for (const [value] of Object.values(found)) sums[value as 'a' | 'b']++;
        expect(Object.keys(found)).toHaveLength(50);
        expect({ a: 0, b: 0, ...(await weights()) }).toEqual(sums);
        expect(written.reduce((sum, { added }) => sum + added, 0)).toBe(50);
        for (const [at, { assigned }] of written.entries()) {
          expect(assigned).toEqual([found[ids[at % 50] as string]?.[0]]);
        }
      });

      test('goes to the value that has the least weight, the first of equals', async () => {
        await create('chat', sticky);
        const among = ['x', 'y', 'z'];
        const given = await assign([['1', undefined, 5], ['2', undefined, 2], ['3']], { among });
        expect(given.assigned).toEqual(['x', 'y', 'z']);
        const more = [['4'], ['5', undefined, 0.5], ['6'], ['7', undefined, 9], ['8']] as const;
        expect((await assign(more, { among })).assigned).toEqual(['z', 'y', 'z', 'y', 'z']);
        expect(await weights()).toEqual({ x: 5, y: 11.5, z: 4 });
        // A heavier one, and a value of its own, are known at once to those that come after.
        const last = [['1', undefined, 0.25], ['9', 'z', 100], ['10'], ['11']] as const;
        expect((await assign(last, { among })).assigned).toEqual(['x', 'z', 'x', 'x']);
        expect(await weights()).toEqual({ x: 2.25, y: 11.5, z: 104 });
        expect((await all())['1']).toEqual(['x', 0.25]);
      });

      test('balances any weights, as one that adds them up finds it', async () => {
        await create('chat', sticky);
        const among = Array.from({ length: 7 }, (_, n) => `bucket ${n}`);
        const sums = new Map(among.map((value) => [value, 0]));
        for (let batch = 0; batch < 3; batch++) {
          const subjects = Array.from({ length: 300 }, (_, n) => {
            return [`user-${batch}-${n}`, undefined, 1 + ((n * 7919 + batch) % 13)] as const;
          });
          const { assigned } = await assign(subjects, { among });
          for (const [at, [, , weight]] of subjects.entries()) {
            const [least] = [...sums].reduce((one, other) => (other[1] < one[1] ? other : one));
            expect(assigned[at]).toBe(least);
            sums.set(least, (sums.get(least) as number) + weight);
          }
        }
        expect(await weights()).toEqual(Object.fromEntries(sums));
      });

      test('is refused where the feature is another, or there are too many', async () => {
        await expect(assign([['ann', 'a']])).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
        const { id } = await create('chat', sticky);
        for (const expected of [{ id: 'other' }, { id, revision: 2 }]) {
          await expect(assign([['ann', 'a']], { expect: expected })).rejects.toMatchObject({
            code: 'CONFLICT',
          });
        }
        const many = Array.from(
          { length: MEMBERS_PER_WRITE + 1 },
          (_, n) => [`${n}`, 'a'] as const,
        );
        await expect(assign(many)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
        await expect(assign([['ann']])).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
        expect(await all()).toEqual({});
        expect((await assign(many.slice(1), { expect: { id, revision: 1 } })).added).toBe(1_000);
        expect(await weights()).toEqual({ a: 1_000 });
      });

      test('moves no head and no token, and leaves no change', async () => {
        await create('chat', sticky);
        const before = [await head('chat'), await backend.token()];
        await assign([['ann', 'a']]);
        expect([await head('chat'), await backend.token()]).toEqual(before);
        expect(await backend.history('chat', { limit: 10 })).toHaveLength(1);
      });

      test('is released with a write of the document, and given back', async () => {
        const first = await create('chat', sticky);
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
        expect(written.removed).toBe(1);
        expect(await all()).toEqual({ bob: ['b', 1], cid: ['a', 0.5] });
        expect(await backend.countAssigned('chat')).toBe(2);
        expect(await weights()).toEqual({ a: 0.5, b: 1 });
        expect([await kept('ann'), await kept('bob')]).toEqual([null, 'b']);
        expect((await assign([['ann', 'b']])).assigned).toEqual(['b']);
        expect(await kept('ann')).toBe('b');
      });

      test('goes with its feature, and comes back with its id', async () => {
        const first = await create('chat', sticky);
        await assign([['ann', 'a']]);
        await backend.write({ name: 'chat', expect: 'present', document: null });
        await expect(all()).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
        await expect(weights()).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
        await expect(backend.countAssigned('chat')).rejects.toMatchObject({
          code: 'FEATURE_NOT_FOUND',
        });
        await create('chat', sticky, 'another');
        expect([await all(), await weights(), await kept('ann')]).toEqual([{}, {}, null]);
        const again = { ...first, revision: 2 };
        await backend.write({ name: 'chat', expect: { id: 'another' }, document: again });
        expect([await all(), await weights(), await kept('ann')]).toEqual([
          { ann: ['a', 1] },
          { a: 1 },
          'a',
        ]);
      });

      test('is any text, of any id', async () => {
        await create('chat', sticky);
        const ids = ['__proto__', 'a:b', 'a b', '😀', '0', '%s'];
        for (const id of ids) await assign([[id, `value of ${id}`, 1e-6]]);
        expect(await all()).toEqual(
          Object.fromEntries(ids.map((id) => [id, [`value of ${id}`, 1e-6]])),
        );
        expect(await kept('😀')).toBe('value of 😀');
      });

      test('is not asked about where the feature keeps nothing', async () => {
        await create('chat');
        await assign([['ann', 'a']]);
        expect(await isEnabled('chat', 'ann')).toBe(false);
      });
    });

    describe('a head', () => {
      test('moves with each change, and only then', async () => {
        const heads = new Set<string>();
        const note = async () => heads.add(JSON.stringify(await head('chat')));
        const document = await create();
        await note();
        await add('chat', ['ann']);
        await note();
        const { head: after } = await backend.write({
          name: 'chat',
          expect: 'present',
          remove: ['ann'],
        });
        await note();
        expect(after).toEqual(await head('chat'));
        await replace(amendFeature(document, { percentage: 1 }));
        await note();
        expect(heads.size).toBe(4);
        await add('chat', []);
        await backend.write({ name: 'chat', expect: 'present', remove: ['eve'] });
        await note();
        expect(heads.size).toBe(4);
        const [first, joined, left, replaced] = [...heads].map((each) => JSON.parse(each));
        expect(first).toMatchObject({ id: document.id, revision: 1, members: 0 });
        expect([joined.document, left.document]).toEqual([first.document, first.document]);
        expect(replaced).toMatchObject({ id: document.id, revision: 2, members: left.members });
        expect(replaced.document).not.toBe(first.document);
        expect((await held('chat', 'ann'))?.head).toEqual(await head('chat'));
      });

      test('never repeats, not even across a removal and its undoing', async () => {
        const seen: string[] = [];
        let document = await create();
        for (let round = 0; round < 3; round++) {
          await add('chat', [`user-${round}`]);
          seen.push(`${(await head('chat'))?.members}`);
          await backend.write({ name: 'chat', expect: 'present', document: null });
          document = { ...document, revision: document.revision + 1 };
          await backend.write({ name: 'chat', expect: 'absent', document });
          seen.push(`${(await head('chat'))?.members}`);
        }
        expect(new Set(seen).size).toBe(seen.length);
      });
    });

    describe('the token', () => {
      test('is none before the first write', async () => {
        expect(await backend.token()).toBeUndefined();
        expect((await backend.loadAll()).token).toBeUndefined();
      });

      test('moves its two halves with each change of their kind, and only then', async () => {
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
        expect(await moved()).toEqual(['documents']);
        await add('chat', ['ann']);
        expect(await moved()).toEqual(['members']);
        await replace(amendFeature(document, { percentage: 1 }));
        expect(await moved()).toEqual(['documents']);
        await backend.write({ name: 'chat', expect: 'present', remove: ['ann'] });
        expect(await moved()).toEqual(['members']);
        await backend.write({ name: 'other', expect: 'present', document: null });
        expect(await moved()).toEqual(['documents']);
        await expect(create()).rejects.toMatchObject({ code: 'FEATURE_EXISTS' });
        await add('chat', []);
        await backend.write({ name: 'chat', expect: 'present', remove: ['eve'] });
        expect(await moved()).toEqual([]);
        expect((await backend.loadAll()).token).toEqual(last);
      });
    });

    describe('a request id', () => {
      test('applies a write once, and answers the same again', async () => {
        const document = createFeature('chat', 'id', {});
        const write: Write = {
          name: 'chat',
          expect: 'absent',
          document,
          add: ['ann'],
          requestId: 'r1',
        };
        const first = await backend.write(write);
        expect(await backend.write(write)).toEqual(first);
        await backend.write({ name: 'chat', expect: 'present', remove: ['ann'] });
        expect(await backend.write(write)).toEqual(first);
        expect(await backend.countMembers('chat')).toBe(0);
        expect(await backend.history('chat', { limit: 10 })).toHaveLength(2);
      });

      test('of another name is refused', async () => {
        await create('one');
        await create('two');
        await backend.write({ name: 'one', expect: 'present', add: ['ann'], requestId: 'r1' });
        await expect(
          backend.write({ name: 'two', expect: 'present', add: ['ann'], requestId: 'r1' }),
        ).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
        expect(await backend.countMembers('two')).toBe(0);
      });

      test('of a refused write is free to be used', async () => {
        const write: Write = { name: 'chat', expect: 'present', add: ['ann'], requestId: 'r1' };
        await expect(backend.write(write)).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
        await create();
        expect(await backend.write(write)).toMatchObject({ added: 1 });
      });
    });

    describe('a write that says which members there are', () => {
      test('is refused where they are in another state', async () => {
        const document = await create('chat');
        await add('chat', ['ann']);
        const { id, members = 0 } = (await head('chat')) ?? {};
        await add('chat', ['bob']);
        const next = { ...document, revision: 2 };
        const put = (of: number | undefined) =>
          backend.write({
            ...{ name: 'chat', document: next, remove: ['ann'] },
            expect: { id: id as string, revision: 1, members: of },
          });
        await expect(put(members)).rejects.toMatchObject({ code: 'CONFLICT', feature: 'chat' });
        const remove = { name: 'chat', document: null, expect: { id: id as string, members } };
        await expect(backend.write(remove)).rejects.toMatchObject({ code: 'CONFLICT' });
        expect(await membersOf('chat')).toEqual(new Set(['ann', 'bob']));
        await put((await head('chat'))?.members);
        expect(await membersOf('chat')).toEqual(new Set(['bob']));
      });

      test('is refused where the id that comes back has others, or none any more', async () => {
        const document = await create('chat', {}, 'first');
        await add('chat', ['ann', 'bob']);
        await backend.write({ name: 'chat', expect: 'present', document: null });
        const back = (memberCount: number) =>
          backend.write({ name: 'chat', expect: 'absent', document, memberCount });
        await expect(back(1)).rejects.toMatchObject({ code: 'CONFLICT', feature: 'chat' });
        expect(await backend.load('chat')).toBeUndefined();
        await back(2);
        const other = { ...document, id: 'other', revision: 2 };
        const replaced = (memberCount: number) =>
          backend.write({ name: 'chat', expect: { id: 'first' }, document: other, memberCount });
        await expect(replaced(2)).rejects.toMatchObject({ code: 'CONFLICT' });
        await replaced(0);
        const same = { ...other, revision: 3 };
        const write = { name: 'chat', expect: { id: 'other' }, document: same, memberCount: 1 };
        await expect(backend.write(write)).rejects.toMatchObject({ code: 'CONFLICT' });
        expect(await head('chat')).toMatchObject({ id: 'other', revision: 2 });
      });
    });

    describe('the history', () => {
      test('tells each change, the newest first', async () => {
        const before = Date.now() - 60_000;
        const first = await create();
        const second = amendFeature(first, { percentage: 5 });
        await replace(second, { actor: 'alice', note: 'why not' });
        await backend.write({ name: 'chat', expect: 'present', add: ['ann', 'bob'], actor: 'bob' });
        await backend.write({
          name: 'chat',
          expect: 'present',
          add: ['ann'],
          remove: ['bob', 'eve'],
        });
        await backend.write({ name: 'chat', expect: 'present', document: null });
        const history = await backend.history('chat', { limit: 10 });
        const none = { before: undefined, after: undefined, added: [], removed: [] };
        expect(history).toMatchObject([
          { kind: 'removed', ...none, before: second },
          { kind: 'members', ...none, removed: ['bob'] },
          { kind: 'members', ...none, added: ['ann', 'bob'], actor: 'bob', note: undefined },
          {
            kind: 'updated',
            ...none,
            before: first,
            after: second,
            actor: 'alice',
            note: 'why not',
          },
          { kind: 'created', ...none, after: first, head: { id: first.id, revision: 1 } },
        ]);
        for (const { name: feature, at } of history) {
          expect(feature).toBe('chat');
          expect(at).toBeGreaterThan(before);
        }
        expect(history[0]?.head).toEqual(history[1]?.head);
      });

      test('is cut to what is asked for', async () => {
        await create();
        for (let n = 0; n < 5; n++) await add('chat', [`user-${n}`]);
        expect((await backend.history('chat', { limit: 2 })).map(({ added }) => added)).toEqual([
          ['user-4'],
          ['user-3'],
        ]);
        expect(await backend.history('chat', { limit: 0 })).toEqual([]);
        expect(await backend.history('nobody', { limit: 10 })).toEqual([]);
      });

      test('counts the members after each change, and those that a removal took', async () => {
        const document = await create('chat', {}, 'first');
        await add('chat', ['ann', 'bob']);
        await replace({ ...document, id: 'first', percentage: 1, revision: 2 });
        await backend.write({
          name: 'chat',
          expect: { id: 'first' },
          document: { ...document, id: 'second', revision: 3 },
        });
        await add('chat', ['eve']);
        await backend.write({ name: 'chat', expect: 'present', document: null });
        const history = await backend.history('chat', { limit: 10 });
        expect(history.map(({ memberCount }) => memberCount)).toEqual([1, 1, 0, 2, 2, 0]);
      });

      test('tells which state of the members each change met', async () => {
        const document = await create('chat', {}, 'first');
        await add('chat', ['ann', 'bob']);
        const first = await head('chat');
        await replace({ ...document, id: 'first', percentage: 1, revision: 2 });
        await backend.write({
          name: 'chat',
          expect: { id: 'first' },
          document: { ...document, id: 'second', revision: 3 },
        });
        await add('chat', ['eve']);
        const second = await head('chat');
        await backend.write({ name: 'chat', expect: 'present', document: null });
        await create('chat', {}, 'first');
        const history = await backend.history('chat', { limit: 10 });
        expect(history.map(({ membersBefore }) => membersBefore)).toEqual([
          ...[0, second?.members, 0, first?.members, first?.members, 0, 0],
        ]);
      });

      test('can be read on from a change, and by its two kinds', async () => {
        const document = await create();
        await add('chat', ['ann']);
        await replace(amendFeature(document, { percentage: 1 }));
        await add('chat', ['bob']);
        const kinds = async (options: Partial<HistoryOptions>) =>
          (await backend.history('chat', { limit: 10, ...options })).map(({ kind }) => kind);
        expect(await kinds({ kind: 'documents' })).toEqual(['updated', 'created']);
        expect(await kinds({ kind: 'members' })).toEqual(['members', 'members']);
        const [, second] = await backend.history('chat', { limit: 2 });
        expect(await kinds({ before: second?.id })).toEqual(['members', 'created']);
        expect(await kinds({ before: second?.id, kind: 'members' })).toEqual(['members']);
        const all = await backend.log({ limit: 10 });
        expect(new Set(all.map(({ id }) => id)).size).toBe(4);
      });

      test('keeps the documents that many registrations come after', async () => {
        await create();
        for (let n = 0; n < 2_500; n++) await add('chat', [`user-${n}`]);
        expect(await backend.history('chat', { limit: 10, kind: 'documents' })).toHaveLength(1);
      }, 20_000);

      test('is not changed through what it hands out', async () => {
        await create();
        await add('chat', ['ann']);
        const [change] = (await backend.history('chat', { limit: 1 })) as [Change];
        (change.added as string[]).push('eve');
        expect(() => Object.assign(change.head, { revision: 9 })).toThrow(TypeError);
        expect((await backend.history('chat', { limit: 1 }))[0]?.added).toEqual(['ann']);
        expect(await head('chat')).toMatchObject({ revision: 1 });
      });

      test('can be read page by page', async () => {
        await create();
        for (let n = 0; n < 25; n++) await add('chat', [`user-${n}`]);
        const seen: string[] = [];
        let before: string | undefined;
        for (;;) {
          const page = await backend.history('chat', { limit: 4, before });
          if (page.length === 0) break;
          seen.push(...page.map(({ added }) => added[0] ?? 'created'));
          before = page.at(-1)?.id;
        }
        const registered = Array.from({ length: 25 }, (_, n) => `user-${24 - n}`);
        expect(seen).toEqual([...registered, 'created']);
      });

      test('leaves out what changed nothing or was refused', async () => {
        await create();
        await add('chat', []);
        await backend.write({ name: 'chat', expect: 'present', remove: ['eve'] });
        await expect(create()).rejects.toThrow();
        expect(await backend.history('chat', { limit: 10 })).toHaveLength(1);
      });

      test('of all features is the log', async () => {
        await create('one');
        await create('two');
        await add('one', ['ann']);
        expect(
          (await backend.log({ limit: 10 })).map(({ name: feature, kind }) => [feature, kind]),
        ).toEqual([
          ['one', 'members'],
          ['two', 'created'],
          ['one', 'created'],
        ]);
        expect(await backend.log({ limit: 1 })).toHaveLength(1);
      });
    });

    describe('events', () => {
      test('tell of each change once it is visible, until unsubscribed', async () => {
        const events: ChangeEvent[] = [];
        const heard = (count: number) => waitFor(() => events.length >= count);
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
        expect(events.map(({ kind }) => kind)).toEqual([
          'created',
          'members',
          'updated',
          'removed',
        ]);
        expect(events.at(-1)).toEqual({ name: 'chat', kind: 'removed', head: last });
        unsubscribe();
        unsubscribe();
        await create('other');
        await new Promise((resolve) => setTimeout(resolve, 20));
        expect(events).toHaveLength(4);
      });

      test('reach one function twice if it subscribed twice', async () => {
        let calls = 0;
        const listener = (event: ChangeEvent | undefined) => {
          if (event !== undefined) calls++;
        };
        const first = backend.subscribe(listener);
        backend.subscribe(listener);
        await create('one');
        await waitFor(() => calls >= 2);
        first();
        await create('two');
        await waitFor(() => calls >= 3);
        expect(calls).toBe(3);
      });
    });

    describe('health', () => {
      test('is ready once the store has answered, and says so', async () => {
        await create();
        const health = await backend.ready(5_000);
        expect(health).toEqual({
          state: 'ready',
          ageMs: expect.any(Number),
          token: await backend.token(),
          error: undefined,
        });
        expect(health.ageMs).toBeLessThan(5_000);
        expect({ ...backend.health(), ageMs: 0 }).toEqual({ ...health, ageMs: 0 });
      });

      test('of a closed one is closed, and nobody is told any more', async () => {
        const unwatch = backend.watch(() => {
          throw new Error('told');
        });
        await backend.close();
        unwatch();
        unwatch();
        expect(await backend.ready(5_000)).toEqual(backend.health());
        expect(backend.health()).toEqual({
          state: 'closed',
          ageMs: Number.POSITIVE_INFINITY,
          token: undefined,
          error: 'CLOSED',
        });
      });
    });

    describe('all of it', () => {
      test('is loaded whole, also by who knows a part', async () => {
        const kept = await create('kept');
        const changed = await create('changed');
        await create('removed');
        const known = await backend.loadAll();
        await add('kept', ['ann']);
        await replace(amendFeature(changed, { percentage: 1 }));
        await backend.write({ name: 'removed', expect: 'present', document: null });
        await create('new');
        const loaded = await backend.loadAll(known);
        expect(loaded).toEqual(await backend.loadAll());
        expect(new Set(loaded.features.keys())).toEqual(new Set(['kept', 'changed', 'new']));
        expect(loaded.features.get('kept')).toEqual({ head: await head('kept'), feature: kept });
        expect(loaded.features.get('changed')?.feature?.percentage).toBe(1);
      });

      test('is one moment, while it keeps changing', async () => {
        // Before each change of the second, the first is already there with the same number.
        await create('one', { data: { n: 0 } });
        await create('two', { data: { n: 0 } });
        let isOver: boolean = false;
        const writing = (async () => {
          for (let n = 1; n <= 50; n++) {
            for (const each of ['one', 'two']) {
              const { feature } = (await backend.load(each)) as { feature: Feature };
              await replace(amendFeature(feature, { data: { n } }));
            }
          }
        })().finally(() => {
          isOver = true;
        });
        let loaded = await backend.loadAll();
        while (!isOver) {
          loaded = await backend.loadAll(loaded);
          const { features } = loaded;
          const [one, two] = ['one', 'two'].map((each) => features.get(each)?.feature?.data.n);
          expect([0, 1]).toContain((one as number) - (two as number));
          await new Promise((resolve) => setImmediate(resolve));
        }
        await writing;
      });

      test('has its members under their heads, or leaves them out', async () => {
        await create('one');
        await create('two');
        await create('none');
        await add('one', ['ann', 'bob']);
        await add('two', ['eve']);
        const ids = new Map(['one', 'two', 'none', 'nope'].map((each) => [each, `id-${each}`]));
        const found = await backend.loadMembers(new Map([...ids, ['two', 'another']]));
        expect(found.has('two')).toBe(false);
        expect(found.has('nope')).toBe(false);
        for (const [name, members] of found) {
          expect(members.head).toEqual(await head(name));
          expect(members.ids).toEqual(await membersOf(name));
        }
        expect((await backend.loadMembers(new Map())).size).toBe(0);
      });
    });

    describe('views', () => {
      test('of all features hold all, with their facts', async () => {
        await create('one');
        await create('two', { percentage: 100 });
        await add('one', ['ann']);
        const view = await backend.readAll((compiled) => lookupId(compiled, 'ann', SURROUNDINGS));
        expect(new Set(view.names())).toEqual(new Set(['one', 'two']));
        for (const each of ['one', 'two']) {
          const found = view.get(each) as HeldFeature;
          expect(decide(found.compiled, 'ann', found.facts, SURROUNDINGS).enabled).toBe(true);
        }
        expect(view.get('three')).toBeUndefined();
      });

      test('that need no I/O show the present state', async () => {
        if (backend.local === undefined) return;
        await create('one', { percentage: 100 });
        await waitFor(() => backend.local?.get('one') !== undefined);
        expect([...(backend.local?.names() ?? [])]).toEqual(['one']);
      });
    });

    describe('once closed', () => {
      test('everything rejects with CLOSED', async () => {
        await create();
        await backend.close();
        await backend.close();
        expect(backend.local).toBeUndefined();
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
        for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'CLOSED' });
      });
    });

    it('declares no deviation that there is not', () => {
      expect(deviations.filter((each) => !used.has(each.test))).toEqual([]);
    });
  });
}

/** Until it holds, or the test's own time is up. */
async function waitFor(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}
