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
