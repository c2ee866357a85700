import { type ExecutionContext, Inject } from '@nestjs/common';
import { holdCurrent } from '../current-user.js';
import type { Decision } from '../domain/decision.js';
import type { Subject } from '../domain/subject.js';
import { invalid, refuseUnknownOptions } from '../errors.js';
import type { Deciding } from '../requirement.js';
import type { Snapshot } from '../snapshot.js';

/** A `Rollout`, whatever it was told of its features, and of whichever copy of the package. */
export interface NestRollout extends Deciding {
  snapshot(): Promise<Snapshot>;
  runAs<Result>(
    subject: Subject | null | undefined,
    fn: () => Result,
    options: { readonly pinned: true },
  ): Promise<Awaited<Result>>;
  close(): Promise<void>;
}

export interface HanoiModuleOptions {
  /** What is injected wherever the class `Rollout` is asked for, and answers the decorators. */
  // biome-ignore lint/suspicious/noExplicitAny: by its methods alone a Rollout with named features fits no other
  readonly rollout: Pick<NestRollout, 'close'> & { decide(name: any): Promise<Decision> };
  /**
   * Who asks: of a request, a resolver, or a message. Each handler then runs as that subject, with one
   * revision of all features (`runAs`, pinned). A logged-out one is nobody: undefined or null. What it
   * throws or rejects with goes to the exception filters. Default: who is current, as by middleware.
   */
  readonly subjectOf?: SubjectOf | undefined;
  /** Whether the rollout is closed with the app, after its last request. Default false: who made it closes it. */
  readonly closesRollout?: boolean | undefined;
}

type SubjectOf = (
  context: ExecutionContext,
) => Subject | null | undefined | PromiseLike<Subject | null | undefined>;

/** Calls a function with what is current for a request. */
type Within = <Result>(fn: () => Result) => Result;

interface Pin {
  readonly subject: Subject | null | undefined;
  readonly within: Within;
}

const asCalled: Within = (fn) => fn();

/** The rollout of a Nest app, and who its requests are from. */
export class AppRollout {
  readonly rollout: NestRollout;
  readonly closesRollout: boolean;

  private readonly subjectOf: SubjectOf | undefined;
  private readonly pins = new WeakMap<object, Promise<Pin>>();

  /** INVALID_ARGUMENT. */
  constructor(options: HanoiModuleOptions | undefined) {
    if (typeof options !== 'object') throw invalid('the options of HanoiModule', options);
    refuseUnknownOptions(options, ['rollout', 'subjectOf', 'closesRollout']);
    const { rollout, subjectOf, closesRollout = false } = options;
    if (typeof (rollout as Partial<NestRollout> | undefined)?.runAs !== 'function') {
      throw invalid('`rollout` to be a Rollout', rollout);
    }
    if (subjectOf !== undefined && typeof subjectOf !== 'function') {
      throw invalid('`subjectOf` to be a function from a context to its subject', subjectOf);
    }
    if (typeof closesRollout !== 'boolean') {
      throw invalid('`closesRollout` to be true or false', closesRollout);
    }
    this.rollout = rollout as NestRollout;
    this.subjectOf = subjectOf;
    this.closesRollout = closesRollout;
  }

  /**
   * What runs a part of a request as its subject, pinned: the guards, then the handler, with one
   * snapshot for all. Rejects with what `subjectOf` throws.
   */
  async of(context: ExecutionContext): Promise<Within> {
    if (this.subjectOf === undefined) return asCalled;
    const request = requestOf(context);
    // Kept before it is there, for the resolvers of a query, which are called at once.
    const pin = this.pinFor(context, this.subjectOf, this.pins.get(request));
    this.pins.set(request, pin);
    return (await pin).within;
  }

  private async pinFor(
    context: ExecutionContext,
    subjectOf: SubjectOf,
    begun: Promise<Pin> | undefined,
  ): Promise<Pin> {
    const before = await begun;
    if (before !== undefined && !isNobody(before.subject)) return before;
    // Also where nobody has asked before: a guard in between can have found out who it is.
    const subject = await subjectOf(context);
    if (before !== undefined && isNobody(subject)) return before;
    return { subject, within: await this.rollout.runAs(subject, holdCurrent, { pinned: true }) };
  }
}

function isNobody(subject: unknown): boolean {
  return subject === undefined || subject === null;
}

/** Injects it into a class, as the only parameter of the constructor. */
export function takingAppRollout<Class extends abstract new (app: AppRollout) => object>(
  takes: Class,
): Class {
  Inject(AppRollout)(takes, undefined, 0);
  return takes;
}

/** An object that is one for all that Nest calls for a request, and another for the next request. */
function requestOf(context: ExecutionContext): object {
  switch (context.getType<string>()) {
    case 'http':
      return context.switchToHttp().getRequest();
    case 'graphql':
      return context.getArgByIndex(2) ?? context.getArgs();
    default:
      // Of a message there may be no object but the list of arguments; a socket is for many.
      return context.getArgs();
  }
}
