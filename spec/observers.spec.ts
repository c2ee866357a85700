import type { Decision, HanoiError, Observer } from '../lib/index.js';
import { MemoryBackend, Rollout } from '../lib/index.js';

interface Seen extends Observer {
  readonly decisions: [feature: string, reason: string, isTimed: boolean][];
  readonly writes: [kind: string, failure: string | undefined][];
  readonly errors: string[];
  closings: number;
}

function seeing(isTimed = false): Seen {
  const seen: Seen = {
    decisions: [],
    writes: [],
    errors: [],
    closings: 0,
    isTimed: () => isTimed,
    decided: ({ feature, reason }: Decision, ms) => {
      seen.decisions.push([feature, reason, ms !== undefined && ms >= 0]);
    },
    written: (kind, failure) => {
      seen.writes.push([kind, failure]);
    },
    failed: ({ code }: HanoiError) => {
      seen.errors.push(code);
    },
    closed: () => {
      seen.closings++;
    },
  };
  return seen;
}

async function rolloutWithChat(): Promise<Rollout> {
  const rollout = new Rollout();
  await rollout.addFeature('chat', { percentage: 100, variants: ['a'] });
  return rollout;
}

const ASKING: [string, (rollout: Rollout) => unknown][] = [
  ['isEnabled', (rollout) => rollout.isEnabled('chat', 'ann')],
  ['isEnabledSync', (rollout) => rollout.isEnabledSync('chat', 'ann')],
  ['variant', (rollout) => rollout.variant('chat', 'ann')],
  ['value', (rollout) => rollout.value('chat', 0, 'ann')],
  ['decide', (rollout) => rollout.decide('chat', 'ann')],
  ['decideSync', (rollout) => rollout.decideSync('chat', 'ann')],
  ['use', (rollout) => rollout.use('chat', 'ann')],
  ['check', (rollout) => rollout.check('chat', 1)(async (_: string) => 1)('ann')],
  ['enabled', (rollout) => rollout.enabled('chat')(async () => 1)()],
  ['implementations', (rollout) => processor(rollout).create()],
  ['a snapshot', async (rollout) => (await rollout.snapshot('ann')).isEnabled('chat')],
  ['a pin', (rollout) => pinned(rollout, () => rollout.isEnabled('chat'))],
  ['a pin, at once', (rollout) => pinned(rollout, () => rollout.isEnabledSync('chat'))],
  ['a pin, by a snapshot', (rollout) => pinned(rollout, () => snapshotOf(rollout))],
  ['a pin, by a use', (rollout) => pinned(rollout, () => rollout.use('chat'))],
];

async function snapshotOf(rollout: Rollout) {
  return (await rollout.snapshot()).variant('chat');
}

function processor(rollout: Rollout) {
  const table = { a: () => 1, b: () => 2 };
  return rollout.implementations('chat', table, { default: 'b', subject: () => 'ann' });
}

function pinned<Result>(rollout: Rollout, fn: () => Result) {
  return rollout.runAs('ann', fn, { pinned: true });
}

describe('given an observer', () => {
  it.each(ASKING)('it is told once of a decision by %s', async (_, ask) => {
    const rollout = await rolloutWithChat();
    const seen = seeing();
    rollout.observe(seen);
    await ask(rollout);
    expect(seen.decisions).toEqual([['chat', 'STATIC', false]]);
  });

  it('is told of no decision that nobody is given', async () => {
    const rollout = await rolloutWithChat();
    const seen = seeing();
    rollout.observe(seen);
    await rollout.snapshot('ann');
    await rollout.explain('chat', 'ann');
    await rollout.preview('chat', { percentage: 50 }, ['ann', 'bob']);
    await rollout.used('chat', 'a', 'ann');
    await processor(rollout).used('a');
    await pinned(rollout, async () => {
      await rollout.snapshot();
      await rollout.used('chat', 'a');
    });
    expect(seen.decisions).toEqual([]);
  });

  it('is told how long those took that it wants timed', async () => {
    const rollout = await rolloutWithChat();
    const seen = seeing(true);
    rollout.observe(seen);
    // Who doesn't want it changes nothing, nor who wants it too: each is asked, as some count.
    rollout.observe(seeing());
    let asked = 0;
    rollout.observe({ ...seeing(), isTimed: () => ++asked < 0 });
    rollout.isEnabledSync('chat', 'ann');
    await rollout.isEnabled('chat', 'ann');
    expect(seen.decisions).toEqual([
      ['chat', 'STATIC', true],
      ['chat', 'STATIC', true],
    ]);
    expect(asked).toBe(2);
  });

  it('is told of each write and how it ended, whoever made it', async () => {
    const rollout = new Rollout();
    const seen = seeing();
    rollout.observe(seen);
    await rollout.addFeature('chat');
    await expect(rollout.addFeature('chat')).rejects.toMatchObject({ code: 'FEATURE_EXISTS' });
    await rollout.as('ann').setPercentage('chat', 50);
    await rollout.register('chat', 'bob');
    await rollout.register('chat', ['cid', 'dan']);
    await rollout.update('chat', {
      variants: ['a'],
      rules: [{ id: 'r', when: { group: 'all' }, serve: { split: [['a', 1]] }, sticky: true }],
    });
    await rollout.use('chat', 'ann');
    await rollout.remove('chat');
    await expect(rollout.remove('chat')).rejects.toMatchObject({ code: 'FEATURE_NOT_FOUND' });
    expect(seen.writes).toEqual([
      ['created', undefined],
      ['created', 'FEATURE_EXISTS'],
      ['updated', undefined],
      ['members', undefined],
      ['members', undefined],
      ['updated', undefined],
      ['assigned', undefined],
      ['removed', undefined],
      ['removed', 'FEATURE_NOT_FOUND'],
    ]);
  });

  it('is not told of what only asks whether a write was made before', async () => {
    const rollout = await rolloutWithChat();
    const seen = seeing();
    rollout.observe(seen);
    await rollout.setPercentage('chat', 50);
    await rollout.rollback('chat', 1, { requestId: 'r' });
    expect(seen.writes).toEqual([
      ['updated', undefined],
      ['updated', undefined],
    ]);
  });

  it('is told of a failure by a code of ours, whatever the backend rejects with', async () => {
    const backend = new MemoryBackend();
    const rollout = new Rollout(backend);
    const seen = seeing();
    rollout.observe(seen);
    backend.write = () => Promise.reject(Object.assign(new Error('lost'), { code: 'ECONNRESET' }));
    await expect(rollout.addFeature('chat')).rejects.toThrow('lost');
    expect(seen.writes).toEqual([['created', 'STORE_UNAVAILABLE']]);
  });

  it('is told of every error, where events come once in a while', async () => {
    const rollout = new Rollout();
    let events = 0;
    rollout.on('error', () => events++);
    const seen = seeing();
    rollout.observe(seen);
    rollout.defineGroup('odd', () => {
      throw new Error('no');
    });
    await rollout.addFeature('chat', { groups: ['odd'] });
    for (const id of ['a', 'b', 'c']) await rollout.isEnabled('chat', id);
    expect(events).toBe(1);
    expect(seen.errors).toEqual(['GROUP_FAILED', 'GROUP_FAILED', 'GROUP_FAILED']);
  });

  it('is told nothing more once it is ended, and of the close once', async () => {
    const rollout = await rolloutWithChat();
    const [ended, seen] = [seeing(), seeing()];
    const end = rollout.observe(ended);
    rollout.observe(seen);
    end();
    await rollout.isEnabled('chat', 'ann');
    await rollout.close();
    await rollout.close();
    await rollout.isEnabled('chat', 'ann');
    expect([ended.decisions.length, ended.closings]).toEqual([0, 0]);
    expect([seen.decisions.length, seen.closings]).toEqual([1, 1]);
    const late = seeing();
    rollout.observe(late);
    expect(late.closings).toBe(1);
  });

  it('harms nobody by what it throws', async () => {
    const rollout = await rolloutWithChat();
    const codes: string[] = [];
    rollout.on('error', ({ code, cause }) => codes.push(`${code}: ${(cause as Error).message}`));
    const fail = () => {
      throw new Error('bad');
    };
    const bad = { isTimed: fail, decided: fail, written: fail, failed: fail, closed: fail };
    const seen = seeing();
    rollout.observe(bad);
    rollout.observe(seen);
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
    await rollout.setPercentage('chat', 50);
    await rollout.close();
    expect(codes).toEqual(['LISTENER_FAILED: bad']);
    expect(seen.decisions).toHaveLength(2);
    expect([seen.writes.length, seen.closings]).toEqual([1, 1]);
  });

  it.each([undefined, {}, { ...seeing(), failed: 1 }])('%# is refused', (observer) => {
    const observe = () => new Rollout().observe(observer as never);
    expect(observe).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });
});
