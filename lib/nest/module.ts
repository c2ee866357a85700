import {
  type CallHandler,
  ConfigurableModuleBuilder,
  type ExecutionContext,
  Global,
  Module,
  type NestInterceptor,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { Observable } from 'rxjs';
import { Rollout } from '../rollout.js';
import { AppRollout, type HanoiModuleOptions, takingAppRollout } from './app-rollout.js';

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } =
  new ConfigurableModuleBuilder<HanoiModuleOptions>({ moduleName: 'Hanoi' })
    .setClassMethodName('forRoot')
    .build();

/** Runs handlers, and what is between, as who asks. Parameters are decided within it too. */
class SubjectInterceptor implements NestInterceptor {
  constructor(private readonly app: AppRollout) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const within = await this.app.of(context);
    // To subscribe is to call the handler, and, where it streams, what goes on emitting.
    return new Observable((subscriber) => within(() => next.handle().subscribe(subscriber)));
  }
}

/**
 * Puts a rollout into a Nest app, once and for all of its modules: `HanoiModule.forRoot(options)`, or
 * `forRootAsync({ inject, useFactory })`. INVALID_ARGUMENT when the app is made.
 */
export class HanoiModule extends ConfigurableModuleClass implements OnApplicationShutdown {
  constructor(private readonly app: AppRollout) {
    super();
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.app.closesRollout) await this.app.rollout.close();
  }
}

Global()(HanoiModule);
Module({
  providers: [
    {
      provide: AppRollout,
      useFactory: (options: HanoiModuleOptions) => new AppRollout(options),
      inject: [MODULE_OPTIONS_TOKEN],
    },
    { provide: Rollout, useFactory: ({ rollout }: AppRollout) => rollout, inject: [AppRollout] },
    { provide: APP_INTERCEPTOR, useClass: takingAppRollout(SubjectInterceptor) },
  ],
  exports: [AppRollout, Rollout],
})(takingAppRollout(HanoiModule));
