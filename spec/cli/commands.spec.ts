import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { FileBackend } from '../../lib/backends/file/index.js';
import { programFor } from '../../lib/cli/program.js';
import { Terminal } from '../../lib/cli/terminal.js';
import { Rollout } from '../../lib/index.js';
import { sectionOf, textOf } from '../readme.js';
import { shellIn } from './shell.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hanoi-cli-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const { hanoi, told, json, failure } = shellIn(() => folder);
const write = (name: string, text: string) => writeFileSync(join(folder, name), text);

/** Beside the command line, on the same file. */
async function beside<Result>(task: (rollout: Rollout) => Promise<Result>): Promise<Result> {
  const rollout = new Rollout(new FileBackend(join(folder, 'features.json')));
  try {
    return await task(rollout);
  } finally {
    await rollout.close();
  }
}

describe('looking at features', () => {
  it('says where there are none', async () => {
    expect(await hanoi(['list'])).toEqual({
      code: 0,
      out: '',
      err: `There are no features at ${join(folder, 'features.json')}.\n`,
    });
    expect(await json('list')).toEqual({ features: [], unreadable: [] });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('shows at a glance who gets what', async () => {
    await beside(async (rollout) => {
      await rollout.addFeature('chat', {
        percentage: 20,
        variants: ['foo', { name: 'bar', weight: 3 }],
      });
      await rollout.register('chat', ['ann', 'bob']);
      await rollout.addFeature('all', { percentage: 100 });
      await rollout.addFeature('none');
      await rollout.addFeature('stopped', { percentage: 50, enabled: false, excluded: ['eve'] });
      await rollout.addFeature('ramped');
      await rollout.ramp('ramped', { from: 0, to: 80, start: '2100-01-01T00:00:00Z', over: '10d' });
      await rollout.addFeature('expired', {
        groups: ['staff', 'beta'],
        patterns: [/^4/],
        requires: [{ feature: 'all' }],
        data: { expiresAt: '2026-01-01' },
      });
    });
    expect(await told('list')).toBe(
      [
        'FEATURE       SHARE            WHO GETS IT',
        'all      on   ██████████ 100%  everyone',
        'chat     on   ██░░░░░░░░ 20%   2 members, foo 25% · bar 75%',
        'expired  on   ░░░░░░░░░░ 0%    [expired 2026-01-01] groups staff, beta, pattern /^4/, requires all',
        'none     on   ░░░░░░░░░░ 0%    nobody',
        'ramped   on   ░░░░░░░░░░ 0%    ramp to 80% until 2100-01-11, from 2100-01-01 on',
        'stopped  off  █████░░░░░ 50%   kill switch (but 1 excluded)',
        '',
      ].join('\n'),
    );
    const { features } = await json('list', 'chat');
    expect(features).toEqual([
      {
        ...{ name: 'chat', enabled: true, percentage: 20, ramp: null, members: 2, leftOver: [] },
        feature: expect.objectContaining({ name: 'chat', revision: 1 }),
      },
    ]);
  });

  it.each<[string[], string[]]>([
    [
      ['list', 'a'],
      ['alpha', 'beta', 'gamma'],
    ],
    [
      ['list', '*a'],
      ['alpha', 'beta', 'gamma'],
    ],
    [['list', 'a*'], ['alpha']],
    [['list', '*et*'], ['beta']],
    [['list', 'a*a*a*a'], []],
    [['list', '--disabled'], ['beta']],
    [
      ['list', '--enabled'],
      ['alpha', 'delt', 'gamma'],
    ],
    [['list', '--ramping'], ['gamma']],
    [['list', '--left-over'], ['delt']],
    [['list', '--data', 'owner=us'], ['alpha']],
    [['list', '--data', 'tags=new', '--data', 'owner'], ['alpha']],
    [['list', '--data', 'constructor'], []],
  ])('filters by %j', async (args, names) => {
    await beside(async (rollout) => {
      await rollout.addFeature('alpha', { data: { owner: 'us', tags: ['new', 'old'] } });
      await rollout.addFeature('beta', { enabled: false });
      await rollout.addFeature('gamma');
      await rollout.ramp('gamma', { over: '10d' });
      await rollout.addFeature('delt', { percentage: 20, data: { expiresAt: '2026-01-01' } });
    });
    const { features } = await json(...args);
    expect(features.map(({ name }: { name: string }) => name)).toEqual(names);
  });

  it('lists what can not be read, and shows the rest', async () => {
    write('features.json', '{ "features": { "chat": {}, "broken": { "percentage": 101 } } }');
    expect(await told('list')).toContain('broken   broken  ');
    const { features, unreadable } = await json('list');
    expect(features).toHaveLength(1);
    expect(unreadable).toEqual([
      { name: 'broken', problem: expect.stringContaining('features.broken.percentage') },
    ]);
    expect(await failure('show', 'broken')).toMatchObject({ code: 'CORRUPT_FEATURE', exitCode: 4 });
    expect(await failure('check', 'broken', 'ann')).toMatchObject({ code: 'CORRUPT_FEATURE' });
  });

  it('shows one whole', async () => {
    await beside((rollout) =>
      rollout.addFeature('checkout', {
        percentage: 12.5,
        variants: ['short', 'long'],
        excluded: ['eve'],
        subjectKey: 'account',
        offValue: { a: 1 },
        data: { owner: 'shop' },
        rules: [
          {
            id: 'na',
            when: {
              all: [
                { attribute: 'app', op: 'satisfies', value: '>=2' },
                { not: { group: 'staff' } },
              ],
            },
            percentage: 50,
            serve: {
              split: [
                ['short', 90],
                ['long', 10],
              ],
            },
            until: '2100-01-01T00:00:00Z',
          },
        ],
      }),
    );
    const text = await told('show', 'checkout');
    expect(text).toContain('share        ███░░░░░░░░░░░░░░░░░ 12.5% (modulo)\n');
    expect(text).toContain(
      'rules        na: {"split":[["short",90],["long",10]]} for 50%, if app satisfies ">=2" and not in group staff, until 2100-01-01T00:00:00Z\n',
    );
    expect(text).toContain(
      'excluded     eve\ngoes by      account\noff value    {"a":1}\ndata         owner: shop\n',
    );
    expect(await failure('show', 'chekout')).toEqual({
      ...{ code: 'FEATURE_NOT_FOUND', feature: 'chekout', exitCode: 3 },
      message:
        'Feature "chekout" does not exist. `hanoi list` shows what there is. `hanoi add chekout` creates it.',
    });
  });

  it('ends a check with 0 where it is on, and 1 where it is off', async () => {
    await beside(async (rollout) => {
      const rules = [
        { id: 'pro', when: { attribute: 'plan', op: 'equals', value: 'pro' }, serve: 'on' },
        { id: 'old', when: { attribute: 'age', op: 'atLeast', value: 65 }, serve: 'on' },
      ] as const;
      await rollout.addFeature('chat', { rules, variants: [{ name: 'v', value: { size: 1 } }] });
      await rollout.register('chat', 'ann');
    });
    expect(await hanoi(['check', 'chat', 'ann'])).toEqual({
      ...{ code: 0, err: '' },
      out: 'on variant v value {"size":1} (TARGETING_MATCH: member)\n',
    });
    expect(await hanoi(['check', 'chat', 'bob'])).toMatchObject({
      code: 1,
      out: 'off (DEFAULT: no gate)\n',
    });
    expect(await hanoi(['check', 'chat'])).toMatchObject({
      code: 1,
      out: 'off (DEFAULT: no subject)\n',
    });
    const pro = await hanoi(['check', 'chat', 'bob', '--attribute', 'plan=pro']);
    expect(pro).toMatchObject({ code: 0, out: expect.stringContaining('rule "pro"') });
    expect((await hanoi(['check', 'chat', 'bob', '-a', 'age=70'])).code).toBe(0);
    expect((await hanoi(['check', 'chat', '--attributes', '{"id":"bob","age":70}'])).code).toBe(0);
    expect((await hanoi(['check', 'chat', '--attributes', '{"id":"bob","age":"70"}'])).code).toBe(
      1,
    );
    expect(await json('check', 'chat', 'ann')).toMatchObject({ enabled: true, detail: 'member' });
    expect(await failure('check', 'chta', 'ann')).toMatchObject({ exitCode: 3 });
    expect(await failure('check', 'chat', '--attributes', '[1]')).toMatchObject({ exitCode: 2 });
  });

  it('asks about the number that was written', async () => {
    const rules = [
      {
        id: 'one',
        when: { attribute: 'account', op: 'equals', value: '12345678901234567891' },
        serve: 'on',
      },
    ];
    await told('add', 'chat', '--settings', JSON.stringify({ rules }));
    const check = (account: string) => hanoi(['check', 'chat', 'ann', '-a', `account=${account}`]);
    expect((await check('12345678901234567891')).code).toBe(0);
    expect((await check('12345678901234567890')).code).toBe(1);
    await told('add', 'other', '--data', 'ticket=12345678901234567891', '--data', 'size=3');
    expect((await json('show', 'other')).feature.data).toEqual({
      ticket: '12345678901234567891',
      size: 3,
    });
  });

  it('explains step by step', async () => {
    await beside((rollout) =>
      rollout.addFeature('chat', {
        rules: [
          {
            id: 'pro',
            when: { any: [{ attribute: 'plan', op: 'equals', value: 'pro' }, { users: ['ann'] }] },
            serve: 'on',
          },
        ],
      }),
    );
    const text = await told('explain', 'chat', 'ann');
    expect(text).toContain('chat for ann: on (TARGETING_MATCH: rule "pro")\n');
    expect(text).toMatch(/^→ {2}rule pro/m);
    expect(text).toContain('  ? plan equals "pro"\n');
    expect(text).toContain('  ✓ the id is one of ann\n');
    expect(text).not.toContain('member');
    const { decision, steps } = await json('explain', 'chat', 'bob');
    expect([decision.enabled, steps.at(-1)?.outcome]).toEqual([false, 'answers']);
    expect(await failure('explain', 'nope')).toMatchObject({ exitCode: 3 });
  });

  it('previews a percentage over ids from stdin or a file, and sets nothing', async () => {
    await beside((rollout) => rollout.addFeature('chat', { percentage: 50 }));
    const ids = Array.from({ length: 100 }, (_, n) => `user-${n}`).join('\n');
    const { out } = await hanoi(['preview', 'chat', '80%', '--json'], { input: ids });
    const { gains, loses, stays, ids: named } = JSON.parse(out);
    expect([gains + stays, loses]).toEqual([100, 0]);
    expect(gains).toBeGreaterThan(15);
    expect(named.gains).toHaveLength(10);
    write('ids.txt', ids);
    const text = await told('preview', 'chat', '0', '--file', 'ids.txt', '--ids', '2');
    expect(text).toMatch(/^chat at 0%, of 100:\n/);
    expect(text).toMatch(/^lose it +\d+ {2}user-\d+, user-\d+, …$/m);
    expect(await json('show', 'chat')).toMatchObject({ percentage: 50 });
  });

  it('previews nothing over nobody', async () => {
    await told('add', 'chat');
    for (const args of [[], ['--population'], ['--json']]) {
      const { code, out, err } = await hanoi(['preview', 'chat', '80', ...args], { input: '\n' });
      expect([code, out]).toEqual([2, '']);
      expect(err).toMatch(/ids, and there were none|the population; it is empty/);
    }
  });

  it('previews over the population', async () => {
    await beside(async (rollout) => {
      await rollout.population.increaseBuckets(4);
      await rollout.population.register(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']);
      await rollout.addFeature('chat', { bucketing: 'population', percentage: 50 });
    });
    expect(await json('preview', 'chat', '100', '--population')).toMatchObject({
      gains: 4,
      stays: 4,
    });
    const both = await failure('preview', 'chat', '100', '--population', '--file', '-');
    expect(both).toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('changing features', () => {
  it('adds what the options say', async () => {
    const added = await json(
      ...['add', 'chat', '-p', '20', '--variant', 'foo', '--variant', 'bar=3', '--group', 'staff'],
      ...['--bucketing', 'independent', '--subject-key', 'account', '--disabled'],
      ...['--data', 'owner=checkout', '--data', 'tags=["a"]', '--settings', '{"excluded":["eve"]}'],
    );
    expect(added.feature).toMatchObject({
      ...{ name: 'chat', enabled: false, percentage: 20, bucketing: 'independent' },
      variants: [
        { name: 'foo', weight: 1 },
        { name: 'bar', weight: 3 },
      ],
      ...{ groups: ['staff'], subjectKey: 'account', excluded: ['eve'] },
      data: { owner: 'checkout', tags: ['a'] },
    });
    expect(await failure('add', 'chat')).toMatchObject({ code: 'FEATURE_EXISTS', exitCode: 4 });
    expect(await failure('add', 'x', '-p', '101')).toMatchObject({ exitCode: 2 });
    expect(await failure('add', 'x', '--variant', 'a=b')).toMatchObject({ exitCode: 2 });
    expect(await failure('add', 'x', '--bucketing', 'dice')).toMatchObject({
      ...{ code: 'INVALID_FEATURE', path: 'bucketing', exitCode: 2 },
    });
  });

  it('updates from an argument, a file or stdin', async () => {
    await told('add', 'chat');
    await told('update', 'chat', '{"percentage":5}');
    write('settings.json', '{"groups":["staff"]}');
    await told('update', 'chat', '@settings.json');
    await hanoi(['update', 'chat', '-'], { input: '{"excluded":["eve"]}' });
    expect((await json('show', 'chat')).feature).toMatchObject({
      ...{ percentage: 5, groups: ['staff'], excluded: ['eve'], revision: 4 },
    });
    expect(await failure('update', 'chat', '@none.json')).toMatchObject({ exitCode: 2 });
    expect(await failure('update', 'chat', '{')).toMatchObject({ exitCode: 2 });
  });

  it('switches, and sets percentages and ramps', async () => {
    await told('add', 'chat');
    expect(await told('disable', 'chat')).toBe('chat: disabled (off, 0%, revision 2)\n');
    expect(await told('enable', 'chat')).toBe('chat: enabled (0%, revision 3)\n');
    expect(await told('percentage', 'chat', '12.5%')).toBe(
      'chat: set to 12.5% (12.5%, revision 4)\n',
    );
    await told('ramp', 'start', 'chat', '--over', '10d', '--to', '50');
    const { percentage } = (await json('ramp', 'jump', 'chat', '30')).feature;
    expect(percentage.points[1].percentage).toBe(50);
    expect(await json('show', 'chat')).toMatchObject({ ramp: 'running' });
    expect((await json('show', 'chat')).percentage).toBeCloseTo(30, 1);
    expect((await json('ramp', 'pause', 'chat')).feature.percentage.pausedAt).toBeDefined();
    expect((await json('ramp', 'resume', 'chat')).feature.percentage.pausedAt).toBeUndefined();
    expect(await told('ramp', 'rewind', 'chat', '2d')).toMatch(/\(22\.\d+%/);
    expect(await failure('ramp', 'start', 'chat')).toMatchObject({ code: 'INVALID_FEATURE' });
  });

  it('names who and why', async () => {
    await told('add', 'chat', '--note', 'launch');
    await hanoi(['disable', 'chat'], { env: { HANOI_ACTOR: 'bob' } });
    write('hanoi.config.json', '{ "actor": "carol" }');
    await told('enable', 'chat');
    await hanoi(['disable', 'chat', '--actor', 'alice'], { env: { HANOI_ACTOR: 'bob' } });
    const { changes } = await json('history', 'chat');
    const { userInfo } = await import('node:os');
    expect(changes.map(({ actor }: { actor: string }) => actor)).toEqual([
      ...['alice', 'carol', 'bob', userInfo().username],
    ]);
    expect(changes.at(-1).note).toBe('launch');
  });

  it('lets in and takes out ids of arguments, a file and stdin', async () => {
    await told('add', 'chat');
    expect(await told('users', 'add', 'chat', 'ann', 'bob', 'ann')).toBe(
      'chat: 3 ids were taken, 2 of them new.\n',
    );
    write('ids.txt', '\uFEFFcat\r\n\r\n  dan  \nünal');
    await told('users', 'add', 'chat', '--file', 'ids.txt');
    const { out } = await hanoi(['users', 'add', 'chat', '--json'], {
      // An id in two pieces, and a character in two pieces.
      input: [
        Buffer.from('ev'),
        Buffer.from('e\nz\u00fc').subarray(0, 4),
        Buffer.from('ü').subarray(1),
      ],
    });
    expect(JSON.parse(out)).toEqual({ feature: 'chat', done: 2, changed: 2 });
    expect(await told('users', 'remove', 'chat', 'ann')).toContain('1 of them taken out');
    const listed = (await told('users', 'list', 'chat')).trim().split('\n').sort();
    expect(listed).toEqual(['  dan  ', 'bob', 'cat', 'eve', 'zü', 'ünal'].sort());
    expect((await told('users', 'list', 'chat', '--limit', '2')).split('\n')).toHaveLength(3);
  });

  it('takes back what it has printed, whatever is in the ids', async () => {
    const ids = ['two\nlines', '"quoted"', '\u001b[31mred', ' spaced '];
    await told('add', 'chat');
    await told('add', 'other');
    await beside((rollout) => rollout.register('chat', ids));
    const { out } = await hanoi(['users', 'list', 'chat', '--json']);
    expect(out).not.toContain('\u001b');
    await hanoi(['users', 'add', 'other', '--ndjson'], { input: out });
    const members = await beside(async (rollout) => {
      const found: string[] = [];
      for await (const id of rollout.members('other')) found.push(id);
      return found;
    });
    expect(new Set(members)).toEqual(new Set(ids));
    const broken = await hanoi(['users', 'add', 'other', '--ndjson'], { input: '"ann"\nbob' });
    expect(broken).toMatchObject({ code: 2, err: expect.stringContaining('line 2') });
  });

  it.each(['9007199254740993', '{"id":12345678901234567890}', '1e400', '1.5'])(
    'lets in nobody else for the number %s',
    async (input) => {
      await told('add', 'chat');
      const refused = await hanoi(['users', 'add', 'chat', '--ndjson'], { input });
      expect(refused).toMatchObject({ code: 2, err: expect.stringContaining('as text') });
      expect(await told('users', 'list', 'chat')).toBe('');
    },
  );

  it('refuses ids that it can not read, and says how far it came', async () => {
    await told('add', 'chat');
    const lines = Array.from({ length: 1_500 }, (_, n) => `user-${n}`).join('\n');
    const input = [Buffer.from(`${lines}\n`), Buffer.from([0xff, 0xfe, 0x0a])];
    expect(await hanoi(['users', 'add', 'chat'], { input })).toEqual({
      code: 2,
      out: '',
      err:
        '1,000 ids were taken, 1,000 of them new before that; the command can be repeated.\n' +
        'hanoi: INVALID_ARGUMENT: Expected ids in UTF-8, and they are not.\n',
    });
    const json_ = await hanoi(['users', 'add', 'chat', '--json'], { input });
    expect(JSON.parse(json_.err).error).toMatchObject({ code: 'INVALID_ARGUMENT' });
    const missing = await failure('users', 'add', 'chat', '--file', 'none.txt');
    expect(missing.message).toContain(join(folder, 'none.txt'));
    expect(await failure('users', 'add', 'chat', 'ann', '--file', 'x')).toMatchObject({
      exitCode: 2,
    });
    expect(await failure('users', 'add', 'nope', 'ann')).toMatchObject({ exitCode: 3 });
    expect(await hanoi(['users', 'add', 'chat'], { isTerminal: true })).toMatchObject({
      ...{ code: 2, err: expect.stringContaining('ids on stdin') },
    });
  });

  it('draws on a terminal how far it came, and takes that away', async () => {
    await told('add', 'chat');
    write('ids.txt', Array.from({ length: 1_500 }, (_, n) => `user-${n}\n`).join(''));
    const add = ['users', 'add', 'chat', '--file', 'ids.txt'];
    const { out, err } = await hanoi(add, { isTerminal: true });
    expect(out).toBe('chat: 1,500 ids were taken, 1,500 of them new.\n');
    const [drawn, ...others] = err.split('\r\u001b[K').slice(1);
    expect(drawn).toMatch(/^█+░* \d+% {2}1,[05]00 ids added$/);
    expect(others.at(-1)).toBe('');
    const dumb = { isTerminal: true, env: { TERM: 'dumb' } };
    expect((await hanoi(add, dumb)).err).toBe('');
  });

  it('excludes, and takes that back', async () => {
    await told('add', 'chat', '-p', '100');
    expect(await told('exclude', 'chat', 'eve', 'mallory')).toContain('2 excluded now');
    expect((await hanoi(['check', 'chat', 'eve'])).code).toBe(1);
    await told('unexclude', 'chat', 'eve');
    expect((await hanoi(['check', 'chat', 'eve'])).code).toBe(0);
  });
});

describe('percentages', () => {
  it.each(['0x10', '1e1', ' 7', '', '-5', '100.1', 'NaN', '%'])(
    'are not written %p',
    async (text) => {
      await told('add', 'chat');
      expect(await failure('percentage', 'chat', text)).toMatchObject({ exitCode: 2 });
    },
  );

  it.each([
    ['7', 7],
    ['33.3333%', 33.3333],
    ['.5', 0.5],
    ['100.', 100],
  ])('are written %p', async (text, percentage) => {
    await told('add', 'chat');
    expect((await json('percentage', 'chat', text)).feature).toMatchObject({ percentage });
  });
});

describe('removing', () => {
  beforeEach(async () => {
    await told('add', 'chat');
    await told('users', 'add', 'chat', 'ann');
  });

  it('takes --yes where nobody can be asked', async () => {
    const { code, err } = await hanoi(['remove', 'chat']);
    expect([code, err]).toEqual([2, expect.stringContaining('--yes')]);
    expect(await json('list')).toMatchObject({ features: [{ name: 'chat' }] });
    expect(await failure('remove', 'nope', '--yes')).toMatchObject({ exitCode: 3 });
    expect(await json('remove', 'chat', '--yes')).toEqual({ removed: 'chat' });
    expect(await failure('show', 'chat')).toMatchObject({ exitCode: 3 });
  });

  it.each([
    ['n\n', 1, 1],
    ['', 1, 1],
    ['\n', 1, 1],
    ['yes\n', 0, 0],
  ])('asks on a terminal: %j', async (input, code, left) => {
    const ended = await hanoi(['remove', 'chat'], { isTerminal: true, input });
    expect(ended.code).toBe(code);
    expect(ended.err).toContain('Remove chat and its 1 members?');
    expect((await json('list')).features).toHaveLength(left);
  });

  it('comes back with its members', async () => {
    await told('remove', 'chat', '--yes');
    await told('restore', 'chat');
    expect(await json('show', 'chat')).toMatchObject({ members: 1 });
  });
});

describe('the past', () => {
  beforeEach(async () => {
    await told('add', 'chat', '-p', '10', '--actor', 'alice', '--note', 'launch');
    await told('percentage', 'chat', '60', '--actor', 'bob');
    await told('users', 'add', 'chat', 'ann', '--actor', 'carol');
  });

  it('is told with what was changed', async () => {
    const lines = (await told('history', 'chat')).split('\n');
    expect(lines[0]).toMatch(
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ {2}chat {2}users {2}revision 2 {2}by carol {2}change:3$/,
    );
    expect(lines.slice(1, 4)).toEqual([
      '    +ann',
      expect.stringMatching(/ updated {2}revision 2 {2}by bob {2}change:2$/),
      '    ~ percentage: 10 → 60',
    ]);
    expect(lines.at(-2)).toBe('    “launch”');
    expect((await json('history', 'chat', '--limit', '1')).changes).toHaveLength(1);
    expect((await json('history', 'chat', '--kind', 'members')).changes).toHaveLength(1);
    expect((await json('history', 'chat', '--before', '2')).changes).toMatchObject([{ id: '1' }]);
    expect(await failure('history', 'nope')).toMatchObject({ exitCode: 3 });
    expect(await failure('history', 'nope', '--limit', '0')).toMatchObject({ exitCode: 3 });
  });

  it('is not said to be empty where none of it was asked for', async () => {
    await told('remove', 'chat', '--yes');
    expect(await hanoi(['history', 'chat', '--limit', '0'])).toEqual({ code: 0, out: '', err: '' });
    const first = await hanoi(['history', 'chat', '--before', '1']);
    expect(first).toEqual({ code: 0, out: '', err: 'No such change is kept.\n' });
  });

  it('is told of everything', async () => {
    await beside((rollout) => rollout.addToGroup('friends', 'zoe'));
    const { changes } = await json('history');
    expect(
      changes.map(({ of, name, kind }: Record<string, string>) => `${of} ${name} ${kind}`),
    ).toEqual([
      'group friends members',
      'group friends created',
      'feature chat members',
      'feature chat updated',
      'feature chat created',
    ]);
    expect(await told('history', 'friends', '--of', 'group')).toContain('group friends  users');
    expect(await failure('history', '--of', 'group')).toMatchObject({ exitCode: 2 });
  });

  it('differs, or not', async () => {
    expect(await hanoi(['diff', 'chat'])).toMatchObject({
      code: 1,
      out: '~ percentage: 10 → 60\n',
    });
    expect(await hanoi(['diff', 'chat', '1'])).toMatchObject({ code: 1 });
    expect(await hanoi(['diff', 'chat', '2'])).toMatchObject({ code: 0, out: '' });
    expect(await hanoi(['diff', 'chat', 'change:1', '2'])).toMatchObject({ code: 1 });
    expect(await json('diff', 'chat', '1')).toEqual({
      differences: [{ path: 'percentage', kind: 'changed', before: 10, after: 60 }],
    });
    expect(await failure('diff', 'chat', '7')).toMatchObject({ code: 'NOT_KEPT', exitCode: 3 });
    expect(await failure('diff', 'nope')).toMatchObject({ exitCode: 3 });
  });

  it('can be undone, and rolled back', async () => {
    await told('undo', 'chat', '--note', 'mistake');
    expect(await json('show', 'chat')).toMatchObject({ members: 0, percentage: 60 });
    await told('undo', 'chat', 'change:2');
    expect(await json('show', 'chat')).toMatchObject({ percentage: 10 });
    await told('rollback', 'chat', '2');
    expect(await json('show', 'chat')).toMatchObject({ percentage: 60, members: 0 });
    await told('rollback', 'chat', 'change:3');
    expect(await json('show', 'chat')).toMatchObject({ percentage: 60, members: 1 });
    await told('percentage', 'chat', '70');
    expect(await failure('undo', 'chat', 'change:2')).toMatchObject({
      code: 'CONFLICT',
      exitCode: 4,
    });
    expect((await json('history', 'chat')).changes).toHaveLength(8);
  });

  it('can be undone to its beginning', async () => {
    await told('add', 'other');
    expect(await json('undo', 'other')).toEqual({ feature: null });
    expect(await failure('show', 'other')).toMatchObject({ exitCode: 3 });
  });

  it('is asked for as the message says, where it can not be brought back', async () => {
    const { id } = (await json('show', 'chat')).feature;
    await told('remove', 'chat', '--yes');
    const [last] = (await json('history', 'chat')).changes;
    const removed = await failure('rollback', 'chat', `change:${last.id}`);
    expect(removed.message).toMatch(/ Name one before it, or `hanoi remove`\.$/);
    await told('add', 'chat');
    await told('rollback', 'chat', `${id}@2`);
    await beside((rollout) => rollout.deactivate('chat'));
    // Of both features that it has been.
    const { message } = await failure('rollback', 'chat', '1');
    const [, first] = /Say which: (\S+@1), \S+@1, or a change\.$/.exec(message) ?? [];
    await told('rollback', 'chat', first as string);
  });
});

describe('groups and experiments', () => {
  it('are listed and shown', async () => {
    await beside(async (rollout) => {
      await rollout.addToGroup('friends', ['ann', 'bob'], { subjectKey: 'account' });
      await rollout.addFeature('chat', { groups: ['friends'], variants: ['a', 'b'] });
      await rollout.addExperiment('test', {
        ...{ from: '2026-01-01T00:00:00Z', until: '2100-01-01T00:00:00Z' },
        arms: [
          { name: 'control', proportion: 0.8, features: { chat: false } },
          { name: 'tested', proportion: 0.2, features: { chat: 'b' } },
        ],
      });
      await rollout.use('chat', 'zoe');
    });
    expect(await told('groups', 'list')).toBe('GROUP    MEMBERS  BY\nfriends  2        account\n');
    expect(await json('groups', 'show', 'friends')).toEqual({
      ...{
        name: 'friends',
        subjectKey: 'account',
        members: 2,
        usedBy: ['chat'],
        ids: ['ann', 'bob'],
      },
    });
    expect(await told('groups', 'show', 'friends')).toContain('used by    chat\nann\nbob\n');
    expect(await failure('groups', 'show', 'nobody')).toMatchObject({ exitCode: 3 });
    await beside((rollout) =>
      rollout.addToGroup(
        'friends',
        Array.from({ length: 118 }, (_, n) => `user-${n}`),
      ),
    );
    const { members, ids } = await json('groups', 'show', 'friends');
    expect([members, ids.length]).toEqual([120, 100]);
    expect((await json('groups', 'show', 'friends', '--limit', '2')).ids).toHaveLength(2);
    expect(await told('experiments', 'list')).toContain('chat: control 80% · tested 20%');
    const { arms, state } = await json('experiments', 'show', 'test');
    expect([state, arms[0].uses + arms[1].uses]).toEqual(['live', 1]);
    expect(await told('experiments', 'show', 'test')).toContain('too few uses');
    expect(await failure('experiments', 'show', 'tset')).toMatchObject({ exitCode: 3 });
  });
});

describe('moving features', () => {
  const members = async (place: string) =>
    (await told('users', 'list', 'chat', '-u', place)).trim();

  it('exports what a file backend and an import take', async () => {
    await told('add', 'chat', '-p', '20', '--group', 'friends');
    await told('users', 'add', 'chat', 'ann');
    await told('add', 'other');
    await beside((rollout) => rollout.addToGroup('friends', 'bob'));
    const text = await told('export');
    expect(Object.keys(JSON.parse(text).features)).toHaveLength(3);
    await told('export', 'chat', '--output', 'chat.json');
    const chat = JSON.parse(readFileSync(join(folder, 'chat.json'), 'utf8'));
    expect(Object.keys(chat.features)).toEqual(['group\u001ffriends', 'chat']);
    expect(await failure('export', '-o', 'chat.json')).toMatchObject({ exitCode: 2 });
    const { err } = await hanoi(['export', '-o', 'chat.json', '--force']);
    expect(err).toBe('2 features, 1 group are in chat.json.\n');
    // It names users.
    expect(statSync(join(folder, 'chat.json')).mode & 0o077).toBe(0);
    expect(
      await json('import', 'chat.json', '--from', 'hanoi-file', '-u', 'to.json'),
    ).toMatchObject({
      ...{ copied: ['Group "friends"', 'chat', 'other'], skipped: [], problems: [] },
    });
    expect(await members('to.json')).toBe('ann');
    expect(await failure('export', 'nope')).toMatchObject({ exitCode: 3 });
    expect(readdirSync(folder).filter((each) => each.endsWith('hanoi-export'))).toEqual([]);
  });

  it('copies, skips and replaces', async () => {
    await told('add', 'chat', '-p', '20');
    await told('users', 'add', 'chat', 'ann');
    expect(await json('copy', 'features.json', 'to.json', '--dry-run')).toEqual({
      ...{ dryRun: true, copied: ['chat'], replaced: [], same: [], skipped: [], problems: [] },
    });
    expect((await json('list', '-u', 'to.json')).features).toEqual([]);
    await told('copy', 'features.json', 'to.json', 'chat', '--actor', 'alice', '--note', 'move');
    expect(await members('to.json')).toBe('ann');
    const { changes } = await json('history', '-u', 'to.json');
    expect(changes).toMatchObject([{ actor: 'alice', note: 'move' }]);
    expect(await json('copy', 'features.json', 'to.json')).toMatchObject({ same: ['chat'] });
    await told('percentage', 'chat', '30');
    const skipped = await hanoi(['copy', 'features.json', 'to.json']);
    expect(skipped).toMatchObject({ code: 1, out: 'skipped    chat\n' });
    expect(await failure('copy', 'features.json', 'to.json', '--replace')).toMatchObject({
      ...{ code: 'INVALID_ARGUMENT', message: expect.stringContaining('--yes') },
    });
    await told('copy', 'features.json', 'to.json', '--replace', '--yes');
    expect(await json('show', 'chat', '-u', 'to.json')).toMatchObject({ percentage: 30 });
    expect(await failure('copy', 'none.json', 'to.json')).toMatchObject({ exitCode: 2 });
    const three = await failure('copy', 'features.json', 'to.json', '-u', 'other.json');
    expect(three.message).toContain('no --url');
    expect(await failure('copy', 'features.json', 'to.json', 'nope')).toMatchObject({
      exitCode: 3,
    });
  });

  it('tells of a prerequisite that it leaves behind', async () => {
    await told('add', 'base', '-p', '100');
    await told('add', 'chat', '--settings', '{"requires":[{"feature":"base"}]}');
    const copied = await hanoi(['copy', 'features.json', 'to.json', 'chat']);
    expect(copied).toMatchObject({
      ...{ code: 1, out: 'copied     chat\n' },
      err: expect.stringContaining('FEATURE_NOT_FOUND: Feature "base" was left behind.'),
    });
    expect((await hanoi(['copy', 'features.json', 'to.json'])).code).toBe(0);
  });

  it.each<[string, unknown, string, string[]]>([
    [
      'rollout-gem',
      { 'feature:__features__': 'chat', 'feature:chat': '20.0|ann,bob||{}' },
      'ann',
      ['ann', 'bob'],
    ],
    ['hanoi', { 'h:chat': '1|80||443301|foo,bar' }, '443301', ['443301']],
    [
      'slowroll',
      {
        app: {
          chat: {
            stable: 1,
            new: 2,
            end_time: '2025-01-01 00:00Z',
            duration: '14d',
            early_adopters: ['a'],
          },
        },
      },
      'a',
      ['a'],
    ],
    ['pyrollout', [{ name: 'chat', percentage: 20, users: [7] }], '7', ['7']],
  ])('imports a file of %s', async (system, data, who, expected) => {
    write('theirs.json', JSON.stringify(data));
    const name = system === 'slowroll' ? 'app.chat' : 'chat';
    const args = ['import', 'theirs.json', '--from', system];
    expect(await json(...args, '-n')).toMatchObject({ dryRun: true, copied: [name] });
    expect(await json(...args)).toMatchObject({ copied: [name], problems: [] });
    expect((await hanoi(['check', name, who])).code).toBe(0);
    const ids = (await told('users', 'list', name)).trim().split('\n').sort();
    expect(ids).toEqual(expected);
    expect(await json(...args)).toMatchObject({ same: [name] });
  });

  it('names the records that it can not take over', async () => {
    const stored = {
      'feature:__features__': 'chat,bad',
      'feature:chat': '5.0|||{}',
      'feature:bad': 'x|||{}',
    };
    write('theirs.json', JSON.stringify(stored));
    const { code, out, err } = await hanoi(['import', 'theirs.json', '--from', 'rollout-gem']);
    expect([code, out]).toEqual([1, 'copied     chat\n']);
    expect(err).toMatch(/^INVALID_RECORD: Record "feature:bad" can't be imported/);
    expect(await failure('import', 'theirs.json')).toMatchObject({ exitCode: 2 });
    const gem = ['import', 'theirs.json', '--from', 'rollout-gem'];
    expect(await failure(...gem, '--namespace', 'app')).toMatchObject({ exitCode: 2 });
    const ours = ['import', 'theirs.json', '--from', 'hanoi-file'];
    expect(await failure(...ours, '--randomize-percentage')).toMatchObject({ exitCode: 2 });
    expect(await failure(...ours, '--request-id', 'r-1')).toMatchObject({ exitCode: 2 });
    const redis = ['import', 'redis://127.0.0.1:1', '--from', 'hanoi-file'];
    expect((await failure(...redis)).message).toContain('`hanoi copy`');
    const hanoiData = ['import', 'theirs.json', '--from', 'hanoi', '--randomize-percentage'];
    expect((await failure(...hanoiData)).message).toContain('--from rollout-gem');
    const inRedis = await failure('import', 'redis://127.0.0.1:1', '--from', 'slowroll');
    expect(inRedis).toMatchObject({ exitCode: 2 });
    const nowhere = ['import', 'https://x.example/f.json', '--from', 'hanoi'];
    expect(await failure(...nowhere)).toMatchObject({ exitCode: 2 });
    expect(await failure('import', 'none.json', '--from', 'hanoi')).toMatchObject({ exitCode: 2 });
    expect(await failure('import', 'theirs.json', '--from', 'slowroll')).toMatchObject({
      exitCode: 2,
    });
  });
});

describe('where it works', () => {
  it('goes by --url, then HANOI_URL, then the config file, then the working folder', async () => {
    for (const [at, file] of ['option', 'variable', 'config', 'features'].entries()) {
      await told('add', file, '-u', `./${file}.json`, '-p', String(at));
    }
    write('hanoi.config.json', '{ "url": "config.json" }');
    const [env] = [{ HANOI_URL: 'file:variable.json' }];
    const names = async (args: string[], given: object = {}) =>
      JSON.parse((await hanoi(['list', '--json', ...args], given)).out).features.map(
        ({ name }: { name: string }) => name,
      );
    expect(await names(['--url', 'option.json'], { env })).toEqual(['option']);
    expect(await names([], { env })).toEqual(['variable']);
    expect(await names([])).toEqual(['config']);
    rmSync(join(folder, 'hanoi.config.json'));
    expect(await names([])).toEqual(['features']);
    expect(await names(['-u', `file://${folder}/option.json`])).toEqual(['option']);
  });

  it.each([
    ['{', 'it is not JSON'],
    ['[]', 'it gives no object'],
    ['{"urls":"x"}', '"urls"'],
    ['{"url":7}', '`url` is no text'],
    ['{"define":"x"}', '`define` to be a function'],
  ])('refuses a config file of %s', async (text, why) => {
    write('hanoi.config.json', text);
    expect(await failure('list')).toMatchObject({
      ...{ code: 'INVALID_ARGUMENT', exitCode: 2, message: expect.stringContaining(why) },
    });
  });

  it('refuses two config files, and a folder that is not there', async () => {
    write('hanoi.config.json', '{}');
    write('hanoi.config.mjs', 'export default {}');
    expect((await failure('list')).message).toContain('hanoi.config.mjs beside it');
    rmSync(join(folder, 'hanoi.config.mjs'));
    expect(await failure('list', '-u', 'no/where.json')).toMatchObject({ exitCode: 2 });
  });

  it('says why a file can not be written', async () => {
    // That of its lock is too long.
    const { code, message } = await failure('add', 'chat', '-u', `./${'x'.repeat(245)}`);
    expect(code).toBe('NOT_APPLIED');
    expect(message).toContain("can't be read or written (ENAMETOOLONG). Repeat it.");
    expect(message).not.toContain('.lock');
  });

  it('tells a broken file from an empty one', async () => {
    for (const [text, why] of [
      ['{}', '`features` is missing, and has to be an object.'],
      ['{ "features": { "chat": {} }, "members": { "chat": {} } }', 'a list of ids, not an object'],
    ] as const) {
      write('features.json', text);
      expect((await failure('list')).message).toContain(why);
    }
    write('features.json', '{ "features": ');
    expect(await failure('list')).toMatchObject({ code: 'STORE_UNAVAILABLE', exitCode: 5 });
    expect(await failure('add', 'chat')).toMatchObject({ code: 'NOT_APPLIED', exitCode: 5 });
    expect(readFileSync(join(folder, 'features.json'), 'utf8')).toBe('{ "features": ');
  });
});

describe('what it prints', () => {
  it('has no control characters of what is stored', async () => {
    const evil = 'a\u202eb\u009bc\u200b';
    write(
      'features.json',
      JSON.stringify({
        features: {
          chat: {
            data: { [`k${evil}`]: `x\u001b]0;owned\u0007${evil}` },
            variants: [{ name: 'v', weight: 1, value: evil }],
          },
        },
        members: { chat: [`\u001b[2J${evil}`] },
      }),
    );
    await beside((rollout) => rollout.disable('chat', { note: `n\u001b[31m\n${evil}` }));
    for (const args of [
      ['list'],
      ['show', 'chat'],
      ['users', 'list', 'chat'],
      ['history'],
      ['explain', 'chat', evil],
      ['diff', 'chat'],
    ]) {
      for (const given of [[], ['--json']]) {
        const { out, err } = await hanoi([...args, ...given]);
        expect(out + err).not.toMatch(/(?!\n)[\p{Cc}\u200b\u202e]/u);
      }
    }
    expect((await json('show', 'chat')).feature.data[`k${evil}`]).toBe(
      `x\u001b]0;owned\u0007${evil}`,
    );
    expect((await hanoi(['show', `x\u001b[2J`])).err).toContain('x\\u001b[2J');
  });

  it('has colours on a terminal alone, and never with NO_COLOR', async () => {
    await told('add', 'chat');
    const listed = (env: { [name: string]: string }, isTerminal: boolean) =>
      hanoi(['list'], { env, isTerminal });
    expect((await listed({}, true)).out).toContain('\u001b[1mchat');
    expect((await listed({ NO_COLOR: '1' }, true)).out).not.toContain('\u001b');
    expect((await listed({ TERM: 'dumb' }, true)).out).not.toContain('\u001b');
    expect((await listed({}, false)).out).not.toContain('\u001b');
  });

  it('is cut to the terminal, and whole elsewhere', async () => {
    const groups = Array.from(
      { length: 3 },
      (_, n) => `${'group-with-a-long-name-'.repeat(3)}${n}`,
    );
    await beside((rollout) => rollout.addFeature('漢字', { groups }));
    const { out } = await hanoi(['list'], { isTerminal: true, env: { NO_COLOR: '1' } });
    for (const line of out.trimEnd().split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    expect(out).toContain('…');
    expect(await told('list')).toContain(groups[2]);
  });

  it('leaves the other columns their room beside one long name', async () => {
    const name = 'x'.repeat(200);
    await told('add', name, '-p', '20');
    await told('add', 'chat', '-p', '20', '--group', 'staff');
    const { out } = await hanoi(['list'], { isTerminal: true, env: { NO_COLOR: '1' } });
    for (const line of out.trimEnd().split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    expect(out).toMatch(/^chat +on +█+░+ 20% +group staff$/m);
    expect(out).toMatch(/^x{39}… +on /m);
    expect(await told('list')).toContain(name);
  });

  it.each([
    [['list', '--bogus'], "Unknown option '--bogus'."],
    [['lst'], "Unknown command 'lst' (Did you mean list?)."],
    [['show'], "Missing required argument 'feature'."],
    [['show', 'a', 'b'], "Too many arguments for 'show'."],
    [['percentage', 'a', '200'], 'Expected a number from 0 to 100.'],
    [['percentage', 'a', '1e1000'], 'Expected a number from 0 to 100.'],
    [['ramp'], 'Expected a subcommand of `hanoi ramp`.'],
    [['--note=x', 'ramp'], 'Expected a subcommand of `hanoi ramp`.'],
    [['help', 'nope'], "Unknown command 'nope'."],
    [['users', 'help', 'nope'], "Unknown command 'nope'."],
    [['users', 'list', 'a', '--limit', '-1'], 'Expected a whole number.'],
  ])('is one line that says what is wrong with %j', async (args, why) => {
    const { code, out, err } = await hanoi(args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(/^hanoi: INVALID_ARGUMENT: .+\n$/);
    expect(err).toContain(why);
  });

  it('is help where it was asked for', async () => {
    expect(await hanoi([])).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('Look:'),
    });
    const help = await told('--help');
    expect(help).toContain('HANOI_URL');
    expect(await told('users', 'add', '--help')).toContain('--actor <name>');
    const { version } = JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf8'));
    expect(await told('--version')).toBe(`${version}\n`);
  });
});

describe('what is written of it', () => {
  const typed = ['docs/cli.md', 'docs/operations.md'].flatMap((page) =>
    Array.from(textOf(page).matchAll(/(?:`|npx )(hanoi(?: [^\s`&>#|<]+){2,})/g), ([, line]) => [
      line as string,
      page,
    ]),
  );

  it.each(typed)('goes as `%s` in %s', async (line) => {
    await told('add', line.includes(' add chat') ? 'other' : 'chat');
    write('ids.txt', 'ann\n');
    const words = line.match(/(?:"[^"]*"|'[^']*'|\S)+/g) ?? [];
    const [, ...args] = words.map((word) => word.replace(/^(["'])(.*)\1$/, '$2'));
    const { code, err } = await hanoi(args, { input: 'ann\n' });
    // Of what is not there yet it is said.
    expect({ err, isFit: [0, 1, 3].includes(code) }).toMatchObject({ isFit: true });
  });

  const names: string[] = [];
  const collect = (command: Command, before: string) => {
    for (const each of command.commands) {
      const name = `${before}${each.name()}`;
      if (each.commands.length > 0) collect(each, `${name} `);
      else if (name !== 'help') names.push(name);
    }
  };
  const streams = { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr };
  collect(programFor(new Terminal(streams, {}, '.'), { exitCode: 0 }), '');
  const listed = sectionOf('docs/cli.md', 'Commands');
  const printed = sectionOf('docs/cli.md', 'What `--json` prints');

  it.each(names)('names `%s`', (name) => {
    const [family, own] = name.split(' ') as [string, string?];
    const [, list] = new RegExp(`\`${family}(?: ([a-z\\\\|]+))?\`[,| ]`).exec(listed) ?? [];
    expect(listed).toContain(`\`${family}`);
    if (own !== undefined) expect(list?.split('\\|')).toContain(own);
    const isRamp = family === 'ramp';
    expect(printed).toContain(`\`${isRamp ? family : name}\``);
  });
});
