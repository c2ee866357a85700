import fc from 'fast-check';
import { compile, compileUnreadable, decide, type Surroundings } from '../../lib/domain/decide.js';
import { type ExplainedStep, explain } from '../../lib/domain/explain.js';
import type { FeatureSettings } from '../../lib/domain/validate.js';
import { createFeature } from '../../lib/domain/validate.js';
import { HanoiError } from '../../lib/errors.js';
import type { ConditionSettings, RuleSettings } from '../../lib/index.js';

const SURROUNDINGS: Surroundings = {
  identify: (subject) => (subject as { id?: unknown }).id,
  now: () => 1_000,
  inGroup: (group, subject) =>
    group === 'undefined' ? undefined : (subject as { plan?: string }).plan === group,
  segmentOf: (segment, subject) => (subject as Record<string, string>)[segment],
  unreadableSubject: () => {},
};

const STEPS: { readonly [detail: string]: string } = {
  'no subject': 'subject',
  'subject without id': 'subject',
  'default variant': 'otherwise',
  'no gate': 'otherwise',
  'needs lookup': 'otherwise',
};

const condition = fc.letrec<{ any: ConditionSettings }>((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<ConditionSettings>(
      { users: ['ann', 'bob'] },
      { matches: /^a/ },
      { group: 'pro' },
      { group: 'undefined' },
      { group: 'all' },
      { segment: 'plan', in: ['pro'] },
      { attribute: 'plan', op: 'equals', value: 'pro' },
    ),
    fc.record({ not: tie('any') }),
    fc.record({ all: fc.array(tie('any'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ any: fc.array(tie('any'), { minLength: 1, maxLength: 3 }) }),
  ),
})).any;

const rules = fc
  .array(
    fc.record({
      when: condition,
      percentage: fc.constantFrom(undefined, 0, 50, 100),
      until: fc.constantFrom(undefined, '1970-01-01T00:00:00Z', '1970-01-01T00:00:02Z'),
      serve: fc.constantFrom<RuleSettings['serve']>('on', 'off', { variant: 'foo' }),
    }),
    { maxLength: 4 },
  )
  .map((all): RuleSettings[] => all.map((rule, at) => ({ ...rule, id: `r${at}` }) as RuleSettings));

const settings: fc.Arbitrary<FeatureSettings> = fc.record({
  rules,
  enabled: fc.constantFrom(true, true, true, false),
  requires: fc.constantFrom([], [], ['other'], ['none']),
  percentage: fc.constantFrom(0, 0, 50, 100),
  excluded: fc.constantFrom([], ['bob']),
  patterns: fc.constantFrom([], [/x/, /n$/]),
  groups: fc.constantFrom([], ['free'], ['all']),
  variants: fc.constant(['foo', 'bar']),
  defaultVariant: fc.constantFrom(undefined, 'bar'),
});

const subject = fc.constantFrom<unknown>(
  undefined,
  'ann',
  'bob',
  { id: 'ann', plan: 'pro' },
  { id: 'eve', plan: 'free' },
  { plan: 'pro' },
);

const facts = fc
  .constantFrom(true, false, undefined)
  .map((answer) => ({ isMember: () => answer, assigned: () => null }));

const required = compile(createFeature('other', 'id', { percentage: 100, excluded: ['bob'] }));
const others = {
  get: (name: string) =>
    name === 'other'
      ? { compiled: required, facts: { isMember: () => false, assigned: () => null } }
      : undefined,
};

const answering = (steps: readonly ExplainedStep[]) =>
  steps.filter(({ outcome }) => outcome === 'answers');

describe('an explanation', () => {
  it('has the decision that is given, and names the one step that gave it', () => {
    fc.assert(
      fc.property(settings, subject, facts, (given, who, known) => {
        const feature = compile(createFeature('f', 'id', given));
        const decision = decide(feature, who, known, SURROUNDINGS, others);
        const { decision: explained, steps } = explain(feature, who, known, SURROUNDINGS, others);
        expect(explained).toBe(decision);
        expect(answering(steps)).toMatchObject([
          {
            step: STEPS[decision.detail] ?? decision.detail,
            ...(decision.rule !== undefined && { rule: decision.rule }),
          },
        ]);
        const at = steps.findIndex(({ outcome }) => outcome === 'answers');
        expect(steps.slice(0, at).every(({ outcome }) => outcome === 'passes')).toBe(true);
        expect(steps.slice(at + 1).every(({ outcome }) => outcome === 'not reached')).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  it('says of each part of a condition how it came out', () => {
    const when = {
      all: [{ users: ['ann'] }, { not: { group: 'pro' } }, { segment: 'country', in: ['US'] }],
    };
    const feature = compile(createFeature('f', 'id', { rules: [{ id: 'r', when, serve: 'on' }] }));
    const { steps } = explain(
      feature,
      { id: 'ann', plan: 'free' },
      { isMember: () => false, assigned: () => null },
      SURROUNDINGS,
      others,
    );
    expect(steps.find(({ step }) => step === 'rule')).toMatchObject({
      rule: 'r',
      outcome: 'passes',
      why: 'Whether its condition holds can not be told.',
      when: {
        holds: 'unknown',
        parts: [
          { condition: { users: ['ann'] }, holds: true },
          { holds: true, parts: [{ condition: { group: 'pro' }, holds: false }] },
          { holds: 'unknown' },
        ],
      },
    });
    expect(steps.map(({ step, outcome }) => `${step} ${outcome}`)).toEqual([
      'kill switch passes',
      'requires passes',
      'subject passes',
      'excluded passes',
      'rule passes',
      'member passes',
      'pattern passes',
      'group passes',
      'percentage passes',
      'otherwise answers',
    ]);
  });

  it('says that a document can not be read', () => {
    const unreadable = compileUnreadable('f', new HanoiError('CORRUPT_FEATURE', 'no'));
    const { steps } = explain(
      unreadable,
      'ann',
      { isMember: () => false, assigned: () => null },
      SURROUNDINGS,
      others,
    );
    expect(answering(steps)).toMatchObject([
      { why: 'Its document can not be read (CORRUPT_FEATURE).' },
    ]);
  });
});
