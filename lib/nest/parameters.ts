import { createParamDecorator, mixin, type PipeTransform } from '@nestjs/common';
import { invalid } from '../errors.js';
import { valueOr } from '../snapshot.js';
import { type AppRollout, type NestRollout, takingAppRollout } from './app-rollout.js';

/** The whole `Decision` about a feature for who asks. INVALID_ARGUMENT. */
export function FeatureDecision(feature: string): ParameterDecorator {
  const name = nameOf(feature);
  return answering((rollout) => rollout.decide(name));
}

/** Whether a feature is on for who asks. INVALID_ARGUMENT. */
export function FeatureEnabled(feature: string): ParameterDecorator {
  const name = nameOf(feature);
  return answering(async (rollout) => (await rollout.decide(name)).enabled);
}

/** The variant of a feature that who asks gets, or undefined. INVALID_ARGUMENT. */
export function FeatureVariant(feature: string): ParameterDecorator {
  const name = nameOf(feature);
  return answering(async (rollout) => (await rollout.decide(name)).variant);
}

/** The value of a feature for who asks, or the fallback where it has none. INVALID_ARGUMENT. */
export function FeatureValue(feature: string, fallback?: unknown): ParameterDecorator {
  const name = nameOf(feature);
  return answering(async (rollout) => valueOr(await rollout.decide(name), fallback));
}

/** A `Snapshot`: every feature decided for who asks, synchronous and unchanging. */
export function FeatureSnapshot(): ParameterDecorator {
  return answering((rollout) => rollout.snapshot());
}

/** A pipe, since only that is given what is injected; it runs as who is current in the handler. */
function answering(answer: (rollout: NestRollout) => Promise<unknown>): ParameterDecorator {
  class FeaturePipe implements PipeTransform {
    constructor(private readonly app: AppRollout) {}

    transform(): Promise<unknown> {
      return answer(this.app.rollout);
    }
  }
  return createParamDecorator(() => undefined)(mixin(takingAppRollout(FeaturePipe)));
}

function nameOf(feature: string): string {
  if (typeof feature !== 'string' || feature === '')
    throw invalid('the name of a feature', feature);
  return feature;
}
