import { z } from 'zod';
import type { Feature as Document } from '../../domain/feature.js';
import type { FeatureSettings } from '../../domain/validate.js';
import { notFound } from '../../errors.js';
import { type Answer, Routes } from '../route.js';
import {
  Decision,
  Explanation,
  Feature,
  Name,
  Preview,
  Settings,
  Subject,
  Subjects,
  Unreadable,
} from '../wire.js';

/** What an update says of what is not named where the whole is replaced. */
const WHOLE: FeatureSettings = {
  enabled: true,
  percentage: 0,
  bucketing: 'modulo',
  subjectKey: undefined,
  excluded: [],
  patterns: [],
  groups: [],
  variants: [],
  defaultVariant: undefined,
  offValue: undefined,
  requires: [],
  rules: [],
  data: {},
};

const PreviewBody = z.union([
  z.strictObject({ change: Settings, subjects: Subjects }),
  z.strictObject({ change: Settings, of: z.enum(['members', 'population']) }),
]);

export const featureRoutes: Routes = new Routes('Features')
  .add('GET /v1/features', {
    id: 'listFeatures',
    summary: 'Every feature, by name; those whose documents can not be read apart.',
    query: z.strictObject({
      prefix: z.string().optional().describe('Only names that begin so.'),
      after: z.string().optional().describe('Only names that come after this one.'),
      limit: z.coerce.number().int().min(1).max(1_000).optional().describe('Default 100.'),
    }),
    answer: z.strictObject({
      features: z.array(Feature),
      unreadable: z.array(Unreadable).describe('They count towards `limit`.'),
      next: z.string().optional(),
    }),
    handle: async ({ rollout, query: { prefix = '', after = '', limit = 100 } }) => {
      const features = await rollout.features();
      const unreadable = await rollout.unreadable();
      const names = [...features, ...unreadable.filter(({ of }) => of === 'feature')]
        .map(({ name }) => name)
        .filter((name) => name.startsWith(prefix) && name > after)
        .sort((one, other) => (one < other ? -1 : 1));
      const page = new Set(names.slice(0, limit));
      const isOnPage = ({ name }: { name: string }) => page.has(name);
      return {
        body: {
          features: features.filter(isOnPage),
          unreadable: unreadable
            .filter((each) => each.of === 'feature' && isOnPage(each))
            .map(({ name, problem: { code, message, path } }) => ({
              ...{ name, code, detail: message },
              ...(path !== undefined && { path }),
            })),
          next: names.length > limit ? names[limit - 1] : undefined,
        },
      };
    },
  })
  .add('POST /v1/features', {
    id: 'addFeature',
    summary: 'Adds a feature.',
    body: Settings.extend({ name: Name }),
    status: 201,
    answer: Feature,
    handle: async ({ rollout, body: { name, ...settings }, about }) => {
      const feature = await rollout.addFeature(name, given(settings), about);
      const headers = { location: `features/${encodeURIComponent(name)}` };
      return { ...answerOf(feature), headers };
    },
  })
  .add('GET /v1/features/{name}', {
    id: 'getFeature',
    summary: 'A feature.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param }) =>
      answerOf(await found(rollout.get(param('name')), param('name'))),
  })
  .add('PATCH /v1/features/{name}', {
    id: 'updateFeature',
    summary: 'Replaces the settings that are named.',
    conditional: true,
    body: Settings,
    answer: Feature,
    handle: async ({ rollout, param, body, write }) =>
      answerOf(await rollout.update(param('name'), given(body), write)),
  })
  .add('PUT /v1/features/{name}', {
    id: 'replaceFeature',
    summary: 'Replaces all settings: those that are not named are the usual ones.',
    conditional: true,
    body: Settings,
    answer: Feature,
    handle: async ({ rollout, param, body, write }) =>
      answerOf(await rollout.update(param('name'), { ...WHOLE, ...given(body) }, write)),
  })
  .add('DELETE /v1/features/{name}', {
    id: 'removeFeature',
    summary: 'Removes a feature with its users; its history stays.',
    conditional: true,
    status: 204,
    handle: async ({ rollout, param, write }) => {
      await rollout.remove(param('name'), write);
      return {};
    },
  })
  .add('POST /v1/features/{name}/enable', {
    id: 'enableFeature',
    summary: 'Takes back the kill switch: all is as it was before.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) =>
      answerOf(await rollout.enable(param('name'), write)),
  })
  .add('POST /v1/features/{name}/disable', {
    id: 'disableFeature',
    summary: 'The kill switch: off for everyone, and everything else is kept.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) =>
      answerOf(await rollout.disable(param('name'), write)),
  })
  .add('POST /v1/features/{name}/activate', {
    id: 'activateFeature',
    summary: 'On for everyone: enabled, at 100%.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) =>
      answerOf(await rollout.activate(param('name'), write)),
  })
  .add('POST /v1/features/{name}/deactivate', {
    id: 'deactivateFeature',
    summary: 'Lets nobody in any more: 0%, without users, patterns and groups.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) =>
      answerOf(await rollout.deactivate(param('name'), write)),
  })
  .add('POST /v1/features/{name}/decide', {
    id: 'decide',
    summary: 'The whole decision for a subject, with what led to it.',
    asks: true,
    body: z.strictObject({ subject: Subject.optional() }),
    answer: Decision,
    handle: async ({ rollout, param, body }) => ({
      body: await rollout.decide(param('name'), body.subject),
    }),
  })
  .add('POST /v1/features/{name}/explain', {
    id: 'explain',
    summary: 'The decision for a subject, and how each of its steps came out.',
    asks: true,
    body: z.strictObject({ subject: Subject.optional() }),
    answer: Explanation,
    handle: async ({ rollout, param, body }) => ({
      body: await found(rollout.explain(param('name'), body.subject), param('name')),
    }),
  })
  .add('POST /v1/features/{name}/preview', {
    id: 'preview',
    summary: 'Who would gain the feature, lose it or change variant by other settings.',
    asks: true,
    body: PreviewBody,
    answer: Preview,
    handle: async ({ rollout, param, body }) => {
      const name = param('name');
      const subjects =
        'subjects' in body
          ? body.subjects
          : body.of === 'members'
            ? rollout.members(name)
            : rollout.population.subjects();
      return { body: await rollout.preview(name, given(body.change), subjects) };
    },
  });

/** As the rollout takes settings: null, where JSON has no undefined. */
export function given({
  subjectKey,
  defaultVariant,
  ...settings
}: z.output<typeof Settings>): FeatureSettings {
  return {
    ...settings,
    ...(subjectKey !== undefined && { subjectKey: subjectKey ?? undefined }),
    ...(defaultVariant !== undefined && { defaultVariant: defaultVariant ?? undefined }),
  } as FeatureSettings;
}

export function answerOf(feature: Document): Answer {
  return { body: feature, state: feature };
}

/** FEATURE_NOT_FOUND where there is nothing. */
export async function found<Thing>(
  thing: Promise<Thing | undefined>,
  name: string,
): Promise<Thing> {
  const there = await thing;
  if (there === undefined) throw notFound(name);
  return there;
}
