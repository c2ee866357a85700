import { execFileSync } from 'node:child_process';
import { HanoiError, MemoryBackend } from '../../lib/index.js';
import { type Client, clientOf, TOKENS } from './client.js';

let api: Client;
/** Of all clients of this file: which operations have answered. */
const seen = new Set<string>();

beforeEach(async () => {
  api = await clientOf();
});
afterEach(async () => {
  for (const each of api.contract.seen) seen.add(each);
  await api.rollout.close();
});

const etagOf = (reply: { headers: Headers }) => reply.headers.get('etag') ?? 'none';

describe('features', () => {
  it('are added, read, changed, replaced and removed', async () => {
    const added = await api.ask('POST /v1/features', {
      body: { name: 'chat', percentage: 12.5, variants: ['a', { name: 'b', weight: 3 }] },
    });
    expect(added.status).toBe(201);
    expect(added.headers.get('location')).toBe('features/chat');
    expect(added.body).toMatchObject({ name: 'chat', percentage: 12.5, revision: 1 });

    const read = await api.ask('GET /v1/features/chat');
    expect([read.status, read.body]).toEqual([200, added.body]);
    expect(etagOf(read)).toBe(etagOf(added));

    const patched = await api.ask('PATCH /v1/features/chat', {
      body: { percentage: 50, subjectKey: 'account', defaultVariant: 'a' },
    });
    expect(patched.body).toMatchObject({
      percentage: 50,
      subjectKey: 'account',
      variants: [{}, {}],
    });
    const cleared = await api.ask('PATCH /v1/features/chat', {
      body: { subjectKey: null, defaultVariant: null },
    });
    expect(cleared.body).not.toHaveProperty('subjectKey');
    expect(cleared.body).not.toHaveProperty('defaultVariant');

    const replaced = await api.ask('PUT /v1/features/chat', { body: { groups: ['staff'] } });
    expect(replaced.body).toMatchObject({ percentage: 0, groups: ['staff'], variants: [] });

    expect((await api.ask('DELETE /v1/features/chat')).status).toBe(204);
    expect((await api.ask('GET /v1/features/chat')).body.code).toBe('FEATURE_NOT_FOUND');
    expect((await api.ask('DELETE /v1/features/chat')).status).toBe(404);
  });

  it('are listed a page at a time, by the beginning of their names', async () => {
    for (const name of ['b-1', 'a-2', 'a-1', 'a-3']) await api.rollout.addFeature(name);
    const names = async (query: string) => {
      const { body } = await api.ask(`GET /v1/features${query}`);
      return [body.features.map(({ name }: { name: string }) => name), body.next];
    };
    expect(await names('')).toEqual([['a-1', 'a-2', 'a-3', 'b-1'], undefined]);
    expect(await names('?limit=3')).toEqual([['a-1', 'a-2', 'a-3'], 'a-3']);
    expect(await names('?limit=3&after=a-3')).toEqual([['b-1'], undefined]);
    expect(await names('?prefix=a&limit=3')).toEqual([['a-1', 'a-2', 'a-3'], undefined]);
  });

  it('are listed apart where they can not be read, and count in a page', async () => {
    const contents = JSON.stringify({
      features: {
        ...{ 'a-1': {}, 'a-2': { percentage: 'secret-id' }, 'a-3': {}, 'b-1': { rules: 7 } },
        'group\u001ffriends': { subjectKey: 7 },
      },
    });
    const { ask } = await clientOf({}, new MemoryBackend({ contents })).then((client) => ({
      ask: async (query: string) => (await client.ask(`GET /v1/features${query}`)).body,
    }));
    const names = (all: { name: string }[]) => all.map(({ name }) => name);
    const { features, unreadable, next } = await ask('?limit=2');
    expect([names(features), next]).toEqual([['a-1'], 'a-2']);
    expect(unreadable).toEqual([
      {
        name: 'a-2',
        code: 'CORRUPT_FEATURE',
        detail: expect.stringMatching(/^features\.a-2\.percentage: /),
        path: 'features.a-2.percentage',
      },
    ]);
    expect(JSON.stringify(unreadable)).not.toContain('secret-id');
    const rest = await ask('?limit=2&after=a-2');
    expect([names(rest.features), names(rest.unreadable)]).toEqual([['a-3'], ['b-1']]);
    expect(rest.next).toBeUndefined();
    expect(names((await ask('?prefix=a')).unreadable)).toEqual(['a-2']);
  });

  it('are switched by the verbs', async () => {
    await api.rollout.addFeature('chat', { percentage: 5 });
    const state = async (verb: string) => {
      const { body } = await api.ask(`POST /v1/features/chat/${verb}`);
      return [body.enabled, body.percentage];
    };
    expect(await state('disable')).toEqual([false, 5]);
    expect(await state('enable')).toEqual([true, 5]);
    expect(await state('activate')).toEqual([true, 100]);
    expect(await state('deactivate')).toEqual([true, 0]);
  });

  it('are decided, explained and previewed for subjects', async () => {
    await api.rollout.addFeature('chat', {
      rules: [{ id: 'pro', when: { attribute: 'plan', op: 'equals', value: 'pro' }, serve: 'on' }],
    });
    const post = (path: string, body: object) =>
      api.ask(`POST /v1/features/chat/${path}`, { body });
    const pro = { id: 7, plan: 'pro' };
    expect((await post('decide', { subject: pro })).body).toMatchObject({
      enabled: true,
      rule: 'pro',
      reason: 'TARGETING_MATCH',
    });
    expect((await post('decide', { subject: 7 })).body.enabled).toBe(false);
    expect((await post('decide', {})).body.detail).toBe('no subject');
    const { steps } = (await post('explain', { subject: pro })).body;
    expect(steps.find(({ rule }: { rule?: string }) => rule === 'pro').outcome).toBe('answers');
    const change = { percentage: 100 };
    expect((await post('preview', { change, subjects: [pro, 8, 9] })).body).toMatchObject({
      gains: 2,
      stays: 1,
      ids: { gains: ['8', '9'] },
    });
    await api.rollout.register('chat', ['ann', 'bob']);
    expect((await post('preview', { change, of: 'members' })).body).toMatchObject({ stays: 2 });
    expect((await post('preview', { change, of: 'population' })).body).toMatchObject({ stays: 0 });
    expect((await api.ask('POST /v1/features/no/explain', { body: {} })).status).toBe(404);
  });
});

describe('a write of what has been seen', () => {
  it('is refused with 412 where it is another by now, and changes nothing', async () => {
    await api.rollout.addFeature('chat');
    const seenBefore = etagOf(await api.ask('GET /v1/features/chat'));
    await api.rollout.setPercentage('chat', 10);
    for (const [asked, body] of [
      ['PATCH /v1/features/chat', { percentage: 20 }],
      ['PUT /v1/features/chat', {}],
      ['DELETE /v1/features/chat', undefined],
      ['POST /v1/features/chat/activate', undefined],
      ['PUT /v1/features/chat/groups/staff', undefined],
    ] as const) {
      const refused = await api.ask(asked, { body, headers: { 'if-match': seenBefore } });
      expect([asked, refused.status, refused.body.code]).toEqual([asked, 412, 'CONFLICT']);
    }
    const now = await api.ask('GET /v1/features/chat');
    expect(now.body).toMatchObject({ percentage: 10, groups: [] });
    const written = await api.ask('PATCH /v1/features/chat', {
      body: { percentage: 20 },
      headers: { 'if-match': etagOf(now) },
    });
    expect(written.status).toBe(200);
    const any = { 'if-match': '*' };
    expect((await api.ask('POST /v1/features/chat/disable', { headers: any })).status).toBe(200);
  });

  it.each(['3', 'W/"a:1"', '"a:1", "b:1"', '"a"', '""', '"a:1" '.repeat(2)])(
    'is refused where its If-Match is %s',
    async (etag) => {
      await api.rollout.addFeature('chat');
      const refused = await api.ask('PATCH /v1/features/chat', {
        body: { percentage: 20 },
        headers: { 'if-match': etag },
      });
      expect([refused.status, refused.body.code]).toEqual([400, 'INVALID_REQUEST']);
      expect((await api.rollout.get('chat'))?.percentage).toBe(0);
    },
  );

  it('is refused where nothing is compared, and so a condition would be passed over', async () => {
    await api.rollout.addFeature('chat');
    const headers = { 'if-match': etagOf(await api.ask('GET /v1/features/chat')) };
    const refused = await api.ask('POST /v1/features/chat/users', {
      body: { users: ['ann'] },
      headers,
    });
    expect(refused.status).toBe(400);
    expect(await api.rollout.countMembers('chat')).toBe(0);
  });

  it('reads no more than that nothing is new', async () => {
    await api.rollout.addFeature('chat');
    const etag = etagOf(await api.ask('GET /v1/features/chat'));
    const again = (given: string, method = 'GET') =>
      api.ask(`${method} /v1/features/chat`, { headers: { 'if-none-match': given } });
    for (const given of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      expect([given, (await again(given)).status]).toEqual([given, 304]);
    }
    expect((await again(etag, 'HEAD')).status).toBe(304);
    expect((await again('"x"')).status).toBe(200);
    await api.rollout.disable('chat');
    expect((await again(etag)).status).toBe(200);
  });
});

describe('a write with an Idempotency-Key', () => {
  it('is made once, and answered alike', async () => {
    await api.rollout.addFeature('chat');
    const headers = { 'idempotency-key': 'order-7' };
    const body = { users: ['ann', 'bob'] };
    for (const _ of [1, 2]) {
      expect((await api.ask('POST /v1/features/chat/users', { body, headers })).body).toEqual({
        changed: 2,
      });
    }
    const made = { body: { name: 'search' }, headers: { 'idempotency-key': 'order-8' } };
    expect((await api.ask('POST /v1/features', made)).status).toBe(201);
    expect((await api.ask('POST /v1/features', made)).status).toBe(201);
    expect((await api.ask('POST /v1/features', { body: { name: 'search' } })).status).toBe(409);
  });

  it('is another write of another path, method, body or caller', async () => {
    await api.rollout.addFeature('chat');
    const headers = { 'idempotency-key': 'order-9' };
    const patch = (percentage: number) =>
      api.ask('PATCH /v1/features/chat', { body: { percentage }, headers });
    expect((await patch(10)).body.percentage).toBe(10);
    expect((await patch(20)).body.percentage).toBe(20);
    const users = { body: { users: ['ann'] }, headers };
    expect((await api.ask('POST /v1/features/chat/users', users)).body).toEqual({ changed: 1 });
    expect((await api.ask('POST /v1/features/chat/disable', { headers })).body.enabled).toBe(false);
    expect((await api.ask('DELETE /v1/features/chat', { headers })).status).toBe(204);
    expect(await api.rollout.get('chat')).toBeUndefined();
  });

  it('can be one of which the outcome was not known: by the key that is answered', async () => {
    const memory = new MemoryBackend();
    let isCut = true;
    const write = memory.write.bind(memory);
    memory.write = async (asked) => {
      const written = await write(asked);
      if (asked.requestId === undefined || !isCut) return written;
      isCut = false;
      throw new HanoiError('OUTCOME_UNKNOWN', 'cut', { requestId: asked.requestId });
    };
    const cut = await clientOf({}, memory);
    const made = { body: { name: 'chat', percentage: 3 } };
    const unknown = await cut.ask('POST /v1/features', made);
    expect(unknown).toMatchObject({ status: 503, body: { code: 'OUTCOME_UNKNOWN' } });
    const headers = { 'idempotency-key': unknown.body.requestId };
    expect((await cut.ask('POST /v1/features', { ...made, headers })).status).toBe(201);
    expect(await cut.rollout.history('chat')).toHaveLength(1);
    await cut.rollout.close();
  });
});

describe('a number that JSON does not carry', () => {
  it.each(['9007199254740993', '1e400', '-9007199254740992'])('is refused: %s', async (number) => {
    await api.rollout.addFeature('chat');
    const when = `{"attribute":"account","op":"equals","value":${number}}`;
    const body = `{"rules":[{"id":"a","when":${when},"serve":"on"}]}`;
    const refused = await api.ask('PATCH /v1/features/chat', { body });
    expect(refused.body).toMatchObject({
      code: 'INVALID_REQUEST',
      path: 'rules[0].when.value',
    });
    expect((await api.rollout.get('chat'))?.rules).toEqual([]);
  });
});

describe('users', () => {
  beforeEach(() => api.rollout.addFeature('chat'));

  it('are let in, listed a page at a time, and taken out', async () => {
    const users = ['ann', 42, '0', 'bob', 'bea'];
    expect((await api.ask('POST /v1/features/chat/users', { body: { users } })).body.changed).toBe(
      5,
    );
    const page = async (query: string) =>
      (await api.ask(`GET /v1/features/chat/users${query}`)).body;
    expect(await page('')).toEqual({ users: ['0', '42', 'ann', 'bea', 'bob'], count: 5 });
    expect(await page('?limit=2')).toEqual({ users: ['0', '42'], count: 5, next: '42' });
    expect(await page('?limit=2&after=42')).toEqual({
      users: ['ann', 'bea'],
      count: 5,
      next: 'bea',
    });
    expect(await page('?prefix=b')).toMatchObject({ users: ['bea', 'bob'] });
    const gone = { body: { users: ['42', 'zoe'] } };
    expect((await api.ask('POST /v1/features/chat/users/remove', gone)).body.changed).toBe(1);
    expect((await page('')).count).toBe(4);
  });

  it('are kept out, whatever else lets them in', async () => {
    await api.rollout.activate('chat');
    const body = { users: ['eve'] };
    const { excluded } = (await api.ask('POST /v1/features/chat/excluded', { body })).body;
    expect(excluded).toEqual(['eve']);
    expect(await api.rollout.isEnabled('chat', 'eve')).toBe(false);
    await api.ask('POST /v1/features/chat/excluded/remove', { body });
    expect(await api.rollout.isEnabled('chat', 'eve')).toBe(true);
  });

  it('are told what they get of each feature, as flaggery tells it', async () => {
    await api.rollout.update('chat', { percentage: 100, variants: ['blue'] });
    await api.rollout.addFeature('search');
    const { body } = await api.ask('GET /v1/subject/flags?subject_id=ann', { token: undefined });
    expect(body.code).toBe('UNAUTHENTICATED');
    expect((await api.ask('GET /v1/subject/flags?subject_id=ann')).body).toEqual({
      chat: 'blue',
      search: null,
    });
  });
});

describe('rules, variants and groups of a feature', () => {
  beforeEach(() => api.rollout.addFeature('chat', { percentage: 100 }));
  const rule = { when: { users: ['ann'] }, serve: 'off' } as const;
  const ids = (items: readonly { id?: string; name?: string }[]) =>
    items.map(({ id, name }) => id ?? name);

  it('are put in their places and taken out one by one', async () => {
    await api.ask('PUT /v1/features/chat/rules/one', { body: rule });
    await api.ask('PUT /v1/features/chat/rules/two', { body: rule });
    const before = await api.ask('PUT /v1/features/chat/rules/zero?before=one', { body: rule });
    expect(ids(before.body.rules)).toEqual(['zero', 'one', 'two']);
    const replaced = await api.ask('PUT /v1/features/chat/rules/one', {
      body: { ...rule, serve: 'on' },
    });
    expect(ids(replaced.body.rules)).toEqual(['zero', 'one', 'two']);
    expect(replaced.body.rules[1].serve).toBe('on');
    expect(ids((await api.ask('DELETE /v1/features/chat/rules/one')).body.rules)).toEqual([
      'zero',
      'two',
    ]);
    expect((await api.ask('DELETE /v1/features/chat/rules/one')).status).toBe(404);
    const nowhere = await api.ask('PUT /v1/features/chat/rules/x?before=no', { body: rule });
    expect(nowhere.body).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
  });

  it('are variants by their names', async () => {
    await api.ask('PUT /v1/features/chat/variants/red', {
      body: { weight: 3, value: { hex: '#f00' } },
    });
    const { body } = await api.ask('PUT /v1/features/chat/variants/blue', { body: {} });
    expect(body.variants).toEqual([
      { name: 'red', weight: 3, value: { hex: '#f00' } },
      { name: 'blue', weight: 1 },
    ]);
    expect(ids((await api.ask('DELETE /v1/features/chat/variants/red')).body.variants)).toEqual([
      'blue',
    ]);
  });

  it('are groups, and what they get before all others', async () => {
    expect((await api.ask('PUT /v1/features/chat/groups/staff')).body.groups).toEqual(['staff']);
    expect((await api.ask('DELETE /v1/features/chat/groups/staff')).body.groups).toEqual([]);
    await api.rollout.addToGroup('friends', ['ann']);
    const body = { serve: 'off' };
    await api.ask('PUT /v1/features/chat/overrides/friends', { body });
    expect(await api.rollout.isEnabled('chat', 'ann')).toBe(false);
    await api.ask('DELETE /v1/features/chat/overrides/friends');
    expect(await api.rollout.isEnabled('chat', 'ann')).toBe(true);
  });
});

describe('ramps', () => {
  it('are begun, held, gone on with, taken back and forth, and told of a subject', async () => {
    await api.rollout.addFeature('chat');
    const post = (path: string, body?: object) =>
      api.ask(`POST /v1/features/chat/${path}`, { body });
    const points = async (path: string, body?: object) => (await post(path, body)).body.percentage;
    expect(await points('ramp', { over: '10d', to: 80 })).toMatchObject({
      points: [{ percentage: 0 }, { percentage: 80 }],
    });
    expect(await points('ramp/pause')).toHaveProperty('pausedAt');
    expect(await points('ramp/resume')).not.toHaveProperty('pausedAt');
    await post('ramp/jump', { percentage: 40 });
    await post('ramp/rewind', { by: '1d' });
    expect((await post('when', { subject: 'ann' })).body).toHaveProperty('at');
    expect((await post('ramp/rewind', { by: 'never' })).status).toBe(422);
  });
});

describe('groups', () => {
  it('are filled, listed, emptied and removed', async () => {
    const users = { users: ['ann', 42] };
    expect((await api.ask('POST /v1/groups/friends/users', { body: users })).body.changed).toBe(2);
    expect((await api.ask('GET /v1/groups')).body).toEqual({ groups: [{ name: 'friends' }] });
    expect((await api.ask('GET /v1/groups/friends/users')).body).toEqual({
      users: ['42', 'ann'],
      count: 2,
    });
    const one = { body: { users: ['42'] } };
    expect((await api.ask('POST /v1/groups/friends/users/remove', one)).body.changed).toBe(1);
    expect((await api.ask('DELETE /v1/groups/friends')).status).toBe(204);
    expect((await api.ask('GET /v1/groups')).body.groups).toEqual([]);
  });
});

describe('experiments', () => {
  const settings = {
    from: '2026-01-01T00:00:00Z',
    until: '2999-01-01T00:00:00Z',
    arms: [
      { name: 'a', proportion: 0.5, features: { chat: 'red' } },
      { name: 'b', proportion: 0.5, features: { chat: false } },
    ],
  };

  it('are added, read, changed by what has been seen, stopped and removed', async () => {
    await api.rollout.addFeature('chat', { variants: ['red'] });
    const added = await api.ask('POST /v1/experiments', { body: { name: 'test', ...settings } });
    expect(added.status).toBe(201);
    expect(added.headers.get('location')).toBe('experiments/test');
    expect((await api.ask('GET /v1/experiments')).body.experiments).toHaveLength(1);
    const read = await api.ask('GET /v1/experiments/test');
    expect(read.body).toMatchObject({ state: 'live', arms: [{ uses: 0 }, { uses: 0 }] });
    expect(etagOf(read)).toBe(etagOf(added));
    // What is counted goes on under the same state.
    const counted = { 'if-none-match': etagOf(read) };
    expect((await api.ask('GET /v1/experiments/test', { headers: counted })).status).toBe(200);

    const sticky = await api.ask('PATCH /v1/experiments/test', {
      body: { sticky: true },
      headers: { 'if-match': etagOf(read) },
    });
    expect(sticky.body.sticky).toBe(true);
    const stale = { 'if-match': etagOf(read) };
    expect((await api.ask('POST /v1/experiments/test/stop', { headers: stale })).status).toBe(412);
    expect((await api.ask('POST /v1/experiments/test/stop')).status).toBe(200);
    expect((await api.ask('GET /v1/experiments/test')).body.state).toBe('over');
    expect((await api.ask('DELETE /v1/experiments/test')).status).toBe(204);
    expect((await api.ask('GET /v1/experiments/test')).status).toBe(404);
  });
});

describe('the population', () => {
  it('is spread over buckets, registered with weights, listed and taken out', async () => {
    const post = (path: string, body: object) => api.ask(`POST /v1/population/${path}`, { body });
    expect((await post('buckets', { count: 3 })).body).toEqual({ buckets: 3 });
    const subjects = ['ann', ['acme', 250], [42, 2]];
    expect((await post('subjects', { subjects })).body.changed).toBe(3);
    expect((await api.ask('GET /v1/population')).body).toMatchObject({ count: 3, weight: 253 });
    const { body } = await api.ask('GET /v1/population/subjects?limit=2');
    expect(body).toMatchObject({
      subjects: [{ id: '42', weight: 2 }, { id: 'acme' }],
      next: 'acme',
    });
    const rest = await api.ask('GET /v1/population/subjects?limit=2&after=acme');
    expect(rest.body).toMatchObject({ subjects: [{ id: 'ann', weight: 1 }] });
    expect(rest.body).not.toHaveProperty('next');
    expect((await post('subjects/remove', { users: [42, 'no'] })).body.changed).toBe(1);
  });
});

describe('the history', () => {
  it('tells who, when and why, what differed, and takes back', async () => {
    const ask = (asked: string, body?: object) => api.ask(asked, { body });
    await ask('POST /v1/features?note=first', { name: 'chat' });
    await ask('PATCH /v1/features/chat?note=launch', { percentage: 10 });
    await ask('POST /v1/features/chat/users?note=sales', { users: ['ann'] });
    const { body } = await ask('GET /v1/features/chat/history');
    expect(body.changes).toMatchObject([
      { kind: 'members', added: ['ann'], note: 'sales', actor: 'the admin token' },
      { kind: 'updated', revision: 2, note: 'launch', before: {}, after: { percentage: 10 } },
      { kind: 'created', revision: 1, note: 'first' },
    ]);
    const page = await ask('GET /v1/features/chat/history?limit=1&kind=documents');
    expect(page.body).toMatchObject({ changes: [{ revision: 2 }], next: body.changes[1].id });
    const next = `GET /v1/features/chat/history?limit=5&before=${body.changes[1].id}`;
    expect((await ask(next)).body.changes).toHaveLength(1);
    expect((await ask('GET /v1/log?limit=2')).body.changes).toHaveLength(2);
    expect((await ask('GET /v1/features/chat/diff?from=1')).body).toEqual([
      { path: 'percentage', kind: 'changed', before: 0, after: 10 },
    ]);
    const since = `GET /v1/features/chat/diff?from=change:${body.changes[2].id}&to=2`;
    expect((await ask(since)).body).toHaveLength(1);
    expect((await ask('GET /v1/features/chat/diff?from=99')).status).toBe(409);
    expect((await ask('GET /v1/features/chat/diff?from=x')).status).toBe(400);

    const preview = { to: 1, subjects: ['ann', 'bob'] };
    expect((await ask('POST /v1/features/chat/rollback/preview', preview)).body).toMatchObject({
      loses: 1,
      stays: 1,
    });
    expect((await ask('POST /v1/features/chat/rollback', { to: 1 })).body.percentage).toBe(0);
    expect((await ask('POST /v1/features/chat/undo', {})).body.document.percentage).toBe(10);
    await ask('DELETE /v1/features/chat');
    expect((await ask('POST /v1/features/chat/restore', {})).body.percentage).toBe(10);
    expect((await ask('GET /v1/features/chat/users')).body.users).toEqual(['ann']);
  });

  it('is kept of groups, experiments and the population too', async () => {
    const ask = (asked: string, body?: object) => api.ask(asked, { body });
    await ask('POST /v1/groups/friends/users', { users: ['ann'] });
    await ask('POST /v1/groups/friends/users', { users: ['bob'] });
    expect((await ask('GET /v1/groups/friends/history')).body.changes[0]).toMatchObject({
      of: 'group',
      name: 'friends',
      added: ['bob'],
    });
    expect((await ask('POST /v1/groups/friends/undo', {})).status).toBe(200);
    expect((await ask('GET /v1/groups/friends/users')).body.users).toEqual(['ann']);
    expect((await ask('GET /v1/groups/friends/diff?from=1')).body).toEqual([]);
    expect((await ask('POST /v1/groups/friends/rollback', { to: 1 })).status).toBe(200);
    await ask('DELETE /v1/groups/friends');
    expect((await ask('POST /v1/groups/friends/restore', {})).status).toBe(200);

    await ask('POST /v1/population/buckets', { count: 2 });
    await ask('POST /v1/population/buckets', { count: 2 });
    expect((await ask('GET /v1/population/history')).body.changes).toHaveLength(2);
    expect((await ask('GET /v1/population/diff?from=1')).body.length).toBeGreaterThan(0);
    expect((await ask('POST /v1/population/undo', {})).status).toBe(200);
    expect((await ask('POST /v1/population/rollback', { to: 2 })).status).toBe(200);
    expect((await ask('POST /v1/population/restore', {})).status).toBe(404);

    await api.rollout.addFeature('chat', { variants: ['red'] });
    const arms = [{ name: 'a', proportion: 1, features: { chat: 'red' } }];
    const window = { from: '2026-01-01T00:00:00Z', until: '2999-01-01T00:00:00Z' };
    await ask('POST /v1/experiments', { name: 'test', ...window, arms });
    await ask('PATCH /v1/experiments/test', { data: { owner: 'ann' } });
    expect((await ask('GET /v1/experiments/test/history')).body.changes).toHaveLength(2);
    expect((await ask('GET /v1/experiments/test/diff?from=1')).body).toHaveLength(1);
    expect((await ask('POST /v1/experiments/test/undo', {})).status).toBe(200);
    expect((await ask('POST /v1/experiments/test/rollback', { to: 2 })).status).toBe(200);
    await ask('DELETE /v1/experiments/test');
    expect((await ask('POST /v1/experiments/test/restore', {})).status).toBe(200);
  });
});

describe('export and import', () => {
  it('carry all from one to another', async () => {
    await api.rollout.addFeature('chat', { percentage: 10, groups: ['friends'] });
    await api.rollout.register('chat', ['ann']);
    await api.rollout.addToGroup('friends', ['bob']);
    const exported = await api.ask('GET /v1/export');
    const unchanged = { 'if-none-match': etagOf(exported) };
    expect((await api.ask('GET /v1/export', { headers: unchanged })).status).toBe(304);

    const other = await clientOf();
    const dry = await other.ask('POST /v1/import?dryRun=true', { body: exported.text });
    expect(dry.body).toMatchObject({ copied: ['Group "friends"', 'chat'], problems: [] });
    expect(await other.rollout.get('chat')).toBeUndefined();
    await other.ask('POST /v1/import', { body: exported.text });
    expect(await other.rollout.isEnabled('chat', 'ann')).toBe(true);
    await other.rollout.setPercentage('chat', 90);
    const again = await other.ask('POST /v1/import', { body: exported.text });
    expect(again.body.skipped).toEqual(['chat']);
    const replaced = await other.ask('POST /v1/import?onConflict=replace', { body: exported.text });
    expect(replaced.body.replaced).toEqual(['chat']);
    expect((await other.rollout.history('chat'))[0]?.actor).toBe('the admin token');
    await other.rollout.close();
  });
});

describe('health', () => {
  it('says how the store does, to everybody', async () => {
    const { status, body } = await api.ask('GET /health', { token: undefined });
    expect([status, body]).toEqual([200, { state: 'ready', ageMs: 0 }]);
    await api.rollout.close();
    expect((await api.ask('GET /health')).body.state).toBe('closed');
  });
});

describe('evaluations by the protocol of OpenFeature', () => {
  it('are there, one or all, and where to listen for changes', async () => {
    await api.rollout.addFeature('chat', { percentage: 100 });
    const body = { context: { targetingKey: 'ann' } };
    const options = { body, token: TOKENS.evaluate };
    const one = await api.ask('POST /ofrep/v1/evaluate/flags/chat', options);
    expect(one.body).toMatchObject({ key: 'chat', value: true });
    const all = await api.ask('POST /ofrep/v1/evaluate/flags', options);
    expect(all.body.flags).toEqual([one.body]);
    const [{ endpoint }] = all.body.eventStreams;
    expect((await api.ask(`HEAD ${endpoint.requestUri}`, { token: undefined })).status).toBe(200);
    expect((await api.ask('HEAD /ofrep/v1/events', { token: undefined })).status).toBe(401);
  });
});

describe('the OpenAPI document', () => {
  it('is valid OpenAPI 3.1', () => {
    // The validator is of ES modules alone.
    const program = `
      import { readFileSync } from 'node:fs';
      import { Validator } from '@seriousme/openapi-schema-validator';
      const validator = new Validator();
      const { valid, errors } = await validator.validate(JSON.parse(readFileSync(0, 'utf8')));
      console.log(JSON.stringify([validator.version, valid, errors]));`;
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      input: JSON.stringify(api.contract.document),
      encoding: 'utf8',
    });
    expect(JSON.parse(printed)).toEqual(['3.1', true, null]);
  });

  it('names each operation once', () => {
    expect(new Set(api.contract.ids).size).toBe(api.contract.ids.length);
  });

  it('is shown as a page, under the strictest policy', async () => {
    const { status, text, headers } = await api.ask('GET /docs', { token: undefined });
    expect(status).toBe(200);
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(text).not.toMatch(/<script|<style|style=|\son\w+=/);
    for (const id of api.contract.ids) expect(text).toContain(`id="${id}"`);
  });

  // The last, so that all others have been.
  it('has no operation that did not come to its success here', () => {
    const done = new Set([...seen].map((each) => each.replace(/ 2\d\d$/, '')));
    expect(api.contract.ids.filter((id) => !done.has(id))).toEqual([]);
  });
});
