import { z } from 'zod';
import { Routes } from '../route.js';
import { Count, Id, MOST_USERS, Name, Population } from '../wire.js';
import { Users } from './users.js';

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
    query: z.strictObject({
      after: z.string().optional().describe('Only ids that come after this one.'),
      limit: z.coerce.number().int().min(1).max(1_000).optional().describe('Default 100.'),
    }),
    answer: z.strictObject({ subjects: z.array(Registered), next: z.string().optional() }),
    handle: async ({ rollout: { population }, query: { after = '', limit = 100 } }) => {
      const least = new Map<string, z.output<typeof Registered>>();
      let last: string | undefined;
      const cut = () => {
        const ids = [...least.keys()].sort((one, other) => (one < other ? -1 : 1));
        for (const id of ids.slice(limit + 1)) least.delete(id);
        last = ids.length > limit ? ids[limit] : undefined;
        return ids;
      };
      for await (const { id, weight, bucket } of population.subjects()) {
        if (id <= after || (last !== undefined && id >= last)) continue;
        least.set(id, { id, weight, bucket });
        if (least.size >= 2 * limit + 2) cut();
      }
      const ids = cut().slice(0, limit);
      const subjects = ids.map((id) => least.get(id));
      return { body: { subjects, next: least.size > limit ? ids.at(-1) : undefined } };
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
