import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect, isDeepStrictEqual } from 'node:util';
import { Cluster, Redis } from 'ioredis';
import {
  RolloutGemSource,
  type RolloutGemSourceOptions,
} from '../../../lib/backends/redis/index.js';
import type { HanoiError } from '../../../lib/errors.js';
import { copyFeatures, MemoryBackend, Rollout } from '../../../lib/index.js';
import fixture from '../../fixtures/rollout-gem.json' with { type: 'json' };
import { storedData } from '../../import/stored-data.js';
import { useMonitoredRedis } from '../../redis-monitor.js';
import { RedisServer } from '../../redis-server.js';
import { TcpProxy } from '../../tcp-proxy.js';
import { until } from '../../until.js';

const redis = useMonitoredRedis();
beforeEach(() => redis.client.flushall());

let closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.reverse()) await close();
  closing = [];
});

/** A rollout that follows the keys; it polls when it is told to, if it isn't told otherwise. */
function follow(options: RolloutGemSourceOptions = {}, client = redis.client) {
  const source = new RolloutGemSource(client, { pollMs: 60_000, ...options });
  const rollout = new Rollout(source);
  closing.push(() => rollout.close());
  return { source, rollout };
}

const set = (name: string, record: string) => redis.client.set(`feature:${name}`, record);
const index = (...names: string[]) => redis.client.set('feature:__features__', names.join(','));

describe.each(fixture.cases.map((each) => [JSON.stringify(each.options), each] as const))(
  'on a database of the real gem with options %s',
  (_, { options, redis: stored, subjects, expect: expected, active_features_without_subject }) => {
    it('answers as the gem did', async () => {
      await redis.client.mset(storedData(stored));
      const randomizePercentage = 'randomize_percentage' in options;
      const { rollout } = follow({ randomizePercentage });
      rollout.defineGroup('staff', (id: string) => id.endsWith('3'));
      rollout.defineGroup('beta_testers', (id: string) => id.endsWith('7'));
      expect(await rollout.ready()).toMatchObject({ state: 'ready', error: undefined });
      for (const [name, { active }] of Object.entries(expected)) {
        const letIn = subjects.filter((subject) => rollout.isEnabledSync(name, subject));
        expect([name, new Set(letIn)]).toEqual([name, new Set(active)]);
        expect(await rollout.isEnabled(name, subjects[0])).toBe(
          (active as string[]).includes(subjects[0] as string),
        );
      }
      const names = Object.keys(expected).filter((name) => rollout.isEnabledSync(name, undefined));
      expect(new Set(names)).toEqual(new Set(active_features_without_subject));
    });
  },
);

describe('a source on the keys of the rollout gem', () => {
  it('follows what is written, and tells of it', async () => {
    await set('chat', '0|ann||{}');
    await index('chat');
    const { rollout } = follow({ pollMs: 20 });
    await rollout.ready();
    const changes: unknown[] = [];
    rollout.on('change', ({ kind, name }) => changes.push([kind, name]));
    expect(rollout.isEnabledSync('chat', 'bob')).toBe(false);
    const before = await rollout.get('chat');
    await set('chat', '100|ann||{}');
    await until(() => rollout.isEnabledSync('chat', 'bob'));
    await set('chat', '100|ann,bob||{}');
    await until(() => rollout.decideSync('chat', 'bob').detail === 'member');
    await set('list', '100|||{}');
    await index('chat', 'list');
    await until(() => rollout.isEnabledSync('list', 'ann'));
    await index('list');
    await redis.client.del('feature:chat');
    await until(() => rollout.decideSync('chat', 'ann').errorCode === 'FLAG_NOT_FOUND');
    expect(changes).toEqual([
      ['updated', 'chat'],
      ['members', 'chat'],
      ['created', 'list'],
      ['removed', 'chat'],
    ]);
    expect(before).toMatchObject({ revision: 1, percentage: 0 });
  });

  it('reads everything in one round trip, and what the index has new in a second', async () => {
    await set('chat', '0|||{}');
    await set('list', '0|||{}');
    await index('chat');
    const { source, rollout } = follow();
    await rollout.ready();
    const sent = async () => {
      const commands = await redis.sent(() => source.refresh());
      return commands.map(([name, ...keys]) => [name, keys.length]);
    };
    // What is asked for as the connections come is over then.
    await until(async () => isDeepStrictEqual(await sent(), [['mget', 2]]));
    await index('chat', 'list');
    expect(await sent()).toEqual([
      ['mget', 2],
      ['mget', 3],
    ]);
    expect(await sent()).toEqual([['mget', 3]]);
  });

  it('reads 10,000 features in an app that is busy, however long it takes', async () => {
    const names = Array.from({ length: 10_000 }, (_, n) => `feature-${n}`);
    await redis.client.mset(names.flatMap((name) => [`feature:${name}`, '100.0|ann||{}']));
    await index(...names);
    const working = setInterval(() => {
      const end = performance.now() + 15;
      while (performance.now() < end);
    }, 1);
    try {
      const { rollout } = follow({ timeoutMs: 300 });
      const began = performance.now();
      expect(await rollout.ready({ timeoutMs: 20_000 })).toMatchObject({ error: undefined });
      const { ageMs } = rollout.health();
      // As of the question, not of the end of reading.
      expect(ageMs).toBeGreaterThan((performance.now() - began) / 2);
      expect(rollout.isEnabledSync('feature-9999', 'bob')).toBe(true);
    } finally {
      clearInterval(working);
    }
  }, 30_000);

  it('asks nothing for a check', async () => {
    await set('chat', '50|||{}');
    await index('chat');
    const { source, rollout } = follow();
    await source.refresh();
    const commands = await redis.sent(async () => {
      for (let n = 0; n < 100; n++) await rollout.isEnabled('chat', n);
    });
    expect(commands).toEqual([]);
  });

  it('answers off where the index names what has no record', async () => {
    await index('chat');
    const { rollout } = follow();
    await rollout.ready();
    expect(rollout.decideSync('chat', 'ann')).toMatchObject({
      enabled: false,
      errorCode: undefined,
    });
  });

  it('finds what the index has lost, once it was asked about', async () => {
    await set('chat', '100|||{}');
    await set('list', '100|||{}');
    await index('list');
    const { source, rollout } = follow();
    await rollout.ready();
    expect(await rollout.isEnabled('chat', 'ann')).toBe(false);
    await source.refresh();
    expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
    await index();
    await source.refresh();
    expect(await rollout.isEnabled('list', 'ann')).toBe(true);
  });

  it('finds it also for snapshots and what is pinned', async () => {
    await set('chat', '100|||{}');
    await set('list', '100|||{}');
    await set('page', '100|||{}');
    await index('page');
    const { source, rollout } = follow();
    await rollout.ready();
    expect((await rollout.snapshot('ann')).isEnabled('chat')).toBe(false);
    await rollout.runAs('ann', () => rollout.isEnabled('list'), { pinned: true });
    await source.refresh();
    expect((await rollout.snapshot('ann')).isEnabled('chat')).toBe(true);
    expect(rollout.isEnabledSync('list', 'ann')).toBe(true);
  });

  it('remembers the last names of many that there are not', async () => {
    await index('list');
    const { source, rollout } = follow();
    await rollout.ready();
    for (let n = 0; n < 5_000; n++) rollout.isEnabledSync(`no-${n}`, 'ann');
    const [[, ...keys] = []] = await redis.sent(() => source.refresh());
    expect(keys).toHaveLength(1_002);
    expect(keys).toContain('feature:no-4999');
  });

  it('closes what it can not read, says so without its values, and goes on', async () => {
    const broken = {
      cut: '100|||{"secret-1":',
      word: '100|||secret-1',
      json: '100|||{"secret-1"',
      group: '0||NONE|{}',
    };
    for (const [name, record] of Object.entries(broken)) await set(name, record);
    await set('chat', '100|||{}');
    await redis.client.lpush('feature:other', 'no text');
    await index(...Object.keys(broken), 'chat', 'other');
    const { rollout, source } = follow();
    const errors: HanoiError[] = [];
    rollout.on('corrupt', (error) => errors.push(error));
    await rollout.ready();
    for (const name of Object.keys(broken)) {
      expect(rollout.decideSync(name, 'ann')).toMatchObject({
        enabled: false,
        code: 'CORRUPT_FEATURE',
      });
    }
    expect(rollout.isEnabledSync('other', 'ann')).toBe(false);
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
    await until(() => errors.length === 4);
    expect(new Set(errors.map(({ feature }) => feature))).toEqual(new Set(Object.keys(broken)));
    expect(inspect(errors, { depth: 10 })).not.toContain('secret-1');
    await set('cut', '100|||{}');
    await source.refresh();
    expect(rollout.isEnabledSync('cut', 'ann')).toBe(true);
  });

  it('reads behind a prefix and a namespace', async () => {
    await redis.client.mset(
      'app:shop:feature:chat',
      '100|||{}',
      'app:shop:feature:__features__',
      'chat',
    );
    const client = redis.client.duplicate({ keyPrefix: 'app:' });
    closing.push(() => client.disconnect());
    const { rollout } = follow({ namespace: 'shop' }, client);
    await rollout.ready();
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
  });

  it('only reads', async () => {
    await set('chat', '100|||{}');
    await index('chat');
    const { rollout } = follow();
    await expect(rollout.setPercentage('chat', 0)).rejects.toMatchObject({ code: 'READ_ONLY' });
    await expect(rollout.addFeature('list')).rejects.toMatchObject({ code: 'READ_ONLY' });
    expect(await redis.client.get('feature:chat')).toBe('100|||{}');
  });

  it('is moved out of with copyFeatures, everyone with the same answer', async () => {
    await set('chat', '12.5|ann,bob||{"owner":"shop"}');
    await index('chat');
    const { source, rollout } = follow();
    await rollout.ready();
    const memory = new MemoryBackend();
    await copyFeatures(source, memory);
    const own = new Rollout(memory);
    for (let n = 0; n < 1_000; n++) {
      expect(own.isEnabledSync('chat', n)).toBe(rollout.isEnabledSync('chat', n));
    }
    expect(own.isEnabledSync('chat', 'bob')).toBe(true);
  });

  it.each([
    ['a cluster', () => new Cluster([{ port: 1 }], { lazyConnect: true })],
    ['what is no client', () => ({})],
  ])('refuses %s', (_, make) => {
    const client = make();
    expect(() => new RolloutGemSource(client as Redis)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it.each([
    { randomizePercentage: 'yes' },
    { randomise_percentage: true },
    { pollMs: 0 },
    { timeoutMs: 0.5 },
    { maxStaleMs: 5 },
    { namespace: '' },
  ])('refuses %p', (options) => {
    expect(() => new RolloutGemSource(redis.client, options as object)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });
});

describe('when its Redis fails, a source on the keys of the rollout gem', () => {
  let server: RedisServer;
  let proxy: TcpProxy;
  let direct: Redis;
  beforeEach(async () => {
    server = await RedisServer.start();
    proxy = await TcpProxy.start(server.port);
    direct = new Redis(server.port);
    direct.on('error', () => {});
    await direct.mset('feature:chat', '100|||{}', 'feature:__features__', 'chat');
  });
  afterEach(async () => {
    direct.disconnect();
    await proxy.stop();
    await server.stop();
  });

  function through(options: RolloutGemSourceOptions = {}) {
    const client = new Redis(proxy.port);
    client.on('error', () => {});
    closing.push(() => client.disconnect());
    const events: string[] = [];
    const followed = follow({ pollMs: 50, timeoutMs: 100, maxStaleMs: 300, ...options }, client);
    for (const kind of ['degraded', 'stale', 'recovered', 'dataLoss'] as const) {
      followed.rollout.on(kind, () => events.push(kind));
    }
    return { ...followed, events };
  }

  const faults: [string, () => unknown, () => unknown][] = [
    ['hangs', () => server.signal('SIGSTOP'), () => server.signal('SIGCONT')],
    ['is unreachable', () => proxy.refuse(), () => proxy.accept()],
    ['falls silent', () => proxy.halfOpen(), () => {}],
  ];

  it.each(faults)(
    'goes on with what was known where it %s, says so, and heals',
    async (_, break_, mend) => {
      const { rollout, events } = through();
      await rollout.ready();
      await break_();
      try {
        await until(() => events.includes('degraded') || events.includes('recovered'));
        expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
        expect(await rollout.isEnabled('chat', 'ann')).toBe(true);
      } finally {
        await mend();
      }
      await direct.set('feature:chat', '0|||{}');
      await until(() => !rollout.isEnabledSync('chat', 'ann'));
      await until(() => rollout.health().state === 'ready');
      expect(events.at(-1)).toBe('recovered');
      expect(events).not.toContain('dataLoss');
    },
  );

  it('says STALE once it may not be so old', async () => {
    const { rollout, events } = through();
    await rollout.ready();
    await proxy.refuse();
    await until(() => events.includes('stale'));
    expect(rollout.decideSync('chat', 'ann')).toMatchObject({ enabled: true, reason: 'STALE' });
    expect(rollout.health().state).toBe('stale');
  });

  it('answers closed within the time of a check before it has read anything', async () => {
    await proxy.refuse();
    const { rollout } = through();
    const before = performance.now();
    expect(await rollout.decide('chat', 'ann')).toMatchObject({ enabled: false, reason: 'ERROR' });
    expect(performance.now() - before).toBeLessThan(1_000);
    expect(await rollout.ready({ timeoutMs: 50 })).toMatchObject({ state: 'starting' });
    await proxy.accept();
    await until(() => rollout.isEnabledSync('chat', 'ann'));
  });

  it.each([
    ['emptied', async () => void (await direct.flushall())],
    [
      'restarted empty',
      async () => {
        await server.kill();
        await server.restart();
      },
    ],
  ])('knows what was there where it is %s, and says dataLoss once', async (_, empty) => {
    const { rollout, events } = through();
    await rollout.ready();
    await empty();
    await until(() => events.includes('dataLoss'));
    await delay(200);
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
    expect(events.filter((kind) => kind === 'dataLoss')).toHaveLength(1);
    const writer = new Redis(server.port);
    closing.push(() => writer.disconnect());
    await writer.mset('feature:list', '100|||{}', 'feature:__features__', 'list');
    await until(() => rollout.isEnabledSync('list', 'ann'));
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(false);
    expect(events.at(-1)).toBe('recovered');
  });

  it('closes at once on a server that hangs', async () => {
    const { rollout } = through({ timeoutMs: 60_000 });
    await rollout.ready();
    server.signal('SIGSTOP');
    try {
      await delay(100);
      const before = performance.now();
      await rollout.close();
      expect(performance.now() - before).toBeLessThan(1_000);
    } finally {
      server.signal('SIGCONT');
    }
  });
});

/** Answers each line, a call on the real gem, with a line: its result as JSON. */
const PROGRAM = `
  require 'rollout'
  require 'redis'
  require 'json'
  rollout = Rollout.new(Redis.new(port: ARGV[0].to_i), randomize_percentage: ARGV[1] == 'true')
  rollout.define_group(:staff) { |user| user.end_with?('3') }
  $stdout.sync = true
  $stdin.each_line do |line|
    name, *args = JSON.parse(line)
    result = rollout.send(name, *args) unless name == 'answers'
    result = args[0].map { |each| [rollout.active?(each), args[1].select { |user| rollout.active?(each, user) }] } if name == 'answers'
    $stdout.puts([(result if [Array, true, false].any? { |kind| kind === result })].to_json)
  end
`;
const hasGem = spawnSync('ruby', ['-e', "require 'rollout'; require 'redis'"]).status === 0;

(hasGem ? describe : describe.skip).each([false, true])(
  `beside the real gem${hasGem ? '' : ' (there is none here)'}, with randomize_percentage %p`,
  (randomizePercentage) => {
    let ruby: ChildProcess;
    let call: (name: string, ...args: unknown[]) => Promise<unknown>;
    beforeEach(() => {
      const args = ['-e', PROGRAM, String(redis.client.options.port), String(randomizePercentage)];
      const child = spawn('ruby', args, { stdio: ['pipe', 'pipe', 'inherit'] });
      const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
      ruby = child;
      call = async (...line) => {
        child.stdin.write(`${JSON.stringify(line)}\n`);
        return JSON.parse((await lines.next()).value)[0];
      };
    });
    afterEach(() => ruby.kill());

    it('gives its answers, whatever it does', async () => {
      const { source, rollout } = follow({ randomizePercentage });
      rollout.defineGroup('staff', (id: string) => id.endsWith('3'));
      await rollout.ready();
      const names = ['chat', 'list', 'Zoë', 'a:b'];
      const subjects = Array.from({ length: 40 }, (_, n) => `user-${n}`);
      let seed = 7;
      const random = (below: number) => {
        seed = (seed * 48_271) % 2_147_483_647;
        return seed % below;
      };
      for (let step = 0; step < 150; step++) {
        const name = names[random(names.length)] as string;
        const user = subjects[random(subjects.length)];
        const calls = [
          ['activate', name],
          ['deactivate', name],
          ['activate_percentage', name, random(10_001) / 100],
          ['activate_percentage', name, random(101)],
          ['activate_user', name, user],
          ['deactivate_user', name, user],
          ['set_users', name, subjects.slice(0, random(20))],
          ['activate_group', name, 'staff'],
          ['deactivate_group', name, 'staff'],
          ['activate_group', name, 'all'],
          ['deactivate_group', name, 'all'],
          ['set_feature_data', name, { note: 'a | b, "c"' }],
          ['delete', name],
        ] as [string, ...unknown[]][];
        const made = calls[random(calls.length)] as [string, ...unknown[]];
        await call(...made);
        expect(await source.refresh()).toMatchObject({ error: undefined });
        const answers = names.map((each) => [
          rollout.isEnabledSync(each, undefined),
          subjects.filter((subject) => rollout.isEnabledSync(each, subject)),
        ]);
        expect([made, answers]).toEqual([made, await call('answers', names, subjects)]);
      }
    }, 30_000);

    it('gives its answers for records that others have written', async () => {
      const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
      const percentages = [
        ...[
          '',
          '100',
          '100.0',
          '25',
          '25.',
          '.5',
          '-1',
          '-0.0',
          '150.0',
          '1e1',
          '1E+1',
          '1e',
          'e5',
        ],
        ...[
          '1_0',
          '1__0',
          '1_',
          '_1',
          ' 100',
          '\v\f30',
          '\u00a030',
          '100abc',
          'all',
          '0x1A',
          '1.5_5',
        ],
        ...['30 1', '30.5.5', 'Infinity', '1e400', '１'],
      ];
      const records = [
        ...percentages.map((percentage) => `${percentage}|user-1||{}`),
        ...[
          '',
          '|',
          '||',
          '100',
          '100|',
          '100||',
          '0|user-1',
          '0|user-1|',
          '0||staff',
          '30|user-1|all',
        ],
        ...['[1]', '"text"', '5', 'null', ' ', deep(40), '{"a":"|"}'].map((data) => `30|||${data}`),
        ...['0|user-1, user-2,,|staff,|{}', '0|,|,|', '0||all,nobody|{}'],
      ];
      const names = records.map((_, at) => `record-${at}`);
      for (const [at, record] of records.entries()) await set(`record-${at}`, record);
      await index(...names);
      const { rollout } = follow({ randomizePercentage });
      rollout.defineGroup('staff', (id: string) => id.endsWith('3'));
      await rollout.ready();
      const subjects = Array.from({ length: 100 }, (_, n) => `user-${n}`);
      const gems = (await call('answers', names, subjects)) as [boolean, string[]][];
      for (const [at, name] of names.entries()) {
        const record = records[at] as string;
        const [withNobody, letIn] = gems[at] as [boolean, string[]];
        // To the gem only 100 is everyone, and 150 nobody where nobody is given.
        const isAbove = letIn.length === 100 && Number.parseFloat(record) > 100;
        expect([
          record,
          rollout.decideSync(name, 'user-1').code,
          rollout.isEnabledSync(name, undefined),
          subjects.filter((subject) => rollout.isEnabledSync(name, subject)),
        ]).toEqual([record, undefined, withNobody || isAbove, letIn]);
      }
    });

    it('sees each change within an interval', async () => {
      const { rollout } = follow({ randomizePercentage, pollMs: 50 });
      await rollout.ready();
      for (let turn = 0; turn < 10; turn++) {
        await call('activate', 'chat');
        await until(() => rollout.isEnabledSync('chat', 'ann'));
        await call('deactivate', 'chat');
        await until(() => !rollout.isEnabledSync('chat', 'ann'));
      }
    });
  },
);
