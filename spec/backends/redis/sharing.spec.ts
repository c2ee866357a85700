import { setTimeout as delay } from 'node:timers/promises';
import { RedisBackend, RedisSetBackend } from '../../../lib/backends/redis/index.js';
import { Rollout } from '../../../lib/rollout.js';
import { useMonitoredRedis } from '../../redis-monitor.js';

const redis = useMonitoredRedis();
const { sent } = redis;

beforeEach(() => redis.client.flushall());

const names = (commands: string[][]) => commands.map(([name]) => name);

describe.each([RedisBackend, RedisSetBackend])('given a %p', (Backend) => {
  const isSet = Backend === RedisSetBackend;
  let rollout: Rollout;
  let other: Rollout;
  beforeEach(async () => {
    // What is asked is counted here, on however busy a machine.
    rollout = new Rollout(new Backend(redis.client, { timeoutMs: 10_000 }));
    other = new Rollout(new Backend(redis.client));
    await other.addFeature('list', { percentage: 20 });
    await other.register('list', ['ann', 'bob']);
    await other.addFeature('share', { percentage: 50 });
    await rollout.snapshot('ann');
    await Promise.all([rollout.isEnabled('list', 'ann'), rollout.isEnabled('share', 'ann')]);
  });
  afterEach(async () => {
    await rollout.close();
    await other.close();
  });

  it('asks once for all that is asked in a turn', async () => {
    const ids = Array.from({ length: 500 }, (_, n) => `user-${n}`);
    const commands = await sent(() =>
      Promise.all(
        ids.flatMap((id) => [rollout.isEnabled('list', id), rollout.variant('share', id)]),
      ),
    );
    expect(names(commands)).toEqual(isSet ? ['smismember', 'hmget'] : ['hmget']);
    expect(commands.at(-1)?.slice(2)).toEqual(['list', 'share']);
  });

  it('asks about a crowd and many groups in scripts that keep nobody waiting for long', async () => {
    const groups = Array.from({ length: 20 }, (_, n) => `group-${n}`);
    for (const group of groups) await other.addToGroup(group, 'ann');
    await other.addFeature('chat', { groups });
    await rollout.isEnabled('chat', 'bob');
    const crowd = Array.from({ length: 3_000 }, (_, n) => `user-${n}`);
    const commands = await sent(async () => {
      const answers = await Promise.all(crowd.map((id) => rollout.decide('chat', id)));
      expect(new Set(answers.map(({ detail }) => detail))).toEqual(new Set(['no gate']));
    });
    const asked = commands.map((args) => args.filter((arg) => arg.startsWith('user-')).length);
    // Held, they need not be asked about, once they are.
    if (isSet) expect(asked.reduce((sum, each) => sum + each, 0)).toBe(60_000);
    expect(Math.max(...asked)).toBeLessThanOrEqual(20_000);
  });

  it('asks for nothing but the head where no members can matter', async () => {
    expect(names(await sent(() => rollout.isEnabled('share', 'ann')))).toEqual(['hmget']);
    expect(names(await sent(() => rollout.isEnabled('list', undefined)))).toEqual(['hmget']);
    await other.disable('list');
    await rollout.isEnabled('list', 'ann');
    expect(names(await sent(() => rollout.isEnabled('list', 'ann')))).toEqual(['hmget']);
  });

  it('reads a definition again only when its head has moved', async () => {
    const documents = (commands: string[][]) =>
      commands.filter((args) => args.some((arg) => arg.endsWith(':features')));
    expect(documents(await sent(() => rollout.isEnabled('list', 'ann')))).toHaveLength(0);
    await other.setPercentage('list', 30);
    expect(documents(await sent(() => rollout.isEnabled('list', 'ann')))).toHaveLength(1);
    await other.register('list', 'eve');
    expect(documents(await sent(() => rollout.isEnabled('list', 'ann')))).toHaveLength(0);
    expect(documents(await sent(() => rollout.isEnabled('share', 'ann')))).toHaveLength(0);
  });

  it('takes a snapshot in one round trip', async () => {
    await rollout.snapshot('ann');
    const commands = await sent(async () => {
      const flags = await rollout.snapshot('bob');
      expect(flags.decide('list').detail).toBe('member');
    });
    expect(names(commands)).toEqual(['evalsha']);
    const together = await sent(() =>
      Promise.all(Array.from({ length: 50 }, (_, n) => rollout.snapshot(`user-${n}`))),
    );
    expect(names(together)).toEqual(['evalsha']);
  });

  it('sees in a snapshot what others change, also the first member of all', async () => {
    const detail = async (name: string) => (await rollout.snapshot('eve')).decide(name).detail;
    await other.setPercentage('share', 0);
    expect(await detail('share')).toBe('no gate');
    await other.register('share', 'eve');
    expect(await detail('share')).toBe('member');
    await other.addFeature('new', { percentage: 100 });
    expect(await detail('new')).toBe('percentage');
    await other.remove('new');
    expect(await detail('new')).toBe('unknown feature');
    await other.deactivate('share');
    expect(await detail('share')).toBe('no gate');
  });

  it('answers every check of a crowd for itself', async () => {
    const ids = Array.from({ length: 12_000 }, (_, n) => `user-${n}`);
    await other.setPercentage('list', 0);
    await other.register(
      'list',
      ids.filter((_, n) => n % 3 === 0),
    );
    const answers = await Promise.all(ids.map((id) => rollout.isEnabled('list', id)));
    expect(answers.filter((isOn, n) => isOn !== (n % 3 === 0))).toEqual([]);
  });

  it('writes in the order in which it was told to', async () => {
    const outcomes = await Promise.all([
      rollout.register('share', 'kim'),
      rollout.register('share', 'kim'),
      rollout.register('share', 'lee'),
      rollout.remove('share').then(() => 'removed'),
      rollout.register('share', 'kim').catch((error) => error.code),
    ]);
    expect(outcomes).toEqual([1, 0, 1, 'removed', 'FEATURE_NOT_FOUND']);
  });

  it('fetches changed members once, and asks for them until then', async () => {
    await other.setPercentage('list', 0);
    const ids = Array.from({ length: 20_000 }, (_, n) => `user-${n}`);
    await other.register('list', ids);
    await rollout.isEnabled('list', 'ann');
    await delay(300);
    await other.register('list', 'eve');
    // Turn after turn, none of which waits for the one before.
    const commands = await sent(async () => {
      const checks: Promise<boolean>[] = [];
      for (let turn = 0; turn < 50; turn++) {
        checks.push(rollout.isEnabled('list', 'eve'));
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(new Set(await Promise.all(checks))).toEqual(new Set([true]));
      await delay(300);
    });
    const fetches = commands.filter((args) => args.includes('smembers'));
    expect(fetches).toHaveLength(isSet ? 0 : 1);
    // Then they are held.
    const after = await sent(() => rollout.isEnabled('list', 'user-7'));
    expect(names(after)).toEqual(isSet ? ['smismember', 'hmget'] : ['hmget']);
  });

  it('takes snapshots while members of ever other features change', async () => {
    const lists = Array.from({ length: 20 }, (_, n) => `list-${n}`);
    for (const name of lists) {
      await other.addFeature(name);
      await other.register(name, 'ann');
    }
    let isOver: boolean = false;
    const writing = (async () => {
      for (let n = 0; !isOver; n++) {
        await Promise.all(lists.map((name) => other.register(name, `user-${n}`)));
      }
    })();
    try {
      for (let n = 0; n < 50; n++) {
        const flags = await rollout.snapshot('ann');
        for (const name of lists) expect(flags.decide(name).detail).toBe('member');
      }
    } finally {
      isOver = true;
      await writing;
    }
  });

  it('asks for members that are too many to be held', async () => {
    const ids = Array.from({ length: 50_001 }, (_, n) => `user-${n}`);
    await other.register('list', ids);
    expect(await rollout.isEnabled('list', 'user-50000')).toBe(true);
    const commands = await sent(async () => {
      const [one, two] = await Promise.all([
        rollout.decide('list', 'user-7'),
        rollout.decide('list', 'kim'),
      ]);
      expect([one.detail, two.detail]).toEqual(['member', 'no gate']);
    });
    expect(names(commands)).toEqual(['smismember', 'hmget']);
    expect((await rollout.snapshot('user-9')).decide('list').detail).toBe('member');
    expect((await rollout.snapshot('kim')).decide('list').detail).toBe('no gate');
    await other.unregister('list', 'user-7');
    expect((await rollout.decide('list', 'user-7')).detail).not.toBe('member');
  });

  it('gives each check the answer of one moment, while the feature keeps changing', async () => {
    // In each state either everybody is excluded and a member, or neither: never on.
    await other.update('list', { percentage: 0, excluded: ['kim'] });
    await other.register('list', 'kim');
    let isOver: boolean = false;
    const writing = (async () => {
      for (let n = 0; n < 100; n++) {
        await other.unregister('list', 'kim');
        await other.unexclude('list', 'kim');
        await other.exclude('list', 'kim');
        await other.register('list', 'kim');
      }
    })().finally(() => {
      isOver = true;
    });
    let checks = 0;
    while (!isOver) {
      const [one, all] = await Promise.all([
        rollout.isEnabled('list', 'kim'),
        rollout.snapshot('kim'),
      ]);
      expect([one, all.isEnabled('list')]).toEqual([false, false]);
      checks++;
    }
    await writing;
    expect(checks).toBeGreaterThan(10);
  });
});
