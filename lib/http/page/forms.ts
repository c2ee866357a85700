import { html } from 'hono/html';
import { BUCKETINGS, type Feature, type Rule } from '../../domain/feature.js';
import { compileRamp, percentageAt } from '../../domain/ramp.js';
import { overriddenBy } from './conditions.js';
import type { Fields } from './fields.js';
import {
  button,
  type Draft,
  editorOf,
  fieldOf,
  formOf,
  jsonText,
  previewButton,
  type Seen,
  selectOf,
} from './form.js';
import { featureUrl, type Html, type Visit } from './visit.js';

/** Rows for variants that there are not yet. */
const SPARE_VARIANTS = 2;

/** Over whom a preview goes. */
const AUDIENCES = [
  ['sample', 'A fixed sample of made-up ids'],
  ['members', 'The users by name'],
  ['population', 'The population'],
  ['ids', 'Ids of your own'],
] as const;

/** Made-up ids are in no population. */
export function defaultAudience({ bucketing }: Feature): string {
  return bucketing === 'population' ? 'population' : 'sample';
}

/** The choice of those over whom a preview goes. */
export function audienceOf(
  key: string,
  feature: Feature,
  fields?: Fields,
  before: Html = '',
): Html {
  const ids = fields?.raw('overIds') ?? '';
  return html`<div class="row">${before}${selectOf({
    key,
    name: 'over',
    label: 'Preview over',
    value: fields?.raw('over') ?? defaultAudience(feature),
    choices: AUDIENCES,
  })}</div>${editorOf(
    'Ids of your own',
    fieldOf({
      key,
      name: 'overIds',
      label: 'Ids, one a line',
      hint: 'Or JSON with attributes: { "id": "42", "plan": "pro" }',
      rows: 3,
      isCode: true,
      value: ids,
    }),
    ids !== '',
  )}`;
}

/** A form of its own for each thing that can be changed, empty or with what was typed. */
export type Form = (visit: Visit, feature: Feature, draft?: Draft) => Html;

export const switchForm: Form = (visit, feature, draft) =>
  formOf(visit, feature, {
    buttons: feature.enabled
      ? button('disable', 'Turn off for everyone', 'danger')
      : button('enable', 'Turn on again'),
    noteFor: 'switch',
    draft,
    className: 'switch',
  });

export const percentageForm: Form = (visit, feature, draft) => {
  const { percentage: share } = feature;
  const present =
    typeof share === 'number'
      ? share
      : Number(percentageAt(compileRamp(share), visit.now).toFixed(1));
  return formOf(visit, feature, {
    part: '/preview',
    live: 'percentage',
    className: 'percentage',
    body: html`${audienceOf(
      'percentage',
      feature,
      draft?.fields,
      fieldOf({
        key: 'percentage',
        name: 'percentage',
        label: 'Percentage',
        value: String(present),
        inputMode: 'decimal',
        draft,
        className: 'short',
      }),
    )}<div class="outcome" data-outcome aria-live="polite"></div>`,
    buttons: html`<button name="do" value="percentage">Preview the change</button>`,
  });
};

export const rampForm: Form = (visit, feature, draft) =>
  formOf(visit, feature, {
    body: html`<div class="row">${fieldOf({ key: 'ramp', name: 'to', label: 'To', value: '100', inputMode: 'decimal', hint: 'Percent', draft, className: 'short' })}${fieldOf({ key: 'ramp', name: 'over', label: 'Over', value: '14d', hint: '14d, 36h, 90m', draft, className: 'short' })}${fieldOf({ key: 'ramp', name: 'from', label: 'From', hint: 'Percent; empty: from now’s', inputMode: 'decimal', draft, className: 'short' })}${fieldOf({ key: 'ramp', name: 'steps', label: 'In steps', hint: 'Empty: a line', inputMode: 'numeric', draft, className: 'short' })}</div>`,
    buttons: button('ramp', 'Start the ramp'),
    noteFor: 'ramp',
    draft,
  });

export const steerForm: Form = (visit, feature, draft) => {
  const { percentage } = feature;
  const isPaused = typeof percentage !== 'number' && percentage.pausedAt !== undefined;
  return formOf(visit, feature, {
    body: html`<div class="row">${fieldOf({ key: 'steer', name: 'by', label: 'Rewind by', hint: '1d, 6h, 30m', draft, className: 'short' })}${fieldOf({ key: 'steer', name: 'to', label: 'Jump to', hint: 'Percent', inputMode: 'decimal', draft, className: 'short' })}</div>`,
    buttons: [
      isPaused ? button('resume', 'Resume') : button('pause', 'Pause'),
      button('rewind', 'Rewind', 'secondary'),
      button('jump', 'Jump', 'secondary'),
    ],
    noteFor: 'steer',
    draft,
  });
};

export const membersForm: Form = (visit, feature, draft) =>
  formOf(visit, feature, {
    body: fieldOf({
      key: 'members',
      name: 'ids',
      label: 'Ids, one a line',
      hint: 'At most 1,000 at once.',
      rows: 4,
      isCode: true,
      draft,
    }),
    buttons: [
      button('register', 'Add these users'),
      button('unregister', 'Remove these users', 'secondary'),
    ],
    noteFor: 'members',
    draft,
  });

export const excludedForm: Form = (visit, feature, draft) =>
  formOf(visit, feature, {
    body: fieldOf({
      key: 'excluded',
      name: 'ids',
      label: 'Ids, one a line',
      hint: 'Kept out, whatever else lets them in.',
      rows: 3,
      isCode: true,
      draft,
    }),
    buttons: [
      button('exclude', 'Exclude these'),
      button('unexclude', 'No longer exclude', 'secondary'),
    ],
    noteFor: 'excluded',
    draft,
  });

export const patternForm: Form = (visit, feature, draft) =>
  formOf(visit, feature, {
    live: 'pattern',
    body: html`<div class="row">${fieldOf({ key: 'pattern', name: 'source', label: 'Pattern', hint: 'A regular expression over the id, as JavaScript has it: ^beta-', isCode: true, draft, className: 'wide' })}${fieldOf({ key: 'pattern', name: 'flags', label: 'Flags', hint: 'i, m, s, u', draft, className: 'short' })}</div>
${fieldOf({ key: 'pattern', name: 'ids', label: 'Ids to try it on, one a line, at most 20', rows: 3, isCode: true, draft })}
<div class="outcome" data-outcome aria-live="polite"></div>`,
    ...(visit.canWrite
      ? {
          buttons: [
            html`<button class="secondary" formaction="${featureUrl(visit, feature.name, '/try')}">Try it</button>`,
            button('pattern-add', 'Add the pattern'),
          ],
          noteFor: 'pattern',
        }
      : { part: '/try', buttons: html`<button class="secondary">Try it</button>` }),
    draft,
  });

const RULE_EXAMPLE = {
  id: 'pro-customers',
  when: { attribute: 'plan', op: 'equals', value: 'pro' },
  serve: 'on',
};

/** Of the rule that the draft names, or of a new one. */
export const ruleForm: Form = (visit, feature, draft) => {
  const id = draft?.fields.raw('rule') ?? '';
  return ruleEditor(
    visit,
    feature,
    feature.rules.find((rule) => rule.id === id),
    draft,
  );
};

export function ruleEditor(visit: Visit, feature: Feature, rule?: Rule, draft?: Draft): Html {
  const at = rule === undefined ? 'new' : feature.rules.indexOf(rule);
  const key = draft === undefined ? `rule-${at}` : 'rule';
  const json = fieldOf({
    key,
    name: 'json',
    label: 'The rule, as JSON',
    value: jsonText(rule ?? RULE_EXAMPLE),
    hint: 'when: { attribute, op, value }, { segment, in }, { group }, { users }, { matches }, { all }, { any }, { not }. serve: "on", "off", { variant } or { split }.',
    rows: rule === undefined ? 7 : Math.min(24, jsonText(rule).split('\n').length + 1),
    isCode: true,
    draft,
  });
  return formOf(visit, feature, {
    body: html`<input type="hidden" name="rule" value="${rule?.id ?? ''}">${json}`,
    buttons: [
      button('rule-save', rule === undefined ? 'Add the rule' : 'Save the rule'),
      previewButton(visit, feature, 'rule-save'),
      ...(rule === undefined ? [] : placeButtons(feature, rule)),
    ],
    noteFor: key,
    draft,
  });
}

/** Among those that are no overrides, which come first. */
function placeButtons({ rules }: Feature, rule: Rule): Html[] {
  const others = rules.filter((each) => !isOverride(each));
  const at = others.indexOf(rule);
  return [
    ...(at > 0 ? [button('rule-up', 'Move up', 'secondary')] : []),
    ...(at !== -1 && at < others.length - 1 ? [button('rule-down', 'Move down', 'secondary')] : []),
    button('rule-remove', 'Remove the rule', 'danger'),
  ];
}

export const groupsForm: Form = (visit, feature, draft) =>
  formOf(visit, feature, {
    body: fieldOf({
      key: 'groups',
      name: 'group',
      label: 'Group',
      hint: 'One that is stored, defined in code, or that subjects say they are in. all is everyone.',
      list: 'stored-groups',
      draft,
    }),
    buttons: [
      button('group-add', 'Let the group in'),
      button('group-remove', 'No longer let it in', 'secondary'),
    ],
    noteFor: 'groups',
    draft,
  });

export const overrideForm: Form = (visit, feature, draft) =>
  formOf(visit, feature, {
    body: html`<div class="row">${fieldOf({ key: 'override', name: 'group', label: 'Stored group', hint: 'It is made, if it is not there.', list: 'stored-groups', draft })}${selectOf(
      {
        key: 'override',
        name: 'serve',
        label: 'Gets',
        value: 'on',
        choices: [
          ['on', 'on'],
          ['off', 'off'],
          ...feature.variants.map(({ name }) => [`variant:${name}`, `variant ${name}`] as const),
        ],
        draft,
      },
    )}</div>`,
    buttons: [
      button('override-set', 'Override'),
      button('override-clear', 'Take back', 'secondary'),
    ],
    noteFor: 'override',
    draft,
  });

export const variantsForm: Form = (visit, feature, draft) => {
  const { variants, defaultVariant = '' } = feature;
  const rows = Array.from({ length: variants.length + SPARE_VARIANTS }, (_, at) => {
    const variant = variants[at];
    const label = (text: string) => html`${text} <span class="hidden">of variant ${at + 1}</span>`;
    return html`<div class="row variant-row">${fieldOf({ key: 'variants', name: `name${at}`, label: label('Name'), value: variant?.name ?? '', draft })}${fieldOf({ key: 'variants', name: `weight${at}`, label: label('Weight'), value: String(variant?.weight ?? ''), inputMode: 'decimal', draft, className: 'short' })}${fieldOf({ key: 'variants', name: `value${at}`, label: label('Value, as JSON'), value: variant?.value === undefined ? '' : JSON.stringify(variant.value), isCode: true, draft })}</div>`;
  });
  return formOf(visit, feature, {
    body: html`<p class="hint">A row without a name is none. Weights are shares of their sum; the value is what value() answers, instead of the name.</p>${rows}
<div class="row">${selectOf({
      key: 'variants',
      name: 'otherwise',
      label: 'For those that nothing lets in',
      value: defaultVariant,
      choices: [['', 'off'], ...variants.map(({ name }) => [name, `on, with ${name}`] as const)],
      draft,
    })}${fieldOf({ key: 'variants', name: 'off', label: 'Value where it is off, as JSON', value: feature.offValue === undefined ? '' : JSON.stringify(feature.offValue), isCode: true, draft })}</div>`,
    buttons: [button('variants', 'Save the variants'), previewButton(visit, feature, 'variants')],
    noteFor: 'variants',
    draft,
  });
};

export const requiresForm: Form = (visit, feature, draft) =>
  formOf(visit, feature, {
    body: fieldOf({
      key: 'requires',
      name: 'json',
      label: 'What has to be on too, as JSON',
      value: jsonText(feature.requires),
      hint: '["chat"], or with the variants that count: [{ "feature": "chat", "variants": ["new"] }]',
      rows: 4,
      isCode: true,
      draft,
    }),
    buttons: [button('requires', 'Save'), previewButton(visit, feature, 'requires')],
    noteFor: 'requires',
    draft,
  });

export const dataForm: Form = (visit, feature, draft) =>
  formOf(visit, feature, {
    body: fieldOf({
      key: 'data',
      name: 'json',
      label: 'The team’s own, as JSON',
      value: jsonText(feature.data),
      hint: 'description, owner, tags and expiresAt are shown and searched here.',
      rows: Math.min(20, jsonText(feature.data).split('\n').length + 1),
      isCode: true,
      draft,
    }),
    buttons: button('data', 'Save'),
    noteFor: 'data',
    draft,
  });

export const dealingForm: Form = (visit, feature, draft) =>
  formOf(visit, feature, {
    body: html`<p class="hint">Another bucketing, or another attribute, deals the users anew.</p><div class="row">${selectOf({ key: 'dealing', name: 'bucketing', label: 'Bucketing', value: feature.bucketing, choices: BUCKETINGS.map((each) => [each, each] as const), draft })}${fieldOf({ key: 'dealing', name: 'subjectKey', label: 'By the attribute', value: feature.subjectKey ?? '', hint: 'Empty: by the id', draft })}</div>`,
    buttons: [button('dealing', 'Save'), previewButton(visit, feature, 'dealing')],
    noteFor: 'dealing',
    draft,
  });

export function removeForm(
  visit: Visit,
  feature: Seen,
  draft?: Draft,
  hint: string = 'Its history stays, and for seven days its users can come back with it.',
): Html {
  return formOf(visit, feature, {
    body: fieldOf({
      key: 'remove',
      name: 'typed',
      label: html`To remove it with its users, type its name: <bdi>${feature.name}</bdi>`,
      hint,
      draft,
    }),
    buttons: button('remove', 'Remove the feature', 'danger'),
    noteFor: 'remove',
    draft,
  });
}

/** Of what a change has done: taken back alone, or with all that came since. */
export const pastForm: Form = (visit, feature, draft) => {
  const change = draft?.fields.text('change') ?? '';
  return changeForm(visit, feature, change, 'past', draft);
};

export function changeForm(
  visit: Visit,
  feature: Feature,
  change: string,
  key: string,
  draft?: Draft,
  isNewest: boolean = false,
): Html {
  return formOf(visit, feature, {
    body: html`<input type="hidden" name="change" value="${change}">`,
    buttons: [
      button('undo', 'Undo this change', 'secondary'),
      ...(isNewest ? [] : [button('rollback', 'Roll back to here', 'secondary')]),
    ],
    noteFor: key,
    draft,
    className: 'past',
  });
}

/** Of one item of a list. */
export function itemForm(
  visit: Visit,
  feature: Feature,
  fields: { readonly [name: string]: string },
  buttons: Html | readonly Html[],
  noteFor: string,
): Html {
  return formOf(visit, feature, {
    body: Object.entries(fields).map(
      ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
    ),
    buttons,
    noteFor,
    className: 'item',
  });
}

export function isOverride(rule: Rule): boolean {
  return overriddenBy(rule) !== undefined;
}
