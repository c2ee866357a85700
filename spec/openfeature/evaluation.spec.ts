import {
  type EvaluationContext,
  type EvaluationDetails,
  type FlagValue,
  OpenFeature,
  ProviderStatus,
} from '@openfeature/server-sdk';
import { Redis } from 'ioredis';
import { RedisBackend } from '../../lib/backends/redis/index.js';
import { type FeatureSettings, type Json, ReplicaBackend, Rollout } from '../../lib/index.js';
import { HanoiProvider } from '../../lib/openfeature/index.js';
import { freePort, RedisServer } from '../redis-server.js';

/*
 * The scenarios of the OpenFeature specification (specification/assets/gherkin: evaluation.feature,
 * which it has deprecated, and evaluation_v2.feature), with its keys and its values, through the SDK.
 * Two of its scenarios are not for this provider:
 * - the reason CACHED: nothing is cached, and each evaluation is a decision;
 * - flag metadata that the team has written: a decision carries its own, and no data of the document.
 */

type Type = 'boolean' | 'string' | 'number' | 'object';

const TEMPLATE = { showImages: true, title: 'Check out these pics!', imagesPerPage: 100 };
const BALLMER = 'ballmer@macrosoft.com';

/** On for everyone, with the first variant. */
function serving(name: string, value: Json, other: [name: string, value: Json]): FeatureSettings {
  const variants = [
    { name, value },
    { name: other[0], value: other[1], weight: 0 },
  ];
  return { percentage: 100, variants };
}

/** The zero value: by a rule for one address, and by default for others. */
function targeted(zero: Json, nonZero: Json): FeatureSettings {
  const email = { attribute: 'email', op: 'equals', value: BALLMER } as const;
  return {
    variants: [
      { name: 'zero', value: zero },
      { name: 'non-zero', value: nonZero },
    ],
    rules: [{ id: 'one', when: email, serve: { variant: 'zero' } }],
    defaultVariant: 'zero',
    offValue: zero,
  };
}

const typed: Record<string, FeatureSettings> = {
  boolean: serving('on', true, ['off', false]),
  string: serving('greeting', 'hi', ['parting', 'bye']),
  integer: serving('ten', 10, ['one', 1]),
  float: serving('half', 0.5, ['tenth', 0.1]),
  object: serving('template', TEMPLATE, ['empty', {}]),
};
const zeros: Record<string, [zero: Json, nonZero: Json]> = {
  boolean: [false, true],
  string: ['', 'str'],
  integer: [0, 1],
  float: [0, 1],
  object: [{}, TEMPLATE],
};
const FEATURES: Record<string, FeatureSettings> = {
  'wrong-flag': serving('one', 'uno', ['two', 'dos']),
  'context-aware': {
    ...serving('external', 'EXTERNAL', ['internal', 'INTERNAL']),
    rules: [
      {
        id: 'internal',
        when: {
          all: [
            { attribute: 'fn', op: 'equals', value: 'Sulisław' },
            { attribute: 'ln', op: 'equals', value: 'Świętopełk' },
            { attribute: 'age', op: 'equals', value: 29 },
            { attribute: 'customer', op: 'equals', value: 'false' },
          ],
        },
        serve: { variant: 'internal' },
      },
    ],
  },
  'complex-targeted': {
    ...serving('external', 'EXTERNAL', ['internal', 'INTERNAL']),
    rules: [
      {
        id: 'internal',
        when: {
          all: [
            { attribute: 'customer', op: 'equals', value: false },
            { attribute: 'email', op: 'equals', value: BALLMER },
            { attribute: 'age', op: 'moreThan', value: 10 },
          ],
        },
        serve: { variant: 'internal' },
      },
    ],
  },
};
for (const [type, settings] of Object.entries(typed)) {
  FEATURES[`${type}-flag`] = settings;
  FEATURES[`${type}-disabled-flag`] = { ...settings, enabled: false };
}
for (const [type, [zero, nonZero]] of Object.entries(zeros)) {
  FEATURES[`${type}-zero-flag`] = serving('zero', zero, ['non-zero', nonZero]);
  FEATURES[`${type}-targeted-zero-flag`] = targeted(zero, nonZero);
}

/** The scenarios' contexts have attributes and no targeting key, and yet are about somebody. */
function someone(context: EvaluationContext): object | undefined {
  return Object.keys(context).length === 0 ? undefined : { id: 'someone', ...context };
}

const client = OpenFeature.getClient();

function details(
  type: Type,
  key: string,
  fallback: FlagValue,
  context: EvaluationContext = {},
): Promise<EvaluationDetails<FlagValue>> {
  switch (type) {
    case 'boolean':
      return client.getBooleanDetails(key, fallback as boolean, context);
    case 'string':
      return client.getStringDetails(key, fallback as string, context);
    case 'number':
      return client.getNumberDetails(key, fallback as number, context);
    case 'object':
      return client.getObjectDetails(key, fallback, context);
  }
}

afterAll(() => OpenFeature.clearProviders());

describe('given a stable provider', () => {
  let rollout: Rollout;
  beforeAll(async () => {
    rollout = new Rollout();
    for (const [name, settings] of Object.entries(FEATURES)) {
      await rollout.addFeature(name, settings);
    }
    await OpenFeature.setProviderAndWait(new HanoiProvider(rollout, { subjectOf: someone }));
  });
  afterAll(() => rollout.close());

  const values: [
    type: Type,
    key: string,
    fallback: FlagValue,
    value: FlagValue,
    variant: string,
  ][] = [
    ['boolean', 'boolean-flag', false, true, 'on'],
    ['string', 'string-flag', 'bye', 'hi', 'greeting'],
    ['number', 'integer-flag', 1, 10, 'ten'],
    ['number', 'float-flag', 0.1, 0.5, 'half'],
    ['object', 'object-flag', null, TEMPLATE, 'template'],
    ['object', 'object-flag', {}, TEMPLATE, 'template'],
  ];

  it.each(values)('resolves a %s value (%s, else %j)', async (type, key, fallback, value) => {
    const asked = {
      boolean: () => client.getBooleanValue(key, fallback as boolean),
      string: () => client.getStringValue(key, fallback as string),
      number: () => client.getNumberValue(key, fallback as number),
      object: () => client.getObjectValue(key, fallback),
    };
    expect(await asked[type]()).toEqual(value);
  });

  it.each(values)(
    'resolves %s details (%s, else %j)',
    async (...[type, key, fallback, value, variant]) => {
      const expected = { flagKey: key, value, variant, reason: 'STATIC' };
      const resolved = await details(type, key, fallback);
      expect(resolved).toMatchObject(expected);
      expect(resolved.errorCode).toBeUndefined();
    },
  );

  it('resolves by the context, and without one', async () => {
    const context = { fn: 'Sulisław', ln: 'Świętopełk', age: 29, customer: 'false' };
    expect(await client.getStringValue('context-aware', 'EXTERNAL', context)).toBe('INTERNAL');
    expect(await client.getStringValue('context-aware', 'neither')).toBe('EXTERNAL');
  });

  it('resolves by several attributes', async () => {
    const context = { email: BALLMER, role: 'admin', age: 65, customer: false };
    expect(await details('string', 'complex-targeted', 'default', context)).toMatchObject({
      value: 'INTERNAL',
      reason: 'TARGETING_MATCH',
    });
  });

  const zeroFlags: [type: Type, kind: string, fallback: FlagValue, zero: FlagValue][] = [
    ['boolean', 'boolean', true, false],
    ['string', 'string', 'hi', ''],
    ['number', 'integer', 1, 0],
    ['number', 'float', 0.1, 0],
    ['object', 'object', { a: 1 }, {}],
  ];
  describe.each(zeroFlags)('of a %s (%s)', (type, kind, fallback, zero) => {
    it('resolves the zero value', async () => {
      const resolved = await details(type, `${kind}-zero-flag`, fallback);
      expect(resolved).toMatchObject({ value: zero, reason: 'STATIC' });
    });

    it.each<[context: EvaluationContext, reason: string]>([
      [{ email: BALLMER }, 'TARGETING_MATCH'],
      [{ email: 'ballmer@none.com' }, 'DEFAULT'],
      [{ email: null }, 'DEFAULT'],
      [{}, 'DEFAULT'],
    ])('resolves it for the context %j with the reason %s', async (context, reason) => {
      const resolved = await details(type, `${kind}-targeted-zero-flag`, fallback, context);
      expect(resolved).toMatchObject({ value: zero, reason });
    });

    it('gives the default value where it is disabled', async () => {
      const own = { boolean: false, string: 'bye', integer: 1, float: 0.1, object: { a: 1 } };
      const byDefault = own[kind as keyof typeof own];
      const resolved = await details(type, `${kind}-disabled-flag`, byDefault);
      expect(resolved).toMatchObject({ value: byDefault, reason: 'DISABLED' });
      expect(resolved.variant).toBeUndefined();
    });

    it('gives the default value where there is no such flag', async () => {
      const resolved = await details(type, 'non-existent-flag', fallback);
      const expected = { value: fallback, reason: 'ERROR', errorCode: 'FLAG_NOT_FOUND' };
      expect(resolved).toMatchObject(expected);
    });
  });

  it.each<[key: string, type: Type, fallback: FlagValue]>([
    ['wrong-flag', 'number', 13],
    ['string-flag', 'boolean', false],
    ['boolean-flag', 'string', 'bye'],
    ['boolean-flag', 'number', 1],
    ['boolean-flag', 'number', 0.1],
    ['boolean-flag', 'object', { a: 1 }],
  ])('gives the default value where %s is asked for as a %s', async (key, type, fallback) => {
    const resolved = await details(type, key, fallback);
    const expected = { value: fallback, reason: 'ERROR', errorCode: 'TYPE_MISMATCH' };
    expect(resolved).toMatchObject(expected);
  });

  it('runs the hooks of a call, in their order', async () => {
    const seen: string[] = [];
    const hook = (name: string) => ({
      before: () => void seen.push(`before ${name}`),
      after: () => void seen.push(`after ${name}`),
      finally: () => void seen.push(`finally ${name}`),
    });
    const options = { hooks: [hook('a'), hook('b')] };
    expect(await client.getBooleanValue('boolean-flag', false, {}, options)).toBe(true);
    const expected = ['before a', 'before b', 'after b', 'after a', 'finally b', 'finally a'];
    expect(seen).toEqual(expected);
  });

  it('leaves the context as it was, and its metadata can not be changed', async () => {
    const context = { targetingKey: 'ann', deep: { list: [1, 2] } };
    const { flagMetadata } = await details('boolean', 'boolean-flag', false, context);
    expect(context).toEqual({ targetingKey: 'ann', deep: { list: [1, 2] } });
    expect(Object.isFrozen(flagMetadata)).toBe(true);
  });
});

describe('given a provider in another state', () => {
  const flags: [type: Type, key: string, fallback: FlagValue][] = [
    ['boolean', 'boolean-flag', false],
    ['string', 'string-flag', 'bye'],
    ['number', 'integer-flag', 1],
    ['number', 'float-flag', 0.1],
    ['object', 'object-flag', { a: 1 }],
  ];
  const expectAll = async (errorCode: string) => {
    for (const [type, key, fallback] of flags) {
      const expected = { value: fallback, reason: 'ERROR', errorCode };
      expect(await details(type, key, fallback)).toMatchObject(expected);
    }
  };

  it('is not ready while the store was not reached, and in error when the time is up', async () => {
    const redis = new Redis(await freePort(), '127.0.0.1', { lazyConnect: true });
    redis.on('error', () => {});
    const rollout = new Rollout(new RedisBackend(redis));
    try {
      const provider = new HanoiProvider(rollout, { readyTimeoutMs: 500 });
      const failing = OpenFeature.setProviderAndWait(provider).catch((error) => error);
      expect(client.providerStatus).toBe(ProviderStatus.NOT_READY);
      await expectAll('PROVIDER_NOT_READY');
      expect(await failing).toMatchObject({ code: 'PROVIDER_NOT_READY' });
      expect(client.providerStatus).toBe(ProviderStatus.ERROR);
      await expectAll('GENERAL');
    } finally {
      await OpenFeature.clearProviders();
      await rollout.close();
      redis.disconnect();
    }
  });

  it('is fatal where the rollout is closed', async () => {
    const rollout = new Rollout();
    await rollout.close();
    const failed = OpenFeature.setProviderAndWait(new HanoiProvider(rollout));
    await expect(failed).rejects.toMatchObject({ code: 'PROVIDER_FATAL' });
    expect(client.providerStatus).toBe(ProviderStatus.FATAL);
    await expectAll('PROVIDER_FATAL');
  });

  it('is stale while a replica answers by what it knew, and ready when Redis is back', async () => {
    const server = await RedisServer.start(['--appendonly', 'yes']);
    const redis = new Redis(server.url, { lazyConnect: true });
    redis.on('error', () => {});
    const backend = new ReplicaBackend(new RedisBackend(redis), { maxStaleMs: 2_000 });
    const rollout = new Rollout(backend);
    const become = async (status: ProviderStatus) => {
      while (client.providerStatus !== status) await new Promise((later) => setTimeout(later, 10));
    };
    try {
      await rollout.addFeature('boolean-flag', FEATURES['boolean-flag'] as FeatureSettings);
      await OpenFeature.setProviderAndWait(new HanoiProvider(rollout));
      expect(client.providerStatus).toBe(ProviderStatus.READY);
      await server.kill();
      await become(ProviderStatus.STALE);
      while ((await details('boolean', 'boolean-flag', false)).reason !== 'STALE') {
        await new Promise((later) => setTimeout(later, 10));
      }
      const stale = await details('boolean', 'boolean-flag', false);
      expect(stale).toMatchObject({ value: true, variant: 'on', reason: 'STALE' });
      expect(stale.flagMetadata.ageMs).toBeGreaterThan(1_000);
      await server.restart();
      await become(ProviderStatus.READY);
      expect(await details('boolean', 'boolean-flag', false)).toMatchObject({ reason: 'STATIC' });
    } finally {
      await OpenFeature.clearProviders();
      await rollout.close();
      redis.disconnect();
      await server.stop();
    }
  }, 30_000);
});
