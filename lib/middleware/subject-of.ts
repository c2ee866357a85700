import type { Subject } from '../domain/subject.js';
import { invalid } from '../errors.js';

/** Who asks, by the request or its context. A logged-out one is nobody: undefined or null. */
export type SubjectOf<Request> = (
  request: Request,
) => Subject | null | undefined | PromiseLike<Subject | null | undefined>;

/** A `Rollout`, whatever it was told of its features, and of whichever copy of the package. */
export interface Pinning {
  runAs<Result>(
    subject: Subject | null | undefined,
    fn: () => Result,
    options: { readonly pinned: true },
  ): Promise<Awaited<Result>>;
}

/** INVALID_ARGUMENT for what would fail at the first request. */
export function refuseUnfit(rollout: Pinning, subjectOf: unknown): void {
  if (typeof (rollout as Partial<Pinning> | null)?.runAs !== 'function') {
    throw invalid('a Rollout as the first argument', rollout);
  }
  if (typeof subjectOf !== 'function') {
    throw invalid('a function from the request to its subject', subjectOf);
  }
}

/** Rejects with what reading the subject throws, made an error where it is none. */
export async function askedBy<Request>(
  subjectOf: SubjectOf<Request>,
  request: Request,
): Promise<Subject | null | undefined> {
  try {
    return await subjectOf(request);
  } catch (error) {
    // Frameworks take undefined for success, and Express takes 'route' for a command.
    if (Object(error) === error) throw error;
    throw new TypeError('Reading the subject of a request threw what is no error. See `cause`.', {
      cause: error,
    });
  }
}
