import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { FileBackend } from '../../lib/backends/file/index.js';
import { RedisBackend } from '../../lib/backends/redis/index.js';
import type { Finding } from '../../lib/cli/doctor/finding.js';
import { infoFindings } from '../../lib/cli/doctor/redis.js';
import { Rollout } from '../../lib/index.js';
import { RedisServer, useRedis } from '../redis-server.js';
import { TcpProxy } from '../tcp-proxy.js';
import { shellIn } from './shell.js';

const redis = useRedis();
let client: Redis;
let folder: string;
let places = 0;
let namespace: string;
let url: string;

beforeAll(() => {
  client = new Redis(redis.server.port);
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hanoi-cli-'));
  namespace = `place-${places++}`;
  url = `${redis.server.url}?namespace=${namespace}`;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
afterAll(() => client.disconnect());

const { hanoi, told, json, failure } = shellIn(() => folder);

/** Beside the command line, on the same place. */
async function beside<Result>(task: (rollout: Rollout) => Promise<Result>): Promise<Result> {
  const rollout = new Rollout(new RedisBackend(client, { namespace }));
  try {
    return await task(rollout);
  } finally {
    await rollout.close();
  }
}

const kinds = (findings: readonly Finding[]) => findings.map(({ kind }) => kind).sort();

describe('the command line on Redis', () => {
  it('goes to no other database than the one that is named', async () => {
    const missing = `${redis.server.url}/99?namespace=${namespace}`;
    for (const args of [['list'], ['add', 'chat'], ['doctor']]) {
      const { code, message } = await failure(...args, '-u', missing, '--timeout', '400');
      expect([args[0], code]).toEqual([
        args[0],
        args[0] === 'add' ? 'NOT_APPLIED' : 'STORE_DENIED',
      ]);
      expect(message).toContain("can't be used. The server has no such database.");
    }
    expect(await json('list', '-u', url)).toEqual({ features: [], unreadable: [] });
    // The client that imports is its own.
    await client.set('rollout:chat', '100|||{}');
    await client.set('rollout:__features__', 'chat');
    const gem = ['--from', 'rollout-gem', '--namespace', 'rollout', '--dry-run'];
    expect(await failure('import', `${redis.server.url}/99`, ...gem, '-u', url)).toMatchObject({
      code: 'STORE_UNAVAILABLE',
    });
  });

  it('works where the app does', async () => {
    await beside(async (rollout) => {
      await rollout.addFeature('chat', { percentage: 20 });
      await rollout.register('chat', ['ann', 'bob']);
    });
    expect(await json('show', 'chat', '-u', url)).toMatchObject({ percentage: 20, members: 2 });
    await told('percentage', 'chat', '100', '-u', `${url}&backend=redis`, '--actor', 'alice');
    expect(await beside((rollout) => rollout.isEnabled('chat', 'zoe'))).toBe(true);
    expect(await beside((rollout) => rollout.history('chat'))).toMatchObject([
      { actor: 'alice' },
      {},
      {},
    ]);
    expect((await hanoi(['check', 'chat', 'zoe', '-u', url])).code).toBe(0);
  });

  it('repeats a write under its request id once', async () => {
    await told('add', 'chat', '-u', url);
    const args = ['users', 'add', 'chat', 'ann', '-u', url, '--request-id', 'order-7', '--json'];
    expect(JSON.parse(await told(...args))).toMatchObject({ changed: 1 });
    await told('users', 'remove', 'chat', 'ann', '-u', url);
    expect(JSON.parse(await told(...args))).toMatchObject({ changed: 1 });
    expect(await json('show', 'chat', '-u', url)).toMatchObject({ members: 0 });
  });

  it('says how to repeat a write whose outcome is not known', async () => {
    const proxy = await TcpProxy.start(redis.server.port);
    try {
      await told('add', 'chat', '-u', url);
      await told('users', 'add', 'chat', 'ann', '-u', url);
      // The first only asks what time it is there.
      let sent = 0;
      proxy.loses = (request) => request.includes('zoe-7') && ++sent > 1;
      const args = ['users', 'add', 'chat', 'zoe-7', '-u'];
      const through = `redis://127.0.0.1:${proxy.port}?namespace=${namespace}`;
      const unknown = await failure(...args, through, '--timeout', '500');
      expect(unknown).toMatchObject({ code: 'OUTCOME_UNKNOWN', feature: 'chat', exitCode: 6 });
      const [, id] = /with `--request-id (\S+)`\.$/.exec(unknown.message) ?? [];
      expect(id).toBe(unknown.requestId);
      // It was applied, and is told as it was then.
      expect(await json('show', 'chat', '-u', url)).toMatchObject({ members: 2 });
      expect(await json(...args, url, '--request-id', unknown.requestId)).toMatchObject({
        changed: 1,
      });
    } finally {
      await proxy.stop();
    }
  });

  it('says how a document comes back whose members do not', async () => {
    await told('add', 'chat', '-u', url);
    await told('users', 'add', 'chat', 'ann', '-u', url);
    const { feature } = await json('show', 'chat', '-u', url);
    await told('remove', 'chat', '--yes', '-u', url);
    await client.del(`{${namespace}}:users:${feature.id}`);
    const gone = await failure('restore', 'chat', '-u', url);
    expect(gone).toMatchObject({ code: 'NOT_KEPT', exitCode: 3 });
    expect(gone.message).toMatch(/ With `--members none` the document comes back alone\.$/);
    await told('restore', 'chat', '--members', 'none', '-u', url);
  });

  it('copies from there to a file, and back', async () => {
    await beside(async (rollout) => {
      await rollout.addFeature('chat', { groups: ['friends'] });
      await rollout.addToGroup('friends', 'ann');
    });
    const report = await json('copy', url, 'here.json');
    expect(report).toMatchObject({ copied: ['Group "friends"', 'chat'], problems: [] });
    const local = new Rollout(new FileBackend(join(folder, 'here.json')));
    expect(await local.isEnabled('chat', 'ann')).toBe(true);
    await local.close();
    const other = `${redis.server.url}?namespace=${namespace}-other`;
    expect(await json('copy', 'here.json', other)).toMatchObject({
      copied: ['Group "friends"', 'chat'],
    });
  });

  it("reads the rollout gem's keys, live, to import and to copy", async () => {
    await client.mset({ 'feature:__features__': 'chat', 'feature:chat': '20.0|ann||{}' });
    try {
      const gem = `${redis.server.url}?backend=rollout-gem`;
      expect(await told('list', '-u', gem)).toContain('chat     on  ██░░░░░░░░ 20%  1 member');
      expect(await failure('disable', 'chat', '-u', gem)).toMatchObject({
        code: 'READ_ONLY',
        exitCode: 2,
      });
      const args = ['import', redis.server.url, '--from', 'rollout-gem', '-u', url];
      expect(await json(...args, '--dry-run')).toMatchObject({ copied: ['chat'] });
      expect(await json('list', '-u', url)).toMatchObject({ features: [] });
      expect(await json(...args)).toMatchObject({ copied: ['chat'] });
      expect((await hanoi(['check', 'chat', 'ann', '-u', url])).code).toBe(0);
      expect(await json('copy', gem, 'gem.json')).toMatchObject({ copied: ['chat'] });
      const none = [...args.slice(0, 4), '--namespace', 'myapp', '-u', url];
      expect(await failure(...none)).toMatchObject({ code: 'INVALID_RECORD', exitCode: 2 });
    } finally {
      await client.del('feature:__features__', 'feature:chat');
    }
  });

  it('says that it is away, is refused or is late, without the password', async () => {
    const server = await RedisServer.start(['--requirepass hunter2']);
    try {
      const open = `redis://:hunter2@127.0.0.1:${server.port}`;
      await told('add', 'chat', '-u', open);
      const denied = await failure('list', '-u', `redis://:hunter3@127.0.0.1:${server.port}`);
      expect(denied).toMatchObject({ code: 'STORE_DENIED', exitCode: 5 });
      const import_ = ['import', open.replace('hunter2', 'hunter3'), '--from', 'hanoi', '-u', url];
      const notRead = await failure(...import_);
      expect(notRead).toMatchObject({ code: 'STORE_UNAVAILABLE', exitCode: 5 });
      server.signal('SIGSTOP');
      const late = await Promise.all(
        [['list'], ['check', 'chat', 'ann'], ['disable', 'chat'], ['doctor']].map((args) =>
          failure(...args, '-u', open, '--timeout', '300'),
        ),
      );
      server.signal('SIGCONT');
      for (const { exitCode } of late) expect(exitCode).toBe(5);
      expect(JSON.stringify([denied, notRead, late])).not.toMatch(/hunter/);
      await server.stop();
      expect(await failure('list', '-u', open)).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    } finally {
      await server.stop();
    }
  });
});

it.each([
  ['127.0.0.1:1', '(ECONNREFUSED 127.0.0.1:1)'],
  ['no-such-host.invalid', ' no-such-host.invalid)'],
])('names the host where %s was not reached, and not the password', async (host, named) => {
  const { message } = await failure('list', '-u', `redis://ann:hunter2@${host}`);
  expect(message).toContain(named);
  expect(message).not.toMatch(/ann|hunter2/);
});

describe('doctor', () => {
  it('finds nothing where all is well', async () => {
    await beside((rollout) => rollout.addFeature('chat', { percentage: 20 }));
    const { code, out } = await hanoi(['doctor', '-u', url, '--severity', 'warning']);
    expect(out).toMatch(
      /^redis:\/\/127\.0\.0\.1:\d+\/0 \(namespace place-\d+\): 1 features\n(redis|valkey) \d+\.\S+, round trip [\d.]+ ms, clock [+-][\d.]+ ms, noeviction, no append-only file, 0 sets\n\nNothing was found\.\n$/,
    );
    expect(code).toBe(0);
    // A note is none.
    expect((await hanoi(['doctor', '-u', url])).code).toBe(0);
    const { server, findings } = await json('doctor', '-u', url);
    expect(server).toMatchObject({ evictionPolicy: 'noeviction', appendOnly: false });
    expect(Math.abs(server.clockDifferenceMs)).toBeLessThan(500);
    expect(kinds(findings)).toEqual(['persistence']);
  });

  it('finds what is wrong with documents, and says how to mend it', async () => {
    await beside(async (rollout) => {
      await rollout.addFeature('base', { percentage: 100, variants: ['a'] });
      await rollout.addFeature('gone');
      await rollout.addFeature('needs', { requires: [{ feature: 'gone' }] });
      await rollout.addFeature('wants', { requires: [{ feature: 'base', variants: ['a'] }] });
      await rollout.update('base', { variants: ['b'] });
      await rollout.remove('gone');
      await rollout.addFeature('old', { data: { expiresAt: '2026-01-01' } });
      await rollout.addFeature('typo', { data: { expiresAt: 'next year' } });
      const staff = { id: 's', when: { not: { group: 'staff' } }, serve: 'off' } as const;
      await rollout.addFeature('grouped', { rules: [staff], groups: ['beta', 'all'] });
      await rollout.addToGroup('beta', 'ann');
      await rollout.addFeature('broken');
    });
    await client.hset(`{${namespace}}:features`, 'broken', '{"percentage":101}');
    const { code, out } = await hanoi(['doctor', '-u', url, '--json']);
    const { findings } = JSON.parse(out);
    expect(code).toBe(1);
    const told_ = findings.map(
      ({ severity, kind, features }: Finding) => `${severity} ${kind} ${features}`,
    );
    expect(told_.sort()).toEqual([
      'error corrupt broken',
      'error prerequisite needs',
      'error prerequisite wants',
      'note group grouped',
      'note persistence ',
      'warning expired old',
      'warning expiresAt typo',
    ]);
    for (const { message, fix } of findings) expect([message, fix]).not.toContain('');
    expect((await json('doctor', '-u', url, '--severity', 'error')).findings).toHaveLength(3);
    expect(await told('groups', 'list', '-u', url)).toContain('beta');
  });

  it('finds cohorts that overlap, together', async () => {
    await beside(async (rollout) => {
      for (const [name, percentage] of [
        ['a', 10],
        ['b', 20],
        ['c', 40],
      ] as const) {
        await rollout.addFeature(name, { percentage });
      }
      await rollout.addFeature('d', { percentage: 30, bucketing: 'independent' });
    });
    const { findings } = await json('doctor', '-u', url, '--severity', 'warning');
    expect(findings).toMatchObject([{ kind: 'overlap', features: ['a', 'b', 'c'] }]);
    expect(findings[0].message).toMatch(/"b" \(2\d(\.\d)?%\) and "c" \((39|40)(\.\d)?%\) share/);
    await told('disable', 'b', '-u', url);
    await told('update', 'c', '{"bucketing":"independent"}', '-u', url);
    expect((await json('doctor', '-u', url, '--severity', 'warning')).findings).toEqual([]);
  });

  it('finds sets of no feature, and leaves those that will go', async () => {
    await beside(async (rollout) => {
      await rollout.addFeature('chat');
      await rollout.register('chat', 'ann');
      await rollout.addToGroup('friends', 'ann');
      await rollout.addFeature('removed');
      await rollout.register('removed', 'ann');
      await rollout.remove('removed');
      await rollout.register('chat', 'bob');
      await rollout.deactivate('chat');
      await rollout.register('chat', 'zoe');
    });
    expect((await json('doctor', '-u', url)).server.sets).toEqual({ scanned: 4, orphaned: 0 });
    await client.sadd(`{${namespace}}:users:lost`, 'ann');
    await client.sadd(`{${namespace}}:users:soon`, 'ann');
    await client.expire(`{${namespace}}:users:soon`, 100);
    // Of another namespace, which begins the same.
    await client.sadd(`{${namespace}-2}:users:other`, 'ann');
    const { server, findings } = await json('doctor', '-u', url, '--severity', 'warning');
    expect(server.sets).toEqual({ scanned: 6, orphaned: 1 });
    expect(findings).toMatchObject([
      { kind: 'orphaned', message: expect.stringContaining(`{${namespace}}:users:lost.`) },
    ]);
  });

  it('says what its user may not ask', async () => {
    await client.acl(
      'SETUSER',
      'watcher',
      'on',
      '>secret',
      '~*',
      '&*',
      '+@read',
      '+@connection',
      '+evalsha',
      '+eval',
      '-scan',
      '+ping',
      '+subscribe',
      '+unsubscribe',
      '-info',
    );
    const own = url.replace('redis://', 'redis://watcher:secret@');
    const warned = jest.spyOn(console, 'warn').mockImplementation();
    const { server, findings } = await json('doctor', '-u', own);
    warned.mockRestore();
    expect(server).toMatchObject({ sets: null, evictionPolicy: null });
    expect(kinds(findings)).toEqual(['permissions', 'permissions']);
  });

  it('finds a server that is far away, and has another time', async () => {
    const proxy = await TcpProxy.start(redis.server.port);
    const { now } = Date;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() + 5_000);
    try {
      proxy.delayMs = 30;
      const far = `redis://127.0.0.1:${proxy.port}?namespace=${namespace}`;
      const { server, findings } = await json('doctor', '-u', far, '--severity', 'warning');
      expect(kinds(findings)).toEqual(['clock', 'round trip']);
      expect(findings[0].message).toMatch(
        /^The server's clock is [45]\d{3}(\.\d+)? ms behind this /,
      );
      expect(server.roundTripMs).toBeGreaterThanOrEqual(59);
    } finally {
      clock.mockRestore();
      await proxy.stop();
    }
  });

  it('finds a server that is too old, and one that can not save', () => {
    const found = (info: { [field: string]: string }) =>
      infoFindings(info).map(({ severity, kind }) => `${severity} ${kind}`);
    expect(found({ redis_version: '6.0.16' })).toEqual(['error version']);
    expect(found({ redis_version: '6.2.0' })).toEqual([]);
    expect(found({ redis_version: '10.0.0' })).toEqual([]);
    expect(found({ rdb_last_bgsave_status: 'err' })).toEqual(['error persistence']);
    expect(found({ aof_last_write_status: 'err' })).toEqual(['error persistence']);
  });

  it('finds a server that may forget, and one that is a replica', async () => {
    const server = await RedisServer.start(['--maxmemory 100mb', '--maxmemory-policy allkeys-lru']);
    const of = `redis://127.0.0.1:${server.port}`;
    const own = new Redis(server.port);
    try {
      const { findings } = await json('doctor', '-u', of, '--severity', 'error');
      expect(findings).toMatchObject([
        { kind: 'eviction', message: expect.stringContaining('allkeys-lru') },
      ]);
      await own.config('SET', 'maxmemory-policy', 'volatile-ttl');
      await own.config('SET', 'appendonly', 'yes');
      const milder = await json('doctor', '-u', of);
      expect(milder.server.appendOnly).toBe(true);
      expect(kinds(milder.findings)).toEqual(['eviction']);
      await own.replicaof('127.0.0.1', redis.server.port);
      expect(kinds((await json('doctor', '-u', of)).findings)).toContain('role');
    } finally {
      own.disconnect();
      await server.stop();
    }
  });

  it('looks at a file too', async () => {
    await told('add', 'a', '-p', '20');
    await told('add', 'b', '-p', '30');
    const report = await json('doctor');
    expect([report.server, kinds(report.findings)]).toEqual([null, ['overlap']]);
  });
});
