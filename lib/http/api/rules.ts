import { z } from 'zod';
import type { Feature as Document } from '../../domain/feature.js';
import type { RuleSettings } from '../../domain/rule.js';
import type { FeatureSettings } from '../../domain/validate.js';
import { Refusal } from '../problem.js';
import { Routes } from '../route.js';
import { Feature, Json, RuleFields, Serve } from '../wire.js';
import { answerOf } from './features.js';

/** Of a feature: its rules, variants, groups and overrides, each by its name. */
export const ruleRoutes: Routes = new Routes('Rules, variants and groups')
  .add('PUT /v1/features/{name}/rules/{rule}', {
    id: 'putRule',
    summary: 'Adds a rule, or replaces the one of that id in its place.',
    conditional: true,
    query: z.strictObject({
      before: z.string().optional().describe('The rule before which it goes; default last.'),
    }),
    body: RuleFields,
    answer: Feature,
    handle: async ({ rollout, param, query, body, write }) => {
      const rule = { ...body, id: param('rule') } as RuleSettings;
      const rules = (feature: Document) =>
        withItem(feature.rules as RuleSettings[], rule, ({ id }) => id, query.before);
      return answerOf(
        await rollout.update(param('name'), (feature) => ({ rules: rules(feature) }), write),
      );
    },
  })
  .add('DELETE /v1/features/{name}/rules/{rule}', {
    id: 'removeRule',
    summary: 'Removes a rule.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) => {
      const rules = (feature: Document) =>
        without(feature.rules, param('rule'), ({ id }) => id, 'rule');
      return answerOf(
        await rollout.update(
          param('name'),
          (feature) => ({ rules: rules(feature) }) as FeatureSettings,
          write,
        ),
      );
    },
  })
  .add('PUT /v1/features/{name}/variants/{variant}', {
    id: 'putVariant',
    summary: 'Adds a variant, or replaces the one of that name in its place.',
    conditional: true,
    body: z.strictObject({ weight: z.number().min(0).optional(), value: Json.optional() }),
    answer: Feature,
    handle: async ({ rollout, param, body, write }) => {
      const { weight = 1 } = body;
      const variant = { ...body, weight, name: param('variant') };
      const variants = (feature: Document) =>
        withItem(feature.variants, variant as Document['variants'][number], ({ name }) => name);
      return answerOf(
        await rollout.update(param('name'), (feature) => ({ variants: variants(feature) }), write),
      );
    },
  })
  .add('DELETE /v1/features/{name}/variants/{variant}', {
    id: 'removeVariant',
    summary: 'Removes a variant.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) => {
      const variants = (feature: Document) =>
        without(feature.variants, param('variant'), ({ name }) => name, 'variant');
      return answerOf(
        await rollout.update(param('name'), (feature) => ({ variants: variants(feature) }), write),
      );
    },
  })
  .add('PUT /v1/features/{name}/groups/{group}', {
    id: 'activateGroup',
    summary: 'Lets in everyone of a group.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) =>
      answerOf(await rollout.activateGroup(param('name'), param('group'), write)),
  })
  .add('DELETE /v1/features/{name}/groups/{group}', {
    id: 'deactivateGroup',
    summary: 'Takes back that a group is let in.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) =>
      answerOf(await rollout.deactivateGroup(param('name'), param('group'), write)),
  })
  .add('PUT /v1/features/{name}/overrides/{group}', {
    id: 'overrideGroup',
    summary: 'Serves one answer to a stored group, before all other rules.',
    conditional: true,
    body: z.strictObject({ serve: Serve }),
    answer: Feature,
    handle: async ({ rollout, param, body, write }) =>
      answerOf(await rollout.overrideGroup(param('name'), param('group'), body.serve, write)),
  })
  .add('DELETE /v1/features/{name}/overrides/{group}', {
    id: 'clearOverride',
    summary: 'Takes back an override.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) =>
      answerOf(await rollout.clearOverride(param('name'), param('group'), write)),
  });

/** With an item in the place of the one of its name, or before another, or last. */
function withItem<Item>(
  items: readonly Item[],
  item: Item,
  nameOf: (item: Item) => string,
  before?: string,
): Item[] {
  const name = nameOf(item);
  const at = items.findIndex((each) => nameOf(each) === name);
  if (before === undefined && at !== -1) return items.with(at, item);
  const others = items.filter((each) => nameOf(each) !== name);
  if (before === undefined) return [...others, item];
  const place = others.findIndex((each) => nameOf(each) === before);
  if (place === -1)
    throw new Refusal(
      'INVALID_ARGUMENT',
      `There is no rule ${JSON.stringify(before)} to go before.`,
    );
  return others.toSpliced(place, 0, item);
}

function without<Item>(
  items: readonly Item[],
  name: string,
  nameOf: (item: Item) => string,
  kind: string,
): Item[] {
  const others = items.filter((item) => nameOf(item) !== name);
  if (others.length === items.length) {
    throw new Refusal('FEATURE_NOT_FOUND', `The feature has no ${kind} ${JSON.stringify(name)}.`);
  }
  return others;
}
