import { OFREPProvider } from '@openfeature/ofrep-provider';
import { OFREPWebProvider } from '@openfeature/ofrep-web-provider';
import { type EvaluationDetails, OpenFeature } from '@openfeature/server-sdk';
import { type Provider, ProviderEvents, OpenFeature as Web } from '@openfeature/web-sdk';
import { EventSource } from 'eventsource';
import { HanoiProvider } from '../../../lib/openfeature/index.js';
import { until } from '../../until.js';
import { BEARER, Service } from './service.js';

const ANN = { targetingKey: 'ann', plan: 'pro' };

let service: Service;
beforeEach(async () => {
  service = await Service.start({ failuresPerMinute: 2 });
});
afterEach(async () => {
  await Promise.all([OpenFeature.clearProviders(), Web.clearProviders()]);
  await service.stop();
});

const headers: [string, string][] = [['authorization', BEARER.authorization]];

const SETTINGS = {
  on: { percentage: 100 },
  half: { percentage: 50 },
  killed: { percentage: 100, enabled: false },
  name: { percentage: 100, variants: ['a', 'b'] },
  unnamed: { variants: ['a'] },
  size: { percentage: 100, variants: [{ name: 'big', value: 12.5 }] },
  theme: {
    percentage: 100,
    variants: [{ name: 'dark', value: { color: 'black', depth: [1, 2] } }],
  },
  quiet: { percentage: 100, variants: [{ name: 'no', value: false }] },
  pro: {
    rules: [{ id: 'r', when: { attribute: 'plan', op: 'equals', value: 'pro' }, serve: 'on' }],
  },
} as const;

/** Everything, asked for by its type. */
const ASKED = [
  ['on', 'getBooleanDetails', false],
  ['half', 'getBooleanDetails', false],
  ['killed', 'getBooleanDetails', true],
  ['name', 'getStringDetails', 'none'],
  ['size', 'getNumberDetails', 1],
  ['theme', 'getObjectDetails', {}],
  ['quiet', 'getBooleanDetails', true],
  ['pro', 'getBooleanDetails', false],
  ['nope', 'getBooleanDetails', true],
  ['size', 'getStringDetails', 'none'],
] as const;

type Details = EvaluationDetails<never>;

/** Asks a client of whichever SDK by the name of a method. */
async function detailsOf(
  client: object,
  asked: readonly [string, string, unknown],
): Promise<Details> {
  const [key, method, fallback] = asked;
  const asking = client as Record<string, (...given: unknown[]) => Details | Promise<Details>>;
  // The SDK for browsers goes by the context that was set.
  return (await asking[method]?.(key, fallback, ANN)) as Details;
}

async function fill(): Promise<void> {
  for (const [name, settings] of Object.entries(SETTINGS)) {
    await service.rollout.addFeature(name, settings);
  }
}

describe('the provider for servers', () => {
  it('gives what the provider in the process gives: values, variants, reasons and errors', async () => {
    await fill();
    await OpenFeature.setProviderAndWait(
      'far',
      new OFREPProvider({ baseUrl: service.url, headers }),
    );
    await OpenFeature.setProviderAndWait('near', new HanoiProvider(service.rollout));
    const [far, near] = [OpenFeature.getClient('far'), OpenFeature.getClient('near')];
    for (const asked of ASKED) {
      const [there, here] = await Promise.all([far, near].map((each) => detailsOf(each, asked)));
      expect(there).toMatchObject({
        value: here?.value,
        reason: here?.reason === 'DEFAULT' ? 'UNKNOWN' : here?.reason,
        ...(here?.variant !== undefined && { variant: here.variant }),
        ...(here?.errorCode !== undefined && { errorCode: here.errorCode }),
        ...(here?.errorCode === undefined && {
          flagMetadata: { enabled: here?.flagMetadata.enabled },
        }),
      });
    }
  });

  it('serves the default of the call where the server is down, and where it may not ask', async () => {
    await fill();
    const foreign = new OFREPProvider({
      baseUrl: service.url,
      headers: [['authorization', 'Bearer wrong']],
    });
    await OpenFeature.setProviderAndWait(foreign);
    const client = OpenFeature.getClient();
    for (let n = 0; n < 2; n++) {
      expect(await client.getBooleanDetails('on', false, ANN)).toMatchObject({
        value: false,
        errorCode: 'GENERAL',
      });
    }
    const before = service.answered.length;
    const refused = await client.getBooleanDetails('on', false, ANN);
    expect(refused).toMatchObject({ value: false, errorCode: 'GENERAL' });
    expect(service.answered.at(-1)?.status).toBe(429);
    // Until the time is over that it was told to wait, it does not even ask.
    const paused = await client.getBooleanDetails('on', false, ANN);
    expect(paused.errorMessage).toContain('TooManyRequests');
    expect(service.answered).toHaveLength(before + 1);

    await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: service.url, headers }));
    expect(await client.getBooleanValue('on', false, ANN)).toBe(true);
    await service.stop();
    expect(await client.getBooleanDetails('on', false, ANN)).toMatchObject({
      value: false,
      reason: 'ERROR',
    });
    service = await Service.start();
  });
});

describe('the provider for browsers', () => {
  const everywhere = globalThis as { EventSource?: unknown };
  const opened: EventSource[] = [];
  beforeEach(() => {
    // As a browser has it: without headers.
    everywhere.EventSource = class extends EventSource {
      constructor(url: string) {
        super(url);
        opened.push(this);
      }
    };
  });
  afterEach(() => {
    for (const each of opened.splice(0)) each.close();
    delete everywhere.EventSource;
  });

  const client = Web.getClient();
  const provider = (more = {}): Provider => {
    const options = { baseUrl: service.url, headers, cacheMode: 'disabled', ...more } as const;
    return new OFREPWebProvider(options) as unknown as Provider;
  };

  it('has all features at once, by what the provider in the process gives', async () => {
    await fill();
    await OpenFeature.setProviderAndWait(new HanoiProvider(service.rollout));
    await Web.setContext(ANN);
    await Web.setProviderAndWait(provider());
    for (const asked of [...ASKED, ['unnamed', 'getStringDetails', 'none'] as const]) {
      const there = await detailsOf(client, asked);
      const here = await detailsOf(OpenFeature.getClient(), asked);
      expect([asked, there.value, there.variant, there.errorCode]).toEqual([
        asked,
        here.value,
        here.variant,
        here.errorCode,
      ]);
    }
  });

  it('hears of a change, and asks anew, with what it knows', async () => {
    const { rollout } = service;
    await rollout.addFeature('chat');
    await Web.setContext(ANN);
    await Web.setProviderAndWait(provider());
    expect(client.getBooleanValue('chat', true)).toBe(false);
    const changes: unknown[] = [];
    const heard = (details?: object) =>
      changes.push((details as { flagsChanged?: string[] }).flagsChanged);
    client.addHandler(ProviderEvents.ConfigurationChanged, heard);
    try {
      await until(() => opened[0]?.readyState === EventSource.OPEN);
      await rollout.register('chat', 'ann');
      await until(() => changes.length > 0);
      expect(changes).toEqual([['chat']]);
      expect(client.getBooleanValue('chat', false)).toBe(true);
      // What changes nothing for her is answered by a 304.
      await rollout.register('chat', 'bob');
      await until(() => service.answered.at(-1)?.status === 304);
      expect(changes).toHaveLength(1);
      const asked = service.answered.filter(({ method }) => method === 'POST');
      expect(asked.map(({ url }) => url.includes('flagConfigEtag='))).toEqual([false, true, true]);
    } finally {
      client.removeHandler(ProviderEvents.ConfigurationChanged, heard);
    }
  });

  it('has the flags of another user, and lets the stream go with itself', async () => {
    const { rollout } = service;
    await rollout.addFeature('chat');
    await rollout.register('chat', 'bob');
    await Web.setContext(ANN);
    await Web.setProviderAndWait(provider());
    await Web.setContext({ targetingKey: 'bob' });
    expect(client.getBooleanValue('chat', false)).toBe(true);
    await until(() => opened.some(({ readyState }) => readyState === EventSource.OPEN));
    await Web.clearProviders();
    expect(opened.every(({ readyState }) => readyState === EventSource.CLOSED)).toBe(true);
  });

  it('is answered by 304 as long as nothing is another for it, when it asks by itself', async () => {
    await service.rollout.addFeature('chat');
    await Web.setContext(ANN);
    await Web.setProviderAndWait(provider({ changeDetection: 'polling', pollInterval: 20 }));
    await until(() => service.answered.length >= 3);
    expect(service.answered.slice(1).every(({ status }) => status === 304 || status === 0)).toBe(
      true,
    );
    expect(opened).toEqual([]);
  });

  it('does not begin with a foreign token', async () => {
    const foreign = provider({ headers: [['authorization', 'Bearer wrong']] });
    await expect(Web.setProviderAndWait(foreign)).rejects.toMatchObject({ code: 'PROVIDER_FATAL' });
  });
});

describe('a page of another site', () => {
  const ORIGIN = 'https://shop.example';
  const asked = (method: string, path: string, more = {}) =>
    fetch(service.url + path, { method, headers: { origin: ORIGIN, ...more } });

  it('may ask and listen where it is named, and not where it is not', async () => {
    const BULK = '/ofrep/v1/evaluate/flags';
    const preflight = {
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,if-none-match',
    };
    const unknown = await asked('OPTIONS', BULK, preflight);
    expect(unknown.headers.get('access-control-allow-origin')).toBeNull();
    await service.stop();
    service = await Service.start({ origins: [ORIGIN] });
    const allowed = await asked('OPTIONS', BULK, preflight);
    expect(allowed.status).toBe(204);
    expect(Object.fromEntries(allowed.headers)).toMatchObject({
      'access-control-allow-origin': ORIGIN,
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': expect.stringContaining('if-none-match'),
      vary: 'Origin',
    });
    const crossing = { ...BEARER, origin: ORIGIN, 'sec-fetch-site': 'cross-site' };
    const shared = { 'access-control-allow-origin': ORIGIN, vary: 'Origin' };
    const bulk = await service.evaluate(undefined, { context: {} }, crossing);
    expect(Object.fromEntries(bulk.headers)).toMatchObject({
      ...shared,
      'access-control-expose-headers': 'ETag, Retry-After',
    });
    const missing = await service.evaluate('nope', { context: {} }, crossing);
    expect(Object.fromEntries(missing.headers)).toMatchObject(shared);
    const stream = await asked('GET', bulk.body.eventStreams[0].endpoint.requestUri);
    expect(Object.fromEntries(stream.headers)).toMatchObject(shared);
    await stream.body?.cancel();
    const other = { ...crossing, origin: 'https://evil.example' };
    const refused = await service.evaluate('nope', { context: {} }, other);
    expect(refused.status).toBe(403);
    expect(refused.headers.get('access-control-allow-origin')).toBeNull();
    expect(refused.headers.get('vary')).toBe('Origin');
  });
});
