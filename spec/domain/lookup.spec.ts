import fc from 'fast-check';
import {
  type CompiledFeature,
  compile,
  decide,
  type Facts,
  type Surroundings,
} from '../../lib/domain/decide.js';
import { createExperiment } from '../../lib/domain/experiment.js';
import { explain } from '../../lib/domain/explain.js';
import type { Feature } from '../../lib/domain/feature.js';
import { amendFeature, createFeature, parseFeature } from '../../lib/domain/validate.js';
import type { ConditionSettings, RuleSettings } from '../../lib/index.js';
import { POPULATION, storedName } from '../../lib/stored-name.js';

const NOW = Date.parse('2026-06-01T00:00:00Z');
const SURROUNDINGS: Surroundings = {
  identify: (subject) => (subject as { id?: unknown }).id,
  now: () => NOW,
  inGroup: (group) => ({ in: true, out: false, failed: undefined })[group] ?? null,
  segmentOf: () => undefined,
  unreadableSubject: () => {},
};

/** What is known of one document. */
interface Known {
  readonly member: boolean | undefined;
  readonly assigned: string | null | undefined;
}

const factsOf = ({ member, assigned }: Known): Facts => ({
  isMember: () => member,
  assigned: () => assigned,
});

const condition: fc.Arbitrary<ConditionSettings> = fc.letrec<{ condition: ConditionSettings }>(
  (tie) => ({
    condition: fc.oneof(
      { maxDepth: 3 },
      fc.constantFrom('in', 'out', 'failed', 'stored', 'other', 'all').map((group) => ({ group })),
      fc.array(tie('condition'), { minLength: 1, maxLength: 3 }).map((all) => ({ all })),
      fc.array(tie('condition'), { minLength: 1, maxLength: 3 }).map((any) => ({ any })),
      tie('condition').map((not) => ({ not })),
    ),
  }),
).condition;

const serve: fc.Arbitrary<RuleSettings['serve']> = fc.oneof(
  fc.constantFrom('on' as const, 'off' as const, { variant: 'a' }),
  fc.constant({ split: [['a', 1] as const, ['b', 1] as const] }),
);
const rules = fc
  .array(fc.record({ when: condition, serve, sticky: fc.boolean() }), { maxLength: 3 })
  .map((all) => all.map((rule, at) => ({ ...rule, id: `rule-${at}` })));

const feature: fc.Arbitrary<Feature> = fc
  .record({
    rules,
    groups: fc.subarray(['in', 'out', 'stored', 'other']),
    percentage: fc.constantFrom(0, 30, 100),
    bucketing: fc.constantFrom('modulo' as const, 'population' as const),
    variants: fc.constantFrom(['a', 'b'], ['a', 'b', 'c']),
    isTested: fc.boolean(),
    requires: fc.constantFrom([], ['base']),
  })
  .map(({ isTested, ...settings }) => {
    const created = createFeature('f', 'id', settings);
    return parseFeature({
      ...created,
      ...(isTested && { experiments: ['test', 'gone'] }),
      ...(created.bucketing === 'population' && { buckets: ['1', '3'] }),
    });
  });

const group = (name: string) => createFeature(storedName('group', name), name, {});
const EXPERIMENT = (sticky: boolean) =>
  createExperiment('test', 'test', {
    from: '2026-01-01T00:00:00Z',
    until: '2027-01-01T00:00:00Z',
    when: { group: 'other' },
    sticky,
    arms: [
      { name: 'one', proportion: 0.5, features: { f: 'a' } },
      { name: 'two', proportion: 0.5, features: { f: false } },
    ],
  });
const BUCKETS = amendFeature(createFeature(POPULATION, 'population', {}), {
  variants: ['0', '1', '2', '3'],
});

/** Everything that a decision can go by, and what is kept of the subject beside each. */
const world = fc.record({
  feature,
  isSticky: fc.boolean(),
  id: fc.integer({ min: 0, max: 300 }).map((n) => `user-${n}`),
  own: fc.record({ member: fc.boolean(), assigned: fc.constantFrom(null, 'a', 'b', 'gone') }),
  base: fc.record({ member: fc.boolean(), assigned: fc.constant(null) }),
  stored: fc.record({ member: fc.boolean(), assigned: fc.constant(null) }),
  other: fc.record({ member: fc.boolean(), assigned: fc.constant(null) }),
  test: fc.record({ member: fc.constant(false), assigned: fc.constantFrom(null, 'one', 'two') }),
  population: fc.record({
    member: fc.constant(false),
    assigned: fc.constantFrom(null, '0', '1', '2', '3'),
  }),
});
const missing = fc.record({
  own: fc.boolean(),
  base: fc.boolean(),
  stored: fc.boolean(),
  other: fc.boolean(),
  test: fc.boolean(),
  population: fc.boolean(),
});
type World = typeof world extends fc.Arbitrary<infer Value> ? Value : never;

function decided(
  { feature: document, isSticky, id, ...facts }: World,
  isMissing: Partial<Record<string, boolean>>,
) {
  const known = (part: Exclude<keyof World, 'feature' | 'isSticky' | 'id'>): Facts =>
    factsOf(isMissing[part] ? { member: undefined, assigned: undefined } : facts[part]);
  const held = (from: Feature, part: Parameters<typeof known>[0]) => ({
    compiled: compile(from),
    facts: known(part),
  });
  const others = new Map<string, { compiled: CompiledFeature; facts: Facts }>([
    ['base', held(createFeature('base', 'base', {}), 'base')],
    [storedName('group', 'stored'), held(group('stored'), 'stored')],
    [storedName('group', 'other'), held(group('other'), 'other')],
    [storedName('experiment', 'test'), held(EXPERIMENT(isSticky), 'test')],
    [POPULATION, held(BUCKETS, 'population')],
  ]);
  const compiled = compile(document);
  const own = known('own');
  const decision = decide(compiled, id, own, SURROUNDINGS, others);
  const explained = explain(compiled, id, own, SURROUNDINGS, others);
  return { decision, explained };
}

describe('a decision about whose facts not all are known', () => {
  it('is the one that it would be with all of them, or asks for a lookup', () => {
    fc.assert(
      fc.property(world, missing, (whole, isMissing) => {
        const { decision } = decided(whole, isMissing);
        if (decision.code === 'NEEDS_LOOKUP') {
          expect(decision).toMatchObject({ enabled: false, reason: 'ERROR' });
          return;
        }
        const { decision: full } = decided(whole, {});
        expect(full.code).toBeUndefined();
        expect([decision.enabled, decision.variant]).toEqual([full.enabled, full.variant]);
      }),
      { numRuns: 2_000 },
    );
  });

  it('asks for none where all are', () => {
    fc.assert(
      fc.property(world, (whole) => {
        expect(decided(whole, {}).decision.code).toBeUndefined();
      }),
      { numRuns: 1_000 },
    );
  });

  it('is explained by the one step that gave it', () => {
    fc.assert(
      fc.property(world, missing, (whole, isMissing) => {
        const { decision, explained } = decided(whole, isMissing);
        expect(explained.decision).toEqual(decision);
        const answering = explained.steps.filter(({ outcome }) => outcome === 'answers');
        expect(answering).toHaveLength(1);
        const [{ step, rule } = { step: '' }] = answering;
        if (decision.detail === 'rule') expect([step, rule]).toEqual(['rule', decision.rule]);
        if (decision.detail === 'experiment') expect(step).toBe('experiment');
        if (['member', 'group', 'percentage', 'requires'].includes(decision.detail)) {
          expect(step).toBe(decision.detail);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('names what it goes by, and nothing else is asked', () => {
    fc.assert(
      fc.property(world, (whole) => {
        const asked: string[] = [];
        const compiled = compile(whole.feature);
        const others = {
          get: (name: string) => {
            asked.push(name);
            return undefined;
          },
        };
        decide(compiled, whole.id, factsOf(whole.own), SURROUNDINGS, others);
        for (const name of asked) expect(compiled.refers).toContain(name);
      }),
      { numRuns: 500 },
    );
  });
});

it('ends where somebody has stored a test that requires the feature which is in it', () => {
  const test = {
    ...createExperiment('test', '1', {
      from: '2026-01-01T00:00:00Z',
      until: '2027-01-01T00:00:00Z',
      arms: [{ name: 'all', proportion: 1, features: { chat: true } }],
    }),
    requires: [{ feature: 'chat' }],
  };
  const chat = { ...createFeature('chat', '2', {}), experiments: ['test'] };
  const facts = factsOf({ member: false, assigned: null });
  const all = new Map(
    [test, chat].map((each) => [each.name, { compiled: compile(parseFeature(each)), facts }]),
  );
  const { compiled } = all.get('chat') as { compiled: CompiledFeature };
  expect(decide(compiled, 'ann', facts, SURROUNDINGS, all)).toMatchObject({
    enabled: true,
    detail: 'experiment',
  });
});
