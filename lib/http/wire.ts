import { z } from 'zod';
import { BUCKETINGS, OPERATORS } from '../domain/feature.js';

/*
 * What goes over the wire, for the OpenAPI document and for what comes in. What a document may say
 * beyond its shape is the validator's affair, as everywhere.
 */

/** Those that have a name of their own in the OpenAPI document. */
export const named: z.core.$ZodRegistry<{ id: string; description?: string }> = z.registry();

export function define<Schema extends z.ZodType>(
  id: string,
  schema: Schema,
  description?: string,
): Schema {
  named.add(schema, description === undefined ? { id } : { id, description });
  return schema;
}

/** At most so many users in one request, wherever they are named. */
export const MOST_USERS = 1_000;

/**
 * 1-200 characters without control characters, as the validator has it; and none that a path cannot
 * name.
 */
export const Name = define(
  'Name',
  z
    .string()
    .min(1)
    .max(400)
    .regex(/^(?!\.{1,2}$)[^\p{Cc}]+$/u),
  '1-200 characters without control characters; not `.` or `..`, which no path can name.',
);

export const Id = define(
  'Id',
  z.union([z.string().min(1).max(1024), z.int()]),
  'Of a subject; `42` and `"42"` are the same.',
);

/** Who is asked about: patterns are tried on it. */
const SubjectId = define(
  'SubjectId',
  z.union([z.string().min(1).max(256), z.int()]),
  'Of a subject that is asked about.',
);

export const Json = define('Json', z.json());

export const Data = define('Data', z.record(z.string(), Json), "The team's own.");

export const Instant = define(
  'Instant',
  z.string().max(64),
  'ISO 8601 with a zone: `2026-11-21T03:00:00Z`.',
);

const Percentage = define('Percentage', z.number().min(0).max(100));

const RampPoint = z.strictObject({ at: Instant, percentage: Percentage });

export const Ramp = define(
  'Ramp',
  z.strictObject({
    points: z.array(RampPoint).min(1).max(100),
    pausedAt: Instant.optional(),
  }),
  'A percentage that changes with time: linear between the points, and 0 before the first.',
);

const Share = define('Share', z.union([Percentage, Ramp]));

export const Pattern = define(
  'Pattern',
  z.strictObject({ source: z.string().min(1).max(256), flags: z.string().max(8).optional() }),
  "A regular expression over ids, in JavaScript's syntax.",
);

export const VariantSettings = define(
  'VariantSettings',
  z.union([
    Name,
    z.strictObject({ name: Name, weight: z.number().min(0).optional(), value: Json.optional() }),
  ]),
  'A name alone has weight 1.',
);

export type ConditionWire =
  | { all: ConditionWire[] }
  | { any: ConditionWire[] }
  | { not: ConditionWire }
  | { users: (string | number)[] }
  | { matches: { source: string; flags?: string | undefined } }
  | { group: string }
  | { segment: string; in: string[] }
  | { attribute: string; op: (typeof OPERATORS)[number]; value?: unknown };

export const Condition: z.ZodType<ConditionWire> = define(
  'Condition',
  z.union([
    z.strictObject({
      get all() {
        return z.array(Condition);
      },
    }),
    z.strictObject({
      get any() {
        return z.array(Condition);
      },
    }),
    z.strictObject({
      get not() {
        return Condition;
      },
    }),
    z.strictObject({ users: z.array(Id).max(MOST_USERS) }),
    z.strictObject({ matches: Pattern }),
    z.strictObject({ group: Name }),
    z.strictObject({ segment: Name, in: z.array(z.string()) }),
    z.strictObject({ attribute: Name, op: z.literal('matches'), value: Pattern }),
    z.strictObject({
      attribute: Name,
      op: z.enum(OPERATORS).exclude(['matches']),
      value: Json.optional(),
    }),
  ]) as z.ZodType<ConditionWire>,
);

export const Serve = define(
  'Serve',
  z.union([
    z.enum(['on', 'off']),
    z.strictObject({ variant: Name }),
    z.strictObject({ split: z.array(z.tuple([Name, z.number().min(0)])).min(1) }),
  ]),
);

export const RuleFields = z.strictObject({
  description: z.string().optional(),
  when: Condition,
  from: Instant.optional(),
  until: Instant.optional(),
  percentage: Share.optional(),
  serve: Serve,
  sticky: z.boolean().optional(),
});

export const Rule = define('Rule', RuleFields.extend({ id: Name }));

const Prerequisite = define(
  'Prerequisite',
  z.union([Name, z.strictObject({ feature: Name, variants: z.array(Name).optional() })]),
);

export const Settings = define(
  'FeatureSettings',
  z.strictObject({
    enabled: z.boolean().optional(),
    percentage: Share.optional(),
    bucketing: z.enum(BUCKETINGS).optional(),
    subjectKey: z.union([Name, z.null()]).optional(),
    excluded: z.array(Id).max(MOST_USERS).optional(),
    patterns: z.array(Pattern).optional(),
    groups: z.array(Name).optional(),
    variants: z.array(VariantSettings).optional(),
    defaultVariant: z.union([Name, z.null()]).optional(),
    offValue: Json.optional(),
    requires: z.array(Prerequisite).optional(),
    rules: z.array(Rule).optional(),
    data: Data.optional(),
  }),
  'What is not named stays as it is. `null` takes back `subjectKey` and `defaultVariant`.',
);

export const Feature = define(
  'Feature',
  z.looseObject({
    name: z.string(),
    id: z.string(),
    revision: z.int(),
    enabled: z.boolean(),
    percentage: z.union([z.number(), z.looseObject({ points: z.array(z.unknown()) })]),
    bucketing: z.string(),
    subjectKey: z.string().optional(),
    excluded: z.array(z.string()),
    patterns: z.array(z.looseObject({ source: z.string(), flags: z.string() })),
    groups: z.array(z.string()),
    variants: z.array(
      z.looseObject({ name: z.string(), weight: z.number(), value: Json.optional() }),
    ),
    defaultVariant: z.string().optional(),
    offValue: Json.optional(),
    requires: z.array(z.looseObject({ feature: z.string() })),
    rules: z.array(z.looseObject({ id: z.string(), when: z.unknown(), serve: z.unknown() })),
    buckets: z.array(z.string()).optional(),
    experiments: z.array(z.string()).optional(),
    data: Data,
  }),
  'The whole document as it is stored. One of a newer version can say more.',
);

/** Who is asked about: an id, or an object with one and with attributes. */
export const Subject = define(
  'Subject',
  z.union([SubjectId, z.object({ id: SubjectId.optional() }).catchall(Json)]),
  'An id, or an object with an `id` and attributes.',
);

export const Subjects = define('Subjects', z.array(Subject).min(1).max(MOST_USERS));

export const Decision = define(
  'Decision',
  z.strictObject({
    feature: z.string(),
    enabled: z.boolean(),
    variant: z.string().optional(),
    value: Json.optional(),
    reason: z.enum(['TARGETING_MATCH', 'SPLIT', 'STATIC', 'DISABLED', 'DEFAULT', 'STALE', 'ERROR']),
    detail: z.string(),
    rule: z.string().optional(),
    experiment: z.string().optional(),
    errorCode: z.string().optional(),
    code: z.string().optional(),
    ageMs: z.number().optional(),
  }),
);

export const Explanation = define(
  'Explanation',
  z.strictObject({
    decision: Decision,
    steps: z.array(
      z.strictObject({
        step: z.string(),
        rule: z.string().optional(),
        outcome: z.enum(['answers', 'passes', 'not reached']),
        why: z.string(),
        when: z.looseObject({ holds: z.union([z.boolean(), z.literal('unknown')]) }).optional(),
      }),
    ),
  }),
);

export const Change = define(
  'Change',
  z.strictObject({
    id: z.string(),
    of: z.enum(['feature', 'group', 'experiment', 'population']),
    name: z.string(),
    kind: z.enum(['created', 'updated', 'removed', 'members']),
    at: z.string(),
    revision: z.int(),
    actor: z.string().optional(),
    note: z.string().optional(),
    before: Feature.optional(),
    after: Feature.optional(),
    added: z.array(z.string()),
    removed: z.array(z.string()),
    memberCount: z.int(),
  }),
  'One write. `before` and `after` are absent where only members changed.',
);

export const Difference = define(
  'Difference',
  z.strictObject({
    path: z.string(),
    kind: z.enum(['changed', 'added', 'removed', 'moved']),
    before: Json.optional(),
    after: Json.optional(),
  }),
);

export const Preview = define(
  'Preview',
  z.strictObject({
    gains: z.int(),
    loses: z.int(),
    changes: z.int(),
    stays: z.int(),
    unknown: z.int(),
    ids: z.strictObject({
      gains: z.array(z.string()),
      loses: z.array(z.string()),
      changes: z.array(z.string()),
    }),
  }),
);

const Given = z.union([z.string(), z.boolean()]);

const Arm = z.strictObject({
  name: Name,
  proportion: z.number().min(0).max(1),
  features: z.record(z.string(), Given),
});

export const ExperimentSettings = define(
  'ExperimentSettings',
  z.strictObject({
    from: Instant,
    until: Instant,
    arms: z.array(Arm).min(1).max(100),
    when: Condition.optional(),
    subjectKey: Name.optional(),
    sticky: z.boolean().optional(),
    data: Data.optional(),
  }),
);

export const Experiment = define(
  'Experiment',
  z.strictObject({
    name: z.string(),
    id: z.string(),
    revision: z.int(),
    from: z.string(),
    until: z.string(),
    arms: z.array(z.looseObject({ name: z.string(), proportion: z.number() })),
    when: z.unknown(),
    subjectKey: z.string().optional(),
    sticky: z.boolean(),
    data: Data,
  }),
);

export const ExperimentReport = define(
  'ExperimentReport',
  Experiment.extend({
    state: z.enum(['planned', 'live', 'over']),
    arms: z.array(
      z.strictObject({
        name: z.string(),
        proportion: z.number(),
        features: z.record(z.string(), Given),
        uses: z.int(),
      }),
    ),
    sampleRatio: z
      .strictObject({ chiSquare: z.number(), pValue: z.number(), isMismatched: z.boolean() })
      .optional(),
    missing: z.array(z.string()),
  }),
);

export const Group = define(
  'Group',
  z.strictObject({ name: z.string(), subjectKey: z.string().optional() }),
);

export const Bucket = define('Bucket', z.strictObject({ name: z.string(), weight: z.number() }));

export const Population = define(
  'Population',
  z.strictObject({ count: z.int(), weight: z.number(), buckets: z.array(Bucket) }),
);

export const Ids = define('Ids', z.array(z.string()));

export const Count = define(
  'Count',
  z.strictObject({ changed: z.int() }),
  'How many have changed.',
);

export const Problem = define(
  'Problem',
  z.strictObject({
    type: z.literal('about:blank'),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string(),
    path: z.string().optional(),
    feature: z.string().optional(),
    requestId: z.string().optional(),
  }),
  'RFC 9457. Branch on `code`.',
);

export const Unreadable = define(
  'Unreadable',
  z.strictObject({
    name: z.string(),
    code: z.string(),
    detail: z.string(),
    path: z.string().optional(),
  }),
  'A feature whose document can not be read: it is off for everyone, until it is rolled back, mended or removed.',
);

export const Health = define(
  'Health',
  z.strictObject({
    state: z.enum(['starting', 'ready', 'degraded', 'stale', 'closed']),
    ageMs: z.number().optional(),
  }),
  '`ageMs`: how old what checks are answered from can be; absent while there is nothing.',
);
