// Not the global ones: a test can put its own in their place, which then wait to be told.
import { clearTimeout, setImmediate, setTimeout } from 'node:timers';
import {
  ErrorCode,
  type EvaluationContext,
  type JsonValue,
  OpenFeatureEventEmitter,
  type Provider,
  ProviderEvents,
  ProviderFatalError,
  ProviderNotReadyError,
  type ResolutionDetails,
  type TrackingEventDetails,
} from '@openfeature/server-sdk';
import type { Health } from '../backends/backend.js';
import { refusePromise, type Subject } from '../domain/subject.js';
import { invalid, refuseNumber, refuseUnknownOptions } from '../errors.js';
import type { Listener } from '../events.js';
import type { ProvidedRollout } from './provided-rollout.js';
import { type FlagTypes, failure, resolutionOf } from './resolution.js';

export interface HanoiProviderOptions {
  /**
   * Who an evaluation is about, by its context. Default: an object with the context's attributes and
   * the targeting key as its `id`; without a targeting key nobody. What it throws is INVALID_CONTEXT.
   */
  subjectOf?: (context: EvaluationContext) => Subject | null | undefined;
  /** How long the provider waits for the store before it counts as not initialized: default 5 s. */
  readyTimeoutMs?: number;
  /** Whether the rollout is closed with the provider. Default false: who has made it closes it. */
  closesRollout?: boolean;
}

const DEFAULTS = { subjectOf: subjectIn, readyTimeoutMs: 5_000, closesRollout: false };

/** How often a store that was away at the beginning is asked again, and how long it is waited for. */
const AGAIN_MS = 1_000;
const ANSWER_MS = 250;

/**
 * Features as OpenFeature's flags, for the server SDK.
 *
 * A boolean is the feature's value where that is one, else whether it is on; the other types are its
 * value. Of an error the SDK serves the default value of the call, so neither `defaults` nor
 * `unknownFeature` of the rollout show.
 */
export class HanoiProvider implements Provider {
  readonly metadata = { name: 'hanoi' } as const;
  readonly runsOn = 'server';
  readonly events: OpenFeatureEventEmitter = new OpenFeatureEventEmitter();

  private readonly options: Required<HanoiProviderOptions>;
  private again: NodeJS.Timeout | undefined;
  private isOpen: boolean = false;

  /** INVALID_ARGUMENT. */
  constructor(
    private readonly rollout: ProvidedRollout,
    options: HanoiProviderOptions = {},
  ) {
    if (typeof (rollout as Partial<ProvidedRollout> | null)?.decide !== 'function') {
      throw invalid('a Rollout as the first argument', rollout);
    }
    refuseUnknownOptions(options, Object.keys(DEFAULTS));
    this.options = { ...DEFAULTS, ...options };
    const { subjectOf, readyTimeoutMs, closesRollout } = this.options;
    if (typeof subjectOf !== 'function') {
      throw invalid('`subjectOf` to be a function from a context to its subject', subjectOf);
    }
    refuseNumber('readyTimeoutMs', readyTimeoutMs, 0);
    if (typeof closesRollout !== 'boolean') {
      throw invalid('`closesRollout` to be true or false', closesRollout);
    }
  }

  /**
   * Resolves once checks can be answered, be it by what was known before. Rejects where they can't in
   * time, and the event PROVIDER_READY comes when they can; or for good where the rollout is closed.
   */
  async initialize(): Promise<void> {
    const { rollout } = this;
    this.isOpen = true;
    rollout.on('change', this.changed);
    rollout.on('missed', this.missed);
    rollout.on('degraded', this.tell);
    rollout.on('stale', this.tell);
    rollout.on('recovered', this.tell);
    rollout.on('dataLoss', this.lost);
    const health = await rollout.ready({ timeoutMs: this.options.readyTimeoutMs });
    if (health.state === 'closed') throw new ProviderFatalError('The rollout is closed.');
    if (!isAnswering(health)) {
      this.tryAgain();
      throw new ProviderNotReadyError(messageOf(health));
    }
    // Not before the SDK has told that it is initialized, which says that all is well.
    if (health.state !== 'ready') setImmediate(() => this.tell(rollout.health()));
  }

  async onClose(): Promise<void> {
    const { rollout } = this;
    this.isOpen = false;
    clearTimeout(this.again);
    rollout.off('change', this.changed);
    rollout.off('missed', this.missed);
    rollout.off('degraded', this.tell);
    rollout.off('stale', this.tell);
    rollout.off('recovered', this.tell);
    rollout.off('dataLoss', this.lost);
    if (this.options.closesRollout) await rollout.close();
  }

  resolveBooleanEvaluation(
    flagKey: string,
    defaultValue: boolean,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<boolean>> {
    return this.resolve('boolean', flagKey, defaultValue, context);
  }

  resolveStringEvaluation(
    flagKey: string,
    defaultValue: string,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<string>> {
    return this.resolve('string', flagKey, defaultValue, context);
  }

  resolveNumberEvaluation(
    flagKey: string,
    defaultValue: number,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<number>> {
    return this.resolve('number', flagKey, defaultValue, context);
  }

  resolveObjectEvaluation<Value extends JsonValue>(
    flagKey: string,
    defaultValue: Value,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<Value>> {
    return this.resolve('object', flagKey, defaultValue, context);
  }

  /**
   * Says that somebody has used the feature of that name: with the `variant` of the details where
   * there is one, else with what they are given now. Of a name that no feature has, nothing comes.
   */
  track(
    trackingEventName: string,
    context: EvaluationContext,
    { variant }: TrackingEventDetails,
  ): void {
    const subject = this.subjectOf(context);
    const told =
      typeof variant === 'string'
        ? this.rollout.used(trackingEventName, variant, subject)
        : this.rollout.use(trackingEventName, subject);
    // It rejects where a test wants to know of undefined features: not every event is one.
    told.catch(() => {});
  }

  private async resolve<Type extends keyof FlagTypes, Value extends FlagTypes[Type]>(
    type: Type,
    flagKey: string,
    defaultValue: Value,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<Value>> {
    let subject: Subject | null | undefined;
    try {
      subject = this.subjectOf(context);
    } catch (error) {
      const message = `\`subjectOf\` of the provider threw: ${String(error)}`;
      return failure(defaultValue, ErrorCode.INVALID_CONTEXT, message);
    }
    return resolutionOf(await this.rollout.decide(flagKey, subject), type, defaultValue);
  }

  private subjectOf(context: EvaluationContext): Subject | null | undefined {
    const subject = this.options.subjectOf(context);
    refusePromise(subject);
    return subject;
  }

  private readonly changed: Listener<'change'> = ({ of, name }) => {
    // What features refer to can change any of them: then it names none.
    const changed = of === 'feature' ? { flagsChanged: [name] } : {};
    this.events.emit(ProviderEvents.ConfigurationChanged, changed);
  };

  private readonly missed = (): void => {
    // Nobody knows which.
    this.events.emit(ProviderEvents.ConfigurationChanged, {});
  };

  /** That of the health: the SDK takes the provider's status from it. */
  private readonly tell = (health: Health): void => {
    if (!this.isOpen) return;
    if (health.state === 'ready') {
      clearTimeout(this.again);
      this.events.emit(ProviderEvents.Ready);
      return;
    }
    const event = isAnswering(health) ? ProviderEvents.Stale : ProviderEvents.Error;
    this.events.emit(event, { message: messageOf(health) });
  };

  private readonly lost: Listener<'dataLoss'> = (health) => {
    const message = 'The store held something, and holds nothing any more. See the rollout.';
    this.events.emit(ProviderEvents.Error, { message });
    // Nobody tells of a recovery from what did not last.
    this.tell(health);
  };

  private tryAgain(): void {
    if (!this.isOpen) return;
    this.again = setTimeout(async () => {
      const health = await this.rollout.ready({ timeoutMs: ANSWER_MS });
      if (isAnswering(health)) this.tell(health);
      else if (health.state !== 'closed') this.tryAgain();
    }, AGAIN_MS);
    // An app that has nothing else to do may end.
    this.again.unref();
  }
}

function subjectIn(context: EvaluationContext): Subject | undefined {
  const { targetingKey } = context;
  if (targetingKey === undefined || targetingKey === null) return undefined;
  return { ...context, id: targetingKey };
}

/** Whether there is something that checks are answered from, however old. */
function isAnswering({ state, ageMs }: Health): boolean {
  return state === 'ready' || (state !== 'closed' && Number.isFinite(ageMs));
}

function messageOf({ state, ageMs, error }: Health): string {
  const why = error === undefined ? '' : ` (${error})`;
  const known = Number.isFinite(ageMs)
    ? `Checks answer by what was known ${Math.round(ageMs)} ms ago.`
    : 'Nothing is known of the features yet.';
  return `The rollout is ${state}${why}. ${known}`;
}
