import type { Deciding } from '../requirement.js';
import { type RequestGuardOptions, refusalOf } from './guarding.js';
import { type Emitting, emitAsNow } from './request-events.js';
import { askedBy, type Pinning, refuseUnfit, type SubjectOf } from './subject-of.js';

/**
 * Middleware for Koa: all that comes after it runs as the request's subject, with one revision of
 * all features (`runAs`, pinned).
 *
 * Mount it after what finds out who asks, and before what checks. Body parsers may come before or
 * after it: the events of the request and the response run as the subject too.
 *
 * What `subjectOf` throws or rejects with goes to the app's error handling. INVALID_ARGUMENT.
 */
export function koaMiddleware<Context extends { readonly req: Emitting; readonly res: Emitting }>(
  rollout: Pinning,
  subjectOf: SubjectOf<Context>,
): (context: Context, next: () => Promise<unknown>) => Promise<unknown> {
  refuseUnfit(rollout, subjectOf);
  return async (context, next) => {
    const goOn = () => {
      emitAsNow(context.req, context.res);
      return next();
    };
    return rollout.runAs(await askedBy(subjectOf, context), goOn, { pinned: true });
  };
}

/**
 * Lets requests through for whom the feature is on, or all of several. For others nothing that comes
 * after it is called, which is Koa's 404, and shows the app's own page where it has one.
 *
 * Who asks is the current subject, as `koaMiddleware` sets it, or as `subjectOf` says. What that
 * throws or rejects with goes to the app's error handling. INVALID_ARGUMENT.
 */
export function koaGuard<Context, Name extends string>(
  rollout: Deciding<Name>,
  features: NoInfer<Name> | readonly NoInfer<Name>[],
  options: RequestGuardOptions<[context: Context, next: () => Promise<unknown>]> = {},
): (context: Context, next: () => Promise<unknown>) => Promise<unknown> {
  const refusal = refusalOf(rollout, features, options);
  const { otherwise } = options;
  return async (context, next) => {
    const refused = await refusal(context);
    return refused === undefined ? next() : otherwise?.(context, next);
  };
}
