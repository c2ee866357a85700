import type { Deciding } from '../requirement.js';
import { type RequestGuardOptions, refusalOf } from './guarding.js';
import { type Emitting, emitAsNow } from './request-events.js';
import { askedBy, type Pinning, refuseUnfit, type SubjectOf } from './subject-of.js';

/**
 * Middleware for Express 4 and 5, and for what takes the like (Connect): all that comes after it
 * runs as the request's subject, with one revision of all features (`runAs`, pinned).
 *
 * Mount it after what finds out who asks, and before what checks. Body parsers may come before or
 * after it: the events of the request and the response run as the subject too.
 *
 * What `subjectOf` throws or rejects with goes to the app's error handling. INVALID_ARGUMENT.
 */
export function expressMiddleware<Request extends Emitting>(
  rollout: Pinning,
  subjectOf: SubjectOf<Request>,
): (request: Request, response: Emitting, next: (error?: unknown) => void) => void {
  refuseUnfit(rollout, subjectOf);
  return (request, response, next) => {
    const goOn = () => {
      emitAsNow(request, response);
      next();
    };
    // What `goOn` throws is not for `next`: that has been called.
    void askedBy(subjectOf, request).then(
      (subject) => rollout.runAs(subject, goOn, { pinned: true }),
      next,
    );
  };
}

/** What of a request says where a guard is mounted. */
interface Routed {
  /** The route that matched last; it stays when the request has left it. */
  readonly route?: { readonly stack?: readonly { readonly handle?: unknown }[] } | undefined;
  /** How the innermost router goes on. */
  readonly next?: unknown;
}

/**
 * Lets requests through for whom the feature is on, or all of several; for others it is as if what
 * it stands before were not there. Before the handler of a route the request leaves the route; else
 * it leaves the router that the guard is mounted on. So the app's own 404 page shows, but after an
 * `app.use()` of the guard: to leave the app is to get Express's own.
 *
 * Who asks is the current subject, as `expressMiddleware` sets it, or as `subjectOf` says. What that
 * throws or rejects with goes to the app's error handling. INVALID_ARGUMENT.
 */
export function expressGuard<Request extends object, Response, Name extends string>(
  rollout: Deciding<Name>,
  features: NoInfer<Name> | readonly NoInfer<Name>[],
  options: RequestGuardOptions<
    [request: Request, response: Response, next: (error?: unknown) => void]
  > = {},
): (request: Request, response: Response, next: (error?: unknown) => void) => void {
  const refusal = refusalOf(rollout, features, options);
  const { otherwise } = options;
  const guard: ReturnType<typeof expressGuard<Request, Response, Name>> = (
    request,
    response,
    next,
  ) => {
    const answer = async () => otherwise?.(request, response, next);
    void refusal(request).then((refused) => {
      if (refused === undefined) next();
      else if (otherwise !== undefined) answer().catch(next);
      else next(isInRoute(request, guard, next) ? 'route' : 'router');
    }, next);
  };
  return guard;
}

/**
 * Whether a route called the guard. A router takes the command to leave a route for one to go on, and
 * would let in: what it calls itself it hands its own `next`.
 */
function isInRoute({ route, next: routers }: Routed, guard: unknown, next: unknown): boolean {
  return next !== routers && route?.stack?.some(({ handle }) => handle === guard) === true;
}
