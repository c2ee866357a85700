import { z } from 'zod';
import { HanoiError } from '../../errors.js';
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
    const flags = Object.entries((await rollout.snapshot(query.subject_id)).toJSON());
    if (flags.length === 0 && !Number.isFinite(rollout.health().ageMs)) {
      // Nothing is known yet, which is another thing than that there is nothing.
      throw new HanoiError('STORE_UNAVAILABLE', 'Nothing was read from the store so far.');
    }
    return {
      body: Object.fromEntries(flags.map(([name, { variant }]) => [name, variant ?? null])),
    };
  },
});
