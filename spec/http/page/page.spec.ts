import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Source } from '../../../lib/backends/backend.js';
import { MemoryBackend } from '../../../lib/backends/memory.js';
import { HanoiError } from '../../../lib/errors.js';
import { createHandler } from '../../../lib/http/index.js';
import { until } from '../../until.js';
import { ADMIN, EVALUATE, given, HOST, OTHER, READ, TOKENS, Visitor } from './visitor.js';

describe('the page, for those who have not signed in', () => {
  it.each([
    ['/', '/sign-in'],
    ['/changes', '/sign-in?next=%2Fchanges'],
    ['/feature?name=a%2Fb', '/sign-in?next=%2Ffeature%3Fname%3Da%252Fb'],
  ])('leads from %s to where they can', async (path, location) => {
    const { visitor } = given();
    const response = await visitor.get(path);
    expect([response.status, response.headers.get('location')]).toEqual([303, location]);
  });

  it.each([
    ['//evil.example', '/'],
    ['https://evil.example', '/'],
    ['/\\evil.example', '/'],
    ['/changes', '/changes'],
  ])('goes from there to %s only if it is here', async (next, location) => {
    const { visitor } = given();
    await visitor.get(`/sign-in?next=${encodeURIComponent(next)}`);
    const response = await visitor.post('/sign-in', { secret: ADMIN, next });
    expect(response.headers.get('location')).toBe(location);
  });

  it('gives a cookie that scripts, other sites and plain connections do not get', async () => {
    const { handler } = given();
    for (const [host, secure] of [
      [HOST, '; Secure'],
      ['localhost:4200', ''],
      ['127.0.0.1:4200', ''],
      ['[::1]:4200', ''],
      ['127.0.0.1.evil.example', '; Secure'],
    ] as const) {
      const visitor = new Visitor(handler, host);
      await visitor.get('/sign-in');
      const response = await visitor.post('/sign-in', { secret: ADMIN, next: '/' });
      const [session = ''] = response.headers.getSetCookie();
      expect(session.replace(/=[^;]+/, '=…')).toBe(
        `hanoi_session=…; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict${secure}`,
      );
      expect(session).not.toContain(ADMIN);
    }
  });

  it('gives a cookie of no more attributes under a mount whose path others choose', async () => {
    const { rollout, handler } = given();
    const app = express().use('/:team/flags', handler.node);
    const server = createServer(app);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const response = await fetch(`http://127.0.0.1:${port}/a;Domain=example.com;/flags/sign-in`);
      const [cookie = ''] = response.headers.getSetCookie();
      expect(cookie).toMatch(/; Path=\/a%3BDomain=example\.com%3B\/flags; Max-Age=/);
    } finally {
      await new Promise((resolve) => server.close(resolve));
      handler.close();
      await rollout.close();
    }
  });

  it('goes on from here by a link of another site, and replaces no cookie', async () => {
    const { visitor } = given();
    const elsewhere = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' };
    const response = await visitor.get('/feature?name=%22%3E', elsewhere);
    expect([response.status, response.headers.get('refresh'), visitor.cookies.size]).toEqual([
      200,
      '0; url=/feature?name=%22%3E',
      0,
    ]);
    expect((await visitor.get('/feature?name=%22%3E')).status).toBe(303);
  });

  it('offers to sign in only where a token can be', async () => {
    const { visitor } = given({ authorize: () => undefined, tokens: [] });
    expect((await visitor.get('/')).status).toBe(401);
    expect(visitor.text).not.toContain('/sign-in');
  });

  it('refuses tokens by the dozen, for a while', async () => {
    const { visitor } = given({ failuresPerMinute: 3 });
    await visitor.get('/sign-in');
    const statuses: number[] = [];
    let last: Response | undefined;
    for (let attempt = 0; attempt < 5; attempt++) {
      last = await visitor.post('/sign-in', { secret: `${ADMIN}${attempt}`, next: '/' });
      statuses.push(last.status);
    }
    expect(statuses).toEqual([401, 401, 401, 429, 429]);
    expect(Number(last?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(visitor.text).not.toContain(ADMIN);
  });

  it('ends the session with the token that began it, though another is for the same', async () => {
    const { visitor, rollout } = given({
      tokens: [
        { token: OTHER, access: 'admin', actor: 'ann' },
        { token: ADMIN, access: 'admin', actor: 'ann' },
      ],
    });
    await visitor.signIn(ADMIN);
    const left = { token: OTHER, access: 'admin', actor: 'ann' } as const;
    visitor.at(createHandler(rollout, { mode: 'admin', tokens: [left] }));
    expect((await visitor.get('/')).status).toBe(303);
  });

  it('refuses a token that may only evaluate', async () => {
    const { visitor } = given();
    await visitor.get('/sign-in');
    const { status } = await visitor.post('/sign-in', { secret: EVALUATE, next: '/' });
    expect([status, visitor.cookies.has('hanoi_session')]).toEqual([403, false]);
  });

  it('is there without signing in, where the app knows who asks, or everybody may read', async () => {
    const authorize = () => ({ access: 'admin', actor: 'app' }) as const;
    for (const options of [{ authorize, tokens: [] }, { anonymous: 'read' }] as const) {
      const { visitor, rollout } = given(options);
      await rollout.addFeature('chat');
      expect((await visitor.get('/feature?name=chat')).status).toBe(200);
      expect(visitor.text).not.toContain('Sign out');
      const { status } = await visitor.post('/feature?name=chat', { do: 'disable' });
      expect(status).toBe('authorize' in options ? 303 : 401);
      expect((await rollout.history('chat'))[0]?.actor).toBe(
        'authorize' in options ? 'app' : undefined,
      );
    }
  });
});

describe('a form of the page', () => {
  const forms: readonly (readonly [
    string,
    Record<string, string>,
    Record<string, string>,
    number,
  ])[] = [
    ['as it is sent', {}, {}, 303],
    ['without what the page carries', { form: '' }, {}, 403],
    ['with what another page carries', { form: 'x'.repeat(43) }, {}, 403],
    ['of another origin', {}, { origin: 'https://evil.example' }, 403],
    ['of no origin that is told', {}, { origin: 'null' }, 403],
    ['of another site', {}, { 'sec-fetch-site': 'cross-site' }, 403],
    ['of a neighbour', {}, { 'sec-fetch-site': 'same-site' }, 403],
    ['as JSON', {}, { 'content-type': 'application/json' }, 415],
    ['as text', {}, { 'content-type': 'text/plain' }, 415],
    ['that is too large', { note: 'x'.repeat(70_000) }, {}, 413],
    ['with a field that it has not', { enabled: 'true' }, {}, 400],
    ['that says nothing', { do: '' }, {}, 400],
    ['that asks for what an object has', { do: 'constructor' }, {}, 400],
    ['of another state', { revision: '7' }, {}, 409],
    ['of no state', { revision: 'x' }, {}, 400],
    ['of another feature of that name', { id: 'x' }, {}, 409],
  ];

  it.each(forms)('%s', async (_, fields, headers, expected) => {
    const { visitor, rollout } = given();
    await rollout.addFeature('chat');
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    const { status } = await visitor.post(
      '/feature?name=chat',
      { do: 'disable', ...fields },
      headers,
    );
    expect(status).toBe(expected);
    expect((await rollout.get('chat'))?.enabled).toBe(expected !== 303);
  });

  it.each(['0x10', '1e1', '1_0', 'Infinity', '', '1.2.3'])(
    'takes no percentage %j',
    async (percentage) => {
      const { visitor, rollout } = given();
      await rollout.addFeature('chat', { percentage: 7 });
      await visitor.signIn(ADMIN);
      await visitor.get('/feature?name=chat');
      const fields = { do: 'percentage', percentage };
      expect((await visitor.post('/feature?name=chat', fields)).status).toBe(400);
      expect((await rollout.get('chat'))?.percentage).toBe(7);
    },
  );

  it('is not taken twice with one field', async () => {
    const { visitor, rollout, handler } = given();
    await rollout.addFeature('chat');
    await visitor.signIn(ADMIN);
    const cookie = [...visitor.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await handler.fetch(
      new Request(`http://${HOST}/feature?name=chat`, {
        method: 'POST',
        headers: { cookie, 'content-type': 'application/x-www-form-urlencoded' },
        body: 'do=disable&do=enable',
      }),
    );
    expect(response.status).toBe(400);
  });

  it('is of the one to whom the page was given', async () => {
    const { visitor, rollout } = given();
    await rollout.addFeature('chat');
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    const page = visitor.text;
    visitor.cookies.delete('hanoi_session');
    await visitor.signIn(OTHER);
    visitor.text = page;
    const { status } = await visitor.post('/feature?name=chat', { do: 'disable' });
    expect(status).toBe(403);
  });

  it('is known in every process', async () => {
    const backend = new MemoryBackend();
    const { visitor, rollout } = given({}, backend);
    await rollout.addFeature('chat');
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    const other = createHandler(rollout, { mode: 'admin', tokens: TOKENS });
    const { status } = await visitor.at(other).post('/feature?name=chat', { do: 'disable' });
    expect(status).toBe(303);
  });

  it('writes once, however often it is sent', async () => {
    const { visitor, rollout } = given();
    await rollout.addFeature('chat');
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    const page = visitor.text;
    for (let times = 0; times < 3; times++) {
      visitor.text = page;
      const { status } = await visitor.post('/feature?name=chat', { do: 'disable', note: 'x' });
      expect(status).toBe(303);
    }
    expect(await rollout.history('chat')).toHaveLength(2);
  });

  it('can be sent again where nobody knows whether it was written', async () => {
    class Torn extends MemoryBackend {
      isTorn: boolean = false;

      override async write(...args: Parameters<MemoryBackend['write']>) {
        const written = await super.write(...args);
        if (!this.isTorn) return written;
        this.isTorn = false;
        throw new HanoiError('OUTCOME_UNKNOWN', 'The reply was cut.', { requestId: 'x' });
      }
    }
    const backend = new Torn();
    const { visitor, rollout } = given({}, backend);
    await rollout.addFeature('chat');
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    backend.isTorn = true;
    const fields = { do: 'disable', note: 'Errors' };
    const { status } = await visitor.post('/feature?name=chat', fields);
    expect(status).toBe(503);
    expect(visitor.text).toContain('To send it again is safe');
    expect((await visitor.post('/feature?name=chat', fields)).status).toBe(303);
    expect((await rollout.history('chat')).map(({ kind }) => kind)).toEqual(['updated', 'created']);
  });

  it.each<Record<string, string>>([
    { do: 'disable' },
    { do: 'ramp', to: '100', over: '14d' },
    { do: 'pause' },
    { do: 'rule-save', json: '{"id":"pro","when":{"group":"pro"},"serve":"on"}' },
    { do: 'rule-up', rule: 'second' },
    { do: 'override-set', group: 'vip', serve: 'on' },
    { do: 'register', ids: 'cid' },
    { do: 'undo' },
  ])('is taken for the one write that it was, sent once more: %o', async (fields) => {
    const { visitor, rollout } = given();
    const rule = (id: string) => ({ id, when: { users: ['1'] }, serve: 'on' }) as const;
    await rollout.addFeature('chat', { rules: [rule('first'), rule('second')] });
    await rollout.ramp('chat', { to: 50, over: '1d' });
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    const page = visitor.text;
    const [last] = await rollout.history('chat');
    const change = fields.do === 'undo' ? { change: last?.id ?? '' } : {};
    expect((await visitor.post('/feature?name=chat', { ...fields, ...change })).status).toBe(303);
    const [written] = await rollout.history('chat');
    expect(written?.id).not.toBe(last?.id);
    visitor.text = page;
    expect((await visitor.post('/feature?name=chat', { ...fields, ...change })).status).toBe(303);
    expect((await rollout.history('chat'))[0]?.id).toBe(written?.id);
  });

  it.each([
    ['reads', READ, 'admin', 403],
    ['steers, in read-only mode', ADMIN, 'read-only', 403],
  ] as const)('changes nothing for one who %s', async (_, token, mode, expected) => {
    const { visitor, rollout } = given({ mode });
    await rollout.addFeature('chat');
    await visitor.signIn(token);
    await visitor.get('/feature?name=chat');
    expect(visitor.text).not.toContain('Turn off');
    for (const path of ['/feature?name=chat', '/add']) {
      const { status } = await visitor.post(path, { do: 'disable', name: 'new' });
      expect(status).toBe(expected);
    }
    expect((await rollout.log()).length).toBe(1);
  });

  it('lets in no user where what it shows has changed', async () => {
    const { visitor, rollout } = given();
    await rollout.addFeature('chat');
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    await rollout.as('bea').setPercentage('chat', 3);
    const { status } = await visitor.post('/feature?name=chat', { do: 'register', ids: 'cid' });
    expect(status).toBe(409);
    expect(visitor.text).toMatch(/<bdi>bea<\/bdi>.*changed it.*\ncid<\/textarea>/s);
    expect(await rollout.countMembers('chat')).toBe(0);
    expect((await visitor.post('/feature?name=chat', { do: 'register', ids: 'cid' })).status).toBe(
      303,
    );
    expect(await rollout.countMembers('chat')).toBe(1);
  });

  it.each([true, false])(
    'is taken behind a body parser of Express (extended: %s)',
    async (extended) => {
      const { rollout, handler } = given();
      await rollout.addFeature('a/b & c', { variants: ['x'] });
      const app = express();
      app.use(express.json(), express.urlencoded({ extended }));
      app.use('/flags', handler.node);
      const server = createServer(app);
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      try {
        const { port } = server.address() as AddressInfo;
        const url = `http://127.0.0.1:${port}/flags/feature?name=${encodeURIComponent('a/b & c')}`;
        const headers = { authorization: `Bearer ${ADMIN}` };
        const page = await fetch(url, { headers });
        const text = await page.text();
        expect(text).toContain('src="/flags/assets/page.js?v=');
        const [cookie = ''] = page.headers.getSetCookie().map((each) => each.split(';')[0]);
        const hidden = ['form', 'nonce', 'id', 'revision'].map(
          (name) =>
            [name, new RegExp(`name="${name}" value="([^"]*)"`).exec(text)?.[1] ?? ''] as const,
        );
        const rest = { do: 'data', json: '{"a": "ü&=+%\\n[b]"}', note: 'two\nlines' };
        const response = await fetch(url, {
          method: 'POST',
          headers: { ...headers, cookie },
          body: new URLSearchParams({ ...Object.fromEntries(hidden), ...rest }),
          redirect: 'manual',
        });
        expect(response.status).toBe(303);
        expect((await rollout.get('a/b & c'))?.data).toEqual({ a: 'ü&=+%\n[b]' });
      } finally {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }
    },
  );

  it('reaches no document that is stored beside the features', async () => {
    const { visitor, rollout } = given();
    await rollout.addToGroup('friends', 'ann');
    await visitor.signIn(ADMIN);
    for (const name of ['group%1Ffriends', '', '%00']) {
      expect((await visitor.get(`/feature?name=${name}`)).status).toBe(400);
    }
    expect((await visitor.get('/feature')).status).toBe(400);
  });

  it('takes patterns as the API takes them', async () => {
    const { visitor, rollout } = given();
    await rollout.addFeature('chat');
    await visitor.signIn(ADMIN);
    const long = 'a'.repeat(257);
    const rule = JSON.stringify({
      id: 'r',
      when: { not: { matches: { source: long } } },
      serve: 'on',
    });
    for (const fields of [
      { do: 'pattern-add', source: long },
      { do: 'rule-save', rule: '', json: rule },
    ]) {
      await visitor.get('/feature?name=chat');
      const { status } = await visitor.post('/feature?name=chat', fields);
      expect(status).toBe(400);
      expect(visitor.text).toContain('at most 256 characters');
    }
  });

  it.each([
    ['nothing', ''],
    ['a list', '[1,2]'],
    ['text', '"x"'],
    ['half of it', '{"a":'],
    ['what nests too deep', '['.repeat(5_000)],
    ['__proto__', '{"__proto__":1}'],
    ['a field twice', '{"a":1,"a":2}'],
  ])('answers to data that are %s with what is wrong', async (_, json) => {
    const { visitor, rollout } = given();
    await rollout.addFeature('chat', { data: { owner: 'x' } });
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    const { status } = await visitor.post('/feature?name=chat', { do: 'data', json });
    expect([400, 422]).toContain(status);
    expect(visitor.text).toContain('aria-invalid="true"');
    expect((await rollout.get('chat'))?.data).toEqual({ owner: 'x' });
  });
});

describe('each page', () => {
  it('says under which policy it is, and is kept nowhere', async () => {
    const { visitor, rollout } = given();
    await rollout.addFeature('chat');
    await visitor.signIn(ADMIN);
    for (const path of [
      '/',
      '/changes',
      '/add',
      '/feature?name=chat',
      '/feature?name=none',
      '/feature',
    ]) {
      const { headers } = await visitor.get(path);
      expect(Object.fromEntries(headers)).toMatchObject({
        'content-security-policy': expect.stringMatching(
          /^default-src 'none'; script-src 'self'; style-src 'self'; .*frame-ancestors 'none'$/,
        ),
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'same-origin',
        'cache-control': 'no-store',
      });
      expect(visitor.text).not.toMatch(/ style=|<style| on\w+=|<script>/);
    }
  });

  it('stays under its base', async () => {
    const { rollout, handler } = given({ basePath: '/flags' });
    await rollout.addFeature('chat');
    const visitor = new Visitor(handler);
    await visitor.get('/flags/sign-in');
    const response = await visitor.post('/flags/sign-in', { secret: ADMIN, next: '/' });
    expect(response.headers.get('location')).toBe('/flags/');
    expect(response.headers.getSetCookie()[0]).toContain('; Path=/flags;');
    await visitor.get('/flags/feature?name=chat');
    const links = Array.from(
      visitor.text.matchAll(/(?:href|src|action)="([^"]*)"/g),
      ([, to]) => to,
    );
    expect(links.length).toBeGreaterThan(20);
    expect(links.filter((to) => !/^(\/flags\/|#)/.test(to ?? ''))).toEqual([]);
  });

  it('says that the store does not answer', async () => {
    const { visitor, rollout } = given();
    await visitor.signIn(ADMIN);
    await rollout.close();
    const { status } = await visitor.get('/');
    expect(status).toBe(503);
    expect(visitor.text).toContain('The store does not answer');
  });

  it('marks what is left over, for which the first list does not wait', async () => {
    const { visitor, rollout } = given();
    await rollout.addFeature('old', { data: { expiresAt: '2020-01-01' } });
    await rollout.addFeature('new', { data: { expiresAt: '2999-01-01' } });
    await visitor.get('/', { authorization: `Bearer ${READ}` });
    expect(visitor.text).toContain('being looked up');
    await until(async () => {
      await visitor.get('/?state=left', { authorization: `Bearer ${READ}` });
      return /1 of 2 features/.test(visitor.text);
    });
    expect(visitor.text.match(/Left over: .*?</g)).toEqual(['Left over: past its expiry for <']);
  });

  it('keeps a subject that can not be read, and says what is wrong', async () => {
    const { visitor, rollout } = given();
    await rollout.addFeature('chat');
    await visitor.signIn(READ);
    await visitor.get('/feature?name=chat');
    const { status } = await visitor.post('/feature/why?name=chat', { subject: '{\n"id" 1}' });
    expect(status).toBe(400);
    expect(visitor.text).toContain('It is not JSON: see line 2.');
    expect(visitor.text).toMatch(/aria-invalid="true"[^>]*>\n{\r?\n&quot;id&quot; 1}<\/textarea>/);
  });

  it('warns of an experiment whose counts can not be by chance', async () => {
    const { visitor, rollout } = given();
    await rollout.addFeature('button', { variants: ['blue', 'green'] });
    const arms = (proportion: number) => [
      { name: 'a', proportion, features: { button: 'blue' } },
      { name: 'b', proportion: 1 - proportion, features: { button: 'green' } },
    ];
    await rollout.addExperiment('colour', {
      from: new Date(Date.now() - 1_000),
      until: new Date(Date.now() + 1e9),
      arms: arms(0.5),
    });
    for (let user = 0; user < 100; user++) await rollout.use('button', `user-${user}`);
    await visitor.signIn(READ);
    await visitor.get('/feature?name=button');
    expect(visitor.text).toContain('The counts fit to the proportions');
    await rollout.updateExperiment('colour', { arms: arms(0.9) });
    await visitor.get('/feature?name=button');
    expect(visitor.text).toContain('Do not trust its result.');
  });

  it('previews over members and over the population', async () => {
    const { visitor, rollout } = given();
    await rollout.population.increaseBuckets(4);
    await rollout.population.register(['1', '2', '3', '4', '5', '6', '7', '8']);
    await rollout.addFeature('chat', { bucketing: 'population', variants: ['x'] });
    await rollout.register('chat', ['7', '8', '9']);
    await visitor.signIn(READ);
    await visitor.get('/feature?name=chat');
    const fields = { do: 'percentage', percentage: '100' };
    await visitor.post('/feature/preview?name=chat', { ...fields, over: '' });
    expect(visitor.text).toContain('Of all 8 subjects of the population.');
    // Two of them are let in by name already.
    expect(visitor.text).toMatch(/Gain it<\/th><td class="number">6</);
    await visitor.get('/feature?name=chat');
    await visitor.post('/feature/preview?name=chat', { ...fields, over: 'members' });
    expect(visitor.text).toContain('Of all 3 users by name');
    expect(visitor.text).toMatch(/Stay as they are<\/th><td class="number">3</);
  });
});

describe('the assets', () => {
  it.each([
    ['page.css', 'text/css; charset=utf-8'],
    ['docs.css', 'text/css; charset=utf-8'],
    ['page.js', 'text/javascript; charset=utf-8'],
    ['icon.svg', 'image/svg+xml'],
  ])('%s is known again by its content', async (name, type) => {
    const { visitor } = given();
    const response = await visitor.get(`/assets/${name}`);
    const { headers } = response;
    const etag = headers.get('etag') ?? '';
    expect([response.status, headers.get('content-type'), headers.get('cache-control')]).toEqual([
      200,
      type,
      'no-cache',
    ]);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect((await visitor.get(`/assets/${name}`, { 'if-none-match': etag })).status).toBe(304);
    const hashed = await visitor.get(`/assets/${name}?v=${etag.replaceAll('"', '')}`);
    expect(hashed.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    const stale = await visitor.get(`/assets/${name}?v=old`);
    expect(stale.headers.get('cache-control')).toBe('no-cache');
  });

  it('are no others', async () => {
    const { visitor } = given();
    for (const name of ['base.css', 'folder.cts', '..%2Fassets.ts', 'constructor', '__proto__']) {
      expect((await visitor.get(`/assets/${name}`)).status).toBe(404);
    }
  });

  it('are less than 10 kB of script', async () => {
    const { visitor } = given();
    const script = await (await visitor.get('/assets/page.js')).arrayBuffer();
    expect(script.byteLength).toBeLessThan(10_240);
  });
});

describe('the stream of changes', () => {
  const LIMIT = 100;

  it('names what changes, to those who may read, until it is closed', async () => {
    const { visitor, rollout, handler } = given();
    expect((await visitor.get('/events')).status).toBe(401);
    await visitor.signIn(READ);
    const response = await visitor.get('/events');
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const read = async () => new TextDecoder().decode((await reader.read()).value);
    expect(await read()).toMatch(/^retry: \d+\n/);
    await rollout.addFeature('chat\u2028"', { data: { secret: 'x' } });
    expect(await read()).toBe(
      `event: change\ndata: ${JSON.stringify({ of: 'feature', name: 'chat\u2028"', kind: 'created', revision: 1 })}\n\n`,
    );
    handler.close();
    expect((await reader.read()).done).toBe(true);
    expect((await visitor.get('/events')).status).toBe(503);
  });

  it('ends after a quarter of an hour, so that the browser is asked anew who it is', async () => {
    const { visitor, handler } = given();
    await visitor.signIn(READ);
    jest.useFakeTimers();
    try {
      const { body } = await visitor.get('/events');
      let isOver = false;
      const reading = (async () => {
        for await (const _ of body as unknown as AsyncIterable<Uint8Array>);
        isOver = true;
      })();
      await jest.advanceTimersByTimeAsync(14 * 60_000);
      expect(isOver).toBe(false);
      await jest.advanceTimersByTimeAsync(2 * 60_000);
      expect(isOver).toBe(true);
      await reading;
    } finally {
      jest.useRealTimers();
      handler.close();
    }
  });

  it('is not kept open for who asks for its headers alone', async () => {
    const { visitor, handler } = given();
    const ask = (method: string) =>
      handler.fetch(
        new Request(`http://${HOST}/events`, { method, headers: { 'x-api-key': READ } }),
      );
    try {
      for (let times = 0; times < LIMIT; times++) expect((await ask('HEAD')).status).toBe(200);
      await visitor.signIn(READ);
      expect((await visitor.get('/events')).status).toBe(200);
    } finally {
      handler.close();
    }
  });

  it('is open to so many, and to others again when one goes', async () => {
    const { visitor, handler } = given();
    await visitor.signIn(READ);
    try {
      const open = await Promise.all(Array.from({ length: LIMIT }, () => visitor.get('/events')));
      expect(new Set(open.map(({ status }) => status))).toEqual(new Set([200]));
      expect((await visitor.get('/events')).status).toBe(429);
      await open[0]?.body?.cancel();
      expect((await visitor.get('/events')).status).toBe(200);
    } finally {
      handler.close();
    }
  });

  it('tells one that does not read, and one whose store was away, that something was missed', async () => {
    const backend = new MemoryBackend();
    const source: Source = backend;
    const subscribe = source.subscribe.bind(source);
    let loseTouch = () => {};
    source.subscribe = (listener) => {
      loseTouch = () => listener(undefined);
      return subscribe(listener);
    };
    const { visitor, rollout, handler } = given({}, backend);
    await visitor.signIn(READ);
    const { body } = await visitor.get('/events');
    for (let write = 0; write < 120; write++) await rollout.addFeature(`feature-${write}`);
    const reader = (body as ReadableStream<Uint8Array>).getReader();
    const read = async () => new TextDecoder().decode((await reader.read()).value);
    const missed = 'event: missed\ndata: {}\n\n';
    expect([await read(), await read()]).toEqual(['retry: 2000\n\n', missed]);
    const next = read();
    loseTouch();
    expect(await next).toBe(missed);
    handler.close();
    expect((await reader.read()).done).toBe(true);
  });

  it('forgets one that has gone', async () => {
    const { visitor, handler } = given();
    await visitor.signIn(READ);
    const server = createServer(handler.node);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const headers = { authorization: `Bearer ${READ}` };
      const streams = Array.from({ length: LIMIT }, async () => {
        const abort = new AbortController();
        const url = `http://127.0.0.1:${port}/events`;
        const { status } = await fetch(url, { headers, signal: abort.signal });
        return { abort, status };
      });
      const opened = await Promise.all(streams);
      expect(opened.filter(({ status }) => status !== 200)).toEqual([]);
      for (const { abort } of opened) abort.abort();
      let status = 0;
      for (let attempt = 0; attempt < 100 && status !== 200; attempt++) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        ({ status } = await visitor.get('/events'));
      }
      expect(status).toBe(200);
    } finally {
      handler.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
