import { AsyncLocalStorage } from 'node:async_hooks';
import type { HeldFeature, View } from './backends/backend.js';
import { compile } from './domain/decide.js';
import type { Feature } from './domain/feature.js';
import { referredBy } from './domain/prerequisite.js';
import { parseFeature } from './domain/validate.js';
import { HanoiError } from './errors.js';

/** What a test says, for a call and all that it starts. */
export interface Overrides {
  /** By name. Documents, and not compiled: another version of the package reads them its own way. */
  readonly features: ReadonlyMap<string, Feature>;
  /** Whether to ask for a feature that nobody has defined is a failure. */
  readonly failOnUndefined: boolean;
}

/**
 * One for the process, as tests and app can have loaded different copies of the package: the ESM
 * and the CommonJS build, or two versions. So its shape must stay as it is.
 */
interface Shared {
  readonly storage: AsyncLocalStorage<Overrides>;
  /** How many calls with overrides can still ask: until the last thing that each started has ended. */
  overriding: number;
  /** How many want undefined features to fail wherever nothing else is said. */
  failing: number;
}

const KEY = Symbol.for('hanoi.overrides');
const everywhere = globalThis as { [KEY]?: Shared };
// Sealed, as Jest 30 makes what a test file leaves on the global object unusable, and then the counting
// back below would fail in the next file.
everywhere[KEY] ??= Object.seal({
  storage: new AsyncLocalStorage<Overrides>(),
  overriding: 0,
  failing: 0,
});
const shared = everywhere[KEY];

// Nobody else can tell when the last thing that a call has started has ended.
const ended = new FinalizationRegistry<void>(() => shared.overriding--);

/** Compiled once for all rollouts, by document. */
const compiled = new WeakMap<Feature, HeldFeature>();

/** Calls `fn` with these overrides and no others, for it and for all that it starts. */
export function runOverridden<Result>(overrides: Overrides, fn: () => Result): Result {
  shared.overriding++;
  ended.register(overrides);
  return shared.storage.run(overrides, fn);
}

/** The overrides around; undefined where there are none. */
export function currentOverrides(): Overrides | undefined {
  return shared.overriding === 0 ? undefined : shared.storage.getStore();
}

/**
 * From now on, a check of a feature that nobody has defined fails in the whole process: it rejects, or
 * throws where it is synchronous, with FEATURE_NOT_FOUND. For a file that is loaded before the tests.
 * Where `withFeatures` says otherwise, that counts. Call what it returns to end it.
 */
export function failOnUndefined(): () => void {
  shared.failing++;
  let isOver = false;
  return () => {
    if (!isOver) shared.failing--;
    isOver = true;
  };
}

/** FEATURE_NOT_FOUND, where a test wants that to be a failure. */
export function refuseUndefined(feature: string): void {
  if (!(currentOverrides()?.failOnUndefined ?? shared.failing > 0)) return;
  const name = JSON.stringify(feature);
  throw new HanoiError(
    'FEATURE_NOT_FOUND',
    `Feature ${name} was asked for, and neither the test nor the store defines it. ` +
      `Name it in withFeatures({ ${name}: … }), or create it with rollout.addFeature(${name}).`,
    { feature },
  );
}

/**
 * What a check of this feature looks into: the view, with the overrides over it. What they say
 * needs no view where it refers to nothing else, and is never stale then.
 */
export function overlaid<Given extends View | undefined>(view: Given, name: string): Given | View {
  // Outside of tests, a check does not even look.
  if (shared.overriding === 0) return view;
  const features = currentOverrides()?.features;
  return features === undefined ? view : (overlay(view, features, name) as Given | View);
}

/** The names of all features there are: the view's, and those of overrides. */
export function namesWith(view: View | undefined): Iterable<string> {
  const features = currentOverrides()?.features;
  const names = view?.names() ?? [];
  return features === undefined ? names : new Set([...names, ...features.keys()]);
}

function overlay(
  view: View | undefined,
  features: ReadonlyMap<string, Feature>,
  name: string,
): View | undefined {
  const alone: View = {
    get: (each) => held(features.get(each)),
    names: () => features.keys(),
    stale: undefined,
  };
  if (referredBy(name, alone).every((each) => features.has(each))) return alone;
  return (
    view && {
      get: (each) => alone.get(each) ?? view.get(each),
      names: () => namesWith(view),
      stale: view.stale,
      problem: view.problem,
    }
  );
}

function held(document: Feature | undefined): HeldFeature | undefined {
  if (document === undefined) return undefined;
  let feature = compiled.get(document);
  if (feature === undefined) {
    feature = {
      head: undefined,
      compiled: compile(parseFeature(document)),
      facts: { isMember: () => false, assigned: () => null },
    };
    compiled.set(document, feature);
  }
  return feature;
}
