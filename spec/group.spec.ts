import type { Rollout } from '../lib/index.js';
import { storedName } from '../lib/stored-name.js';
import { BACKENDS, useEveryBackend } from './every-backend.js';

jest.setTimeout(60_000);

const every = useEveryBackend();

async function membersOf(rollout: Rollout, group: string): Promise<Set<string>> {
  const all = new Set<string>();
  for await (const id of rollout.groupMembers(group)) all.add(id);
  return all;
}

describe.each(BACKENDS)('a stored group on a %s', (kind) => {
  let rollout: Rollout;
  let place: string;
  beforeEach(() => {
    ({ rollout, place } = every.open(kind));
  });
  const elsewhere = () =>
    kind === 'MemoryBackend' || kind === 'FileBackend' ? undefined : every.replicaOf(place);

  it('is a list that is made at its first, changed, streamed, counted and removed', async () => {
    const heard: string[] = [];
    rollout.on('change', ({ of, name, kind: what }) => heard.push(`${of} ${name} ${what}`));
    await rollout.addFeature('friends');
    expect(await rollout.groups()).toEqual([]);
    expect(await rollout.addToGroup('friends', 'ann')).toBe(1);
    expect(await rollout.addToGroup('friends', ['ann', 42, { id: 'bob' }])).toBe(2);
    const progress: object[] = [];
    async function* many() {
      for (let n = 0; n < 1_500; n++) yield `user-${n}`;
    }
    const options = { onProgress: (each: object) => progress.push(each), actor: 'me' };
    expect(await rollout.addToGroup('crowd', many(), options)).toBe(1_500);
    expect(progress).toHaveLength(2);
    expect(await rollout.groups()).toEqual([{ name: 'crowd' }, { name: 'friends' }]);
    expect(await membersOf(rollout, 'friends')).toEqual(new Set(['42', 'ann', 'bob']));
    expect(await rollout.countGroup('crowd')).toBe(1_500);
    expect(await rollout.removeFromGroup('friends', ['ann', 'eve'])).toBe(1);
    expect(await rollout.countGroup('friends')).toBe(2);

    expect((await rollout.features()).map(({ name }) => name)).toEqual(['friends']);
    expect(Object.keys((await rollout.snapshot('ann')).toJSON())).toEqual(['friends']);
    await rollout.removeGroup('friends');
    expect(await rollout.groups()).toEqual([{ name: 'crowd' }]);
    expect(await rollout.get('friends')).toBeDefined();
    for (const call of [
      () => rollout.countGroup('friends'),
      () => membersOf(rollout, 'friends'),
      () => rollout.removeFromGroup('friends', 'ann'),
      () => rollout.removeGroup('friends'),
    ]) {
      await expect(call()).rejects.toMatchObject({
        code: 'FEATURE_NOT_FOUND',
        message: expect.stringMatching(/^Group "friends" does not exist/),
      });
    }
    while (!heard.includes('group friends removed')) await new Promise(setImmediate);
    expect(heard).toContain('group crowd created');
    expect(heard).toContain('group crowd members');
  });

  it('is begun once by many at once, who all get in', async () => {
    const each = Array.from({ length: 20 }, (_, n) => rollout.addToGroup('friends', `user-${n}`));
    expect(await Promise.all(each)).toEqual(Array(20).fill(1));
    expect(await rollout.countGroup('friends')).toBe(20);
  });

  it('goes by another attribute, as it was said with the first', async () => {
    const key = { subjectKey: 'account' };
    await rollout.addToGroup('partners', { id: 1, account: 'acme' }, key);
    await rollout.addToGroup('partners', 'globex');
    expect(await rollout.groups()).toEqual([{ name: 'partners', ...key }]);
    await rollout.addFeature('chat', { groups: ['partners'] });
    const asked = [{ id: 9, account: 'acme' }, { id: 'globex' }, 'globex', { account: 'globex' }];
    const answers = asked.map((subject) => rollout.isEnabled('chat', subject));
    // The feature itself goes by the id, which the last one lacks.
    expect(await Promise.all(answers)).toEqual([true, false, false, false]);
    const other = rollout.addToGroup('partners', 'zoe', { subjectKey: 'team' });
    await expect(other).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });

  it('adds up with functions and with what subjects say, in gates and in rules, also with not', async () => {
    await rollout.addToGroup('staff', ['ann', 'zoe']);
    await rollout.addFeature('gate', { groups: ['staff'] });
    await rollout.addFeature('rule', {
      rules: [{ id: 'r', when: { group: 'staff' }, serve: 'on' }],
    });
    await rollout.addFeature('not', {
      rules: [{ id: 'r', when: { not: { group: 'staff' } }, serve: 'on' }],
    });
    await rollout.addFeature('deep', {
      rules: [
        { id: 'off', when: { all: [{ group: 'staff' }, { users: ['zoe'] }] }, serve: 'off' },
        { id: 'on', when: { any: [{ users: ['eve'] }, { group: 'staff' }] }, serve: 'on' },
      ],
    });
    const isStaff = ({ isBoss }: { isBoss?: boolean }) => isBoss === true;
    const rollouts = [rollout, await elsewhere()].filter((each) => each !== undefined);
    for (const each of rollouts) {
      const expected: [subject: object | string, isIn: boolean][] = [
        ['ann', true],
        [{ id: 'ann' }, true],
        ['eve', false],
        [{ id: 'eve', groups: ['staff'] }, true],
      ];
      for (const isDefined of [false, true]) {
        if (isDefined) {
          each.defineGroup('staff', isStaff);
          expected.push([{ id: 'eve', isBoss: true }, true], [{ id: 'ann', isBoss: false }, true]);
        }
        for (const [subject, isIn] of expected) {
          const flags = await each.snapshot(subject);
          const names = ['gate', 'rule', 'not'];
          const answers = await Promise.all(names.map((name) => each.isEnabled(name, subject)));
          expect(answers).toEqual([isIn, isIn, !isIn]);
          expect(names.map((name) => flags.isEnabled(name))).toEqual(answers);
          expect((await each.explain('not', subject))?.decision.enabled).toBe(!isIn);
        }
        expect((await each.decide('deep', 'zoe')).rule).toBe('off');
        expect((await each.decide('deep', 'ann')).rule).toBe('on');
      }
    }
    await rollout.removeFromGroup('staff', 'ann');
    const isOut = (each: Rollout) =>
      Promise.all(['gate', 'not'].map((name) => each.isEnabled(name, { id: 'ann' })));
    for (const each of rollouts) {
      while ((await isOut(each)).join() !== 'false,true') await new Promise(setImmediate);
    }
  });

  it('gets its answer before all else, while it is overridden', async () => {
    await rollout.addToGroup('friends', ['ann', 'bob', 'out']);
    await rollout.addToGroup('testers', ['bob', 'tim']);
    await rollout.addFeature('foobar', {
      variants: ['A', 'B', 'C'],
      defaultVariant: 'C',
      excluded: ['out'],
      rules: [{ id: 'mine', when: { users: ['ann', 'bob', 'tim'] }, serve: { variant: 'A' } }],
    });
    const rules = async () => (await rollout.get('foobar'))?.rules.map(({ id }) => id);
    await rollout.overrideGroup('foobar', 'friends', 'B', { actor: 'me' });
    await rollout.overrideGroup('foobar', 'testers', 'off');
    expect(await rules()).toEqual(['override/friends', 'override/testers', 'mine']);
    const variants = (each: Rollout) =>
      Promise.all(['ann', 'bob', 'tim', 'eve', 'out'].map((id) => each.variant('foobar', id)));
    expect(await variants(rollout)).toEqual(['B', 'B', undefined, 'C', undefined]);
    const other = await elsewhere();
    if (other !== undefined) expect(await variants(other)).toEqual(await variants(rollout));
    expect((await rollout.decide('foobar', 'ann')).rule).toBe('override/friends');
    expect((await rollout.history('foobar'))[1]?.actor).toBe('me');

    // A new answer stays where the old one was.
    await rollout.overrideGroup('foobar', 'friends', { variant: 'C' });
    await rollout.overrideGroup('foobar', 'testers', 'on');
    expect(await rules()).toEqual(['override/friends', 'override/testers', 'mine']);
    expect(await rollout.variant('foobar', 'ann')).toBe('C');
    expect(await rollout.isEnabled('foobar', 'tim')).toBe(true);
    await rollout.disable('foobar');
    expect(await rollout.isEnabled('foobar', 'ann')).toBe(false);
    await rollout.enable('foobar');

    await expect(rollout.removeGroup('friends')).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      feature: 'foobar',
    });
    await rollout.clearOverride('foobar', 'friends');
    const { revision } = await rollout.clearOverride('foobar', 'friends');
    expect((await rollout.get('foobar'))?.revision).toBe(revision);
    expect(await rollout.variant('foobar', 'ann')).toBe('A');
    await rollout.removeGroup('friends');
    expect(await rules()).toEqual(['override/testers', 'mine']);
  });
});

describe('an override', () => {
  it('closes nothing to those of no group, where nobody has listed or defined it', async () => {
    const { rollout } = every.open('MemoryBackend');
    await rollout.addFeature('chat', { percentage: 100 });
    await rollout.overrideGroup('chat', 'banned', 'off');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
    expect(await rollout.groups()).toEqual([{ name: 'banned' }]);
    await rollout.addToGroup('banned', 'ann');
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
  });

  it('goes to variants that have the names of answers, where that is said', async () => {
    const { rollout } = every.open('MemoryBackend');
    await rollout.addFeature('chat', { variants: ['on', 'off'] });
    await rollout.addToGroup('friends', 'ann');
    await rollout.overrideGroup('chat', 'friends', { variant: 'off' });
    expect(await rollout.decide('chat', 'ann')).toMatchObject({ enabled: true, variant: 'off' });
    await rollout.overrideGroup('chat', 'friends', 'off');
    expect(await rollout.decide('chat', 'ann')).toMatchObject({ enabled: false });
  });

  it('is refused of a variant, feature or group that can not be', async () => {
    const { rollout } = every.open('MemoryBackend');
    await rollout.addFeature('chat', { variants: ['A'] });
    for (const [call, expected] of [
      [() => rollout.overrideGroup('chat', 'friends', 'B'), { path: 'rules[0].serve.variant' }],
      [() => rollout.overrideGroup('nope', 'friends', 'A'), { code: 'FEATURE_NOT_FOUND' }],
      [() => rollout.clearOverride('nope', 'friends'), { code: 'FEATURE_NOT_FOUND' }],
      [() => rollout.overrideGroup('chat', 'all', 'A'), { code: 'INVALID_ARGUMENT' }],
    ] as const) {
      await expect(call()).rejects.toMatchObject(expected);
    }
  });
});

describe('bad input', () => {
  it.each(['all', 'ALL', 'none', 'NONE', '', 'a\u001fb', 3])(
    'refuses the group %j',
    async (name) => {
      const { rollout } = every.open('MemoryBackend');
      const group = name as string;
      for (const call of [
        () => rollout.addToGroup(group, 'ann'),
        () => rollout.removeFromGroup(group, 'ann'),
        () => rollout.removeGroup(group),
        () => rollout.countGroup(group),
        () => rollout.groupMembers(group).next(),
      ]) {
        await expect(call()).rejects.toMatchObject({ code: expect.stringMatching(/^INVALID_/) });
      }
      expect(await rollout.groups()).toEqual([]);
    },
  );

  it('refuses ids and options that are none, and names that features can not have', async () => {
    const { rollout } = every.open('MemoryBackend');
    await expect(rollout.addToGroup('friends', ['ann', ''])).rejects.toMatchObject({
      path: 'subjects[1]',
    });
    const misspelt = { subjectkey: 'account' } as object;
    await expect(rollout.addToGroup('friends', 'ann', misspelt)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await expect(rollout.addFeature(storedName('group', 'x'))).rejects.toMatchObject({
      path: 'name',
    });
  });
});
