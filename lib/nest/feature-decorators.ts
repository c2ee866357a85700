import type { FeatureMap, NameOf, VariantOf } from '../feature-map.js';
import {
  FeatureDecision,
  FeatureEnabled,
  FeatureSnapshot,
  FeatureValue,
  FeatureVariant,
} from './parameters.js';
import { RequireFeature, type RequireFeatureOptions } from './require-feature.js';

/** The decorators, by features that are told. What a parameter's type is Nest's decorators can't see. */
export interface FeatureDecorators<Features extends FeatureMap> {
  RequireFeature<Name extends NameOf<Features>>(
    features: Name | readonly Name[],
    options?: RequireFeatureOptions & {
      readonly variant?:
        | VariantOf<Features[Name]>
        | readonly VariantOf<Features[Name]>[]
        | undefined;
    },
  ): MethodDecorator & ClassDecorator;
  FeatureDecision(feature: NameOf<Features>): ParameterDecorator;
  FeatureEnabled(feature: NameOf<Features>): ParameterDecorator;
  FeatureVariant(feature: NameOf<Features>): ParameterDecorator;
  FeatureValue(feature: NameOf<Features>, fallback?: unknown): ParameterDecorator;
  FeatureSnapshot(): ParameterDecorator;
}

/** The same decorators, with the names and variants of features checked by the compiler. */
export function featureDecorators<Features extends FeatureMap>(): FeatureDecorators<Features> {
  return {
    RequireFeature,
    FeatureDecision,
    FeatureEnabled,
    FeatureVariant,
    FeatureValue,
    FeatureSnapshot,
  };
}
