import type { Json } from './domain/feature.js';

/**
 * What a `Rollout<…>` is told of its features, by name:
 * `boolean` for one without variants, a union of names (`'foo' | 'bar'`) for variants that have no
 * values of their own, an object type (`{ foo: number; bar: number }`) for variants with values.
 *
 * Without one, any name goes, and variants are strings.
 */
export type FeatureMap = object;

/** Stands for "not told": any feature name. */
export interface AnyFeatures {
  readonly [name: string]: unknown;
}

/** The feature names. */
export type NameOf<Features extends FeatureMap> = keyof Features & string;

/** The variant names of a feature so described. */
export type VariantOf<Described> = unknown extends Described
  ? string
  : Described extends boolean
    ? never
    : Described extends string
      ? Described
      : keyof Described & string;

/** What `value()` answers for a feature so described. */
export type ValueOf<Described> = unknown extends Described
  ? Json
  : Described extends boolean
    ? boolean
    : Described extends string
      ? Described
      : Described[keyof Described];
