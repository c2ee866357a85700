import { z } from 'zod';
import { define, Json } from '../wire.js';

/*
 * What goes over the wire as the OpenFeature Remote Evaluation Protocol has it, for the OpenAPI
 * document. What comes in is looked at in `context.ts`, which takes a hundredth of the time.
 */

const Context = z.looseObject({
  targetingKey: z.string().optional().describe('The id. Without it, it is about nobody.'),
});

export const EvaluationRequest = define(
  'EvaluationRequest',
  z.looseObject({ context: Context }),
  "Who is asked about; the context's other fields are attributes.",
);

const Metadata = z.strictObject({
  enabled: z.boolean(),
  reason: z.enum(['DEFAULT', 'STALE']).optional().describe('Where `reason` is UNKNOWN.'),
});

export const EvaluationSuccess = define(
  'EvaluationSuccess',
  z.strictObject({
    key: z.string(),
    value: Json.optional(),
    reason: z.enum(['STATIC', 'TARGETING_MATCH', 'SPLIT', 'DISABLED', 'UNKNOWN']),
    variant: z.string().optional(),
    metadata: Metadata,
  }),
  "Without `value` the caller's own default holds.",
);

export const EvaluationFailure = define(
  'EvaluationFailure',
  z.strictObject({
    key: z.string(),
    errorCode: z.enum(['PARSE_ERROR', 'INVALID_CONTEXT', 'GENERAL']),
    errorDetails: z.string(),
  }),
);

export const FlagNotFound = define(
  'FlagNotFound',
  z.strictObject({
    key: z.string(),
    errorCode: z.literal('FLAG_NOT_FOUND'),
    errorDetails: z.string(),
  }),
);

export const BulkEvaluationFailure = define(
  'BulkEvaluationFailure',
  z.strictObject({
    errorCode: z.enum(['PARSE_ERROR', 'INVALID_CONTEXT', 'GENERAL']),
    errorDetails: z.string(),
  }),
);

const EventStream = z.strictObject({
  type: z.literal('sse'),
  endpoint: z.strictObject({ requestUri: z.string().regex(/^\//) }),
});

export const BulkEvaluation = define(
  'BulkEvaluation',
  z.strictObject({
    flags: z.array(z.union([EvaluationSuccess, EvaluationFailure])),
    eventStreams: z.array(EventStream).optional(),
  }),
  'Every feature, by key.',
);

export const BulkQuery = z.looseObject({
  flagConfigEtag: z.string().optional().describe('Of the event that this request follows.'),
  flagConfigLastModified: z.string().optional().describe('Of the same; passed over.'),
});

export const EventsQuery = z.strictObject({
  ticket: z.string().optional().describe('In place of a credential; of a bulk evaluation.'),
  seen: z.string().optional().describe('The last event before; else `Last-Event-ID`.'),
});
