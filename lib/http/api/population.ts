import { z } from 'zod';
import { Routes } from '../route.js';
import { Count, Id, MOST_USERS, Name, Population } from '../wire.js';
import { PageQuery, pageOf, Users } from './users.js';

const Weighted = z.union([Id, z.tuple([Id, z.number().min(0)])]);

const Registered = z.strictObject({ id: z.string(), weight: z.number(), bucket: z.string() });

export const populationRoutes: Routes = new Routes('Population')
  .add('GET /v1/population', {
    id: 'getPopulation',
    summary: 'How many are registered, what they weigh, and how they are spread over the buckets.',
    answer: Population,
    handle: async ({ rollout: { population } }) => {
      const buckets = await population.buckets();
      const weight = buckets.reduce((sum, each) => sum + each.weight, 0);
      return { body: { count: await population.count(), weight, buckets } };
    },
  })
  .add('POST /v1/population/buckets', {
    id: 'increaseBuckets',
    summary: 'Adds so many empty buckets.',
    body: z.strictObject({ count: z.int().min(1).max(1_000), subjectKey: Name.optional() }),
    answer: z.strictObject({ buckets: z.int() }),
    handle: async ({ rollout: { population }, body: { count, subjectKey }, about }) => {
      const options = { ...about, ...(subjectKey !== undefined && { subjectKey }) };
      return { body: { buckets: await population.increaseBuckets(count, options) } };
    },
  })
  .add('GET /v1/population/subjects', {
    id: 'listSubjects',
    summary: 'Who is registered, a page at a time.',
    query: PageQuery.omit({ prefix: true }),
    answer: z.strictObject({ subjects: z.array(Registered), next: z.string().optional() }),
    handle: async ({ rollout: { population }, query }) => {
      const { page, next } = await pageOf(population.subjects(), query, ({ id }) => id);
      const subjects = page.map(({ id, weight, bucket }) => ({ id, weight, bucket }));
      return { body: { subjects, next } };
    },
  })
  .add('POST /v1/population/subjects', {
    id: 'registerSubjects',
    summary: 'Registers subjects with their weights, at most 1,000 at once.',
    body: z.strictObject({ subjects: z.array(Weighted).min(1).max(MOST_USERS) }),
    answer: Count,
    handle: async ({ rollout: { population }, body }) => ({
      body: { changed: await population.register(body.subjects) },
    }),
  })
  .add('POST /v1/population/subjects/remove', {
    id: 'unregisterSubjects',
    summary: 'Takes subjects out of the population.',
    body: Users,
    answer: Count,
    handle: async ({ rollout: { population }, body, about }) => ({
      body: { changed: await population.unregister(body.users, about) },
    }),
  });
