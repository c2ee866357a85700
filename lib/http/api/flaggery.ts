import { z } from 'zod';
import { Routes } from '../route.js';

/** The one way in that flaggery's servers leave open to all. */
export const flaggeryRoutes: Routes = new Routes('Evaluation').add('GET /v1/subject/flags', {
  id: 'subjectFlags',
  summary:
    'Of every feature, the variant that a subject gets: by name, and null where it gets none.',
  access: 'evaluate',
  query: z.strictObject({ subject_id: z.string().min(1).max(256) }),
  answer: z.record(z.string(), z.union([z.string(), z.null()])),
  handle: async ({ rollout, query }) => {
    const decisions = (await rollout.snapshot(query.subject_id)).decisions();
    return {
      body: Object.fromEntries(
        Array.from(decisions, ({ feature, variant }) => [feature, variant ?? null]),
      ),
    };
  },
});
