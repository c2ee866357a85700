// What does a check on memory cost where rules are asked first, next to one without rules, to doing
// the work by hand and to flagd-core on the same work?
import { FlagdCore } from '@openfeature/flagd-core';
import { Rollout } from '../dist/esm/index.js';
import { measure, ns, table } from './measure.js';

const quick = process.argv.includes('--quick');
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const MASK = 1023;

// Each rule's first two conditions hold for everyone, so that the third is asked, and holds for a
// few: most subjects come to the last rule.
const RULES = 10;
const ages = Array.from({ length: RULES }, (_, n) => 90 + n);
const subjects = Array.from({ length: MASK + 1 }, (_, n) => ({
  id: `user-${n}`,
  plan: 'pro',
  email: `user-${n}@example.com`,
  age: n % 100,
}));

const rollout = new Rollout();
await rollout.addFeature('none', { percentage: 20 });
await rollout.addFeature('ten', {
  rules: ages.map((age) => ({
    id: `aged ${age}`,
    when: {
      all: [
        { attribute: 'plan', op: 'equals', value: 'pro' },
        { attribute: 'email', op: 'endsWith', value: '@example.com' },
        { attribute: 'age', op: 'equals', value: age },
      ],
    },
    serve: 'on',
  })),
});

const flagd = new FlagdCore(undefined, silent);
const conditions = ages.flatMap((age) => [
  {
    and: [
      { '===': [{ var: 'plan' }, 'pro'] },
      { ends_with: [{ var: 'email' }, '@example.com'] },
      { '===': [{ var: 'age' }, age] },
    ],
  },
  'on',
]);
flagd.setConfigurations(
  JSON.stringify({
    flags: {
      ten: {
        state: 'ENABLED',
        variants: { on: true, off: false },
        defaultVariant: 'off',
        targeting: { if: [...conditions, 'off'] },
      },
    },
  }),
);

const calls = {
  'by hand': (n) => {
    const { plan, email, age } = subjects[n & MASK];
    for (const each of ages) {
      if (plan === 'pro' && email.endsWith('@example.com') && age === each) return true;
    }
    return false;
  },
  'no rules': (n) => rollout.isEnabledSync('none', subjects[n & MASK]),
  'ten rules of three conditions': (n) => rollout.isEnabledSync('ten', subjects[n & MASK]),
  'flagd-core': (n) =>
    flagd.resolveBooleanEvaluation('ten', false, subjects[n & MASK], silent).value,
};
// Each has to let in a tenth.
for (const name of ['by hand', 'ten rules of three conditions', 'flagd-core']) {
  const letIn = subjects.filter((_, n) => calls[name](n)).length;
  const expected = subjects.filter(({ age }) => age >= 90).length;
  if (letIn !== expected) throw new Error(`${name} lets in ${letIn}, not ${expected}.`);
}
const times = await measure(calls, quick ? { rounds: 3, batchMs: 5 } : {});
const ten = times['ten rules of three conditions'];
console.log(
  table([
    ['', 'ns a check', 'times ten rules'],
    ...Object.entries(times).map(([name, time]) => [name, ns(time), (time / ten).toFixed(2)]),
  ]),
);
await rollout.close();
