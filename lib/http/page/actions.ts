import { patternsIn } from '../../domain/condition.js';
import type { Feature, Rule } from '../../domain/feature.js';
import type { RuleSettings } from '../../domain/rule.js';
import { amendFeature, type FeatureSettings } from '../../domain/validate.js';
import { changedMeanwhile } from '../../errors.js';
import type { Rollout } from '../../rollout.js';
import type { WriteOptions } from '../../writer.js';
import { Refusal } from '../problem.js';
import { overriddenBy } from './conditions.js';
import type { Fields } from './fields.js';
import {
  dataForm,
  dealingForm,
  excludedForm,
  type Form,
  groupsForm,
  membersForm,
  overrideForm,
  pastForm,
  patternForm,
  percentageForm,
  rampForm,
  removeForm,
  requiresForm,
  ruleForm,
  steerForm,
  switchForm,
  variantsForm,
} from './forms.js';

/** What a form can ask for. */
export interface Action {
  readonly title: string;
  /** To be shown again with what was typed, where it is refused. */
  readonly form: Form;
  /** Whose ids begin so, and which of its fields is meant where something is refused. */
  readonly key: string;
  readonly field?: ((path: string, fields: Fields) => string | undefined) | undefined;
  /** What it makes of the settings: such a change can be previewed. */
  readonly settings?: (feature: Feature, fields: Fields) => FeatureSettings;
  /** Where it is more than that. */
  readonly run?: (
    rollout: Rollout,
    feature: Feature,
    fields: Fields,
    write: WriteOptions,
  ) => Promise<unknown>;
}

/** At most so many ids of one form. */
const MOST_IDS = 1_000;

/** Of a pattern. */
const LONGEST_PATTERN = 256;

export const ACTIONS: { readonly [name: string]: Action } = {
  enable: {
    title: 'Turn on again',
    form: switchForm,
    key: 'switch',
    settings: () => ({ enabled: true }),
  },
  disable: {
    title: 'Turn off for everyone',
    form: switchForm,
    key: 'switch',
    settings: () => ({ enabled: false }),
  },
  percentage: {
    title: 'Change the percentage',
    form: percentageForm,
    key: 'percentage',
    field: () => 'percentage',
    settings: (_, fields) => ({ percentage: fields.number('percentage') }),
  },
  ramp: {
    title: 'Start a ramp',
    form: rampForm,
    key: 'ramp',
    field: (path) => path.replace(/^ramp\.?/, '') || 'over',
    run: (rollout, { name }, fields, write) => {
      const has = (field: string) => fields.text(field) !== '';
      const plan = {
        ...(has('to') && { to: fields.number('to') }),
        ...(has('from') && { from: fields.number('from') }),
        ...(has('over') && { over: fields.text('over') }),
        ...(has('steps') && { steps: fields.number('steps') }),
      };
      return rollout.ramp(name, plan, write);
    },
  },
  pause: {
    title: 'Pause the ramp',
    form: steerForm,
    key: 'steer',
    run: (rollout, { name }, _, write) => rollout.pauseRamp(name, write),
  },
  resume: {
    title: 'Resume the ramp',
    form: steerForm,
    key: 'steer',
    run: (rollout, { name }, _, write) => rollout.resumeRamp(name, write),
  },
  rewind: {
    title: 'Rewind the ramp',
    form: steerForm,
    key: 'steer',
    field: () => 'by',
    run: (rollout, { name }, fields, write) => rollout.rewindRamp(name, fields.text('by'), write),
  },
  jump: {
    title: 'Jump within the ramp',
    form: steerForm,
    key: 'steer',
    field: () => 'to',
    run: (rollout, { name }, fields, write) => rollout.jumpRamp(name, fields.number('to'), write),
  },
  register: {
    title: 'Add users',
    form: membersForm,
    key: 'members',
    field: () => 'ids',
    run: async (rollout, feature, fields, { expect, ...write }) => {
      refuseStale(feature, expect);
      return rollout.register(feature.name, idsOf(fields), write);
    },
  },
  unregister: {
    title: 'Remove users',
    form: membersForm,
    key: 'members',
    field: () => 'ids',
    run: async (rollout, feature, fields, { expect, ...write }) => {
      refuseStale(feature, expect);
      return rollout.unregister(feature.name, idsOf(fields), write);
    },
  },
  exclude: {
    title: 'Exclude users',
    form: excludedForm,
    key: 'excluded',
    field: () => 'ids',
    settings: ({ excluded }, fields) => ({ excluded: [...excluded, ...idsOf(fields)] }),
  },
  unexclude: {
    title: 'No longer exclude users',
    form: excludedForm,
    key: 'excluded',
    field: () => 'ids',
    settings: ({ excluded }, fields) => {
      const ids = new Set(idsOf(fields));
      return { excluded: excluded.filter((id) => !ids.has(id)) };
    },
  },
  'pattern-add': {
    title: 'Add a pattern',
    form: patternForm,
    key: 'pattern',
    field: (path) => (path === 'flags' ? 'flags' : 'source'),
    settings: ({ patterns }, fields) => ({ patterns: [...patterns, patternOf(fields)] }),
  },
  'pattern-remove': {
    title: 'Remove a pattern',
    form: patternForm,
    key: 'pattern',
    settings: ({ patterns }, fields) => {
      const { source, flags } = patternOf(fields);
      return {
        patterns: patterns.filter((each) => each.source !== source || each.flags !== flags),
      };
    },
  },
  'rule-save': {
    title: 'Save a rule',
    form: ruleForm,
    key: 'rule',
    field: () => 'json',
    settings: ({ rules }, fields) => {
      const rule = fields.json('json') as RuleSettings;
      const at = rules.findIndex(({ id }) => id === fields.raw('rule'));
      return {
        rules: settingsOf(at === -1 ? [...rules, rule as Rule] : rules.with(at, rule as Rule)),
      };
    },
  },
  'rule-remove': {
    title: 'Remove a rule',
    form: ruleForm,
    key: 'rule',
    settings: ({ rules }, fields) => ({
      rules: settingsOf(rules.filter(({ id }) => id !== fields.raw('rule'))),
    }),
  },
  'rule-up': {
    title: 'Move a rule up',
    form: ruleForm,
    key: 'rule',
    settings: ({ rules }, fields) => ({ rules: moved(rules, fields.raw('rule') ?? '', -1) }),
  },
  'rule-down': {
    title: 'Move a rule down',
    form: ruleForm,
    key: 'rule',
    settings: ({ rules }, fields) => ({ rules: moved(rules, fields.raw('rule') ?? '', 1) }),
  },
  'group-add': {
    title: 'Let a group in',
    form: groupsForm,
    key: 'groups',
    field: () => 'group',
    settings: ({ groups }, fields) => ({ groups: [...groups, fields.text('group')] }),
  },
  'group-remove': {
    title: 'No longer let a group in',
    form: groupsForm,
    key: 'groups',
    field: () => 'group',
    settings: ({ groups }, fields) => ({
      groups: groups.filter((each) => each !== fields.text('group')),
    }),
  },
  'override-set': {
    title: 'Override for a group',
    form: overrideForm,
    key: 'override',
    field: () => 'group',
    run: async (rollout, { name }, fields, write) => {
      const serve = fields.text('serve');
      const given = serve.startsWith('variant:')
        ? { variant: serve.slice('variant:'.length) }
        : (serve as 'on' | 'off');
      return rollout.overrideGroup(name, fields.text('group'), given, write);
    },
  },
  'override-clear': {
    title: 'Take an override back',
    form: overrideForm,
    key: 'override',
    field: () => 'group',
    run: (rollout, { name }, fields, write) =>
      rollout.clearOverride(name, fields.text('group'), write),
  },
  variants: {
    title: 'Change the variants',
    form: variantsForm,
    key: 'variants',
    field: (path, fields) => variantField(path, fields),
    settings: (_, fields) => ({
      variants: variantRows(fields).map((at) => {
        const [weight, value] = [`weight${at}`, `value${at}`];
        return {
          name: fields.text(`name${at}`),
          ...(fields.text(weight) !== '' && { weight: fields.number(weight) }),
          ...(fields.text(value) !== '' && { value: fields.json(value) }),
        };
      }),
      defaultVariant: fields.text('otherwise') || undefined,
      offValue: fields.text('off') === '' ? undefined : fields.json('off'),
    }),
  },
  requires: {
    title: 'Change what it requires',
    form: requiresForm,
    key: 'requires',
    field: () => 'json',
    settings: (_, fields) => ({
      requires: fields.json('json') as NonNullable<FeatureSettings['requires']>,
    }),
  },
  data: {
    title: 'Change the data',
    form: dataForm,
    key: 'data',
    field: () => 'json',
    settings: (_, fields) => ({
      data: fields.json('json') as NonNullable<FeatureSettings['data']>,
    }),
  },
  dealing: {
    title: 'Change how users are dealt',
    form: dealingForm,
    key: 'dealing',
    field: (path) => (path === 'subjectKey' ? 'subjectKey' : 'bucketing'),
    settings: (_, fields) => ({
      bucketing: fields.text('bucketing') as NonNullable<FeatureSettings['bucketing']>,
      subjectKey: fields.text('subjectKey') || undefined,
    }),
  },
  undo: {
    title: 'Undo a change',
    form: pastForm,
    key: 'past',
    run: (rollout, { name }, fields, write) => rollout.undo(name, fields.text('change'), write),
  },
  rollback: {
    title: 'Roll back',
    form: pastForm,
    key: 'past',
    run: (rollout, { name }, fields, write) => rollout.rollback(name, fields.text('change'), write),
  },
  remove: {
    title: 'Remove the feature',
    form: removeForm,
    key: 'remove',
    field: () => 'typed',
    run: async (rollout, { name }, fields, write) => {
      refuseOtherName(name, fields);
      return rollout.remove(name, write);
    },
  },
};

/** INVALID_REQUEST where who removes a feature has not typed its name. */
export function refuseOtherName(name: string, fields: Fields): void {
  if (fields.raw('typed')?.trim() === name.trim()) return;
  throw new Refusal('INVALID_REQUEST', 'Expected the name of the feature, as it is.', {
    path: 'typed',
  });
}

/** CONFLICT where the form shows another state, and the write itself can't name one. */
export function refuseStale({ name, id, revision }: Feature, seen: WriteOptions['expect']): void {
  if (seen?.id !== id || seen.revision !== revision) throw changedMeanwhile(name);
}

/** Refuses what is no setting, before anything is asked of the store. INVALID_FEATURE. */
export function changedBy(action: Action, feature: Feature, fields: Fields): FeatureSettings {
  const settings = action.settings?.(feature, fields) ?? {};
  const { rules } = amendFeature(feature, settings);
  if (settings.rules !== undefined) {
    for (const rule of rules) refuseLong(patternsIn(rule.when));
  }
  return settings;
}

/** INVALID_REQUEST. */
function idsOf(fields: Fields): string[] {
  const ids = fields.lines('ids');
  if (ids.length > 0 && ids.length <= MOST_IDS) return ids;
  const got = ids.length === 0 ? 'none' : ids.length;
  throw new Refusal('INVALID_REQUEST', `Expected 1 to ${MOST_IDS} ids, one a line, got ${got}.`, {
    path: 'ids',
  });
}

export function patternOf(fields: Fields): { source: string; flags: string } {
  const source = fields.raw('source') ?? '';
  if (source === '') {
    throw new Refusal('INVALID_REQUEST', 'Expected a pattern, got nothing.', { path: 'source' });
  }
  refuseLong([{ source }], 'source');
  return { source, flags: fields.text('flags') };
}

/** As the API takes them. */
function refuseLong(patterns: Iterable<{ source: string }>, path: string = 'json'): void {
  for (const { source } of patterns) {
    if (source.length <= LONGEST_PATTERN) continue;
    throw new Refusal(
      'INVALID_REQUEST',
      `Expected a pattern of at most ${LONGEST_PATTERN} characters, got ${source.length}.`,
      { path },
    );
  }
}

/** A stored rule fits where one is given. */
function settingsOf(rules: readonly Rule[]): RuleSettings[] {
  return rules as unknown as RuleSettings[];
}

/** Among those of its kind: overrides come before all others. */
function moved(rules: readonly Rule[], id: string, by: 1 | -1): RuleSettings[] {
  const at = rules.findIndex((rule) => rule.id === id);
  const [rule, other] = [rules[at], rules[at + by]];
  const isSwap =
    rule !== undefined &&
    other !== undefined &&
    (overriddenBy(rule) === undefined) === (overriddenBy(other) === undefined);
  return settingsOf(isSwap ? rules.with(at, other).with(at + by, rule) : rules);
}

/** The rows that name a variant. */
function variantRows(fields: Fields): number[] {
  const rows: number[] = [];
  for (const name of fields.names()) {
    const [, at] = /^name(\d{1,3})$/.exec(name) ?? [];
    if (at !== undefined && fields.text(name) !== '') rows.push(Number(at));
  }
  return rows.sort((one, other) => one - other);
}

/** `variants[1].weight` is of the second row that names one. */
function variantField(path: string, fields: Fields): string | undefined {
  const [, index, part = 'name'] = /^variants\[(\d+)\](?:\.(\w+))?/.exec(path) ?? [];
  const row = variantRows(fields)[Number(index)];
  if (index !== undefined && row !== undefined) return `${part}${row}`;
  if (path === 'defaultVariant') return 'otherwise';
  if (path === 'offValue') return 'off';
  return /^(name|weight|value)\d+$|^off$/.test(path) ? path : 'name0';
}
