import type { Decision } from './domain/decision.js';
import { HanoiError, notFound, refuseUnknownOptions, shown } from './errors.js';

/** A method or function that can be guarded: guarding makes it wait, so it must return a promise. */
// biome-ignore lint/suspicious/noExplicitAny: any parameters and any `this` can be guarded
export type Guardable = (this: any, ...args: any[]) => Promise<unknown>;

/**
 * Guards a method, as a standard (TC39) or as a legacy decorator, or a plain function.
 * `Args` is what its selector reads: only what takes these arguments can be guarded.
 */
export interface Guard<Args extends readonly unknown[] = []> {
  <Fn extends Guardable>(fn: Fn & Taking<Fn, Args>, context: ClassMethodDecoratorContext): Fn;
  <Fn extends Guardable>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<Fn & Taking<Fn, Args>>,
  ): TypedPropertyDescriptor<Fn>;
  <Fn extends Guardable>(fn: Fn & Taking<Fn, Args>): Fn;
}

type Taking<Fn extends Guardable, Args extends readonly unknown[]> =
  Parameters<Fn> extends readonly [...Args, ...unknown[]] ? unknown : never;

/** Who a guard asks about: nothing written is the current subject. */
export type Selector<Args extends readonly unknown[] = never> =
  | undefined
  | number
  // biome-ignore lint/suspicious/noExplicitAny: `this` is that of whatever it guards
  | ((this: any, ...args: Args) => unknown);

/** How the source of a class begins: as a legacy decorator's target it looks like a function. */
const CLASS = /^class\b/;

/** Who a call is about, and what was decided for them. */
export interface Asked {
  readonly subject: unknown;
  readonly decision: Decision | Promise<Decision>;
}

export interface GuardOptions {
  /** Called with the same `this` and arguments instead of refusing; its result is the call's. */
  // biome-ignore lint/suspicious/noExplicitAny: it takes the arguments of whatever it guards
  otherwise?: (this: any, ...args: any[]) => unknown;
}

/**
 * Reads the subject out of a call: the argument that `selector` counts from 1, or what the function
 * makes of the arguments. INVALID_ARGUMENT for a selector that is neither.
 */
export function subjectFrom(
  selector: Exclude<Selector, undefined>,
): (self: unknown, args: readonly unknown[]) => unknown {
  if (typeof selector === 'function') {
    return (self, args) => selector.apply(self, args as never);
  }
  if (Number.isInteger(selector) && selector >= 1) return (_, args) => args[selector - 1];
  throw new HanoiError(
    'INVALID_ARGUMENT',
    `Expected the position of an argument, counted from 1, or a function, got ${shown(selector)}.`,
  );
}

/** Makes the guard. INVALID_ARGUMENT where it is put on anything else than a method or function. */
export function guardOf(
  ask: (self: unknown, args: readonly unknown[]) => Asked,
  options: GuardOptions,
): Guard {
  refuseUnknownOptions(options, ['otherwise']);
  const { otherwise } = options;
  if (otherwise !== undefined && typeof otherwise !== 'function') {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `Expected \`otherwise\` to be a function, got ${shown(otherwise)}.`,
    );
  }
  const guarded = (fn: Guardable): Guardable =>
    disguised(fn, async function (this: unknown, ...args: unknown[]) {
      const { subject, decision: pending } = ask(this, args);
      const decision = await pending;
      if (decision.enabled) return fn.apply(this, args);
      if (otherwise !== undefined) return otherwise.apply(this, args);
      throw refusal(decision, subject);
    });
  const guard = (target: unknown, context?: unknown, descriptor?: PropertyDescriptor) => {
    if (typeof descriptor?.value === 'function') {
      return { ...descriptor, value: guarded(descriptor.value) };
    }
    const kind = (context as ClassMethodDecoratorContext | undefined)?.kind;
    const isCallable = typeof target === 'function' && !CLASS.test(String(target));
    if (isCallable && (context === undefined || kind === 'method')) {
      return guarded(target as Guardable);
    }
    throw new HanoiError(
      'INVALID_ARGUMENT',
      'Expected to guard a method or a function: a getter, a field or a class has no call to guard.',
    );
  };
  return guard as Guard;
}

function refusal({ feature, code, reason, detail }: Decision, subject: unknown): HanoiError {
  return code === 'FEATURE_NOT_FOUND'
    ? notFound(feature)
    : new HanoiError(
        'FEATURE_DISABLED',
        `Feature ${JSON.stringify(feature)} is off for this subject (${reason}: ${detail}).`,
        { feature, subject },
      );
}

/**
 * `wrapper` looking like `fn`: name, length, prototype, own properties and reflect-metadata, which
 * frameworks keep on the function itself (a Nest route without it answers 404).
 */
function disguised(fn: Guardable, wrapper: Guardable): Guardable {
  Object.setPrototypeOf(wrapper, Object.getPrototypeOf(fn));
  for (const key of Reflect.ownKeys(fn)) {
    if (key !== 'prototype') {
      Object.defineProperty(wrapper, key, Object.getOwnPropertyDescriptor(fn, key) as object);
    }
  }
  const { getOwnMetadataKeys, getOwnMetadata, defineMetadata } = Reflect as unknown as Partial<
    Record<string, (...args: unknown[]) => unknown>
  >;
  for (const key of (getOwnMetadataKeys?.(fn) ?? []) as unknown[]) {
    defineMetadata?.(key, getOwnMetadata?.(key, fn), wrapper);
  }
  return wrapper;
}
