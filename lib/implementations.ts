import { type Selector, subjectFrom } from './decorators.js';
import type { Decision } from './domain/decision.js';
import { invalid, refuseUnknownOptions } from './errors.js';

// biome-ignore lint/suspicious/noExplicitAny: implementations take and return what the app likes
type Implementation = (...args: any[]) => unknown;

/** The ways in which a feature can be done, by the names of its variants. */
export type Implementations = { readonly [name: string]: Implementation };

/** All of them take exactly the arguments of the default one. */
export type TakingTheSame<Table extends Implementations, Default extends keyof Table> = {
  readonly [Name in keyof Table]: IsSame<
    Parameters<Table[Name]>,
    Parameters<Table[Default]>
  > extends true
    ? Table[Name]
    : { readonly 'it takes other arguments than the default': never };
};

type IsSame<One, Other> =
  (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false;

export interface ImplementationsOptions<Default extends string = string> {
  /** For those who get no variant, or one of which there is no implementation here. */
  default: Default;
  /**
   * Who a call is about: the argument of this number, counted from 1, or what the function makes of
   * the arguments. Default: the first argument, if one is passed, else the current subject.
   */
  subject?: Selector;
}

/** A feature in place of its implementations, which can be called through it alone. */
export interface Handle<Table extends Implementations, Args extends unknown[]> {
  /** Chooses an implementation, marks it as used, and calls it. */
  create(...args: Args): Promise<Awaited<ReturnType<Table[keyof Table]>>>;
  /** Chooses only: the name. */
  find(...args: Args): Promise<keyof Table & string>;
  /** Marks as used what was found before, elsewhere perhaps. INVALID_ARGUMENT for another name. */
  used(name: keyof Table & string, ...args: Args): Promise<void>;
}

export type VariantUsed = (decision: Decision) => string | undefined | null;

/** What a handle needs of the rollout. */
export interface Chooser {
  decide(subject: unknown): Promise<Decision>;
  /** `variantOf` gives what was used, where that is not the decided variant; null: nothing of it. */
  use(subject: unknown, variantOf?: VariantUsed): Promise<Decision>;
  /** Marks what was chosen before. */
  used(subject: unknown, variantOf: VariantUsed): Promise<unknown>;
  current(): unknown;
}

/** INVALID_ARGUMENT. */
export function handleOf<Table extends Implementations, Args extends unknown[]>(
  given: Table,
  options: ImplementationsOptions,
  chooser: Chooser,
): Handle<Table, Args> {
  if (Object(options) !== options) throw invalid('options that name a `default`', options);
  refuseUnknownOptions(options, ['default', 'subject']);
  const subjectOf = selectorOf(options.subject, chooser);
  if (Object(given) !== given) {
    throw invalid('an object of implementations by name', given);
  }
  // The app's own table can change; and `__proto__` is a name like any other.
  const table = new Map(Object.entries(given));
  for (const [name, implementation] of table) {
    if (typeof implementation === 'function') continue;
    throw invalid(`a function as the implementation ${JSON.stringify(name)}`, implementation);
  }
  const fallback = options.default;
  if (!table.has(fallback)) throw invalid('`default` to name one of the implementations', fallback);
  const nameIn = ({ variant }: Decision) =>
    variant !== undefined && table.has(variant) ? variant : fallback;
  return Object.freeze({
    async create(...args: Args) {
      // A variant of which there is no implementation here is not given to anybody.
      const given = (decision: Decision) =>
        decision.variant === undefined || table.has(decision.variant) ? decision.variant : null;
      const decision = await chooser.use(subjectOf(args), given);
      return (table.get(nameIn(decision)) as Implementation)(...args) as never;
    },
    async find(...args: Args) {
      return nameIn(await chooser.decide(subjectOf(args)));
    },
    async used(name: string, ...args: Args) {
      if (!table.has(name)) throw invalid('the name of one of the implementations', name);
      // The default also stands for off, and for variants of which there is no implementation.
      await chooser.used(subjectOf(args), (decision) =>
        nameIn(decision) === name ? decision.variant : name,
      );
    },
  });
}

/** A feature that is on or off where somebody has said so, and else what the function says. */
export interface BooleanHandle<Args extends unknown[]> {
  /** Chooses, and marks as used. */
  isEnabled(...args: Args): Promise<boolean>;
  /** Chooses only. */
  find(...args: Args): Promise<boolean>;
}

/** INVALID_ARGUMENT. */
export function booleanHandleOf<Args extends unknown[]>(
  byDefault: (...args: Args) => boolean | Promise<boolean>,
  options: { subject?: Selector },
  chooser: Chooser,
): BooleanHandle<Args> {
  refuseUnknownOptions(options, ['subject']);
  const subjectOf = selectorOf(options.subject, chooser);
  if (typeof byDefault !== 'function') throw invalid('a function for the default', byDefault);
  const answer = (decision: Decision, args: Args) =>
    isSaid(decision) ? decision.enabled : byDefault(...args);
  return Object.freeze({
    async isEnabled(...args: Args) {
      // What the function says is not the feature's.
      const given = (decision: Decision) => (isSaid(decision) ? decision.variant : null);
      return answer(await chooser.use(subjectOf(args), given), args);
    },
    async find(...args: Args) {
      return answer(await chooser.decide(subjectOf(args)), args);
    },
  });
}

/** Whether somebody has said this answer, rather than nobody anything. */
function isSaid({ reason, detail, enabled }: Decision): boolean {
  if (reason !== 'STALE') return reason !== 'DEFAULT' && reason !== 'ERROR';
  // What was decided of an older state has lost its own reason.
  if (detail === 'no gate' || detail === 'default variant') return false;
  return enabled || (detail !== 'no subject' && detail !== 'subject without id');
}

function selectorOf(selector: Selector, chooser: Chooser): (args: readonly unknown[]) => unknown {
  if (selector === undefined) {
    return (args) => (args.length > 0 ? args[0] : chooser.current());
  }
  const select = subjectFrom(selector);
  return (args) => select(undefined, args);
}
