import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import type { Health, HealthEvent } from '../../../lib/backends/backend.js';
import { FileBackend } from '../../../lib/backends/file/index.js';
import {
  HttpSource,
  type HttpSourceOptions,
  type Latest,
  type RequestHeaders,
} from '../../../lib/backends/http-source/index.js';
import { MemoryBackend } from '../../../lib/backends/memory.js';
import { ReplicaBackend } from '../../../lib/backends/replica.js';
import { copyFeatures } from '../../../lib/copy-features.js';
import { Rollout } from '../../../lib/rollout.js';
import { useBuilt } from '../../built.js';
import { answerWith, HttpServer } from '../../http-server.js';
import { until } from '../../until.js';

const ON = JSON.stringify({ features: { chat: { percentage: 100 } } });
const OFF = JSON.stringify({ features: { chat: {} } });

let server: HttpServer;
let folder: string;
let cacheFile: string;
const opened: { close(): Promise<void> }[] = [];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hanoi-http-'));
  cacheFile = join(folder, 'features.cache');
  server = await HttpServer.start(answerWith(ON, '"on"'));
});
afterEach(async () => {
  jest.useRealTimers();
  for (const each of opened.splice(0)) await each.close();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Asks when it is told to, and else hardly ever. */
function open(options: HttpSourceOptions = {}, from: string | Latest = server.url): HttpSource {
  const source = new HttpSource(from, { pollMs: 60_000, timeoutMs: 5_000, ...options });
  opened.push(source);
  return source;
}

async function ready(options: HttpSourceOptions = {}, from: string | Latest = server.url) {
  const source = open(options, from);
  expect(await source.ready(5_000)).toMatchObject({ state: 'ready', error: undefined });
  return source;
}

/** What a source tells. */
function heard(source: HttpSource): HealthEvent[] {
  const events: HealthEvent[] = [];
  source.watch((event) => events.push(event));
  return events;
}

const kinds = (events: readonly HealthEvent[]) => events.map(({ kind }) => kind);

function isOn(source: HttpSource, name = 'chat'): boolean {
  return new Rollout(source).isEnabledSync(name, 'ann');
}

/** Why the source can not tell what is there now. */
async function problemOf(source: HttpSource): Promise<Error & { code?: string }> {
  return source.load('chat').then(
    () => Promise.reject(new Error('It could.')),
    (error) => error,
  );
}

const deep = (value: unknown) => inspect(value, { depth: 10, showHidden: true });

describe('what is at a URL', () => {
  it('is asked for with its ETag, and as old as the question that confirmed it', async () => {
    const source = await ready();
    const loadedAt = performance.now();
    const { answer } = server;
    server.answer = (...args) => setTimeout(() => answer(...args), 50);
    await delay(100);
    const { state, ageMs } = await source.refresh();
    expect(server.asked.map(({ headers }) => headers['if-none-match'])).toEqual([
      undefined,
      '"on"',
    ]);
    expect(state).toBe('ready');
    expect(ageMs).toBeGreaterThanOrEqual(45);
    expect(ageMs).toBeLessThan(performance.now() - loadedAt - 50);
  });

  it('is followed, and tells what has changed', async () => {
    server.answer = answerWith(JSON.stringify({ features: { chat: {}, list: {}, old: {} } }), '1');
    const source = await ready({ pollMs: 10 });
    const rollout = new Rollout(source);
    const changes: string[] = [];
    rollout.on('change', ({ kind, name }) => changes.push(`${kind} ${name}`));
    server.answer = answerWith(
      '{"features":{"chat":{"percentage":100},"list":{},"new":{}},"members":{"list":["ann"]}}',
      '2',
    );
    await until(() => changes.length >= 4);
    expect(new Set(changes)).toEqual(
      new Set(['created new', 'members list', 'removed old', 'updated chat']),
    );
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
    expect(rollout.decideSync('list', 'ann').detail).toBe('member');
  });

  it('has not changed by being read for the first time, but since it was saved', async () => {
    const changes: string[] = [];
    for (const text of [ON, OFF]) {
      server.answer = answerWith(text);
      const source = open({ cacheFile });
      source.subscribe((event) => changes.push(`${event?.kind} ${event?.name}`));
      await source.ready(5_000);
      expect(changes).toEqual(text === ON ? [] : ['updated chat']);
      await source.close();
    }
  });

  it('needs no ETag, and is no other where its text is the same', async () => {
    server.answer = answerWith(ON);
    const source = await ready();
    const [view, token, stored] = [source.local, await source.token(), await source.load('chat')];
    const changes: unknown[] = [];
    source.subscribe((event) => changes.push(event));
    await source.refresh();
    expect(source.local).toBe(view);
    expect(await source.token()).toEqual(token);
    expect(await source.load('chat')).toEqual(stored);
    expect(changes).toEqual([]);
    expect(source.health().ageMs).toBeLessThan(5_000);
  });

  it('may have another ETag for the same text, which is the one to ask with', async () => {
    const source = await ready();
    const view = source.local;
    server.answer = answerWith(ON, '"on again"');
    await source.refresh();
    await source.refresh();
    expect(source.local).toBe(view);
    expect(server.asked.at(-1)?.headers['if-none-match']).toBe('"on again"');
  });

  it('has other heads only where it is other, if it is written by hand', async () => {
    const document = (percentage: number) =>
      JSON.stringify({ features: { chat: { percentage }, list: {} }, members: { list: ['ann'] } });
    server.answer = answerWith(document(1));
    const source = await ready();
    const before = await source.loadAll();
    const held = source.local?.get('list');
    server.answer = answerWith(document(2));
    await source.refresh();
    expect(source.local?.get('list')).toBe(held);
    const after = await source.loadAll();
    expect(after.features.get('list')).toEqual(before.features.get('list'));
    expect(after.features.get('chat')?.head).not.toEqual(before.features.get('chat')?.head);
    expect(after.token).not.toEqual(before.token);
    const elsewhere = await ready();
    expect(await elsewhere.loadAll()).toEqual(after);
  });

  it('may be what a FileBackend has written', async () => {
    const path = join(folder, 'features.json');
    const file = new Rollout(new FileBackend(path));
    opened.push(file);
    const chat = await file.addFeature('chat', { percentage: 5 });
    await file.register('chat', 'ann');
    server.answer = answerWith(readFileSync(path, 'utf8'));
    const rollout = new Rollout(await ready());
    expect(await rollout.get('chat')).toEqual(chat);
    expect(rollout.decideSync('chat', 'ann').detail).toBe('member');
    expect(await rollout.history('chat')).toEqual(await file.history('chat'));
  });

  it('may be compressed, and begin with a byte order mark', async () => {
    server.answer = (response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(`\uFEFF${ON}`));
    };
    expect(isOn(await ready())).toBe(true);
  });

  it('may be empty: that is an answer', async () => {
    const source = await ready();
    const events = heard(source);
    server.answer = answerWith('{"features":{}}');
    await source.refresh();
    const decision = new Rollout(source).decideSync('chat', 'ann');
    expect(decision).toMatchObject({ enabled: false, errorCode: 'FLAG_NOT_FOUND' });
    expect(await source.load('chat')).toBeUndefined();
    expect(events).toEqual([]);
  });

  it('with one document that can not be read has the others, and tells it once', async () => {
    const source = await ready();
    const rollout = new Rollout(source);
    const problems: unknown[] = [];
    rollout.on('corrupt', (problem) => problems.push(problem));
    const text = '{"features":{"chat":{"percentage":140},"list":{"percentage":100}}}';
    for (const etag of ['1', '2', '3']) {
      server.answer = answerWith(text + ' '.repeat(Number(etag)), etag);
      await source.refresh();
    }
    expect(problems).toMatchObject([{ code: 'CORRUPT_FEATURE', feature: 'chat' }]);
    expect(rollout.isEnabledSync('list', 'ann')).toBe(true);
    expect(rollout.decideSync('chat', 'ann')).toMatchObject({
      enabled: false,
      code: 'CORRUPT_FEATURE',
    });
    expect(source.health()).toMatchObject({ state: 'ready', error: undefined });
  });

  it('takes the place of what a server had before it was started anew', async () => {
    const source = await ready({ pollMs: 10, maxStaleMs: 60_000 });
    const events = heard(source);
    await server.stop();
    await until(() => source.health().state === 'degraded');
    expect(isOn(source)).toBe(true);
    server.answer = answerWith(OFF, '"off"');
    await server.restart();
    await until(() => !isOn(source));
    expect(source.health().state).toBe('ready');
    expect(kinds(events)).toEqual(['degraded', 'recovered']);
  });
});

describe('what can not be used', () => {
  it('is one feature alone where only that nests too deep', async () => {
    const source = await ready();
    const deep = '['.repeat(9_000) + ']'.repeat(9_000);
    server.answer = answerWith(`{"features":{"chat":{"data":${deep}},"list":{"percentage":100}}}`);
    await source.refresh();
    const rollout = new Rollout(source);
    expect(rollout.decideSync('chat', 'ann').code).toBe('CORRUPT_FEATURE');
    expect(rollout.isEnabledSync('list', 'ann')).toBe(true);
  });

  it.each([
    [
      'features',
      { features: Object.fromEntries(Array.from({ length: 20_001 }, (_, n) => [n, {}])) },
    ],
    ['members', { features: { a: {} }, members: { a: Array(1_000_001).fill(1) } }],
  ])('is what has more %s than fit in memory', async (what, body) => {
    const source = await ready();
    server.answer = answerWith(JSON.stringify(body));
    await source.refresh();
    expect(await problemOf(source)).toMatchObject({
      message: expect.stringContaining(`\`${what}\` are`),
    });
  });

  it.each([
    ['', /empty body/],
    [' \n', /empty body/],
    ['<!doctype html>\n<title>Oops</title>', /1:1/],
    ['{ "features": {\n  "chat": { "percentage": 5 },\n} }', /3:1/],
    ['{ "features": {\n  "chat": { "percentage": 5 }', /2:/],
    ['null', /has to be an object, not null/],
    ['[]', /has to be an object, not a list/],
    ['{}', /`features` is missing, and has to be an object/],
    ['{ "features": [] }', /`features` has to be an object, not a list/],
    ['{ "features": {"chat":{}}, "members": { "chat": "ann" } }', /members\.chat has to be a list/],
    ['{ "features": {"chat":{}}, "members": { "chat": [""] } }', /members\.chat\[0\]/],
    ['{ "features": {}, "members": { "chat": ["ann"] } }', /members\.chat is of no feature/],
    ['{ "features": {}, "store": { "epoch": 1 } }', /`store` is not as it was written/],
  ])('keeps what was there before, and says where: %j', async (text, where) => {
    const source = await ready();
    const events = heard(source);
    server.answer = answerWith(text);
    for (let times = 0; times < 4; times++) await source.refresh();
    expect(source.health()).toMatchObject({ state: 'degraded', error: 'STORE_UNAVAILABLE' });
    expect(isOn(source)).toBe(true);
    const cause = { code: 'STORE_UNAVAILABLE', message: expect.stringMatching(where) };
    expect(events).toMatchObject([{ kind: 'degraded', cause }]);
    expect(await problemOf(source)).toMatchObject(cause);
    server.answer = answerWith(OFF);
    await source.refresh();
    expect(isOn(source)).toBe(false);
    expect(kinds(events)).toEqual(['degraded', 'recovered']);
  });

  it.each<[string, HttpServer['answer'], RegExp]>([
    [
      'shorter than it says',
      (response) => {
        response.writeHead(200, { 'content-length': ON.length + 9 }).write(ON);
        setTimeout(() => response.destroy(), 20);
      },
      /not reached/,
    ],
    [
      'cut off',
      (response) => {
        response.writeHead(200).write(ON);
        setTimeout(() => response.destroy(), 20);
      },
      /not reached/,
    ],
    [
      'not as compressed as it says',
      (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(ON),
      /not reached/,
    ],
    [
      'not UTF-8',
      (response) => response.writeHead(200).end(Buffer.from([0x7b, 0xff, 0xfe, 0x7d])),
      /not UTF-8/,
    ],
    ['no HTTP', (response) => response.socket?.end('\0\xff garbage\r\n\r\n'), /not reached/],
    [
      'an error without end',
      (response) => {
        response.writeHead(500);
        const more = () => response.write(' '.repeat(100_000)) || response.once('drain', more);
        const timer = setInterval(more, 1);
        response.on('close', () => clearInterval(timer));
      },
      /answered 500/,
    ],
    [
      'small, and large once it is unpacked',
      (response) => {
        response.writeHead(200, { 'content-encoding': 'gzip' });
        response.end(gzipSync(Buffer.alloc(50_000_001, ' '), { level: 1 }));
      },
      /more than 50000000 bytes/,
    ],
    ['none at all', (response) => response.socket?.destroy(), /not reached/],
    [
      'said to be too large',
      (response) => response.writeHead(200, { 'content-length': 50_000_001 }).write('{'),
      /more than 50000000 bytes/,
    ],
  ])('is an answer that is %s', async (_, answer, why) => {
    const source = await ready();
    server.answer = answer;
    await source.refresh();
    const problem = await problemOf(source);
    expect(problem).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(problem.message).toMatch(why);
    expect(isOn(source)).toBe(true);
    await until(() => server.open === 0);
  });

  it('is forgotten once the server has again what it had before', async () => {
    const source = await ready();
    const events = heard(source);
    server.answer = answerWith('<html>', '"broken"');
    await source.refresh();
    const problem = await problemOf(source);
    await source.refresh();
    // The same text is not looked into again.
    expect(await problemOf(source)).toBe(problem);
    server.answer = answerWith(ON, '"on"');
    expect(await source.refresh()).toMatchObject({ state: 'ready', error: undefined });
    expect(kinds(events)).toEqual(['degraded', 'recovered']);
    expect(server.asked.map(({ headers }) => headers['if-none-match'])).toEqual([
      undefined,
      ...['"on"', '"on"', '"on"'],
    ]);
  });

  it('is an answer without end: no more of it is read than may be', async () => {
    const source = await ready();
    let written = 0;
    const chunk = Buffer.alloc(1_000_000, ' ');
    server.answer = (response) => {
      response.writeHead(200);
      const more = () => {
        while (!response.destroyed) {
          written += chunk.length;
          if (!response.write(chunk)) break;
        }
      };
      response.on('drain', more);
      more();
    };
    await source.refresh();
    expect((await problemOf(source)).message).toMatch(/more than 50000000 bytes/);
    await until(() => server.open === 0);
    expect(written).toBeLessThan(80_000_000);
  });

  it.each<[string, HttpServer['answer']]>([
    ['never comes', () => {}],
    [
      'trickles',
      (response) => {
        response.writeHead(200).write('{');
        const timer = setInterval(() => response.write(' '), 10);
        response.on('close', () => clearInterval(timer));
      },
    ],
  ])('is an answer that %s: it is broken off', async (_, answer) => {
    const source = await ready({ timeoutMs: 100 });
    server.answer = answer;
    await source.refresh();
    expect(source.health()).toMatchObject({ state: 'ready', error: 'STORE_TIMEOUT' });
    expect(await problemOf(source)).toMatchObject({ code: 'STORE_TIMEOUT' });
    expect(isOn(source)).toBe(true);
    await until(() => server.open === 0);
    expect(server.brokenOff).toBeGreaterThan(0);
  });

  it.each([
    [500, 'STORE_UNAVAILABLE'],
    [401, 'STORE_DENIED'],
    [403, 'STORE_DENIED'],
    [404, 'STORE_UNAVAILABLE'],
    [429, 'STORE_UNAVAILABLE'],
    [503, 'STORE_UNAVAILABLE'],
    [204, 'STORE_UNAVAILABLE'],
  ])('is an answer of %i', async (status, code) => {
    const source = await ready();
    server.answer = (response) => response.writeHead(status).end(status === 204 ? '' : OFF);
    await source.refresh();
    expect(await problemOf(source)).toMatchObject({ code });
    expect(isOn(source)).toBe(true);
  });

  it('is a 304 to a question without an ETag: it confirms nothing', async () => {
    server.answer = answerWith(ON);
    const source = await ready();
    server.answer = (response) => response.writeHead(304).end();
    expect((await source.refresh()).error).toBe('STORE_UNAVAILABLE');
    expect((await problemOf(source)).message).toMatch(/answered 304/);
  });

  it('is not quoted: its values can be ids', async () => {
    const secret = 'user-4711';
    const source = await ready();
    const events = heard(source);
    for (const text of [
      { features: { chat: { excluded: [{ id: secret }], groups: secret } } },
      { features: { chat: secret } },
      { features: { chat: {} }, members: { chat: secret } },
      { features: { chat: {} }, members: { chat: [{ id: secret }] } },
      { features: secret },
      secret,
      `{ "features": { "chat": ${secret} } }`,
      `{ "features": { "chat": "${secret}`,
    ]) {
      server.answer = answerWith(typeof text === 'string' ? text : JSON.stringify(text));
      await source.refresh();
      const stored = await source.load('chat').catch((error) => error);
      expect(deep(stored.problem ?? stored)).toMatch(/CORRUPT_FEATURE|STORE_UNAVAILABLE/);
      expect(deep(stored.problem ?? stored)).not.toContain(secret);
    }
    expect(kinds(events)).toContain('corrupt');
    expect(deep(events)).not.toContain(secret);
  });
});

describe('where it redirects', () => {
  let other: HttpServer;
  beforeEach(async () => {
    other = await HttpServer.start(answerWith(ON, '"other"'));
  });
  afterEach(() => other.stop());

  const redirect = (location: string, status = 302): HttpServer['answer'] => {
    return (response, { url }) => {
      if (url === '/there') answerWith(ON)(response, { url, headers: {} });
      else response.writeHead(status, { location }).end();
    };
  };
  const headers = { authorization: 'Bearer s3cret', 'x-key': 's3cret', cookie: 's3cret' };

  it.each([301, 302, 303, 307, 308])('by %i, it goes, with its headers', async (status) => {
    server.answer = redirect('/there', status);
    await ready({ headers });
    expect(server.asked.map(({ url }) => url)).toEqual(['/', '/there']);
    expect(server.asked[1]?.headers).toMatchObject(headers);
  });

  it('to another origin, that is sent nothing of the app, nor is where it sends it', async () => {
    server.answer = redirect(`${other.url}/back?token=1`);
    other.answer = redirect(`${server.url}/there`);
    await ready({ headers }, server.url.replace('//', '//ann:s3cret@'));
    await ready({}, `${server.url.replace('//', '//ann:s3cret@')}/?token=s3cret`);
    expect(other.asked).toHaveLength(2);
    expect(JSON.stringify(other.asked)).not.toMatch(/s3cret|authorization|referer|ann/);
    const there = server.asked.filter(({ url }) => url === '/there');
    expect(there).toHaveLength(2);
    expect(JSON.stringify(there)).not.toContain('s3cret');
  });

  it.each([
    ['by this process', async (source: HttpSource) => source],
    [
      'by another one, in a cache file',
      async (source: HttpSource) => {
        await source.close();
        return open({ cacheFile }, `${server.url}/latest`);
      },
    ],
  ])('what one place had is, asked %s, not taken for what another has', async (_, next) => {
    let latest = '/v1';
    server.answer = (response, asked) => {
      if (asked.url === '/latest') response.writeHead(302, { location: latest }).end();
      else answerWith(asked.url === '/v1' ? ON : OFF, '"1"')(response, asked);
    };
    let source = await ready({ cacheFile }, `${server.url}/latest`);
    await source.refresh();
    expect(server.asked.map(({ headers }) => headers['if-none-match'])).toEqual(
      // Where it was found, and there alone.
      [undefined, undefined, undefined, '"1"'],
    );
    latest = '/v2';
    source = await next(source);
    await source.refresh();
    expect(isOn(source)).toBe(false);
    expect(source.health().state).toBe('ready');
    expect(server.asked.find(({ url }) => url === '/v2')?.headers).not.toHaveProperty(
      'if-none-match',
    );
  });

  it.each<[string, (at: { there: string }) => string | undefined]>([
    ['round and round', () => '/'],
    ['to a file', () => 'file:///etc/passwd'],
    ['to data', () => `data:application/json,${ON}`],
    ['with a password', ({ there }) => there.replace('//', '//ann:s3cret@')],
    ['with a user', ({ there }) => there.replace('//', '//s3cret@')],
    ['to nowhere', () => 'http://'],
    ['without saying where', () => undefined],
  ])('%s, it does not go', async (_, locate) => {
    const source = await ready({ headers });
    server.asked.length = 0;
    server.answer = (response) => {
      const location = locate({ there: other.url });
      response.writeHead(302, location === undefined ? {} : { location }).end();
    };
    await source.refresh();
    const problem = await problemOf(source);
    expect(problem).toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(problem.message).toMatch(/redirects (without end|to where)|answered 302/);
    expect(deep(problem)).not.toContain('s3cret');
    expect(other.asked).toEqual([]);
    expect(server.asked.length).toBeLessThan(8);
  });
});

describe('while there is nothing', () => {
  const answers = async (source: HttpSource) => {
    const rollout = new Rollout(source, { defaults: { list: true } });
    const from = performance.now();
    const answer = [
      await rollout.isEnabled('chat', 'ann'),
      await rollout.isEnabled('list', 'ann'),
      rollout.isEnabledSync('chat', 'ann'),
      rollout.isEnabledSync('list', 'ann'),
    ];
    return { answer, ms: performance.now() - from };
  };

  it('because the server is down, it says so, and checks answer by their defaults', async () => {
    await server.stop();
    const source = open();
    const health = await source.ready(50);
    expect(health).toMatchObject({ state: 'starting', ageMs: Number.POSITIVE_INFINITY });
    expect(source.health().error).toBe('STORE_UNAVAILABLE');
    expect((await answers(source)).answer).toEqual([false, true, false, true]);
    await expect(source.load('chat')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await expect(source.token()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await server.restart();
    await source.refresh();
    expect((await answers(source)).answer).toEqual([true, false, true, false]);
  });

  it('because the server hangs, no check waits for it for longer than for Redis', async () => {
    server.answer = () => {};
    const { answer, ms } = await answers(open());
    expect(answer).toEqual([false, true, false, true]);
    // Two are awaited, each of them for 250 ms.
    expect(ms).toBeLessThan(1_000);
  });

  it('yet, a check waits for it', async () => {
    const source = open();
    expect(source.health().state).toBe('starting');
    expect(await new Rollout(source).isEnabled('chat', 'ann')).toBe(true);
    expect(await open().load('chat')).toMatchObject({ feature: { percentage: 100 } });
  });

  it('to copy, nothing is copied', async () => {
    await server.stop();
    const copying = copyFeatures(open(), new MemoryBackend());
    await expect(copying).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });
});

describe('credentials', () => {
  it('in the URL are sent, and shown nowhere', async () => {
    const url = `${server.url.replace('//', '//ann%40shop:p%C3%A4ss-word@')}/f?token=s3cret#x`;
    const source = open({ cacheFile, headers: { 'x-key': 'k3y' } }, url);
    const events = heard(source);
    const seen: unknown[] = [deep(source), await source.ready(5_000), deep(source)];
    const [asked] = server.asked;
    expect(asked?.url).toBe('/f?token=s3cret');
    const basic = Buffer.from(asked?.headers.authorization?.slice(6) ?? '', 'base64').toString();
    expect(basic).toBe('ann@shop:päss-word');
    for (const answer of [
      () => {},
      ...[401, 404, 429, 503].map((status): HttpServer['answer'] => (response) => {
        response.writeHead(status, { 'retry-after': '0' }).end();
      }),
      answerWith('<html>'),
      (response) => response.socket?.destroy(),
    ] as HttpServer['answer'][]) {
      server.answer = answer;
      const looking = source.refresh();
      seen.push(deep(source), await Promise.race([looking, delay(30)]));
      if (server.open > 0) await server.stop().then(() => server.restart());
      await looking;
      const problem = await problemOf(source);
      seen.push(problem, problem.stack, deep(source), source.health());
    }
    seen.push(events, readFileSync(cacheFile, 'utf8'));
    for (const { cause } of events) seen.push(cause?.stack, JSON.stringify(cause));
    expect(deep(seen)).not.toMatch(/s3cret|k3y|ann%40shop|ann@shop|p%C3%A4ss|päss/);
    expect(deep(seen)).not.toContain(asked?.headers.authorization?.slice(6));
  });

  it('in the headers go before those in the URL', async () => {
    const url = server.url.replace('//', '//ann:pw@');
    await ready({ headers: { Authorization: 'Bearer 1' } }, url);
    expect(server.asked[0]?.headers.authorization).toBe('Bearer 1');
  });

  it('can be other ones at each request', async () => {
    let n = 0;
    const source = await ready({ headers: async () => ({ authorization: `Bearer ${++n}` }) });
    await source.refresh();
    expect(server.asked.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer 1',
      'Bearer 2',
    ]);
  });

  it.each<[string, RegExp, () => unknown]>([
    [
      'throw',
      /threw \(Error\)/,
      () => {
        throw new Error('s3cret');
      },
    ],
    ['reject', /threw \(Error\)/, () => Promise.reject(new Error('s3cret'))],
    ['hang', /in time/, () => new Promise(() => {})],
    ['give a line break', /a valid authorization/, () => ({ authorization: 'Bearer\ns3cret' })],
    ['give a bad name', /valid names/, () => ({ 's3cret name': '1' })],
    ['give text', /to be an object/, () => 's3cret'],
    ['give a list', /to be an object/, () => ['authorization', 's3cret']],
    ['give a number', /a valid authorization/, () => ({ authorization: 987654321 })],
    ['give no value', /a valid authorization/, () => ({ authorization: undefined })],
    ['give nothing', /to be an object/, () => undefined],
  ])('that %s keep the question from being asked', async (_, why, headers) => {
    const source = open({ headers: headers as RequestHeaders, timeoutMs: 100 });
    const events = heard(source);
    await source.refresh();
    await source.refresh();
    expect(source.health().error).toMatch(/STORE_UNAVAILABLE|STORE_TIMEOUT/);
    expect(server.asked).toEqual([]);
    expect(kinds(events)).toEqual(['degraded']);
    expect((await problemOf(source)).message).toMatch(why);
    expect(deep([events, await problemOf(source)])).not.toMatch(/s3cret|987654321/);
  });
});

describe('what a function gives', () => {
  it.each<[string, Awaited<ReturnType<Latest>>]>([
    ['text', { body: ON }],
    ['bytes', { body: new TextEncoder().encode(ON) }],
    ['an object', { body: JSON.parse(ON) }],
  ])('may be %s', async (_, version) => {
    const source = await ready({}, async () => version);
    expect(isOn(source)).toBe(true);
    const view = source.local;
    await source.refresh();
    expect(source.local).toBe(view);
  });

  it('is confirmed by undefined, and asked for with what named it', async () => {
    const etags: unknown[] = [];
    const source = await ready({}, async ({ etag, signal }) => {
      expect(signal.aborted).toBe(false);
      etags.push(etag);
      return etag === undefined ? { body: ON, etag: 'v1' } : undefined;
    });
    expect(await source.refresh()).toMatchObject({ state: 'ready', error: undefined });
    expect(etags).toEqual([undefined, 'v1']);
  });

  it.each<[string, () => unknown]>([
    ['undefined, before anything', () => undefined],
    ['null', () => null],
    ['text alone', () => ON],
    ['no body', () => ({})],
    ['null as the body', () => ({ body: null })],
    ['a number', () => ({ body: 987654321 })],
    ['an empty text', () => ({ body: '' })],
    ['an ETag that is none', () => ({ body: ON, etag: 987654321 })],
    ['a ring', () => ({ body: Object.assign([], { 0: 's3cret' }, { toJSON: () => 1n }) })],
    [
      'bytes that are not UTF-8',
      () => ({ body: Buffer.from('{"features":{"\xff":{}}}', 'latin1') }),
    ],
    [
      'what throws when it is read',
      () => ({
        get body() {
          throw new Error('s3cret');
        },
      }),
    ],
    [
      'an error',
      () => {
        throw new Error('s3cret');
      },
    ],
    ['a rejection', () => Promise.reject(new Error('s3cret'))],
    ['a rejection without an error', () => Promise.reject('s3cret')],
    ['a rejection with nothing', () => Promise.reject()],
    [
      'a rejection that throws when it is read',
      () =>
        Promise.reject({
          get name() {
            throw new Error('s3cret');
          },
        }),
    ],
    [
      'a rejection that throws when it is asked what it is',
      () =>
        Promise.reject(
          new Proxy(
            {},
            {
              getPrototypeOf() {
                throw new Error('s3cret');
              },
            },
          ),
        ),
    ],
  ])('is refused where it is %s', async (_, give) => {
    const source = open({}, give as unknown as Latest);
    const events = heard(source);
    await source.refresh();
    await source.refresh();
    expect(source.health()).toMatchObject({ state: 'starting', error: 'STORE_UNAVAILABLE' });
    expect(kinds(events)).toEqual(['degraded']);
    expect(deep([events, await problemOf(source)])).not.toMatch(/s3cret|987654321/);
  });

  it.each<[string, () => unknown]>([
    ['Response', () => fetch(server.url)],
    ['Response', async () => ({ body: await fetch(server.url) })],
    ['ReadableStream', async () => ({ body: (await fetch(server.url)).body })],
    ['Promise', async () => ({ body: (await fetch(server.url)).text() })],
  ])('is refused where it is a %s, and what to give is said', async (kind, give) => {
    const source = open({}, give as unknown as Latest);
    await source.refresh();
    expect((await problemOf(source)).message).toBe(
      `The function gave a ${kind}: read it, and give { body: await response.text() }.`,
    );
  });

  it('too late is not taken, nor is the function waited for', async () => {
    const late: (() => void)[] = [];
    const source = await ready({ timeoutMs: 50 }, async ({ etag, signal }) => {
      if (etag === undefined) return { body: ON, etag: '1' };
      if (late.length > 0) return undefined;
      await new Promise<void>((resolve) => late.push(resolve));
      expect(signal.aborted).toBe(true);
      return { body: OFF, etag: '2' };
    });
    expect((await source.refresh()).error).toBe('STORE_TIMEOUT');
    for (const resolve of late) resolve();
    expect((await source.refresh()).error).toBeUndefined();
    expect(isOn(source)).toBe(true);
  });

  it('is asked for once at a time', async () => {
    let [underway, most, calls] = [0, 0, 0];
    const source = await ready({ pollMs: 10 }, async () => {
      calls++;
      most = Math.max(most, ++underway);
      await delay(20);
      underway--;
      return { body: ON };
    });
    await Promise.all(Array.from({ length: 20 }, () => source.refresh()));
    await until(() => calls > 4);
    expect(most).toBe(1);
  });
});

describe('how often it is asked', () => {
  const FAKE = { doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'Date'] } as const;
  const fakeTimers = () => jest.useFakeTimers({ doNotFake: [...FAKE.doNotFake] });

  /** The times (ms) at which each of so many sources has asked within a time. */
  async function asked(sources: number, latest: Latest, forMs: number): Promise<number[][]> {
    fakeTimers();
    const from = performance.now();
    const all = Array.from({ length: sources }, () => {
      const times: number[] = [];
      open({ pollMs: 60_000 }, (about) => {
        times.push(performance.now() - from);
        return latest(about);
      });
      return times;
    });
    await jest.advanceTimersByTimeAsync(forMs);
    return all;
  }
  const pauses = (times: readonly number[]) => times.slice(1).map((at, i) => at - (times[i] ?? 0));

  it('is every `pollMs`, 10% more or less, and not by all at once', async () => {
    const all = await asked(20, async () => ({ body: ON }), 600_000);
    for (const pause of all.flatMap(pauses)) {
      expect(pause).toBeGreaterThanOrEqual(54_000);
      expect(pause).toBeLessThanOrEqual(66_001);
    }
    expect(Math.min(...all.map(({ length }) => length))).toBeGreaterThanOrEqual(10);
    expect(new Set(all.map(([, second]) => second)).size).toBeGreaterThan(10);
  });

  it('of what fails, is less and less often, and not by all at once', async () => {
    const all = await asked(20, () => Promise.reject(new Error()), 600_000);
    for (const times of all) {
      for (const [nth, pause] of pauses(times).entries()) {
        const most = Math.min(1_000 * 2 ** nth, 60_000);
        expect(pause).toBeGreaterThanOrEqual(most / 2);
        expect(pause).toBeLessThanOrEqual(most + 1);
      }
      expect(times.length).toBeGreaterThan(10);
      expect(times.length).toBeLessThan(27);
    }
    expect(new Set(all.map(([, second]) => second)).size).toBeGreaterThan(10);
  });

  it.each([
    ['20', 20_000, 22_001],
    [() => new Date(Date.now() + 21_000).toUTCString(), 19_000, 24_000],
    ['99999999999999999999', 300_000, 330_001],
    ['Fri, 31 Dec 9999 23:59:59 GMT', 300_000, 330_001],
    ['soon', 0, 1_001],
    ['-1', 0, 1_001],
  ])('is as the server says in Retry-After, within reason: %s', async (given, least, most) => {
    fakeTimers();
    for (const status of [429, 503]) {
      server.asked.length = 0;
      const after = typeof given === 'function' ? given() : given;
      server.answer = (response) => response.writeHead(status, { 'retry-after': after }).end();
      const source = open();
      await source.refresh();
      // The first question was that of the constructor.
      expect(server.asked).toHaveLength(2);
      const before = jest.getTimerCount();
      expect(before).toBeGreaterThan(0);
      jest.advanceTimersByTime(Math.max(0, least - 1));
      await delay(20);
      expect(server.asked).toHaveLength(2);
      jest.advanceTimersByTime(most - least + 2_000);
      await until(() => server.asked.length === 3);
      await source.close();
    }
  });
});

describe('what is held for long', () => {
  it('is STALE once it is too old, which is told once, until it is confirmed', async () => {
    const source = await ready({ pollMs: 10, maxStaleMs: 1_000 });
    const rollout = new Rollout(source);
    const events = heard(source);
    expect(rollout.decideSync('chat', 'ann').reason).not.toBe('STALE');
    await server.stop();
    await until(() => kinds(events).includes('stale'));
    await delay(30);
    const decision = rollout.decideSync('chat', 'ann');
    expect(decision).toMatchObject({ enabled: true, reason: 'STALE', code: 'STORE_UNAVAILABLE' });
    expect(source.health()).toMatchObject({ state: 'stale', error: 'STORE_UNAVAILABLE' });
    expect(source.health().ageMs).toBeGreaterThan(1_000);
    await server.restart();
    await until(() => kinds(events).includes('recovered'));
    expect(rollout.decideSync('chat', 'ann').reason).not.toBe('STALE');
    expect(kinds(events)).toEqual(['degraded', 'stale', 'recovered']);
  });
});

describe('options', () => {
  it.each<[string, unknown, unknown]>([
    ['url', undefined, {}],
    ['url', 'features.json', {}],
    ['url', 'ftp://ann:s3cret@example.org/', {}],
    ['url', 's3cret', {}],
    ['url', {}, {}],
    ['url', Object.create(null), {}],
    ['pollMs', '', { pollMs: 9 }],
    ['pollMs', '', { pollMs: '20' }],
    ['pollMs', '', { pollMs: Number.NaN }],
    ['pollMs', '', { pollMs: 20n }],
    ['pollMs', '', { pollMs: Number.POSITIVE_INFINITY }],
    ['timeoutMs', '', { timeoutMs: 0 }],
    ['maxStaleMs', '', { pollMs: 100, maxStaleMs: 199 }],
    ['headers', '', { headers: 'authorization: s3cret' }],
    ['headers', '', { headers: null }],
    ['headers', '', { headers: { authorization: 'a\ns3cret' } }],
    ['headers', '', { headers: { authorization: 987654321 } }],
    ['headers', '', { headers: { 'authorization: s3cret': '' } }],
    ['headers', '', { headers: ['authorization', 's3cret'] }],
    ['headers', async () => undefined, { headers: {} }],
    ['cacheFile', '', { cacheFile: '' }],
    ['cacheFile', '', { cacheFile: 7 }],
    ['cacheFile', '', { cacheFile: 'a\0b' }],
    ['cacheFile', '', { cacheFile: '/nowhere/at/all' }],
    ['tokens', '', { tokens: 's3cret' }],
  ])('that are wrong are refused: %s of %p, %p', (option, from, options) => {
    const at = from === '' ? server.url : from;
    let problem: unknown;
    try {
      opened.push(new HttpSource(at as string, options as HttpSourceOptions));
    } catch (error) {
      problem = error;
    }
    expect(problem).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect((problem as Error).message).toMatch(new RegExp(option, 'i'));
    expect(deep(problem)).not.toMatch(/s3cret|987654321/);
  });
});

describe('a cache file', () => {
  const down = async (options: HttpSourceOptions = {}) => {
    await server.stop();
    return open({ cacheFile, ...options });
  };

  it('is whole, and its owner’s alone', async () => {
    const source = await ready({ cacheFile });
    await source.close();
    expect(statSync(cacheFile).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['features.cache']);
  });

  it('answers at once while the server is down, as old as it is', async () => {
    await (await ready({ cacheFile })).close();
    const savedAt = performance.now();
    await delay(50);
    const source = await down();
    const events = heard(source);
    const rollout = new Rollout(source);
    const decision = rollout.decideSync('chat', 'ann');
    expect(decision).toMatchObject({ enabled: true, reason: 'STALE', code: 'STORE_UNAVAILABLE' });
    const { state, ageMs } = source.health();
    expect(state).toBe('stale');
    expect(ageMs).toBeGreaterThanOrEqual(Math.floor(performance.now() - savedAt) - 2);
    expect(ageMs).toBeLessThan(4_000);
    await expect(source.load('chat')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    await source.refresh();
    await source.refresh();
    expect(kinds(events)).toEqual(['stale', 'degraded']);
    await server.restart();
    await source.refresh();
    expect(kinds(events)).toEqual(['stale', 'degraded', 'recovered']);
    expect(rollout.decideSync('chat', 'ann').reason).not.toBe('STALE');
    expect(source.health().state).toBe('ready');
    expect(server.asked.at(-1)?.headers['if-none-match']).toBe('"on"');
  });

  it('is of any age where the clock was put back', async () => {
    await (await ready({ cacheFile })).close();
    const now = jest.spyOn(Date, 'now').mockReturnValue(Date.now() - 60_000);
    try {
      const source = await down();
      expect(source.health()).toMatchObject({ state: 'stale', ageMs: Number.POSITIVE_INFINITY });
      expect(isOn(source)).toBe(true);
    } finally {
      now.mockRestore();
    }
  });

  it('has its latest confirmation, once a minute', async () => {
    const source = await ready({ cacheFile });
    await until(() => existsSync(cacheFile));
    const [written, { ino }] = [readFileSync(cacheFile, 'utf8'), statSync(cacheFile)];
    await source.refresh();
    await delay(20);
    expect(statSync(cacheFile).ino).toBe(ino);
    const at = Date.now();
    const now = jest.spyOn(Date, 'now').mockImplementation(() => at + 60_001);
    try {
      await source.refresh();
      await source.close();
    } finally {
      now.mockRestore();
    }
    const confirmedAt = (text: string) => Number(/"confirmedAt":(\d+)/.exec(text)?.[1]);
    const minute = confirmedAt(readFileSync(cacheFile, 'utf8')) - confirmedAt(written);
    expect(minute).toBeGreaterThanOrEqual(60_000);
    expect(minute).toBeLessThan(65_000);
  });

  it('takes away what was left of an earlier attempt to write it, and no other file', async () => {
    const left = `features.cache.${randomUUID()}.tmp`;
    const names = [left, `features.cache.${randomUUID()}.tmp`, 'features.cache.mine.tmp', 'x.tmp'];
    for (const name of names) writeFileSync(join(folder, name), '');
    const hourAgo = Date.now() / 1000 - 3600;
    for (const name of [left, ...names.slice(2)]) utimesSync(join(folder, name), hourAgo, hourAgo);
    await (await ready({ cacheFile })).close();
    expect(new Set(readdirSync(folder))).toEqual(new Set(['features.cache', ...names.slice(1)]));
  });

  it('that names what can not be read tells it to who listens', async () => {
    const text = '{"features":{"chat":{"percentage":140},"list":{"percentage":100}}}';
    server.answer = answerWith(text, '"1"');
    await (await ready({ cacheFile })).close();
    const source = await down();
    const problems: unknown[] = [];
    source.watch(({ kind, cause }) => kind === 'corrupt' && problems.push(cause));
    await source.refresh();
    expect(problems).toMatchObject([{ code: 'CORRUPT_FEATURE', feature: 'chat' }]);
  });

  it.each<[string, (text: string) => string | Buffer]>([
    ['is empty', () => ''],
    ['is cut off', (text) => text.slice(0, 40)],
    ['is cut off later', (text) => text.slice(0, -5)],
    ['is garbage', () => Buffer.from([0, 255, 254, 10, 10])],
    ['has been edited', (text) => text.replace('100', '10')],
    ['has an impossible ETag', (text) => text.replace('\\"on\\"', '\\n')],
    ['is that of another URL', (text) => text.replace(/"from":"..../, '"from":"0000')],
  ])('that %s is not used, which is told', async (_, edit) => {
    await (await ready({ cacheFile })).close();
    const written = readFileSync(cacheFile, 'utf8');
    const broken = edit(written);
    expect(broken).not.toBe(written);
    writeFileSync(cacheFile, broken);
    const source = await down();
    const events = heard(source);
    expect(source.health().state).toBe('starting');
    await until(() => events.some(({ kind }) => kind === 'error'));
    expect(events.find(({ kind }) => kind === 'error')?.cause?.code).toBe('INVALID_RECORD');
    await server.restart();
    await source.refresh();
    expect(isOn(source)).toBe(true);
    expect(kinds(events).filter((kind) => kind === 'error')).toHaveLength(1);
  });

  it.each(['{"features":{}}', 'my diary\n\nMonday', '#!/bin/sh\n'])(
    'is never written over somebody’s file: %j',
    async (text) => {
      writeFileSync(cacheFile, text);
      const source = open({ cacheFile });
      const events = heard(source);
      await source.ready(5_000);
      await until(() => events.length > 0);
      expect(isOn(source)).toBe(true);
      await source.close();
      expect(readFileSync(cacheFile, 'utf8')).toBe(text);
      expect(events).toMatchObject([{ kind: 'error', cause: { code: 'INVALID_RECORD' } }]);
    },
  );

  it('that can not be written is told once, and harms nobody', async () => {
    const away = join(folder, 'away');
    mkdirSync(away);
    const source = open({ cacheFile: join(away, 'features.cache') });
    const events = heard(source);
    rmSync(away, { recursive: true });
    await source.ready(5_000);
    for (let times = 0; times < 5; times++) {
      server.answer = answerWith(times % 2 ? ON : OFF);
      await source.refresh();
      expect(isOn(source)).toBe(times % 2 === 1);
      await delay(5);
    }
    expect(events).toMatchObject([{ kind: 'error', cause: { code: 'STORE_UNAVAILABLE' } }]);
    mkdirSync(away);
    server.answer = answerWith(ON);
    await source.refresh();
    await until(() => existsSync(join(away, 'features.cache')));
    expect(source.health().state).toBe('ready');
  });

  it('that is a folder is told, and harms nobody', async () => {
    mkdirSync(cacheFile);
    const source = open({ cacheFile });
    const events = heard(source);
    await source.ready(5_000);
    await until(() => events.length > 0);
    expect(isOn(source)).toBe(true);
    await source.close();
    expect(new Set(kinds(events))).toEqual(new Set(['error']));
    expect(readdirSync(folder)).toEqual(['features.cache']);
  });
});

describe('once closed', () => {
  it('a question that is underway is broken off', async () => {
    server.answer = () => {};
    const source = open();
    await until(() => server.open === 1);
    const calls = [source.load('chat'), source.read(['chat'], () => 'ann'), source.token()];
    const waiting = source.ready(5_000);
    const from = performance.now();
    await source.close();
    expect(performance.now() - from).toBeLessThan(500);
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'CLOSED' });
    expect(await waiting).toMatchObject({ state: 'closed' });
    await until(() => server.open === 0);
    expect(server.brokenOff).toBe(1);
  });

  it('a function that heeds nothing is not waited for, and what it gives is not taken', async () => {
    let give = () => {};
    const source = open({ cacheFile }, async () => {
      await new Promise<void>((resolve) => {
        give = resolve;
      });
      return { body: ON };
    });
    const from = performance.now();
    await Promise.all([source.close(), source.close()]);
    expect(performance.now() - from).toBeLessThan(500);
    give();
    await delay(10);
    expect(source.local).toBeUndefined();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('everything rejects, nothing is told, and nothing is asked', async () => {
    const source = await ready({ pollMs: 10 });
    const events: unknown[] = heard(source);
    source.subscribe((event) => events.push(event));
    await source.close();
    await source.close();
    server.asked.length = 0;
    server.answer = answerWith(OFF);
    for (const call of [
      () => source.load('chat'),
      () => source.loadAll(),
      () => source.token(),
      () => source.read(['chat'], () => 'ann'),
      () => source.readAll(() => 'ann'),
      () => source.countMembers('chat'),
      () => source.history('chat', { limit: 1 }),
      () => source.log({ limit: 1 }),
      () => source.loadMembers(new Map()),
      async () => {
        for await (const _ of source.members('chat'));
      },
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'CLOSED' });
    }
    expect(source.local).toBeUndefined();
    expect(await source.refresh()).toMatchObject({ state: 'closed' });
    expect(await source.ready(0)).toMatchObject({ state: 'closed', error: 'CLOSED' });
    await delay(30);
    expect(server.asked).toEqual([]);
    expect(events).toEqual([]);
  });

  it.each(['change', 'degraded', 'recovered'])(
    'by who hears of %s, nothing goes on',
    async (what) => {
      jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
      let give = () => ({ body: ON });
      const source = await ready({}, async () => give());
      const fail = () => {
        throw new Error();
      };
      if (what === 'change') source.subscribe(() => void source.close());
      else source.watch(({ kind }) => kind === what && void source.close());
      for (const next of [fail, fail, () => ({ body: OFF })]) {
        give = next;
        await source.refresh();
      }
      expect(source.health().state).toBe('closed');
      await source.close();
      expect(jest.getTimerCount()).toBe(0);
    },
  );
});

describe('in use', () => {
  it('is read-only, and a write changes nothing', async () => {
    const rollout = new Rollout(await ready());
    const failure = { code: 'READ_ONLY' };
    await expect(rollout.setPercentage('chat', 1)).rejects.toMatchObject(failure);
    await expect(rollout.register('chat', 'ann')).rejects.toMatchObject(failure);
    await expect(rollout.addFeature('list')).rejects.toMatchObject(failure);
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
    expect((await rollout.features()).map(({ name }) => name)).toEqual(['chat']);
    expect(server.asked).toHaveLength(1);
  });

  it('can be what a replica copies', async () => {
    const source = open({ pollMs: 10 });
    const replica = new ReplicaBackend(source, { pollMs: 10 });
    opened.push(replica);
    expect(await replica.ready(5_000)).toMatchObject({ state: 'ready' });
    const rollout = new Rollout(replica);
    expect(rollout.isEnabledSync('chat', 'ann')).toBe(true);
    server.answer = answerWith(
      '{"features":{"chat":{"excluded":["eve"]}},"members":{"chat":["ann"]}}',
    );
    await until(() => !rollout.isEnabledSync('chat', 'zoe'));
    expect(rollout.decideSync('chat', 'ann').detail).toBe('member');
    await expect(rollout.activate('chat')).rejects.toMatchObject({ code: 'READ_ONLY' });
    await replica.close();
    expect(source.health().state).toBe('closed');
  });

  it('can be copied from', async () => {
    server.answer = answerWith(
      '{"features":{"chat":{"percentage":5},"list":{}},"members":{"list":["ann",7]}}',
    );
    const source = await ready();
    const memory = new MemoryBackend();
    const report = await copyFeatures(source, memory);
    expect(report.copied).toEqual(['chat', 'list']);
    expect((await copyFeatures(source, memory)).same).toEqual(['chat', 'list']);
    const rollout = new Rollout(memory);
    expect(await rollout.isEnabled('list', 7)).toBe(true);
    for (let id = 0; id < 50; id++) {
      expect(await rollout.isEnabled('chat', id)).toBe(
        new Rollout(source).isEnabledSync('chat', id),
      );
    }
  });
});

describe('a process', () => {
  const built = useBuilt();
  const program = (text: string, options: HttpSourceOptions = {}) => `
    import { Rollout } from ${built.at('index.js')};
    import { HttpSource } from ${built.at('backends/http-source/index.js')};
    const options = ${JSON.stringify({ pollMs: 10, ...options })};
    const source = new HttpSource(${JSON.stringify(server.url)}, options);
    const rollout = new Rollout(source);
    ${text}`;

  it('that was killed goes on with its cache file while the server is down', async () => {
    const child = built.start(
      program(`await rollout.ready(); setInterval(() => {}, 1000);`, { cacheFile }),
    );
    try {
      await until(() => existsSync(cacheFile));
    } finally {
      const gone = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await gone;
    }
    await server.stop();
    const output = await built.run(
      program(
        `const { enabled, reason } = rollout.decideSync('chat', 'ann');
         const { state, ageMs } = rollout.health();
         console.log(JSON.stringify({ enabled, reason, state, ageMs }));
         await rollout.close();`,
        { cacheFile },
      ),
    );
    const { ageMs, ...rest }: Health & { enabled: boolean } = JSON.parse(output);
    expect(rest).toEqual({ enabled: true, reason: 'STALE', state: 'stale' });
    expect(ageMs).toBeGreaterThan(0);
    expect(ageMs).toBeLessThan(60_000);
  }, 30_000);

  it('to which nobody listens lives through whatever it is answered', async () => {
    const answers: HttpServer['answer'][] = [
      (response) => response.writeHead(500).end(),
      answerWith('<html>'),
      answerWith('{"features":{"chat":{"percentage":-1}}}'),
      (response) => response.socket?.destroy(),
      () => {},
      (response) => response.writeHead(302, { location: '/' }).end(),
    ];
    let nth = 0;
    server.answer = (response, asked) =>
      (answers[nth++] ?? answerWith(ON))(response, { ...asked, headers: {} });
    const output = await built.run(
      program(
        `rollout.isEnabled('chat', 'ann');
         new HttpSource(() => Promise.reject(new Error()), { pollMs: 10 });
         while (!rollout.isEnabledSync('chat', 'ann')) await new Promise((r) => setTimeout(r, 5));
         console.log('on');
         await rollout.close();`,
        { timeoutMs: 100, cacheFile },
      ),
    );
    expect(output).toBe('on\n');
    expect(nth).toBeGreaterThan(answers.length);
  }, 30_000);

  it('is not kept alive by it, closed or not', async () => {
    for (const end of ['', 'await rollout.close();']) {
      const output = await built.run(program(`await rollout.ready(); ${end} console.log('end');`));
      expect(output).toBe('end\n');
    }
  }, 30_000);
});
