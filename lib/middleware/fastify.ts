import { HanoiError, refuseUnknownOptions, shown } from '../errors.js';
import type { Deciding } from '../requirement.js';
import { type RequestGuardOptions, refusalOf } from './guarding.js';
import { type Emitting, emitAsNow, withinEventsOf } from './request-events.js';
import { askedBy, type Pinning, refuseUnfit, type SubjectOf } from './subject-of.js';

/** The hooks before a handler, as they follow each other; the body is parsed after the second. */
const HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const;

export interface FastifyPluginOptions {
  /**
   * The hook in which the subject is read: later than the one that finds out who asks, or the same
   * and registered after it. Default `onRequest`.
   */
  readonly hook?: (typeof HOOKS)[number];
}

/** What the hooks are given: the request, the reply, and last of all what goes on. */
interface Raw {
  readonly raw: Emitting;
}
type Done = (error?: Error) => void;
// biome-ignore lint/suspicious/noExplicitAny: a hook's parameters depend on its name
type Hook = (request: any, reply: any, ...rest: any[]) => void;

const DEFAULTS = { hook: HOOKS[0] };

/**
 * A plugin for Fastify 5: from the hook on, all runs as the request's subject, with one revision of
 * all features (`runAs`, pinned). It holds for the whole instance that it is registered on, and
 * needs no wrapping.
 *
 * Register it after what finds out who asks. The body may be parsed before or after the hook: each
 * later hook, and the events of the request and the reply, come back to the subject.
 *
 * What `subjectOf` throws or rejects with goes to the app's error handling. INVALID_ARGUMENT.
 */
export function fastifyPlugin<Request extends Raw>(
  rollout: Pinning,
  subjectOf: SubjectOf<Request>,
  options: FastifyPluginOptions = {},
): (
  app: { addHook(name: (typeof HOOKS)[number], hook: Hook): unknown },
  options: unknown,
  done: () => void,
) => void {
  refuseUnfit(rollout, subjectOf);
  refuseUnknownOptions(options, Object.keys(DEFAULTS));
  const { hook } = { ...DEFAULTS, ...options };
  if (!HOOKS.includes(hook)) {
    throw new HanoiError(
      'INVALID_ARGUMENT',
      `Expected \`hook\` to be one of ${HOOKS.join(', ')}, got ${shown(hook)}.`,
    );
  }
  const begin = (request: Request, reply: Raw, done: Done): void => {
    const goOn = () => {
      emitAsNow(request.raw, reply.raw);
      done();
    };
    // What `goOn` throws is not for `done`: that has been called.
    void askedBy(subjectOf, request).then(
      (subject) => rollout.runAs(subject, goOn, { pinned: true }),
      done,
    );
  };
  const plugin: ReturnType<typeof fastifyPlugin> = (app, _, registered) => {
    app.addHook(hook, (request, reply, ...rest) => begin(request, reply, rest.at(-1)));
    for (const later of HOOKS.slice(HOOKS.indexOf(hook) + 1)) {
      app.addHook(later, (request, _reply, ...rest) => {
        withinEventsOf((request as Raw).raw, () => (rest.at(-1) as Done)());
      });
    }
    registered();
  };
  return Object.assign(plugin, {
    // Not a part of the instance that hears of the hooks, but all of it.
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: 'hanoi',
  });
}

/**
 * A hook for Fastify 5, of a route or of an instance (`preHandler`, or an earlier one): lets requests
 * through for whom the feature is on, or all of several; others get the app's own 404, of
 * `setNotFoundHandler`. The result of `otherwise`, unless it is undefined, is sent.
 *
 * Who asks is the current subject, as `fastifyPlugin` sets it, or as `subjectOf` says. What that
 * throws or rejects with goes to the app's error handling. INVALID_ARGUMENT.
 */
export function fastifyGuard<
  Request,
  Reply extends { callNotFound(): unknown; send(payload: unknown): unknown },
  Name extends string,
>(
  rollout: Deciding<Name>,
  features: NoInfer<Name> | readonly NoInfer<Name>[],
  options: RequestGuardOptions<[request: Request, reply: Reply]> = {},
  // biome-ignore lint/suspicious/noExplicitAny: a hook's parameters depend on the app, and Fastify's types infer none
): (request: any, reply: any) => Promise<unknown> {
  const refusal = refusalOf(rollout, features, options);
  const { otherwise } = options;
  // Two parameters, and no rest: of a third Fastify would wait for the call.
  return async (request: Request, reply: Reply) => {
    if ((await refusal(request)) === undefined) return undefined;
    if (otherwise === undefined) reply.callNotFound();
    else {
      // A reply that it gives is awaited too, until it is sent, and comes to nothing.
      const answer = await otherwise(request, reply);
      if (answer !== undefined) reply.send(answer);
    }
    return reply;
  };
}
