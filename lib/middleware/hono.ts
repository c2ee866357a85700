import type { Deciding } from '../requirement.js';
import { type RequestGuardOptions, refusalOf } from './guarding.js';
import { askedBy, type Pinning, refuseUnfit, type SubjectOf } from './subject-of.js';

/**
 * Middleware for Hono on Node: all that comes after it runs as the request's subject, with one
 * revision of all features (`runAs`, pinned).
 *
 * Mount it after what finds out who asks, and before what checks. The body can be read before or
 * after it. Hono's `stream`, `streamText` and `streamSSE` go on as the subject; the `pull` of a
 * ReadableStream of one's own runs as whoever reads it, so take a `snapshot()` along to there.
 *
 * What `subjectOf` throws or rejects with goes to the app's error handling. INVALID_ARGUMENT.
 */
export function honoMiddleware<Context>(
  rollout: Pinning,
  subjectOf: SubjectOf<Context>,
): (context: Context, next: () => Promise<void>) => Promise<void> {
  refuseUnfit(rollout, subjectOf);
  return async (context, next) =>
    rollout.runAs(await askedBy(subjectOf, context), next, { pinned: true });
}

/**
 * Lets requests through for whom the feature is on, or all of several; others get the app's own 404,
 * of `app.notFound()`.
 *
 * Who asks is the current subject, as `honoMiddleware` sets it, or as `subjectOf` says. What that
 * throws or rejects with goes to the app's error handling. INVALID_ARGUMENT.
 */
export function honoGuard<
  Context extends { notFound(): Response | Promise<Response> },
  Name extends string,
>(
  rollout: Deciding<Name>,
  features: NoInfer<Name> | readonly NoInfer<Name>[],
  options: RequestGuardOptions<[context: Context], Response | Promise<Response>> = {},
): (context: Context, next: () => Promise<void>) => Promise<Response | undefined> {
  const refusal = refusalOf(rollout, features, options);
  const { otherwise } = options;
  return async (context, next) => {
    if ((await refusal(context)) !== undefined) {
      return otherwise === undefined ? context.notFound() : otherwise(context);
    }
    await next();
    return undefined;
  };
}
