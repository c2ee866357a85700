import crypto from 'node:crypto';
import fc from 'fast-check';
import { Redis } from 'ioredis';
import { RedisBackend } from '../../lib/backends/redis/index.js';
import { createHandler, type HttpOptions, serve, type Token } from '../../lib/http/index.js';
import { RateLimit } from '../../lib/http/rate-limit.js';
import { MemoryBackend, Rollout } from '../../lib/index.js';
import { freePort, RedisServer } from '../redis-server.js';
import { ALL_TOKENS, type AskOptions, Client, clientOf, TOKENS, UNLIMITED } from './client.js';
import type { Contract } from './documented.js';
import { type Schema, Values } from './from-schema.js';

const running: Client[] = [];
/** A client of its own handler and store, with a feature `chat`. */
async function start(options: HttpOptions = {}): Promise<Client> {
  const api = await clientOf(options);
  running.push(api);
  await api.rollout.addFeature('chat', { percentage: 100 });
  return api;
}
afterEach(async () => {
  for (const { handler, rollout } of running.splice(0)) {
    handler.close();
    await rollout.close();
  }
});

const statusOf = async (api: Client, asked: string, options?: AskOptions) =>
  (await api.ask(asked, options)).status;

/** Each operation with a body that fits: what comes of it depends on what is there. */
function everyOperation({ document }: Contract) {
  const values = new Values(document.components.schemas);
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { requestBody, operationId, parameters }]) => {
      const { content } = (requestBody ?? {}) as { content?: Record<string, { schema: Schema }> };
      const schema = content?.['application/json']?.schema;
      const [body] = schema ? fc.sample(values.of(schema), { seed: 7, numRuns: 1 }) : [];
      const query = operationId === 'subjectFlags' ? '?subject_id=ann' : '';
      return {
        operationId,
        asked: `${method.toUpperCase()} ${path.replaceAll(/{\w+}/g, 'chat')}${query}`,
        isWrite: parameters.some(({ name }) => name === 'Idempotency-Key'),
        body,
      };
    }),
  );
}

/** What needs no more than to evaluate, or nothing. */
const EVALUATING = new Set([
  ...['health', 'subjectFlags'],
  ...['evaluateFlag', 'evaluateFlagsBulk', 'evaluationEvents'],
]);

/** Bodies with which each write does write, where all of `filled` is there. */
const WRITES: Record<string, unknown> = {
  addFeature: { name: 'new' },
  updateFeature: { percentage: 7 },
  replaceFeature: { percentage: 7 },
  addUsers: { users: ['zoe'] },
  removeUsers: { users: ['ann'] },
  excludeUsers: { users: ['zoe'] },
  unexcludeUsers: { users: ['eve'] },
  putRule: { when: { users: ['zoe'] }, serve: 'on' },
  putVariant: { weight: 7 },
  overrideGroup: { serve: 'off' },
  startRamp: { over: '10d' },
  rewindRamp: { by: '1d' },
  jumpRamp: { percentage: 5 },
  undoFeature: {},
  undoGroup: {},
  undoExperiment: {},
  undoPopulation: {},
  restoreFeature: {},
  restoreGroup: {},
  restoreExperiment: {},
  rollbackFeature: { to: 1 },
  rollbackGroup: { to: 1 },
  rollbackExperiment: { to: 1 },
  rollbackPopulation: { to: 1 },
  addGroupUsers: { users: ['zoe'] },
  removeGroupUsers: { users: ['ann'] },
  increaseBuckets: { count: 1 },
  registerSubjects: { subjects: ['zoe'] },
  unregisterSubjects: { users: ['ann'] },
  importAll: { features: { other: { percentage: 1 } } },
  addExperiment: {
    name: 'new',
    from: '2026-01-01T00:00:00Z',
    until: '2999-01-01T00:00:00Z',
    arms: [{ name: 'a', proportion: 1, features: { chat: 'chat' } }],
  },
  updateExperiment: { sticky: true },
};

/** What has to be otherwise, so that a write changes something. */
const PREPARED: Record<string, (rollout: Rollout) => Promise<unknown>> = {
  enableFeature: (rollout) => rollout.disable('chat'),
  resumeRamp: (rollout) => rollout.pauseRamp('chat'),
  startRamp: (rollout) => rollout.setPercentage('chat', 1),
  activateGroup: (rollout) => rollout.deactivateGroup('chat', 'chat'),
  restoreFeature: (rollout) => rollout.remove('chat'),
  undoFeature: (rollout) => rollout.setPercentage('chat', 3),
  restoreGroup: removeGroup,
  restoreExperiment: (rollout) => rollout.removeExperiment('chat'),
  removeGroup: (rollout) => rollout.update('chat', { groups: [], rules: [] }),
  rollbackGroup: removeGroup,
  addExperiment: (rollout) => rollout.removeExperiment('chat'),
};

async function removeGroup(rollout: Rollout): Promise<void> {
  await rollout.update('chat', { groups: [], rules: [] });
  await rollout.removeGroup('chat');
}

/** Of every kind of thing one that is named `chat`. */
async function fill({ rollout }: Client): Promise<void> {
  await rollout.addToGroup('chat', ['ann']);
  await rollout.update('chat', {
    percentage: {
      points: [
        { at: '2020-01-01T00:00:00Z', percentage: 10 },
        { at: '2999-01-01T00:00:00Z', percentage: 90 },
      ],
    },
    variants: ['chat', 'other'],
    groups: ['chat'],
    excluded: ['eve'],
  });
  await rollout.update('chat', { rules: [{ id: 'chat', when: { users: ['ann'] }, serve: 'on' }] });
  await rollout.overrideGroup('chat', 'chat', 'on');
  await rollout.register('chat', ['ann']);
  await rollout.population.increaseBuckets(2);
  await rollout.population.increaseBuckets(2);
  await rollout.population.register(['ann']);
  await rollout.addExperiment('chat', {
    from: '2026-01-01T00:00:00Z',
    until: '2999-01-01T00:00:00Z',
    arms: [{ name: 'a', proportion: 1, features: { chat: 'chat' } }],
  });
  await rollout.updateExperiment('chat', { data: { owner: 'ann' } });
}

describe('who may do what', () => {
  it('is read-only where nothing else is said, whoever asks', async () => {
    const api = await start();
    const closed = createHandler(api.rollout, { tokens: ALL_TOKENS });
    const request = new Request('http://localhost/v1/features/chat', {
      method: 'DELETE',
      headers: { authorization: `Bearer ${TOKENS.admin}` },
    });
    expect((await closed.fetch(request)).status).toBe(403);
    expect(await api.rollout.get('chat')).toBeDefined();
  });

  it('is not made where nobody is named who may come in, nor admin without one who may write', () => {
    const rollout = new Rollout();
    const making = (options: HttpOptions) => () => createHandler(rollout, options);
    expect(making({})).toThrow('who may come in');
    expect(making({ tokens: [] })).toThrow('who may come in');
    const [evaluate, read] = ALL_TOKENS as [Token, Token];
    expect(making({ mode: 'admin', tokens: [evaluate, read] })).toThrow('admin');
    expect(making({ mode: 'admin', anonymous: 'read' })).toThrow('admin');
    expect(making({ anonymous: 'admin' as never })).toThrow('anonymous');
  });

  it('is reached from this machine alone, unless it is told to listen elsewhere', async () => {
    const api = await start();
    const served = await serve(api.rollout, { port: 0 });
    try {
      expect(new URL(served.url).hostname).toBe('127.0.0.1');
    } finally {
      await served.close();
    }
    await expect(serve(api.rollout, { host: '0.0.0.0', port: 0 })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  });

  it('lets each of the three credentials do what it is for, and no more', async () => {
    const api = await start();
    const asked = [
      'GET /v1/subject/flags?subject_id=ann',
      'GET /v1/features/chat',
      'POST /v1/features/chat/enable',
    ];
    const statuses = async (token: string | undefined) =>
      Promise.all(asked.map((each) => statusOf(api, each, { token })));
    expect(await statuses(TOKENS.evaluate)).toEqual([200, 403, 403]);
    expect(await statuses(TOKENS.read)).toEqual([200, 200, 403]);
    expect(await statuses(TOKENS.admin)).toEqual([200, 200, 200]);
    expect(await statuses(undefined)).toEqual([401, 401, 401]);
    const key = { token: undefined, headers: { 'x-api-key': TOKENS.evaluate } };
    expect(await statusOf(api, asked[0] as string, key)).toBe(200);
    const forbidden = await api.ask('GET /v1/features', { token: TOKENS.evaluate });
    expect(forbidden.body.code).toBe('FORBIDDEN');
  });

  it('answers the same 401 whatever is wrong with a credential', async () => {
    const api = await start();
    const answers = new Set<string>();
    for (const authorization of [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      'Bearer x',
      `Bearer ${TOKENS.admin}x`,
      `Bearer ${TOKENS.admin.slice(0, -1)}`,
      `Bearer ${TOKENS.admin.toUpperCase()}`,
      `Bearer ${TOKENS.admin} ${TOKENS.admin}`,
      `Basic ${Buffer.from(`admin:${TOKENS.admin}`).toString('base64')}`,
      TOKENS.admin,
      `Bearer ${'x'.repeat(10_000)}`,
    ]) {
      const { status, text, headers } = await api.ask('GET /v1/features', {
        token: undefined,
        headers: authorization === undefined ? {} : { authorization },
      });
      answers.add(JSON.stringify([status, text, [...headers].sort()]));
    }
    expect(answers.size).toBe(1);
    expect([...answers][0]).toMatch(/^\[401,.*UNAUTHENTICATED.*"www-authenticate","Bearer realm=/);
  });

  it('takes a wrong token for what it is, also beside what else would let in', async () => {
    const open = await start({ anonymous: 'read' });
    expect(await statusOf(open, 'GET /v1/features', { token: undefined })).toBe(200);
    expect(await statusOf(open, 'GET /v1/features', { token: 'wrong' })).toBe(401);
    expect(await statusOf(open, 'POST /v1/features/chat/enable', { token: undefined })).toBe(401);
  });

  it.each([
    ['short', 'short'],
    ['31 bytes', 'x'.repeat(31)],
    ['a space', `${'x'.repeat(32)} x`],
    ['beyond ASCII', 'ü'.repeat(32)],
  ])('takes no token that is %s, and does not show it', (_, token) => {
    const make = () => createHandler(new Rollout(), { tokens: [{ token, access: 'read' }] });
    expect(make).toThrow('`tokens[0].token`');
    expect(make).toThrow(expect.objectContaining({ message: expect.not.stringContaining(token) }));
  });

  it('takes no secret for tickets that is shorter, and does not show it', () => {
    const tokens = ALL_TOKENS;
    const ticketSecret = 'x'.repeat(31);
    const make = () => createHandler(new Rollout(), { tokens, ticketSecret });
    expect(make).toThrow('`ticketSecret` to have at least 32 bytes');
    expect(make).not.toThrow(ticketSecret);
    const open = () => createHandler(new Rollout(), { ticketSecret: 'x'.repeat(32) });
    expect(open).toThrow('who may come in');
    expect(open).not.toThrow('x'.repeat(32));
  });

  it('shows no token that is given in a wrong place', () => {
    const secret = TOKENS.admin;
    for (const tokens of [
      secret,
      { token: secret },
      [secret],
      [{ token: secret, access: 'root' }],
      [{ token: secret, acess: 'read' }],
      [{ token: secret, access: 'read', actor: '' }],
      [undefined],
    ]) {
      const make = () => createHandler(new Rollout(), { tokens: tokens as never });
      expect(make).toThrow(
        expect.objectContaining({
          code: 'INVALID_ARGUMENT',
          message: expect.not.stringContaining(secret),
        }),
      );
    }
  });

  it('compares the digests of all tokens each time, in constant time', async () => {
    const api = await start();
    const compared = jest.spyOn(crypto, 'timingSafeEqual');
    try {
      for (const token of [TOKENS.evaluate, TOKENS.admin, 'wrong', 'x'.repeat(5_000)]) {
        compared.mockClear();
        await api.ask('GET /v1/features', { token });
        expect(
          compared.mock.calls.map(([one, other]) => [one.byteLength, other.byteLength]),
        ).toEqual(ALL_TOKENS.map(() => [32, 32]));
      }
    } finally {
      compared.mockRestore();
    }
  });

  it('takes several tokens at once, so that one can be put in the place of another', async () => {
    const next = 'next-admin-0123456789abcdef0123456789abcdef';
    const old = { token: TOKENS.admin, access: 'admin', actor: 'ci' } as const;
    const both = await start({ tokens: [old, { ...old, token: next }] });
    expect(await statusOf(both, 'GET /v1/features')).toBe(200);
    expect(await statusOf(both, 'GET /v1/features', { token: next })).toBe(200);
    const after = await start({ tokens: [{ ...old, token: next }] });
    expect(await statusOf(after, 'GET /v1/features')).toBe(401);
  });

  it('takes no token from a URL, and shows none in what it answers or tells', async () => {
    const told: unknown[] = [];
    const api = await start({
      onError: (error) => told.push(error),
      authorize: () => {
        throw new Error('no directory');
      },
    });
    for (const query of ['token', 'access_token', 'api_key', 'X-API-Key']) {
      const { status, text } = await api.ask(`GET /v1/features?${query}=${TOKENS.admin}`, {
        token: undefined,
      });
      expect([query, status]).toEqual([query, 500]);
      expect(text).not.toContain(TOKENS.admin);
    }
    expect(await statusOf(api, `GET /v1/features?token=${TOKENS.admin}`)).toBe(400);
    for (const asked of ['GET /v1/features', 'GET /nowhere', 'POST /v1/features', 'GET /docs']) {
      for (const token of [TOKENS.admin, `${TOKENS.admin}x`]) {
        const { text, headers } = await api.ask(asked, { token });
        expect(text + JSON.stringify([...headers])).not.toContain(TOKENS.admin);
      }
    }
    expect(told.length).toBeGreaterThan(0);
    expect(told.map((each) => (each as Error).message).join()).not.toContain(TOKENS.admin);
  });

  describe('read-only', () => {
    it('refuses every route that writes, and no other', async () => {
      const api = await start({ mode: 'read-only' });
      await fill(api);
      const before = await api.rollout.contents();
      for (const { asked, isWrite, body, operationId } of everyOperation(api.contract)) {
        const { status, body: answer } = await api.ask(asked, {
          body: WRITES[operationId] ?? body,
        });
        expect([asked, answer?.code === 'READ_ONLY']).toEqual([asked, isWrite]);
        if (isWrite) expect([asked, status]).toEqual([asked, 403]);
      }
      expect(await api.rollout.contents()).toBe(before);
    });

    it('holds a second time, where the first would fail: what it is given cannot write', async () => {
      const options = { mode: 'admin', tokens: ALL_TOKENS, ...UNLIMITED } as const;
      let api = await start();
      for (const { asked, isWrite, operationId, body } of everyOperation(api.contract)) {
        if (!isWrite) continue;
        await fill(api);
        await PREPARED[operationId]?.(api.rollout);
        const before = await api.rollout.contents();
        const handler = createHandler(api.rollout.readOnly(), options);
        const through = new Client(handler, api.contract, api.rollout);
        const sent = { body: WRITES[operationId] ?? body };
        const { status, body: answer } = await through.ask(asked, sent);
        expect([asked, status, answer?.code]).toEqual([asked, 403, 'READ_ONLY']);
        expect(await api.rollout.contents()).toBe(before);
        // It is no request that would fail anyway.
        const written = await statusOf(api, asked, sent);
        expect([asked, written < 300]).toEqual([asked, true]);
        expect([asked, (await api.rollout.contents()) === before]).toEqual([asked, false]);
        api = await start();
      }
    });

    it('knows each route that writes: no other one changes anything', async () => {
      const api = await start();
      await fill(api);
      const before = await api.rollout.contents();
      for (const { asked, isWrite, body } of everyOperation(api.contract)) {
        if (!isWrite) await api.ask(asked, { body });
      }
      expect(await api.rollout.contents()).toBe(before);
    });
  });

  it('names who writes by the credential, never by what is sent', async () => {
    const api = await start();
    const headers = { 'x-actor': 'eve', actor: 'eve', 'x-forwarded-user': 'eve' };
    for (const { asked, isWrite, operationId, body } of everyOperation(api.contract)) {
      if (!isWrite) continue;
      const sent = (WRITES[operationId] ?? body) as object | undefined;
      if (sent !== undefined) {
        const { status } = await api.ask(asked, { body: { ...sent, actor: 'eve' }, headers });
        expect([asked, status]).toEqual([asked, 400]);
      }
      expect([asked, await statusOf(api, `${asked}?actor=eve`, { body: sent })]).toEqual([
        asked,
        400,
      ]);
      await api.ask(asked, { body: sent, headers });
    }
    const log = await api.rollout.log({ limit: 500 });
    const actors = new Set(log.map(({ actor }) => actor));
    // What this spec has added itself names nobody.
    expect(actors).toEqual(new Set(['the admin token', undefined]));
    expect(log.filter(({ actor }) => actor === undefined)).toHaveLength(1);
  });

  it("asks the app's authorize where there is no token, and takes nothing else for a caller", async () => {
    const answers: unknown[] = [];
    const told: unknown[] = [];
    const api = await start({
      tokens: [],
      authorize: () => answers.shift() as never,
      onError: (error) => told.push(error),
    });
    const ask = async (answer: unknown) => {
      answers.push(answer);
      return statusOf(api, 'POST /v1/features/chat/disable', { token: undefined });
    };
    expect(await ask({ access: 'admin', actor: 'ann' })).toBe(200);
    expect((await api.rollout.history('chat'))[0]?.actor).toBe('ann');
    expect(await ask(Promise.resolve({ access: 'read', actor: 'ann' }))).toBe(403);
    expect(await ask(undefined)).toBe(401);
    expect(await ask(null)).toBe(401);
    expect(told).toEqual([]);
    // A token that is not known here can be the app's own.
    answers.push({ access: 'read', actor: 'ann' });
    expect(await statusOf(api, 'GET /v1/features', { token: 'of the app' })).toBe(200);
    for (const wrong of [
      true,
      'admin',
      {},
      { access: 'root', actor: 'a' },
      { access: 'admin' },
      { access: 'admin', actor: 'a\nb' },
      'a rejection',
    ]) {
      const given = wrong === 'a rejection' ? Promise.reject(new Error('down')) : wrong;
      expect(await ask(given)).toBe(500);
    }
    expect(told).toHaveLength(7);
  });

  it('waits for authorize no longer than ten seconds', async () => {
    const told: Error[] = [];
    const api = await start({
      tokens: [],
      authorize: () => new Promise(() => {}),
      onError: (error) => told.push(error as Error),
    });
    jest.useFakeTimers();
    try {
      const asked = api.ask('GET /v1/features', { token: undefined });
      await jest.advanceTimersByTimeAsync(10_000);
      const { status, body } = await asked;
      expect([status, body.code]).toEqual([500, 'INTERNAL']);
      expect(told.map(({ message }) => message)).toEqual([
        '`authorize` took longer than 10000 ms.',
      ]);
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('other sites', () => {
  const write = 'POST /v1/features/chat/disable';

  it('never write by GET or HEAD, nor by what calls itself another method', async () => {
    const api = await start();
    await fill(api);
    const before = await api.rollout.contents();
    for (const { asked } of everyOperation(api.contract)) {
      const [, path = ''] = asked.split(/ (.*)/);
      for (const method of ['GET', 'HEAD', 'OPTIONS']) await api.ask(`${method} ${path}`);
      const override = { 'x-http-method-override': 'DELETE', 'x-method-override': 'DELETE' };
      await api.ask(`GET ${path}`, { headers: override });
      await api.ask(`GET ${path}${path.includes('?') ? '&' : '?'}_method=DELETE`);
    }
    expect(await api.rollout.contents()).toBe(before);
  });

  it('send forms and the like in vain', async () => {
    const api = await start();
    for (const type of [
      '',
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=a',
      'application/xml',
      'application/json-patch+json',
      'application/json, text/plain',
      'application/json; charset=utf-16',
    ]) {
      const headers = { 'content-type': type };
      const answer = await api.ask('POST /v1/features', { body: '{"name":"new"}', headers });
      expect([type, answer.status]).toEqual([type, 415]);
    }
    expect(await api.rollout.get('new')).toBeUndefined();
  });

  it.each([
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
    [{ 'sec-fetch-site': 'same-origin' }, 200],
    [{ 'sec-fetch-site': 'none' }, 200],
    [{ origin: 'null' }, 403],
    [{ origin: 'https://evil.example' }, 403],
    [{ origin: 'http://localhost.evil.example' }, 403],
    [{ origin: 'http://localhost:81' }, 403],
    [{ origin: 'localhost' }, 403],
    [{ origin: 'http://localhost' }, 200],
    [{ origin: 'http://localhost', 'sec-fetch-site': 'same-origin' }, 200],
    [{ origin: 'http://localhost', 'sec-fetch-site': 'cross-site' }, 403],
    [{ origin: 'http://localhost, http://localhost' }, 403],
    [{}, 200],
  ])('send %j, and get %i for a write', async (headers, expected) => {
    const api = await start();
    const { status, body } = await api.ask(write, { headers });
    expect(status).toBe(expected);
    expect((await api.rollout.get('chat'))?.enabled).toBe(expected !== 200);
    if (expected === 403) expect(body.code).toBe('FORBIDDEN');
  });

  it.each(['GET /openapi.json', 'GET /docs', 'GET /health', 'GET /v1/features', 'GET /nope'])(
    'are told of an origin by %s for this request alone',
    async (asked) => {
      const origin = 'https://shop.example';
      const api = await start({ origins: [origin] });
      const allowed = await api.ask(asked, { headers: { origin } });
      expect(allowed.headers.get('access-control-allow-origin')).toBe(origin);
      const next = await api.ask(asked);
      expect(next.headers.get('access-control-allow-origin')).toBeNull();
      expect(next.headers.get('vary')).toBe('Origin');
    },
  );

  it('may read and evaluate where their origin is named exactly, and never write', async () => {
    const origin = 'https://shop.example';
    const api = await start({ origins: [origin] });
    const evaluate = 'POST /v1/features/chat/decide';
    const from = (each: string) => ({ headers: { origin: each, 'sec-fetch-site': 'cross-site' } });
    const allowed = await api.ask(evaluate, { body: {}, ...from(origin) });
    expect(allowed.status).toBe(200);
    expect(allowed.headers.get('access-control-allow-origin')).toBe(origin);
    expect(allowed.headers.get('vary')).toBe('Origin');
    expect(allowed.headers.get('access-control-allow-credentials')).toBeNull();
    expect(await statusOf(api, write, from(origin))).toBe(403);
    for (const each of [
      'https://shop.example.evil',
      'http://shop.example',
      'https://shop.example:444',
      'https://a.shop.example',
    ]) {
      const refused = await api.ask(evaluate, { body: {}, ...from(each) });
      expect([each, refused.status]).toEqual([each, 403]);
      const read = await api.ask('GET /v1/features/chat', from(each));
      for (const answer of [refused, read]) {
        expect(answer.headers.get('access-control-allow-origin')).toBeNull();
        expect(answer.headers.get('vary')).toBe('Origin');
      }
    }
    const asking = (each: string) =>
      api.ask('OPTIONS /v1/features', {
        token: undefined,
        headers: { origin: each, 'access-control-request-method': 'POST' },
      });
    const preflight = await asking(origin);
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-methods')).toBe('GET, POST');
    expect(preflight.headers.get('access-control-allow-headers')).toBe(
      'authorization, content-type, if-none-match, x-api-key',
    );
    expect(preflight.headers.get('vary')).toBe('Origin');
    expect(
      (await asking('https://evil.example')).headers.get('access-control-allow-origin'),
    ).toBeNull();
  });

  it('get no header of CORS where none is named', async () => {
    const api = await start();
    const { headers } = await api.ask('GET /v1/features', {
      headers: { origin: 'https://a.example' },
    });
    expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
    for (const origins of [
      ['*'],
      ['https://a.example/'],
      ['a.example'],
      'https://a.example',
      ['null'],
    ]) {
      const make = () =>
        createHandler(api.rollout, { tokens: ALL_TOKENS, origins: origins as never });
      expect(make).toThrow('origin');
    }
  });

  it('cannot have a name of theirs lead here, where the hosts are named', async () => {
    const api = await start({ hosts: ['flags.example.com', 'localhost:8080'] });
    const asked = [
      'GET /v1/features',
      'GET /health',
      'GET /openapi.json',
      'GET /docs',
      'GET /nowhere',
      'OPTIONS /v1/features',
    ];
    for (const each of asked) {
      for (const host of [
        'evil.example',
        'flags.example.com.evil.example',
        'flags.example.com:81',
        'localhost',
        '',
      ]) {
        const refused = await api.ask(each, { headers: { host } });
        expect([each, host, refused.status]).toEqual([each, host, 421]);
        expect(refused.body.code).toBe('MISDIRECTED');
      }
      for (const host of ['flags.example.com', 'FLAGS.example.com', 'localhost:8080']) {
        expect(await statusOf(api, each, { headers: { host } })).not.toBe(421);
      }
    }
    const forged = {
      host: 'evil.example',
      'x-forwarded-host': 'flags.example.com',
      forwarded: 'host=flags.example.com',
    };
    expect(await statusOf(api, 'GET /health', { headers: forged })).toBe(421);
  });
});

describe('the page', () => {
  it('runs and loads nothing but its own, and is nowhere framed or kept', async () => {
    const api = await start();
    const { headers } = await api.ask('GET /docs', { token: undefined });
    expect(Object.fromEntries(headers)).toMatchObject({
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
    });
  });
});

describe('the input', () => {
  const HOSTILE = { 'content-type': 'application/json' };

  it('is refused where it is longer, deeper or of more fields than is taken', async () => {
    const api = await start();
    const post = (body: string) => api.ask('POST /v1/features', { body, headers: HOSTILE });
    const deep = (levels: number) =>
      `{"name":"x","offValue":${'['.repeat(levels)}${']'.repeat(levels)}}`;
    expect((await post(deep(19))).status).toBe(201);
    await api.rollout.remove('x');
    expect((await post(deep(20))).status).toBe(400);
    expect((await post(deep(10_000))).body.detail).toContain('deeper than 20');
    const objects = `{"name":"x","offValue":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`;
    expect((await post(objects)).status).toBe(400);

    const fields = (count: number) =>
      JSON.stringify({
        name: 'x',
        data: Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${n}`, n])),
      });
    expect((await post(fields(998))).status).toBe(201);
    await api.rollout.remove('x');
    expect((await post(fields(999))).body.detail).toContain('more than 1000 fields');

    const long = await post(JSON.stringify({ name: 'x', offValue: 'x'.repeat(65_536) }));
    expect([long.status, long.body.code]).toEqual([413, 'TOO_LARGE']);
    // As many more fields as bytes.
    const larger = await start({ maxBodyBytes: 131_072 });
    const fielded = (count: number) =>
      statusOf(larger, 'POST /v1/features', { body: fields(count) });
    expect(await fielded(1_999)).toBe(400);
    expect(await fielded(1_998)).toBe(201);
    await larger.rollout.remove('x');
    const options = { body: JSON.stringify({ name: 'x', offValue: 'x'.repeat(65_536) }) };
    expect(await statusOf(larger, 'POST /v1/features', options)).toBe(201);
  });

  it.each([
    ['unknown fields', '{"name":"x","colour":1}'],
    [
      'unknown fields within',
      '{"name":"x","rules":[{"id":"a","when":{"users":[]},"serve":"on","if":1}]}',
    ],
    ['a field twice', '{"name":"x","name":"y"}'],
    ['a field twice, written otherwise', '{"name":"x","n\\u0061me":"y"}'],
    ['a field twice within', '{"name":"x","data":{"a":1,"a":2}}'],
    ['__proto__', '{"name":"x","__proto__":{"percentage":100}}'],
    ['__proto__ within', '{"name":"x","data":{"__proto__":{"a":1}}}'],
    ['__proto__, written otherwise', '{"name":"x","data":{"__pr\\u006fto__":{"a":1}}}'],
    ['constructor for a setting', '{"name":"x","constructor":{"prototype":{"a":1}}}'],
  ])('is refused with %s', async (_, body) => {
    const api = await start();
    expect(await statusOf(api, 'POST /v1/features', { body, headers: HOSTILE })).toBe(400);
    expect(await api.rollout.features()).toHaveLength(1);
    expect(({} as { a?: unknown }).a).toBeUndefined();
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
    'may name a feature %s, which is one as all others are',
    async (name) => {
      const api = await start();
      expect(await statusOf(api, 'POST /v1/features', { body: { name, percentage: 100 } })).toBe(
        201,
      );
      expect((await api.ask(`GET /v1/features/${name}`)).body.name).toBe(name);
      const { text } = await api.ask('GET /v1/subject/flags?subject_id=ann');
      expect(text).toContain(JSON.stringify(name));
      const { text: exported } = await api.ask('GET /v1/export');
      expect(exported).toContain(JSON.stringify(name));
      expect(await statusOf(api, `DELETE /v1/features/${name}`)).toBe(204);
      expect(({} as { enabled?: unknown }).enabled).toBeUndefined();
    },
  );

  it('takes names of 1-200 characters that are well-formed and have no control characters, as they are', async () => {
    const api = await start();
    const add = async (name: unknown) => statusOf(api, 'POST /v1/features', { body: { name } });
    for (const name of [
      'x'.repeat(200),
      '𝒳'.repeat(200),
      '☃',
      'a/b',
      '../../etc/passwd',
      '%2e%2e',
      'é',
      'e\u0301',
      ' ',
    ]) {
      expect([name, await add(name)]).toEqual([name, 201]);
      expect((await api.ask(`GET /v1/features/${encodeURIComponent(name)}`)).body.name).toBe(name);
    }
    for (const name of [
      '',
      'x'.repeat(201),
      '𝒳'.repeat(201),
      'a\nb',
      'a\u0000',
      '\u001f',
      '\u0085',
      '\u007f',
      '.',
      '..',
      7,
      null,
      ['a'],
    ]) {
      const status = await add(name);
      expect([name, [400, 422].includes(status)]).toEqual([name, true]);
    }
    const lone = { body: '{"name":"a\\ud800"}', headers: HOSTILE };
    expect([400, 422]).toContain(await statusOf(api, 'POST /v1/features', lone));
    // Both forms of é are names of their own.
    expect((await api.rollout.features()).length).toBe(10);
  });

  it('takes at most 1,000 users in a request, wherever they are', async () => {
    const api = await start();
    await fill(api);
    const users = Array.from({ length: 1_001 }, (_, n) => n);
    const asked: [string, unknown][] = [
      ['POST /v1/features/chat/users', { users }],
      ['POST /v1/features/chat/users/remove', { users }],
      ['POST /v1/features/chat/excluded', { users }],
      ['POST /v1/groups/staff/users', { users }],
      ['POST /v1/groups/chat/users/remove', { users }],
      ['POST /v1/population/subjects', { subjects: users }],
      ['POST /v1/population/subjects/remove', { users }],
      ['PATCH /v1/features/chat', { excluded: users }],
      ['PUT /v1/features/chat/rules/new', { when: { users }, serve: 'on' }],
      ['POST /v1/features/chat/preview', { change: {}, subjects: users }],
      ['POST /v1/import', { features: { other: {} }, members: { other: users } }],
    ];
    const before = await api.rollout.contents();
    for (const [each, body] of asked) {
      expect([each, await statusOf(api, each, { body })]).toEqual([each, 400]);
    }
    expect(await api.rollout.contents()).toBe(before);
    const most = { body: { users: users.slice(1) } };
    expect((await api.ask('POST /v1/features/chat/users', most)).body.changed).toBe(1_000);
  });

  it('takes ids as text or as whole numbers, which are one', async () => {
    const api = await start();
    const add = (users: unknown) => api.ask('POST /v1/features/chat/users', { body: { users } });
    expect((await add([42, '42', 7])).body.changed).toBe(2);
    expect((await api.ask('GET /v1/features/chat/users')).body.users).toEqual(['42', '7']);
    for (const wrong of [1.5, 1e30, true, null, {}, [1], '']) {
      expect([wrong, (await add([wrong])).status]).toEqual([wrong, 400]);
    }
  });

  it('takes patterns, and what they are tried on, of at most 256 characters', async () => {
    const api = await start();
    const id = 'x'.repeat(257);
    const source = 'x'.repeat(257);
    const matches = { source };
    const asked: [string, unknown][] = [
      ['PATCH /v1/features/chat', { patterns: [{ source }] }],
      ['PUT /v1/features/chat/rules/a', { when: { matches }, serve: 'on' }],
      ['PUT /v1/features/chat/rules/a', { when: { not: { any: [{ matches }] } }, serve: 'on' }],
      [
        'PUT /v1/features/chat/rules/a',
        { when: { attribute: 'a', op: 'matches', value: matches }, serve: 'on' },
      ],
      ['POST /v1/features/chat/preview', { change: { patterns: [{ source }] }, subjects: ['a'] }],
      ['POST /v1/features/chat/decide', { subject: id }],
      ['POST /v1/features/chat/explain', { subject: { id } }],
      ['POST /v1/features/chat/preview', { change: {}, subjects: [id] }],
      ['POST /v1/features/chat/when', { subject: id }],
    ];
    for (const [each, body] of asked) {
      const { status } = await api.ask(each, { body });
      expect([each, body, status]).toEqual([each, body, 400]);
    }
    expect(await statusOf(api, `GET /v1/subject/flags?subject_id=${id}`)).toBe(400);
    const most = { body: { subject: 'x'.repeat(256) } };
    expect(await statusOf(api, 'POST /v1/features/chat/decide', most)).toBe(200);
    const fitting = { body: { patterns: [{ source: source.slice(1) }] } };
    expect(await statusOf(api, 'PATCH /v1/features/chat', fitting)).toBe(200);
  });

  it('refuses patterns that could take long', async () => {
    const api = await start();
    for (const source of ['(?=a)', '(a)\\1', '[', '(?:a{1000}){1000}']) {
      const { status, body } = await api.ask('PATCH /v1/features/chat', {
        body: { patterns: [{ source }] },
      });
      expect([source, status, body.code]).toEqual([source, 422, 'INVALID_FEATURE']);
    }
  });

  it('decodes each segment of a path once, and makes no path of a name', async () => {
    const api = await start();
    for (const name of [
      'a/../chat',
      '/v1/features/chat',
      'chat?a=1',
      'chat#a',
      '%63hat',
      'a%2Fb',
      '..\\chat',
    ]) {
      const path = encodeURIComponent(name);
      await api.ask('POST /v1/features', { body: { name } });
      expect((await api.ask(`GET /v1/features/${path}`)).body.name).toBe(name);
      expect(await statusOf(api, `DELETE /v1/features/${path}`)).toBe(204);
    }
    expect((await api.rollout.features()).map(({ name }) => name)).toEqual(['chat']);
    for (const segment of [
      '%',
      '%2',
      '%zz',
      '%ff',
      '%c0%80',
      '%ed%a0%80',
      '%00',
      'chat%00',
      '%0a',
      '%1f',
    ]) {
      for (const method of ['GET', 'DELETE']) {
        const { status, body } = await api.ask(`${method} /v1/features/${segment}`);
        expect([segment, status, body.code]).toEqual([segment, 400, 'INVALID_REQUEST']);
      }
    }
    for (const query of [
      'subject_id=%ff',
      'subject_id=%',
      'subject_id=a&subject_id=b',
      'subject_id=',
    ]) {
      expect([query, await statusOf(api, `GET /v1/subject/flags?${query}`)]).toEqual([query, 400]);
    }
  });

  it('reaches nothing that is stored beside features by a name', async () => {
    const api = await start();
    await fill(api);
    const before = await api.rollout.contents();
    for (const stored of ['group\u001fchat', 'experiment\u001fchat', 'population\u001fall']) {
      const path = `/v1/features/${encodeURIComponent(stored)}`;
      for (const asked of [
        `GET ${path}`,
        `DELETE ${path}`,
        `POST ${path}/disable`,
        `GET ${path}/users`,
        `POST ${path}/undo`,
      ]) {
        const body = asked.endsWith('undo') ? {} : undefined;
        expect([asked, await statusOf(api, asked, { body })]).toEqual([asked, 400]);
      }
      expect(await statusOf(api, 'POST /v1/features', { body: { name: stored } })).toBe(400);
    }
    expect(await api.rollout.contents()).toBe(before);
  });

  it.each(['', ' ', 'a b', 'é', 'x'.repeat(201)])('takes no Idempotency-Key %j', async (key) => {
    const api = await start();
    const { status } = await api.ask('POST /v1/features/chat/disable', {
      headers: { 'idempotency-key': key },
    });
    expect(status).toBe(400);
    expect(await api.rollout.isEnabled('chat')).toBe(true);
  });
});

describe('resources', () => {
  const wrong = { token: 'wrong' };

  it('are not for guessing: ten failures a minute of an address, then 429 with Retry-After', async () => {
    const api = await start({ failuresPerMinute: 10 });
    const from = (address: string) => api.ask('GET /v1/features', { ...wrong, address });
    for (let n = 0; n < 10; n++) expect((await from('192.0.2.1')).status).toBe(401);
    const refused = await from('192.0.2.1');
    expect([refused.status, refused.body.code]).toEqual([429, 'TOO_MANY_REQUESTS']);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(6);
    expect((await from('192.0.2.2')).status).toBe(401);
    // To have none is no guess, and those who have one are not kept out.
    expect(
      await statusOf(api, 'GET /v1/features', { token: undefined, address: '192.0.2.1' }),
    ).toBe(401);
    expect(await statusOf(api, 'GET /v1/features', { address: '192.0.2.1' })).toBe(200);
  });

  it('count a network of IPv6 as one, and IPv4 as itself however it is written', async () => {
    const api = await start({ failuresPerMinute: 1 });
    const from = async (address: string) =>
      statusOf(api, 'GET /v1/features', { ...wrong, address });
    expect(await from('2001:db8:0:1::1')).toBe(401);
    expect(await from('2001:db8:0:1:ffff::2')).toBe(429);
    expect(await from('2001:DB8::1:0:0:0:3')).toBe(429);
    expect(await from('2001:db8:0:2::1')).toBe(401);
    expect(await from('::ffff:192.0.2.1')).toBe(401);
    expect(await from('192.0.2.1')).toBe(429);
    expect(await from('::ffff:192.0.2.2')).toBe(401);
    expect(await from('::1')).toBe(401);
  });

  it('are for sixty writes a minute of a caller', async () => {
    const { rollout, contract } = await start();
    const other = { token: 'x'.repeat(32), access: 'admin', actor: 'other' } as const;
    const handler = createHandler(rollout, { mode: 'admin', tokens: [...ALL_TOKENS, other] });
    const api = new Client(handler, contract, rollout);
    const write = (options: AskOptions = {}) => api.ask('POST /v1/features/chat/enable', options);
    for (let n = 0; n < 60; n++) expect((await write()).status).toBe(200);
    const refused = await write();
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
    expect((await write({ token: other.token })).status).toBe(200);
    expect(await statusOf(api, 'GET /v1/features')).toBe(200);
    expect(await statusOf(api, 'POST /v1/features/chat/decide', { body: {} })).toBe(200);
  });

  it('take in more again as time goes, and forget whom they have not seen for longest', () => {
    let now = 0;
    const limit = new RateLimit(2, () => now);
    expect([limit.take('a'), limit.take('a'), limit.take('a')]).toEqual([undefined, undefined, 30]);
    now += 29_999;
    expect(limit.take('a')).toBe(1);
    now += 1;
    expect([limit.take('a'), limit.take('a')]).toEqual([undefined, 30]);
    // So many others at once: of `a` nothing is known any more, of the last ones it is.
    for (let n = 0; n < 10_000; n++) limit.take(`other ${n}`);
    limit.take('other 9999');
    expect(limit.take('other 9999')).toBe(30);
    expect(limit.take('a')).toBeUndefined();
  });

  it('are counted by X-Forwarded-For where that is told, and else not', async () => {
    const statuses = async (proxies: number, forwarded: string[]) => {
      const api = await start({ proxies, failuresPerMinute: 1 });
      const asked: number[] = [];
      for (const each of forwarded) {
        const headers = { 'x-forwarded-for': each, 'x-real-ip': each, forwarded: `for=${each}` };
        asked.push(
          await statusOf(api, 'GET /v1/features', { ...wrong, address: '10.0.0.1', headers }),
        );
      }
      return asked;
    };
    expect(await statuses(0, ['192.0.2.1', '192.0.2.2'])).toEqual([401, 429]);
    expect(await statuses(1, ['192.0.2.1', '192.0.2.2'])).toEqual([401, 401]);
    // A port is another for each connection.
    expect(await statuses(1, ['192.0.2.1:4001', '192.0.2.1:4002'])).toEqual([401, 429]);
    expect(await statuses(1, ['[2001:db8::1]:4001', '2001:db8::2'])).toEqual([401, 429]);
    // What the client says itself stands before what the proxies have seen.
    expect(await statuses(1, ['1.1.1.1, 192.0.2.1', '2.2.2.2, 192.0.2.1'])).toEqual([401, 429]);
    expect(
      await statuses(2, ['1.1.1.1, 192.0.2.1, 10.1.1.1', '2.2.2.2, 192.0.2.1, 10.1.1.2']),
    ).toEqual([401, 429]);
    // Too few of them: it came past a proxy.
    expect(await statuses(2, ['192.0.2.1', '192.0.2.2'])).toEqual([401, 429]);
  });
});

describe('the output', () => {
  it('says of what went wrong here no more than that', async () => {
    const told: Error[] = [];
    const backend = new MemoryBackend();
    const cause = new Error("WRONGPASS at redis://user:secret@db:6379 in /srv/app.js ['ann']");
    backend.loadAll = () => Promise.reject(cause);
    const api = await clientOf({ onError: (error) => told.push(error as Error) }, backend);
    running.push(api);
    const { status, text } = await api.ask('GET /v1/features');
    expect(status).toBe(500);
    expect(JSON.parse(text)).toEqual({
      type: 'about:blank',
      title: 'Internal Server Error',
      status: 500,
      detail: 'Something went wrong here.',
      code: 'INTERNAL',
    });
    expect(told).toEqual([cause]);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('second');
      },
    ],
    ['rejects', () => Promise.reject(new Error('second'))],
  ])('goes on where what is told of errors %s', async (_, onError) => {
    const authorize = () => {
      throw new Error('first');
    };
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    try {
      const api = await start({ authorize, onError });
      expect(await statusOf(api, 'GET /v1/features', { token: undefined })).toBe(500);
      await new Promise(setImmediate);
      expect(unhandled).not.toHaveBeenCalled();
    } finally {
      process.off('unhandledRejection', unhandled);
    }
  });

  it('tells of a store that is lost no empty list of flags', async () => {
    const server = await RedisServer.start();
    const client = new Redis(server.port, { retryStrategy: () => null });
    client.on('error', () => {});
    try {
      const api = await clientOf({}, new RedisBackend(client, { operationTimeoutMs: 200 }));
      running.push(api);
      await api.rollout.addFeature('chat');
      await server.kill();
      expect(await statusOf(api, 'GET /v1/subject/flags?subject_id=ann')).toBe(503);
    } finally {
      client.disconnect();
      await server.stop();
    }
  });

  it('is soon, a 503 of fixed codes, and without a word of Redis, where that is gone', async () => {
    const told: unknown[] = [];
    const port = await freePort();
    const client = new Redis(`redis://user:hunter2@127.0.0.1:${port}`, { lazyConnect: true });
    client.on('error', () => {});
    const api = await clientOf(
      { onError: (error) => told.push(error) },
      new RedisBackend(client, { operationTimeoutMs: 200 }),
    );
    running.push(api);
    const asked: [string, object?][] = [
      ['GET /v1/features'],
      ['GET /v1/features/chat'],
      ['GET /v1/features/chat/users'],
      ['GET /v1/subject/flags?subject_id=ann'],
      ['GET /v1/log'],
      ['GET /v1/export'],
      ['POST /v1/features/chat/explain', {}],
      ['POST /v1/features/chat/enable'],
      ['POST /v1/features', { name: 'new' }],
      ['POST /v1/features/chat/users', { users: ['ann'] }],
      ['POST /v1/features/chat/undo', {}],
    ];
    const begun = Date.now();
    for (const [each, body] of asked) {
      const answer = await api.ask(each, { body });
      expect([each, answer.status, answer.headers.get('retry-after')]).toEqual([each, 503, '1']);
      expect(answer.body.code).toMatch(/^STORE_|^NOT_APPLIED$/);
      expect(answer.text).not.toMatch(/redis|ECONN|127\.0|hunter2|ann|\bat \//i);
    }
    const decided = await api.ask('POST /v1/features/chat/decide', { body: {} });
    expect([decided.status, decided.body.enabled, decided.body.code]).toEqual([
      200,
      false,
      'STORE_UNAVAILABLE',
    ]);
    const health = await api.ask('GET /health', { token: undefined });
    expect([health.status, health.body.state]).toEqual([503, expect.not.stringMatching(/^ready$/)]);
    expect(Date.now() - begun).toBeLessThan(4_000);
    expect(told).toEqual([]);
    client.disconnect();
  });

  it('shows of the store without a credential its state and age alone', async () => {
    const api = await start();
    const { body } = await api.ask('GET /health', { token: undefined });
    expect(new Set(Object.keys(body))).toEqual(new Set(['ageMs', 'state']));
  });

  it('reveals of what is evaluated no rule, where the credential is for that', async () => {
    const api = await start();
    await fill(api);
    const { text } = await api.ask('GET /v1/subject/flags?subject_id=bob', {
      token: TOKENS.evaluate,
    });
    expect(Object.keys(JSON.parse(text))).toEqual(['chat']);
    for (const { asked, operationId, body } of everyOperation(api.contract)) {
      if (EVALUATING.has(operationId)) continue;
      const status = await statusOf(api, asked, {
        token: TOKENS.evaluate,
        body: WRITES[operationId] ?? body,
      });
      expect([asked, status]).toEqual([asked, 403]);
    }
  });

  it('is for one alone, and is guessed to be nothing else', async () => {
    const api = await start();
    await fill(api);
    for (const { asked, operationId, body } of everyOperation(api.contract)) {
      const { headers } = await api.ask(asked, { body: WRITES[operationId] ?? body });
      expect([asked, headers.get('cache-control')]).toEqual([
        asked,
        expect.stringMatching(/^no-store(, no-transform)?$|^private, no-cache$/),
      ]);
      expect([asked, headers.get('x-content-type-options')]).toEqual([asked, 'nosniff']);
    }
  });

  it('prints nothing to the console', async () => {
    const levels = ['log', 'info', 'warn', 'error', 'debug'] as const;
    const printed = levels.map((level) => jest.spyOn(console, level).mockImplementation(() => {}));
    try {
      const api = await start({ authorize: () => Promise.reject(new Error('down')) });
      await api.ask('GET /v1/features', { token: 'a\u00e9' });
      await api.ask('GET /v1/features/%ff');
      expect(printed.flatMap(({ mock }) => mock.calls)).toEqual([]);
    } finally {
      for (const each of printed) each.mockRestore();
    }
  });
});
