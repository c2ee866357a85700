import { STATUS_CODES } from 'node:http';
import {
  type CanActivate,
  type ExecutionContext,
  HttpException,
  Inject,
  mixin,
  NotFoundException,
  UseGuards,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { Decision } from '../domain/decision.js';
import { HanoiError, invalid, refuseUnknownOptions } from '../errors.js';
import { type RequirementOptions, requirementOf } from '../requirement.js';
import { type AppRollout, takingAppRollout } from './app-rollout.js';

export interface RequireFeatureOptions extends RequirementOptions {
  /** The status to refuse with, from 400 to 599. Default 404, as if the route were not there. */
  readonly status?: number | undefined;
  /** Makes what is thrown instead, of the decision that refuses. */
  readonly exception?: ((refused: Decision, context: ExecutionContext) => unknown) | undefined;
}

const NOT_FOUND = 404;

/**
 * Lets through, on a method or on all of a controller, for whom the feature is on, or all of several.
 * Others are answered as where there is no such route, or as the options say. Messages, of sockets and
 * of microservices, are refused as Nest refuses what is forbidden there.
 *
 * A guard as `@UseGuards` puts it: of those on one method, or one controller, the lowest comes first.
 * So what finds out who asks stands below it, or on the controller, or is for the whole app.
 *
 * INVALID_ARGUMENT.
 */
export function RequireFeature(
  features: string | readonly string[],
  options: RequireFeatureOptions = {},
): MethodDecorator & ClassDecorator {
  const requirement = requirementOf(features, options);
  refuseUnknownOptions(options, ['variant', 'status', 'exception']);
  const { status = NOT_FOUND, exception } = options;
  if (!Number.isInteger(status) || status < 400 || status > 599) {
    throw invalid('`status` to be a whole number from 400 to 599', status);
  }
  if (exception !== undefined && typeof exception !== 'function') {
    throw invalid('`exception` to be a function that makes one', exception);
  }
  if (exception !== undefined && options.status !== undefined) {
    throw new HanoiError('INVALID_ARGUMENT', 'Expected either `status` or `exception`, got both.');
  }

  class FeatureGuard implements CanActivate {
    declare readonly host: HttpAdapterHost;

    constructor(private readonly app: AppRollout) {}

    async canActivate(context: ExecutionContext): Promise<boolean> {
      const within = await this.app.of(context);
      const { rollout } = this.app;
      const refused = await within(() => requirement((name) => rollout.decide(name)));
      if (refused === undefined) return true;
      if (exception !== undefined) throw exception(refused, context);
      switch (context.getType<string>()) {
        case 'http':
          throw status === NOT_FOUND
            ? this.noRoute(context)
            : new HttpException(STATUS_CODES[status] ?? 'Refused', status);
        case 'graphql':
          throw new HttpException(STATUS_CODES[status] ?? 'Refused', status);
        default:
          return false;
      }
    }

    /** What Nest throws where it has no route. */
    private noRoute(context: ExecutionContext): NotFoundException {
      const { httpAdapter } = this.host;
      const request = context.switchToHttp().getRequest();
      const [method, url] = [
        httpAdapter.getRequestMethod(request),
        httpAdapter.getRequestUrl(request),
      ];
      return new NotFoundException(`Cannot ${method} ${url}`);
    }
  }
  Inject(HttpAdapterHost)(FeatureGuard.prototype, 'host');
  return UseGuards(mixin(takingAppRollout(FeatureGuard)));
}
