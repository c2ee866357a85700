import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import files from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { FileBackend, type FileBackendOptions } from '../../../lib/backends/file/index.js';
import type { HanoiError } from '../../../lib/errors.js';
import { Rollout } from '../../../lib/rollout.js';
import { useBuilt } from '../../built.js';
import { until } from '../../until.js';
import { backendContract } from '../contract.js';

const isLinux = process.platform === 'linux';

let folder: string;
let path: string;
let opened: Rollout[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hanoi-file-'));
  path = join(folder, 'features.json');
  opened = [];
});
afterEach(async () => {
  for (const rollout of opened) await rollout.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(options: FileBackendOptions = {}, at = path): Rollout {
  const rollout = new Rollout(new FileBackend(at, { pollMs: 50, ...options }));
  opened.push(rollout);
  return rollout;
}

const write = (file: unknown) =>
  writeFileSync(path, typeof file === 'string' ? file : JSON.stringify(file, undefined, 2));
// biome-ignore lint/suspicious/noExplicitAny: the file's own shape is not the spec's affair
const inFile = (): any => JSON.parse(readFileSync(path, 'utf8'));

/** Has something happen right after the next file was put in its place. */
function afterRename(happen: () => void): void {
  const { rename } = files;
  const spy = jest.spyOn(files, 'rename').mockImplementation(async (from, to) => {
    await rename(from, to);
    if (to !== path) return;
    spy.mockRestore();
    happen();
  });
}

backendContract('FileBackend', { open: async () => new FileBackend(path, { historyLength: 25 }) });

describe('a file of features', () => {
  it('may be written by hand, with what is not usual alone', async () => {
    write({
      features: { chat: { percentage: 100, excluded: ['eve'] }, list: {} },
      members: { list: ['ann', 42] },
    });
    const rollout = open();
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
    expect(rollout.isEnabledSync('chat', 'eve')).toBe(false);
    expect(rollout.decideSync('list', 42).detail).toBe('member');
    expect(rollout.health()).toMatchObject({ state: 'ready', error: undefined });
    await rollout.setPercentage('list', 5);
    expect(inFile().features.list).toMatchObject({ percentage: 5 });
    expect(inFile().features.chat).toMatchObject({ percentage: 100, excluded: ['eve'] });
    expect(inFile().members).toEqual({ list: ['ann', '42'] });
  });

  it('can be edited while it is used: it is another revision, and in the history', async () => {
    const [rollout, other] = [open(), open()];
    const before = await rollout.addFeature('chat', { data: { owner: 'shop' } });
    await rollout.register('chat', 'ann');
    const changes: string[] = [];
    rollout.on('change', ({ kind, name }) => changes.push(`${kind} ${name}`));
    const file = inFile();
    file.features.chat.percentage = 100;
    file.members.chat.push('bob');
    write(file);
    await until(() => changes.includes('updated chat'));
    await until(() => other.isEnabledSync('chat', 'zoe'));
    expect(rollout.isEnabledSync('chat', 'zoe')).toBe(true);
    expect(rollout.decideSync('chat', 'bob').detail).toBe('member');
    const after = await rollout.get('chat');
    expect(after).toMatchObject({ id: before.id, revision: 2, data: { owner: 'shop' } });
    expect(await other.get('chat')).toEqual(after);
    await expect(rollout.setPercentage('chat', 1, { expect: before })).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    await rollout.setPercentage('chat', 50);
    const history = await other.history('chat');
    expect(history.map(({ kind, note }) => [kind, note])).toEqual([
      ['updated', undefined],
      ['updated', 'Edited in the file'],
      ['members', undefined],
      ['created', undefined],
    ]);
    expect(history[0]?.before?.percentage).toBe(100);
  });

  it('is seen as it was edited right after a write', async () => {
    const rollout = open();
    await rollout.addFeature('chat', { percentage: 100 });
    const edited = `${path}.edited`;
    writeFileSync(edited, '{ "features": { "chat": { "percentage": 0 } } }');
    afterRename(() => renameSync(edited, path));
    await rollout.update('chat', { data: { by: 'a program' } });
    await until(() => !rollout.isEnabledSync('chat', 'ann'));
    await rollout.addFeature('list');
    expect(inFile().features.chat).toMatchObject({ percentage: 0 });
  });

  it.each([
    ['{ "features": {\n  "chat": { "percentage": 5 },\n} }', /3:1/],
    ['{ "features": {\n  "chat": { "percentage": 5 }', /2:/],
    ['', /1:1/],
    ['[]', /has to be an object/],
    ['{ "features": [] }', /`features` has to be an object/],
    ['{ "features": {"chat":{}}, "members": { "chat": "ann" } }', /members\.chat has to be a list/],
    ['{ "features": {"chat":{}}, "members": { "chat": [""] } }', /members\.chat\[0\]/],
    ['{ "features": {}, "members": { "chat": ["ann"] } }', /members\.chat is of no feature/],
    ['{ "features": {}, "store": { "epoch": 1 } }', /`store` is not as it was written/],
  ])('that is broken keeps what was there before, and says where: %j', async (text, where) => {
    const rollout = open();
    await rollout.addFeature('chat', { percentage: 100 });
    const whole = readFileSync(path, 'utf8');
    const told: HanoiError[] = [];
    rollout.on('degraded', (health) => told.push(health as never));
    write(text);
    await until(() => rollout.health().state === 'degraded');
    expect(rollout.decideSync('chat', 'ann')).toMatchObject({
      enabled: true,
      reason: 'STALE',
      code: 'STORE_UNAVAILABLE',
    });
    const cause = { code: 'STORE_UNAVAILABLE', message: expect.stringMatching(where) };
    await expect(rollout.get('chat')).rejects.toMatchObject(cause);
    await expect(rollout.register('chat', 'ann')).rejects.toMatchObject({
      code: 'NOT_APPLIED',
      cause,
    });
    expect(readFileSync(path, 'utf8')).toBe(text);
    expect(told).toHaveLength(1);
    write(whole);
    await until(() => rollout.health().state === 'ready');
    await rollout.register('chat', 'ann');
    expect(rollout.decideSync('chat', 'ann')).toMatchObject({ detail: 'member' });
  });

  it('that is broken is read once, and holds no check up', async () => {
    const rollout = open();
    await rollout.addFeature('chat', { percentage: 100 });
    const reading = jest.spyOn(files, 'readFile');
    try {
      write('{');
      await until(() => rollout.health().state === 'degraded');
      const known = reading.mock.calls.length;
      const waits = Array.from({ length: 500 }, async (_, n) => {
        await delay(n);
        const beganAt = performance.now();
        await rollout.runAs('ann', () => rollout.isEnabled('chat'), { pinned: true });
        return performance.now() - beganAt;
      });
      expect(Math.max(...(await Promise.all(waits)))).toBeLessThan(300);
      expect(reading).toHaveBeenCalledTimes(known);
      expect(rollout.health().state).toBe('degraded');
    } finally {
      reading.mockRestore();
    }
  });

  it('holds no check up where the disk hangs', async () => {
    const rollout = open();
    await rollout.addFeature('chat', { percentage: 100 });
    write('{');
    await until(() => rollout.health().state === 'degraded');
    let goOn: () => void = () => {};
    const hanging = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const { stat } = files;
    const spy = jest.spyOn(files, 'stat').mockImplementation((async (...args: [string]) => {
      await hanging;
      return stat(...args);
    }) as never);
    try {
      const beganAt = performance.now();
      const check = () => rollout.isEnabled('chat');
      expect(await rollout.runAs('ann', check, { pinned: true })).toBe(true);
      expect(performance.now() - beganAt).toBeLessThan(300);
    } finally {
      goOn();
      spy.mockRestore();
    }
  });

  it('with one document that can not be read has the others, and keeps that one', async () => {
    write({ features: { chat: { percentage: 140, mine: 1 }, list: { percentage: 100 } } });
    const problems: HanoiError[] = [];
    const rollout = open();
    rollout.on('corrupt', (problem) => problems.push(problem));
    expect(rollout.decideSync('chat', 'ann')).toMatchObject({
      enabled: false,
      code: 'CORRUPT_FEATURE',
    });
    expect(rollout.isEnabledSync('list', 'ann')).toBe(true);
    await expect(rollout.get('chat')).rejects.toMatchObject({
      code: 'CORRUPT_FEATURE',
      message: expect.stringContaining('features.chat.percentage'),
    });
    await expect(rollout.register('chat', 'ann')).rejects.toMatchObject({
      code: 'CORRUPT_FEATURE',
    });
    await rollout.setPercentage('list', 50);
    expect(inFile().features.chat).toEqual({ percentage: 140, mine: 1 });
    const file = inFile();
    file.features.chat.percentage = 100;
    write(file);
    await until(() => rollout.isEnabledSync('chat', 'ann'));
    file.features.list.percentage = 'all';
    write(file);
    await until(() => problems.length > 0);
    expect(problems).toMatchObject([{ code: 'CORRUPT_FEATURE', feature: 'list' }]);
  });

  it('is not quoted where it can not be read: its values can be ids', async () => {
    const secret = 'user-4711';
    for (const text of [
      { features: { chat: { excluded: [{ id: secret }], groups: secret } } },
      { features: { chat: secret } },
      { features: { chat: {} }, members: { chat: secret } },
      { features: secret },
      `{ "features": { "chat": ${secret} } }`,
    ]) {
      write(text);
      const rollout = open();
      const error = await rollout.get('chat').then(
        () => undefined,
        (problem) => problem,
      );
      expect(error).toBeInstanceOf(Error);
      expect(inspect(error, { depth: 10 })).not.toContain(secret);
    }
  });

  it('that is gone is lost, not empty', async () => {
    const rollout = open();
    await rollout.addFeature('chat', { percentage: 100 });
    const losses: unknown[] = [];
    rollout.on('dataLoss', (health) => losses.push(health));
    renameSync(path, `${path}.away`);
    await until(() => rollout.decideSync('chat', 'ann').reason === 'STALE');
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
    await expect(rollout.setPercentage('chat', 1)).rejects.toMatchObject({ code: 'NOT_APPLIED' });
    await expect(rollout.register('chat', 'ann')).rejects.toMatchObject({ code: 'NOT_APPLIED' });
    expect(losses).toHaveLength(1);
    renameSync(`${path}.away`, path);
    await until(() => rollout.health().state === 'ready');
    rmSync(path);
    await rollout.addFeature('other');
    // Another file: what it lacks went with the one before, and nobody has removed it.
    expect(rollout.decideSync('chat', 'ann')).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await rollout.addFeature('chat', { percentage: 100 });
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
  });

  it('keeps its mode, and may be behind a link', async () => {
    const link = join(folder, 'link.json');
    write({ features: {} });
    chmodSync(path, 0o640);
    symlinkSync(path, link);
    const rollout = open({}, link);
    await rollout.addFeature('chat');
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(Object.keys(inFile().features)).toEqual(['chat']);
  });

  describe('behind a link', () => {
    const version = (name: string, percentage: number) => {
      mkdirSync(join(folder, name));
      writeFileSync(
        join(folder, name, 'features.json'),
        JSON.stringify({ features: { chat: { percentage } } }),
      );
    };
    const point = (link: string, to: string) => {
      symlinkSync(to, join(folder, 'new'));
      renameSync(join(folder, 'new'), join(folder, link));
    };

    it.each([
      ['the folder', 'current', 'current/features.json'],
      ['a link to a file in it', 'features.json', 'features.json'],
      ['a link to it, beside it', '..data', 'features.json'],
    ])('follows %s that is pointed elsewhere', async (_, pointed, opened) => {
      version('v1', 100);
      version('v2', 0);
      const to = (name: string) =>
        point(pointed, pointed.endsWith('.json') ? `${name}/features.json` : name);
      to('v1');
      if (pointed === '..data') symlinkSync('..data/features.json', path);
      const rollout = open({}, join(folder, opened));
      const told: string[] = [];
      rollout.on('degraded', () => told.push('degraded'));
      expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
      to('v2');
      rmSync(join(folder, 'v1'), { recursive: true });
      await until(() => !rollout.isEnabledSync('chat', 'ann'));
      expect(rollout.health().state).toBe('ready');
      await rollout.addFeature('list');
      const { features } = JSON.parse(readFileSync(join(folder, 'v2/features.json'), 'utf8'));
      expect(Object.keys(features)).toEqual(['chat', 'list']);
      await rollout.close();
      expect(readdirSync(join(folder, 'v2'))).toEqual(['features.json']);
      expect(lstatSync(join(folder, pointed)).isSymbolicLink()).toBe(true);
      expect(told).toEqual([]);
    });

    it('that leads nowhere yet is made where it leads', async () => {
      mkdirSync(join(folder, 'there'));
      symlinkSync('there/features.json', join(folder, 'one.json'));
      symlinkSync('one.json', join(folder, 'two.json'));
      const rollout = open({}, join(folder, 'two.json'));
      await rollout.addFeature('chat', { percentage: 100 });
      await rollout.close();
      expect(readdirSync(join(folder, 'there'))).toEqual(['features.json']);
      expect(lstatSync(join(folder, 'two.json')).isSymbolicLink()).toBe(true);
      expect(lstatSync(join(folder, 'one.json')).isSymbolicLink()).toBe(true);
      expect(open({}, join(folder, 'one.json')).isEnabledSync('chat', 'ann')).toBe(true);
    });

    it('is locked as it is to those who know it without', async () => {
      version('v1', 100);
      symlinkSync('v1/features.json', path);
      const [one, other] = [open(), open({}, join(folder, 'v1/features.json'))];
      await Promise.all(
        Array.from({ length: 20 }, async (_, n) => {
          await delay(n);
          await (n % 2 === 0 ? one : other).register('chat', `user-${n}`);
        }),
      );
      expect(await one.countMembers('chat')).toBe(20);
    });

    it('tells at once of changes where the file is', async () => {
      version('v1', 100);
      symlinkSync('v1/features.json', path);
      const rollout = open({ pollMs: 60_000 });
      const other = open({}, join(folder, 'v1/features.json'));
      await delay(50);
      await other.setPercentage('chat', 0);
      await until(() => !rollout.isEnabledSync('chat', 'ann'));
    });
  });

  it('keeps its owner, group and mode, whoever writes', async () => {
    write({ features: {} });
    // Only root can give a file away.
    if (process.getuid?.() === 0) chownSync(path, 65_534, 65_534);
    chmodSync(path, 0o666);
    const { uid, gid, mode } = statSync(path);
    await open().addFeature('chat');
    expect(statSync(path)).toMatchObject({ uid, gid, mode });
  });

  it('never becomes longer than it can be read', async () => {
    // What can't be read as a feature stays as it is.
    write(JSON.stringify({ features: { long: 'x'.repeat(49_998_000), chat: {} } }));
    const rollout = open();
    await rollout.setPercentage('chat', 100);
    const before = statSync(path);
    await expect(
      rollout.addFeature('list', { data: { text: 'x'.repeat(3_000) } }),
    ).rejects.toMatchObject({
      code: 'NOT_APPLIED',
      message: expect.stringMatching(/would have 5\d+ characters, more than 50000000/),
    });
    expect(statSync(path)).toEqual(before);
    expect(await open().get('chat')).toMatchObject({ percentage: 100 });
  }, 20_000);

  it('needs its folder to be there, and a path', () => {
    for (const at of [join(folder, 'nowhere', 'features.json'), '', 7]) {
      expect(() => new FileBackend(at as string)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    }
    expect(() => new FileBackend(path, { pollMs: 1 })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it('stays small, however often a feature is changed', async () => {
    const rollout = open();
    const actor = 'ann@example.com';
    await rollout.addFeature('chat');
    for (let n = 0; n < 50; n++) await rollout.setPercentage('chat', n, { actor });
    const history = await rollout.history('chat', { limit: 100 });
    expect(history.length).toBeGreaterThanOrEqual(10);
    expect(history.length).toBeLessThanOrEqual(20);
    expect(statSync(path).size).toBeLessThan(25_000);
  });

  it('takes names and ids that are traps in JavaScript', async () => {
    write('{ "features": { "__proto__": { "percentage": 100 }, "constructor": {} } }');
    const rollout = open();
    expect(rollout.isEnabledSync('__proto__', 'ann')).toBe(true);
    await rollout.register('constructor', '__proto__');
    const other = open();
    expect(other.decideSync('constructor', '__proto__').detail).toBe('member');
    expect((await other.features()).map(({ name }) => name)).toEqual(['__proto__', 'constructor']);
  });

  it('is written once for all that is asked for while it is written', async () => {
    const rollout = open();
    await rollout.addFeature('list');
    const before = statSync(path).ino;
    const seen = new Set<number>();
    const adding = Promise.all(
      Array.from({ length: 500 }, (_, n) => rollout.register('list', `user-${n}`)),
    ).finally(() => seen.add(-1));
    while (!seen.has(-1)) {
      seen.add(statSync(path).ino);
      await delay(0);
    }
    expect(await adding).toEqual(Array.from({ length: 500 }, () => 1));
    expect(seen.size).toBeLessThan(8);
    expect(statSync(path).ino).not.toBe(before);
    expect(await open().countMembers('list')).toBe(500);
  });
});

describe('the lock of a file', () => {
  const hold = (owner: object | string, ageMs = 0) => {
    writeFileSync(`${path}.lock`, typeof owner === 'string' ? owner : JSON.stringify(owner));
    const at = (Date.now() - ageMs) / 1_000;
    utimesSync(`${path}.lock`, at, at);
  };
  const alive = { pid: process.ppid, host: hostname(), nonce: 'a' };
  const hour = 3_600_000;

  it.each([
    ['is of a process that lives, however old', alive, hour, true],
    ['is of a process that is gone', { ...alive, pid: 2 ** 22 + 1 }, 0, false],
    ['is of a process whose id another one has now', { ...alive, began: '1' }, 0, !isLinux],
    ['is of another machine, and fresh', { ...alive, host: 'elsewhere' }, 0, true],
    ['is of another machine, and old', { ...alive, host: 'elsewhere' }, 11_000, false],
    ['is of another container of that name, and fresh', { ...alive, pid: 1, space: 'x' }, 0, true],
    ['is of another container of that name, and old', { ...alive, space: 'x' }, 11_000, false],
    ['says nothing, and is fresh', '', 0, true],
    ['says nothing, and is old', '', 11_000, false],
  ])('that %s', async (_, owner, ageMs, isKept) => {
    const rollout = open({ operationTimeoutMs: 200 });
    await rollout.addFeature('chat');
    hold(owner, ageMs);
    const outcome = await rollout.activate('chat').then(
      () => 'applied',
      ({ code, cause }) => `${code} ${cause.code}`,
    );
    expect(outcome).toBe(isKept ? 'NOT_APPLIED STORE_BUSY' : 'applied');
    await rollout.close();
    expect(readdirSync(folder)).toHaveLength(isKept ? 2 : 1);
  });

  it('is as old as the file system says, whatever the time is here', async () => {
    const rollout = open({ operationTimeoutMs: 200 });
    await rollout.addFeature('chat');
    hold({ ...alive, host: 'elsewhere' });
    const ahead = jest.spyOn(Date, 'now').mockReturnValue(Date.now() + hour);
    try {
      await expect(rollout.activate('chat')).rejects.toMatchObject({ code: 'NOT_APPLIED' });
    } finally {
      ahead.mockRestore();
    }
  });

  it('that was taken away once the file was in place leaves it open what came of it', async () => {
    const rollout = open();
    await rollout.addFeature('chat', { data: { n: 0 } });
    const count = (options = {}) =>
      rollout.update('chat', ({ data }) => ({ data: { n: (data?.n as number) + 1 } }), options);
    afterRename(() => hold({ ...alive, host: 'elsewhere' }, 11_000));
    const error = await count().then(
      () => undefined,
      (problem: HanoiError) => problem,
    );
    expect(error).toMatchObject({ code: 'OUTCOME_UNKNOWN', requestId: expect.any(String) });
    await count({ requestId: error?.requestId });
    expect(inFile().features.chat.data).toEqual({ n: 1 });
    expect(await open().get('chat')).toMatchObject({ data: { n: 1 } });
    await count();
    await count();
    // What was answered needs no remembering.
    expect(inFile().store.requests).toHaveLength(2);
  });

  it('is gone when the write is answered: who was answered may end at once', async () => {
    await open().addFeature('chat');
    expect(readdirSync(folder)).toEqual(['features.json']);
  });

  it('holds nobody up who closes', async () => {
    const rollout = open();
    await rollout.addFeature('chat');
    hold(alive);
    const writing = Promise.allSettled([rollout.activate('chat')]);
    await delay(50);
    const later = Promise.allSettled([rollout.activate('chat')]);
    const beganAt = performance.now();
    await rollout.close();
    expect(performance.now() - beganAt).toBeLessThan(2_500);
    for (const [outcome] of [await writing, await later]) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'CLOSED' } });
    }
  });
});

describe('several processes on one file', () => {
  const built = useBuilt();
  const program = (text: string) => `
    import { Rollout } from ${built.at('index.js')};
    import { FileBackend } from ${built.at('backends/file/index.js')};
    const backend = new FileBackend(${JSON.stringify(path)}, { operationTimeoutMs: 60_000, pollMs: 20 });
    const rollout = new Rollout(backend);
    ${text}
    await rollout.close();`;

  it('lose nothing of what each writes', async () => {
    const rollout = open();
    await rollout.addFeature('list');
    await rollout.addFeature('counter', { data: { n: 0 } });
    await Promise.all(
      Array.from({ length: 4 }, (_, process) =>
        built.run(
          program(`
            for (let n = 0; n < 20; n++) {
              await rollout.register('list', '${process}/' + n);
              await rollout.update('counter', ({ data }) => ({ data: { n: data.n + 1 } }));
            }`),
        ),
      ),
    );
    expect(await rollout.countMembers('list')).toBe(80);
    expect((await rollout.get('counter'))?.data).toEqual({ n: 80 });
    expect(readdirSync(folder)).toEqual(['features.json']);
  }, 60_000);

  it('see what the others have written', async () => {
    const rollout = open();
    await rollout.addFeature('chat');
    const seen = built.run(
      program(`
        while (!rollout.isEnabledSync('chat', 'ann')) await new Promise((r) => setTimeout(r, 5));
        console.log('seen');`),
    );
    await delay(300);
    await rollout.activate('chat');
    expect(await seen).toBe('seen\n');
  }, 60_000);

  it('leave a whole file, and no lock, however they are killed', async () => {
    const rollout = open({ operationTimeoutMs: 30_000 });
    await rollout.addFeature('list');
    let isOver: boolean = false;
    let torn = 0;
    const reading = (async () => {
      while (!isOver) {
        try {
          JSON.parse(readFileSync(path, 'utf8'));
        } catch {
          torn++;
        }
        await delay(1);
      }
    })();
    try {
      for (let kill = 0; kill < 10; kill++) {
        const child = built.start(
          program(`
            console.log('begun');
            for (let n = 0; ; n++) await rollout.register('list', '${kill}/' + n);`),
        );
        await new Promise((resolve) => child.stdout?.once('data', resolve));
        await delay(20 + kill * 7);
        const gone = new Promise((resolve) => child.once('close', resolve));
        child.kill('SIGKILL');
        await gone;
        expect(await rollout.register('list', `after ${kill}`)).toBe(1);
      }
    } finally {
      isOver = true;
      await reading;
    }
    expect(torn).toBe(0);
    // More than what this process has registered itself.
    expect(await open().countMembers('list')).toBeGreaterThan(10);
  }, 60_000);
});
