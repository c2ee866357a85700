// The same work for each contender: who does what, as functions of a feature's name and an id.
// What a peer can't do is left out. None touches the network.
import capJsToggles from '@cap-js-community/feature-toggle-library';
import { GrowthBookClient } from '@growthbook/growthbook';
import launchdarkly from '@launchdarkly/node-server-sdk';
import integrations from '@launchdarkly/node-server-sdk/integrations';
import { FlagdCore } from '@openfeature/flagd-core';
import crc32 from 'crc-32';
import unleash from 'unleash-client';
import { Rollout } from '../dist/esm/index.js';

const VARIANTS = ['a', 'b', 'c'];
const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** Features of each kind: 20% of the subjects, a list of members, three variants, ids that end in 01. */
export const KINDS = ['percentage', 'list', 'variant', 'pattern'];

/** Each contender, made ready for these features: `{ percentage: [name], list: [name], … }`. */
export const contenders = {
  'bare floor': floor,
  hanoi,
  'flagd-core': flagdCore,
  Unleash: unleashClient,
  GrowthBook: growthBook,
  'cap-js toggles': capJs,
  LaunchDarkly: launchDarkly,
};

/** By hand: find the feature, compute what the work needs, and no more. */
function floor(names, members) {
  const thresholds = new Map(names.percentage.map((name) => [name, 200_000]));
  const lists = new Map(names.list.map((name) => [name, new Set(members)]));
  const salts = new Map(names.variant.map((name) => [name, crc32.str(name)]));
  const patterns = new Map(names.pattern.map((name) => [name, /01$/]));
  const work = {
    percentage: (name, id) => {
      const crc = crc32.str(id) >>> 0;
      return (crc % 100) * 10_000 + (Math.floor(crc / 100) % 10_000) < thresholds.get(name);
    },
    list: (name, id) => lists.get(name).has(id),
    variant: (name, id) => {
      let h = crc32.str(id) ^ salts.get(name);
      h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
      return VARIANTS[Math.floor((((h ^ (h >>> 16)) >>> 0) / 2 ** 32) * 3)];
    },
    pattern: (name, id) => patterns.get(name).test(id),
  };
  const awaited = Object.fromEntries(
    Object.entries(work).map(([kind, answer]) => [kind, async (name, id) => answer(name, id)]),
  );
  return { sync: work, awaited };
}

async function hanoi(names, members) {
  const rollout = new Rollout();
  for (const name of names.percentage) await rollout.addFeature(name, { percentage: 20 });
  for (const name of names.list) {
    await rollout.addFeature(name);
    await rollout.register(name, members);
  }
  for (const name of names.variant) {
    await rollout.addFeature(name, { percentage: 100, variants: VARIANTS });
  }
  for (const name of names.pattern) await rollout.addFeature(name, { patterns: [/01$/] });
  const isEnabledSync = (name, id) => rollout.isEnabledSync(name, id);
  const isEnabled = (name, id) => rollout.isEnabled(name, id);
  return {
    sync: {
      percentage: isEnabledSync,
      list: isEnabledSync,
      variant: (name, id) => rollout.decideSync(name, id).variant,
      pattern: isEnabledSync,
    },
    awaited: {
      percentage: isEnabled,
      list: isEnabled,
      variant: (name, id) => rollout.variant(name, id),
      pattern: isEnabled,
    },
  };
}

function flagdCore(names, members) {
  const boolean = (targeting) => ({
    state: 'ENABLED',
    variants: { on: true, off: false },
    defaultVariant: 'off',
    targeting,
  });
  const key = { var: 'targetingKey' };
  const flags = Object.fromEntries([
    ...names.percentage.map((name) => [
      name,
      boolean({ fractional: [key, ['on', 20], ['off', 80]] }),
    ]),
    ...names.list.map((name) => [name, boolean({ if: [{ in: [key, members] }, 'on', 'off'] })]),
    ...names.variant.map((name) => [
      name,
      {
        state: 'ENABLED',
        variants: { a: 'a', b: 'b', c: 'c' },
        defaultVariant: 'a',
        targeting: { fractional: [key, ...VARIANTS.map((variant) => [variant, 1])] },
      },
    ]),
    ...names.pattern.map((name) => [
      name,
      boolean({ if: [{ ends_with: [key, '01'] }, 'on', 'off'] }),
    ]),
  ]);
  const core = new FlagdCore();
  core.setConfigurations(JSON.stringify({ flags }));
  const isOn = (name, id) =>
    core.resolveBooleanEvaluation(name, false, { targetingKey: id }, silent).value;
  return {
    sync: {
      percentage: isOn,
      list: isOn,
      variant: (name, id) =>
        core.resolveStringEvaluation(name, 'a', { targetingKey: id }, silent).value,
      pattern: isOn,
    },
  };
}

async function unleashClient(names, members) {
  const feature = (name, strategy, variants = []) => ({
    name,
    type: 'release',
    enabled: true,
    strategies: [{ parameters: {}, constraints: [], ...strategy }],
    variants,
  });
  const client = new unleash.Unleash({
    appName: 'bench',
    url: 'http://127.0.0.1:9/',
    disableMetrics: true,
    refreshInterval: 0,
    disableAutoStart: true,
    skipInstanceCountWarning: true,
    bootstrap: {
      data: [
        ...names.percentage.map((name) =>
          feature(name, {
            name: 'flexibleRollout',
            parameters: { rollout: '20', stickiness: 'userId', groupId: name },
          }),
        ),
        ...names.list.map((name) =>
          feature(name, { name: 'userWithId', parameters: { userIds: members.join(',') } }),
        ),
        ...names.variant.map((name) =>
          feature(
            name,
            { name: 'default' },
            VARIANTS.map((variant) => ({
              name: variant,
              weight: 1,
              weightType: 'variable',
              stickiness: 'userId',
            })),
          ),
        ),
        ...names.pattern.map((name) =>
          feature(name, {
            name: 'default',
            constraints: [{ contextName: 'userId', operator: 'STR_ENDS_WITH', values: ['01'] }],
          }),
        ),
      ],
    },
  });
  // The address answers nobody: it runs on what it was given.
  client.on('error', () => {});
  client.on('warn', () => {});
  await client.start();
  const isEnabled = (name, id) => client.isEnabled(name, { userId: id });
  return {
    sync: {
      percentage: isEnabled,
      list: isEnabled,
      variant: (name, id) => client.getVariant(name, { userId: id }).name,
      pattern: isEnabled,
    },
    close: () => client.destroy(),
  };
}

function growthBook(names, members) {
  const client = new GrowthBookClient();
  const on = (rule) => ({ defaultValue: false, rules: [{ force: true, ...rule }] });
  const features = Object.fromEntries([
    ...names.percentage.map((name) => [name, on({ coverage: 0.2, hashAttribute: 'id' })]),
    ...names.list.map((name) => [name, on({ condition: { id: { $in: members } } })]),
    ...names.variant.map((name) => [
      name,
      { defaultValue: 'a', rules: [{ variations: VARIANTS, hashAttribute: 'id', key: name }] },
    ]),
    ...names.pattern.map((name) => [name, on({ condition: { id: { $regex: '01$' } } })]),
  ]);
  client.initSync({ payload: { features } });
  const isOn = (name, id) => client.isOn(name, { attributes: { id } });
  return {
    sync: {
      percentage: isOn,
      list: isOn,
      variant: (name, id) => client.getFeatureValue(name, 'a', { attributes: { id } }),
      pattern: isOn,
    },
  };
}

/** It has values by scope, and neither percentages, variants nor patterns. */
async function capJs(names, members) {
  const toggles = new capJsToggles.constructor({ uniqueName: 'bench' });
  await toggles.initializeFeatures({
    config: Object.fromEntries(
      names.list.map((name) => [
        name,
        { type: 'boolean', fallbackValue: false, allowedScopes: ['user'] },
      ]),
    ),
  });
  for (const name of names.list) {
    for (const user of members) await toggles.changeFeatureValue(name, true, { user });
  }
  return { sync: { list: (name, id) => toggles.getFeatureValue(name, { user: id }) } };
}

/** Async only. */
async function launchDarkly(names, members) {
  const data = new integrations.TestData();
  const client = launchdarkly.init('sdk-key', {
    updateProcessor: data.getFactory(),
    sendEvents: false,
    diagnosticOptOut: true,
    logger: silent,
  });
  const add = (key, variations, fallthrough, others = {}) =>
    data.usePreconfiguredFlag({
      key,
      on: true,
      version: 1,
      salt: key,
      variations,
      offVariation: 0,
      fallthrough,
      targets: [],
      rules: [],
      prerequisites: [],
      ...others,
    });
  const split = (...weights) => ({
    rollout: {
      contextKind: 'user',
      variations: weights.map((weight, variation) => ({ variation, weight })),
    },
  });
  const boolean = [false, true];
  for (const name of names.percentage) await add(name, boolean, split(80_000, 20_000));
  for (const name of names.list) {
    await add(name, boolean, { variation: 0 }, { targets: [{ variation: 1, values: members }] });
  }
  for (const name of names.variant) await add(name, VARIANTS, split(33_333, 33_333, 33_334));
  for (const name of names.pattern) {
    const clause = { attribute: 'key', op: 'endsWith', values: ['01'], contextKind: 'user' };
    const rules = [{ id: 'pattern', variation: 1, clauses: [clause] }];
    await add(name, boolean, { variation: 0 }, { rules });
  }
  await client.waitForInitialization({ timeout: 5 });
  const isOn = (name, id) => client.boolVariation(name, { kind: 'user', key: id }, false);
  return {
    awaited: {
      percentage: isOn,
      list: isOn,
      variant: (name, id) => client.stringVariation(name, { kind: 'user', key: id }, 'a'),
      pattern: isOn,
    },
    close: () => client.close(),
  };
}
