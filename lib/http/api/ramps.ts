import { z } from 'zod';
import { Routes } from '../route.js';
import { Feature, Instant, Subject } from '../wire.js';
import { answerOf } from './features.js';

const Duration = z
  .union([z.string().min(1).max(32), z.int().min(0)])
  .describe('`14d`, `36h`, or ms.');

const Plan = z.strictObject({
  to: z.number().min(0).max(100).optional(),
  from: z.number().min(0).max(100).optional(),
  over: Duration.optional(),
  start: Instant.optional(),
  end: Instant.optional(),
  steps: z.int().min(1).max(100).optional(),
});

export const rampRoutes: Routes = new Routes('Ramps')
  .add('POST /v1/features/{name}/ramp', {
    id: 'startRamp',
    summary: 'Lets the percentage go with time, from where it is to 100, or as the plan says.',
    conditional: true,
    body: Plan,
    answer: Feature,
    handle: async ({ rollout, param, body, write }) =>
      answerOf(
        await rollout.ramp(param('name'), body as Parameters<typeof rollout.ramp>[1], write),
      ),
  })
  .add('POST /v1/features/{name}/ramp/pause', {
    id: 'pauseRamp',
    summary: 'Keeps a ramp where it is.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) =>
      answerOf(await rollout.pauseRamp(param('name'), write)),
  })
  .add('POST /v1/features/{name}/ramp/resume', {
    id: 'resumeRamp',
    summary: 'Goes on from where a ramp was paused.',
    conditional: true,
    answer: Feature,
    handle: async ({ rollout, param, write }) =>
      answerOf(await rollout.resumeRamp(param('name'), write)),
  })
  .add('POST /v1/features/{name}/ramp/rewind', {
    id: 'rewindRamp',
    summary: 'Takes a ramp back to where it was so long ago, to go on from there.',
    conditional: true,
    body: z.strictObject({ by: Duration }),
    answer: Feature,
    handle: async ({ rollout, param, body, write }) =>
      answerOf(await rollout.rewindRamp(param('name'), body.by, write)),
  })
  .add('POST /v1/features/{name}/ramp/jump', {
    id: 'jumpRamp',
    summary: 'Takes a ramp to where it has this percentage first, to go on from there.',
    conditional: true,
    body: z.strictObject({ percentage: z.number().min(0).max(100) }),
    answer: Feature,
    handle: async ({ rollout, param, body, write }) =>
      answerOf(await rollout.jumpRamp(param('name'), body.percentage, write)),
  })
  .add('POST /v1/features/{name}/when', {
    id: 'whenFor',
    summary: 'The instant from which a ramp lets a subject in; absent where it never does.',
    asks: true,
    body: z.strictObject({ subject: Subject }),
    answer: z.strictObject({ at: z.string().optional() }),
    handle: async ({ rollout, param, body }) => ({
      body: { at: (await rollout.whenFor(param('name'), body.subject))?.toISOString() },
    }),
  });
