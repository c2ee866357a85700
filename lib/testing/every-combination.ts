import { inspect } from 'node:util';
import { record } from '../domain/parse.js';
import { invalid, refuseNumber, refuseUnknownOptions } from '../errors.js';
import type { AnyFeatures, FeatureMap, NameOf } from '../feature-map.js';
import {
  documentOf,
  type FeaturesOf,
  type FeatureValue,
  type FeatureValues,
} from './feature-values.js';
import { failsUnder, type WithFeaturesOptions, withFeatures } from './with-features.js';

/** More are a mistake: ten features that are on or off make 1,024. */
const MOST_COMBINATIONS = 1_000;

/** How many failures the message of the error tells; all are in its `errors`. */
const MOST_TOLD = 10;

/** The values of each feature, by name; or names alone, of features that are on or off. */
export type ValuesToCombine<App = AnyFeatures> =
  | readonly NameOf<FeaturesOf<App>>[]
  | {
      readonly [Name in NameOf<FeaturesOf<App>>]?: readonly FeatureValue<FeaturesOf<App>[Name]>[];
    };

/** One of the values of each feature, by name. */
export type Combination<Values> = Values extends readonly (infer Name extends string)[]
  ? { readonly [Each in Name]: boolean }
  : {
      readonly [Name in keyof Values]: Values[Name] extends readonly (infer Value)[]
        ? Value
        : never;
    };

export interface EveryCombinationOptions extends WithFeaturesOptions {
  /** How many may run at once; none sees the features of another. Default 1: one after the other. */
  concurrency?: number;
}

/**
 * Calls `fn` once with every combination of the values of some features, each within `withFeatures`.
 * All of them run, whichever fail; then, if any did, it rejects with an AggregateError, which tells
 * the combinations, and has what each has thrown as the `cause` of one of its `errors`.
 *
 * Fewer features or values are asked for where it would be more than 1,000 combinations
 * (INVALID_ARGUMENT). INVALID_FEATURE.
 */
export function everyCombination<const Values extends ValuesToCombine>(
  values: Values,
  fn: (combination: Combination<Values>) => unknown,
  options?: EveryCombinationOptions,
): Promise<void>;
export function everyCombination<App extends FeatureMap = AnyFeatures>(
  values: ValuesToCombine<App>,
  fn: (combination: FeatureValues<App>) => unknown,
  options?: EveryCombinationOptions,
): Promise<void>;
export async function everyCombination(
  values: ValuesToCombine,
  fn: (combination: never) => unknown,
  options: EveryCombinationOptions = {},
): Promise<void> {
  if (typeof fn !== 'function') throw invalid('a function to call', fn);
  refuseUnknownOptions(options, ['failOnUndefined', 'concurrency']);
  const { concurrency = 1 } = options;
  const failOnUndefined = failsUnder(options);
  refuseNumber('concurrency', concurrency, 1);
  const combinations = combinationsOf(valuesByName(values));
  const failures: (Error | undefined)[] = [];
  let next = 0;
  const runTheRest = async () => {
    while (next < combinations.length) {
      const at = next++;
      const combination = combinations[at] as FeatureValues;
      try {
        await withFeatures(combination, () => fn(combination as never), { failOnUndefined });
      } catch (cause) {
        failures[at] = failureOf(combination, cause);
      }
    }
  };
  const atOnce = Math.min(concurrency, combinations.length);
  await Promise.all(Array.from({ length: atOnce }, runTheRest));
  const failed = failures.filter((failure) => failure !== undefined);
  if (failed.length > 0) throw new AggregateError(failed, summaryOf(failed, combinations.length));
}

function valuesByName(values: unknown): [name: string, values: readonly unknown[]][] {
  const given = Array.isArray(values)
    ? Object.fromEntries(values.map((name) => [name, [true, false]]))
    : record(values, 'features');
  const all = Object.entries(given);
  if (all.length === 0) throw invalid('at least one feature to combine', values);
  for (const [name, each] of all) {
    if (!Array.isArray(each) || each.length === 0) {
      throw invalid(`a list of values for feature ${JSON.stringify(name)}`, each);
    }
    for (const value of each) documentOf(name, value);
  }
  return all as [string, readonly unknown[]][];
}

/** In order; the values of the last feature change first. */
function combinationsOf(all: [name: string, values: readonly unknown[]][]): FeatureValues[] {
  const count = all.reduce((product, [, values]) => product * values.length, 1);
  if (count > MOST_COMBINATIONS) {
    throw invalid(
      `at most ${MOST_COMBINATIONS} combinations (name fewer features, or fewer values of each)`,
      count,
    );
  }
  let combinations: [string, unknown][][] = [[]];
  for (const [name, values] of all) {
    combinations = combinations.flatMap((each) =>
      values.map((value): [string, unknown][] => [...each, [name, value]]),
    );
  }
  return combinations.map((each) => Object.freeze(Object.fromEntries(each)) as FeatureValues);
}

function failureOf(combination: FeatureValues, cause: unknown): Error {
  // By shape: what a runner's realm or node:assert throws can be of another one's Error.
  const why = (cause as Partial<Error> | null | undefined)?.message ?? inspect(cause);
  const what = inspect(combination, { breakLength: Number.POSITIVE_INFINITY, depth: 3 });
  return new Error(`With ${what}: ${why}`, { cause });
}

function summaryOf(failed: readonly Error[], count: number): string {
  const told = failed.slice(0, MOST_TOLD).map(({ message }) => message);
  if (failed.length > MOST_TOLD)
    told.push(`And ${failed.length - MOST_TOLD} more: see \`errors\`.`);
  return [`${failed.length} of ${count} combinations failed.`, ...told].join('\n');
}
