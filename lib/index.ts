export type {
  Assignment,
  AssignmentsWrite,
  Backend,
  Change,
  ChangeEvent,
  Head,
  Health,
  HealthEvent,
  HeldFeature,
  HeldMembers,
  HistoryOptions,
  IdOf,
  Loaded,
  RecordedWrite,
  Source,
  Staleness,
  Stored,
  Token,
  View,
  Write,
  Written,
} from './backends/backend.js';
export { MemoryBackend, type MemoryBackendOptions } from './backends/memory.js';
export { ReplicaBackend, type ReplicaBackendOptions } from './backends/replica.js';
export { type CopyOptions, type CopyReport, copyFeatures } from './copy-features.js';
export type { Guard, Guardable, GuardOptions, Selector } from './decorators.js';
export type { GroupFunction, SegmentOptions } from './definitions.js';
export type { ConditionSettings } from './domain/condition.js';
export type { Decision, Detail, Reason } from './domain/decision.js';
export { type Difference, diff } from './domain/diff.js';
export type { Arm, Experiment, ExperimentSettings, SampleRatio } from './domain/experiment.js';
export type { ExplainedCondition, ExplainedStep, Explanation } from './domain/explain.js';
export type {
  Bucketing,
  Condition,
  Feature,
  Json,
  Operator,
  Pattern,
  Prerequisite,
  Ramp,
  Rule,
  Serve,
  Variant,
} from './domain/feature.js';
export type { Leftover } from './domain/leftover.js';
export type { RampPlan, RampSettings } from './domain/ramp.js';
export type { RuleSettings } from './domain/rule.js';
export type { SegmentTable } from './domain/segment-table.js';
export type { Subject } from './domain/subject.js';
export type { FeatureSettings } from './domain/validate.js';
export { ERROR_CODES, type ErrorCode, HanoiError } from './errors.js';
export type { RolloutEvents } from './events.js';
export type { ExperimentReport } from './experiments.js';
export type { Exposure } from './exposure.js';
export type { FeatureMap } from './feature-map.js';
export type { Group } from './groups.js';
export type { Moment, RestoreOptions, RollbackOptions } from './history.js';
export type {
  BooleanHandle,
  Handle,
  Implementations,
  ImplementationsOptions,
} from './implementations.js';
export type { Observer, WriteKind } from './observers.js';
export type {
  Bucket,
  BucketOptions,
  Population,
  RegisteredSubject,
  Registration,
  RegistrationOptions,
} from './population.js';
export type { Preview, PreviewOptions } from './preview.js';
export { type Reference, Rollout, type RolloutOptions, type Unreadable } from './rollout.js';
export type { Snapshot, SnapshotEntry } from './snapshot.js';
export type { Subjects } from './subjects.js';
export type { MembersOptions, WriteOptions } from './writer.js';
