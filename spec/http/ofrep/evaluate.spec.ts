import { MemoryBackend, Rollout } from '../../../lib/index.js';
import { manualClock } from '../../../lib/testing/index.js';
import { type Answered, BEARER, Service, TOKEN } from './service.js';

const ANN = { context: { targetingKey: 'ann', plan: 'pro' } };

let service: Service;
let rollout: Rollout;
beforeEach(async () => {
  service = await Service.start({ failuresPerMinute: 3 });
  rollout = service.rollout;
});
afterEach(() => service.stop());

describe('one feature', () => {
  it('is told with its value, its variant and why, and with nothing of its rules', async () => {
    await rollout.addFeature('chat', {
      variants: [{ name: 'new', value: { color: 'red' } }],
      rules: [
        { id: 'secret', when: { attribute: 'plan', op: 'equals', value: 'pro' }, serve: 'on' },
      ],
    });
    const { status, headers, body } = await service.evaluate('chat', ANN);
    expect([status, headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(body).toEqual({
      key: 'chat',
      value: { color: 'red' },
      variant: 'new',
      reason: 'TARGETING_MATCH',
      metadata: { enabled: true },
    });
  });

  it.each([
    [{ percentage: 100 }, { value: true, reason: 'STATIC', metadata: { enabled: true } }],
    [{}, { value: false, reason: 'UNKNOWN', metadata: { enabled: false, reason: 'DEFAULT' } }],
    [
      { percentage: 100, enabled: false },
      { value: false, reason: 'DISABLED', metadata: { enabled: false } },
    ],
    [
      { excluded: ['ann'] },
      { value: false, reason: 'TARGETING_MATCH', metadata: { enabled: false } },
    ],
    [
      { offValue: 7 },
      { value: 7, reason: 'UNKNOWN', metadata: { enabled: false, reason: 'DEFAULT' } },
    ],
    [
      { percentage: 100, variants: ['a'] },
      { value: 'a', variant: 'a', reason: 'STATIC', metadata: { enabled: true } },
    ],
    // The caller's own default, which is of a type that nobody here can know.
    [{ variants: ['a'] }, { reason: 'UNKNOWN', metadata: { enabled: false, reason: 'DEFAULT' } }],
    [
      {
        variants: [
          { name: 'a', value: true },
          { name: 'b', value: false },
        ],
      },
      { value: false, reason: 'UNKNOWN', metadata: { enabled: false, reason: 'DEFAULT' } },
    ],
    [
      { percentage: 100, variants: [{ name: 'a', value: [1, null] }] },
      { value: [1, null], variant: 'a', reason: 'STATIC', metadata: { enabled: true } },
    ],
  ])('with the settings %j is %j', async (settings, expected) => {
    await rollout.addFeature('chat', settings);
    const { body } = await service.evaluate('chat', ANN);
    expect(body).toEqual({ key: 'chat', ...expected });
    expect((await service.evaluate(undefined, ANN)).body.flags).toEqual([body]);
  });

  it('is dealt to whom a check deals it', async () => {
    await rollout.addFeature('chat', { percentage: 50, variants: ['a', 'b', 'c'] });
    const ids = Array.from({ length: 60 }, (_, n) => `user-${n}`);
    const asked = await Promise.all(
      ids.map((targetingKey) => service.evaluate('chat', { context: { targetingKey } })),
    );
    expect(asked.map(({ body }) => body.variant)).toEqual(
      ids.map((id) => rollout.decideSync('chat', id).variant),
    );
  });

  it.each([{}, { targetingKey: null }, { id: 'ann' }, { plan: 'pro' }])(
    'is about nobody with the context %j',
    async (context) => {
      await rollout.addFeature('chat');
      await rollout.register('chat', 'ann');
      await rollout.addFeature('all', { percentage: 100 });
      expect((await service.evaluate('chat', { context })).body.value).toBe(false);
      expect((await service.evaluate('all', { context })).body.value).toBe(true);
    },
  );

  it('is not found under a name that none has, whatever unknown ones are elsewhere', async () => {
    const hostile = '<b>"&\u2028é/%';
    const { status, body } = await service.evaluate(hostile, ANN);
    expect([status, body]).toEqual([
      404,
      {
        key: hostile,
        errorCode: 'FLAG_NOT_FOUND',
        errorDetails: 'There is no feature of this name.',
      },
    ]);
    await rollout.addFeature(hostile, { percentage: 100 });
    expect((await service.evaluate(hostile, ANN)).body).toMatchObject({
      key: hostile,
      value: true,
    });
  });
});

describe('what can not be taken', () => {
  const deep = `${'['.repeat(21)}${']'.repeat(21)}`;

  it.each([
    ['broken', '{', 'PARSE_ERROR'],
    ['no object', '[]', 'PARSE_ERROR'],
    ['nothing', '', 'PARSE_ERROR'],
    ['a field that comes twice', '{"context":{"a":1,"a":2}}', 'PARSE_ERROR'],
    ['__proto__', '{"context":{"__proto__":{"id":"ann"}}}', 'PARSE_ERROR'],
    ['deep', `{"context":{"a":${deep}}}`, 'PARSE_ERROR'],
    ['10,000 deep', `{"context":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`, 'PARSE_ERROR'],
    ['no UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 'PARSE_ERROR'],
    ['too large', JSON.stringify({ context: { a: 'x'.repeat(65_536) } }), 'PARSE_ERROR'],
    ['no context', '{}', 'INVALID_CONTEXT'],
    ['a list as the context', '{"context":[]}', 'INVALID_CONTEXT'],
    ['a number as the key', '{"context":{"targetingKey":42}}', 'INVALID_CONTEXT'],
  ])('%s: 400', async (_, body, errorCode) => {
    await rollout.addFeature('chat', { percentage: 100 });
    const one = await service.evaluate('chat', body);
    expect([one.status, one.body]).toEqual([
      400,
      { key: 'chat', errorCode, errorDetails: expect.any(String) },
    ]);
    const all = await service.evaluate(undefined, body);
    expect([all.status, all.body]).toEqual([
      400,
      { errorCode, errorDetails: one.body.errorDetails },
    ]);
  });

  it('takes text in which there is what elsewhere would be refused', async () => {
    await rollout.addFeature('chat', { percentage: 100 });
    const odd = { targetingKey: '":"\\"{[', '"a":': '\\":', b: '\ufffd', c: [{ a: 1 }, { a: 2 }] };
    expect((await service.evaluate('chat', { context: odd })).status).toBe(200);
    expect(
      (await service.evaluate('chat', `\ufeff${JSON.stringify({ context: odd })}`)).status,
    ).toBe(200);
  });

  it('another type, or a path that can not be decoded: 400', async () => {
    const text = await service.evaluate('chat', 'context=1', {
      ...BEARER,
      'content-type': 'text/plain',
    });
    expect([text.status, text.body.errorCode]).toEqual([400, 'PARSE_ERROR']);
    const path = await service.post('/ofrep/v1/evaluate/flags/%ff', ANN);
    expect([path.status, path.body]).toMatchObject([400, { key: '%ff', errorCode: 'PARSE_ERROR' }]);
  });

  it('a foreign credential: 401, and after a few 429 with the time to wait', async () => {
    const wrong = { authorization: 'Bearer wrong' };
    const answers: Answered[] = [];
    for (let n = 0; n < 4; n++) answers.push(await service.evaluate('chat', ANN, wrong));
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 429]);
    expect(Number(answers[3]?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await service.evaluate('chat', ANN, {})).status).toBe(401);
    expect((await service.evaluate(undefined, ANN, { 'x-api-key': TOKEN })).status).toBe(200);
  });

  it('a page of another site: 403', async () => {
    const origin = { ...BEARER, origin: 'https://evil.example' };
    expect((await service.evaluate('chat', ANN, origin)).status).toBe(403);
  });
});

describe('all features', () => {
  it('come at once, by name, each with its answer', async () => {
    await rollout.addFeature('b', { percentage: 100 });
    await rollout.addFeature('a', { variants: ['x'], percentage: 100 });
    const { status, headers, body } = await service.evaluate(undefined, ANN);
    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('private, no-cache');
    expect(
      body.flags.map(({ key, value }: { key: string; value: unknown }) => [key, value]),
    ).toEqual([
      ['a', 'x'],
      ['b', true],
    ]);
  });

  it('have an ETag of the answer: the same as long as every answer is', async () => {
    await rollout.addFeature('chat', { percentage: 50 });
    const { headers } = await service.evaluate(undefined, ANN);
    const known = { ...BEARER, 'if-none-match': String(headers.get('etag')) };
    const again = await service.evaluate(undefined, ANN, known);
    expect([again.status, again.headers.get('etag')]).toEqual([304, headers.get('etag')]);
    // A change that is none for her.
    await rollout.register('chat', 'somebody else');
    expect((await service.evaluate(undefined, ANN, known)).status).toBe(304);
    // Somebody else, and another answer for her.
    const isOn = rollout.isEnabledSync('chat', 'ann');
    await rollout.setPercentage('chat', isOn ? 0 : 100);
    const changed = await service.evaluate(undefined, ANN, known);
    expect([changed.status, changed.body.flags[0].value]).toEqual([200, !isOn]);
    await rollout.setPercentage('chat', 50);
    expect((await service.evaluate(undefined, ANN, known)).status).toBe(304);
  });

  it('have another ETag where time alone has changed an answer', async () => {
    const clock = manualClock('2026-11-21T00:00:00Z');
    const ramping = new Rollout(new MemoryBackend(), { now: clock.now });
    await ramping.addFeature('chat', {
      percentage: {
        points: [
          { at: '2026-11-21T00:00:00Z', percentage: 0 },
          { at: '2026-11-22T00:00:00Z', percentage: 100 },
        ],
      },
    });
    const other = await Service.start({}, ramping);
    try {
      const first = await other.evaluate(undefined, ANN);
      const known = { ...BEARER, 'if-none-match': String(first.headers.get('etag')) };
      expect((await other.evaluate(undefined, ANN, known)).status).toBe(304);
      clock.advance('1d');
      const later = await other.evaluate(undefined, ANN, known);
      expect([later.status, later.body.flags[0].value]).toEqual([200, true]);
    } finally {
      await other.stop();
    }
  });

  it('take what an event has said, known here or not', async () => {
    await rollout.addFeature('chat');
    const path =
      '/ofrep/v1/evaluate/flags?flagConfigEtag=other&flagConfigLastModified=1771622898&x=y';
    const begun = performance.now();
    expect((await service.post(path, ANN)).status).toBe(200);
    // Half a second, and what a busy machine takes.
    expect(performance.now() - begun).toBeLessThan(3_000);
  });

  it('fail as a whole, by a fixed text, where nothing is known of any', async () => {
    await rollout.close();
    const { status, body } = await service.evaluate(undefined, ANN);
    expect([status, body]).toEqual([
      500,
      { errorCode: 'GENERAL', errorDetails: 'The feature could not be evaluated.' },
    ]);
    const one = await service.evaluate('chat', ANN);
    expect([one.status, one.body.errorCode]).toEqual([500, 'GENERAL']);
  });
});
