import 'reflect-metadata';
import { EventEmitter, once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  HttpException,
  type INestApplication,
  Injectable,
  Module,
  type ModuleMetadata,
  Post,
  SetMetadata,
  Sse,
  type Type,
  UnauthorizedException,
  UseGuards,
} from '@nestjs/common';
import {
  type AbstractHttpAdapter,
  APP_GUARD,
  ExternalContextCreator,
  NestFactory,
} from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Redis } from 'ioredis';
import { interval, map, type Observable, take } from 'rxjs';
import { RedisSetBackend } from '../../lib/backends/redis/index.js';
import { createHandler, fastifyMount, type HttpHandler } from '../../lib/http/index.js';
import { type Decision, Rollout, type Snapshot } from '../../lib/index.js';
import { expressMiddleware } from '../../lib/middleware/index.js';
import {
  FeatureDecision,
  FeatureEnabled,
  FeatureSnapshot,
  FeatureValue,
  FeatureVariant,
  featureDecorators,
  HanoiModule,
  type HanoiModuleOptions,
  RequireFeature,
} from '../../lib/nest/index.js';

interface Asking {
  readonly headers: Record<string, string | undefined>;
  user?: string | undefined;
}

const requestOf = (context: ExecutionContext) => context.switchToHttp().getRequest<Asking>();

/** For the whole app: knows who asks before any guard of a feature. */
@Injectable()
class Login implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = requestOf(context);
    request.user = request.headers['x-user'];
    return true;
  }
}

/** For some routes: knows later. */
@Injectable()
class LateLogin implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const request = requestOf(context);
    request.user = request.headers['x-late'];
    return true;
  }
}

async function subjectOf(context: ExecutionContext): Promise<string | undefined> {
  const { user } = requestOf(context);
  if (user === 'refused') throw new UnauthorizedException('who?');
  if (user === 'broken') throw new Error('broken');
  if (user === 'nothing') throw undefined;
  return user;
}

@Controller()
export class Routes {
  constructor(private readonly rollout: Rollout) {}

  @Get('chat')
  @RequireFeature('chat')
  @SetMetadata('kept', 'above')
  chat() {
    return { user: this.rollout.currentSubject() ?? null, on: this.rollout.isEnabledSync('chat') };
  }

  @RequireFeature('chat')
  @SetMetadata('kept', 'below')
  @Get('chat/:room/above')
  above() {
    return 'above';
  }

  @Get('both')
  @RequireFeature(['chat', 'video'])
  both() {
    return 'both';
  }

  @Get('stacked')
  @RequireFeature('chat')
  @RequireFeature('video')
  stacked() {
    return 'stacked';
  }

  @Get('red')
  @RequireFeature('color', { variant: 'red' })
  red() {
    return 'red';
  }

  @Get('gone')
  @RequireFeature('chat', { status: 410 })
  gone() {
    return 'gone';
  }

  @Get('paid')
  @RequireFeature('chat', {
    exception: ({ feature, detail }, context) =>
      new HttpException({ feature, detail, handler: context.getHandler().name }, 402),
  })
  paid() {
    return 'paid';
  }

  @Get('parameters')
  parameters(
    @FeatureDecision('chat') decision: Decision,
    @FeatureEnabled('chat') enabled: boolean,
    @FeatureVariant('color') variant: string | undefined,
    @FeatureValue('theme', { height: 1 }) theme: { height: number },
    @FeatureValue('unknown', 'a fallback') value: string,
    @FeatureSnapshot() flags: Snapshot,
  ) {
    const { feature, detail } = decision;
    return { feature, detail, enabled, variant, theme, value, flags };
  }

  @Post('pinned')
  @RequireFeature('odd')
  async pinned(@FeatureEnabled('odd') before: boolean) {
    await this.rollout.deactivate('odd');
    return [before, this.rollout.isEnabledSync('odd'), await this.rollout.isEnabled('odd')];
  }

  @Get('late')
  @UseGuards(LateLogin)
  @RequireFeature('everyone')
  late() {
    return { user: this.rollout.currentSubject() ?? null, on: this.rollout.isEnabledSync('chat') };
  }

  @Get('early')
  @RequireFeature('chat')
  @UseGuards(LateLogin)
  early() {
    return { user: this.rollout.currentSubject() ?? null, on: this.rollout.isEnabledSync('chat') };
  }

  @Sse('stream')
  stream(): Observable<{ data: unknown }> {
    const asked = () => [this.rollout.currentSubject(), this.rollout.isEnabledSync('chat')];
    return interval(1).pipe(
      map(() => ({ data: asked() })),
      take(2),
    );
  }

  @Get('metadata')
  metadata() {
    const { chat, above, parameters } = Routes.prototype;
    return {
      kept: [chat, above].map((method) => Reflect.getMetadata('kept', method)),
      types: Reflect.getMetadata('design:paramtypes', Routes.prototype, 'parameters').map(
        ({ name }: Type) => name,
      ),
      names: [chat, above, parameters].map(({ name }) => name),
    };
  }
}

@Controller('beta')
@RequireFeature('video')
class Beta {
  @Get('open')
  open() {
    return 'open';
  }

  @Get('chat')
  @RequireFeature('chat')
  chat() {
    return 'chat';
  }
}

@Controller('gamma')
class Gamma extends Beta {}

interface Features {
  chat: boolean;
  color: 'red' | 'blue';
}
const typed = featureDecorators<Features>();

@Controller('typed')
class Typed {
  @Get()
  @typed.RequireFeature('color', { variant: ['red', 'blue'] })
  color(@typed.FeatureVariant('color') variant: 'red' | 'blue') {
    return variant;
  }

  // @ts-expect-error there is no such feature
  @typed.RequireFeature('colour')
  // @ts-expect-error it has no such variant
  @typed.RequireFeature('color', { variant: 'green' })
  // @ts-expect-error it has none at all
  @typed.RequireFeature('chat', { variant: 'red' })
  // @ts-expect-error nor is this one
  unused(@typed.FeatureEnabled('caht') enabled: boolean) {
    return enabled;
  }
}

const controllers = [Routes, Beta, Gamma, Typed];
const providers = [{ provide: APP_GUARD, useClass: Login }];

@Module({
  providers: [{ provide: 'ROLLOUT', useFactory: () => rolloutAt() }],
  exports: ['ROLLOUT'],
})
class Store {}

/** Of a backend that never fetches members beside its answers: what it sends, a request has caused. */
function rolloutAt(port: number = Number(process.env.REDIS_PORT)): Rollout {
  const client = new Redis(port, { lazyConnect: true });
  return new Rollout(new RedisSetBackend(client, { timeoutMs: 1_000 }));
}

/** The app as most are: options at once, on Express. */
@Module({
  imports: [HanoiModule.forRoot({ rollout: rolloutAt(), subjectOf })],
  controllers,
  providers,
})
class OnExpress {}

/** Options that wait for what is injected, on Fastify. */
@Module({
  imports: [
    HanoiModule.forRootAsync({
      imports: [Store],
      inject: ['ROLLOUT'],
      useFactory: async (rollout: Rollout<Features>) => ({ rollout, subjectOf }),
    }),
  ],
  controllers,
  providers,
})
class OnFastify {}

/** The subject from the middleware. */
const behind = rolloutAt();
@Module({ imports: [HanoiModule.forRoot({ rollout: behind })], controllers })
class BehindMiddleware {}

/** A store that nobody answers from. */
@Module({
  imports: [HanoiModule.forRoot({ rollout: rolloutAt(Number(process.env.DEAD_PORT)), subjectOf })],
  controllers,
  providers,
})
class Away {}

/** With nothing of its own. */
@Module({})
class Empty {}

/** What the HTTP API is mounted by. */
function handler(): HttpHandler {
  return createHandler(rolloutAt(), JSON.parse(process.env.HTTP_OPTIONS ?? '{}'));
}

async function portOf(
  module: Type,
  adapter: AbstractHttpAdapter,
  prepare: (app: INestApplication) => unknown = () => {},
): Promise<number> {
  const app = await NestFactory.create(module, adapter, { logger: false });
  prepare(app);
  await app.listen(0, '127.0.0.1');
  return (app.getHttpServer().address() as AddressInfo).port;
}

/** Starts them all; the port of each. */
export async function start(): Promise<Record<string, number>> {
  return {
    express: await portOf(OnExpress, new ExpressAdapter()),
    fastify: await portOf(OnFastify, new FastifyAdapter() as unknown as AbstractHttpAdapter),
    behind: await portOf(BehindMiddleware, new ExpressAdapter(), (app) =>
      app.use(
        expressMiddleware(
          behind,
          (request: { headers: object } & NodeJS.EventEmitter) =>
            (request.headers as Asking['headers'])['x-user'],
        ),
      ),
    ),
    away: await portOf(Away, new ExpressAdapter()),
    httpOnExpress: await portOf(Empty, new ExpressAdapter(), (app) =>
      app.use('/flags', handler().node),
    ),
    httpOnFastify: await portOf(
      Empty,
      new FastifyAdapter() as unknown as AbstractHttpAdapter,
      (app) =>
        (app as NestFastifyApplication).register(fastifyMount(handler()), {
          prefix: '/flags',
        }),
    ),
  };
}

/** What becomes of a request and of the rollout where the app is closed meanwhile. */
async function closed(closesRollout: boolean | undefined) {
  const rollout = new Rollout();
  await rollout.addFeature('chat', { percentage: 100 });
  const begun = new EventEmitter();
  const hasBegun = once(begun, 'request');

  @Controller()
  class Slow {
    @Get()
    async slow() {
      begun.emit('request');
      await once(begun, 'closing');
      // Long enough for all that does not wait for the request.
      await delay(50);
      // Of another, whose answer is not pinned.
      return (await rollout.isEnabled('chat', 'ann')) ? rollout.currentSubject() : 'closed';
    }
  }
  @Module({
    imports: [HanoiModule.forRoot({ rollout, subjectOf: () => 'user-1', closesRollout })],
    controllers: [Slow],
  })
  class Closing {}

  const app = await NestFactory.create(Closing, new ExpressAdapter(), { logger: false });
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  const headers = { connection: 'close' };
  const asked = fetch(`http://127.0.0.1:${port}/`, { headers }).then((response) => response.text());
  await hasBegun;
  const closing = app.close();
  begun.emit('closing');
  await closing;
  return { answered: await asked, isOpen: await rollout.isEnabled('chat', 'ann') };
}

/** The code or the name of what making an app fails with. */
async function failing(imports: NonNullable<ModuleMetadata['imports']>, controller: Type = Routes) {
  class Failing {}
  Module({ imports, controllers: [controller] })(Failing);
  const options = { logger: false, abortOnError: false } as const;
  return NestFactory.create(Failing, new ExpressAdapter(), options).then(
    (app) => app.init().then(() => 'nothing', codeOf),
    codeOf,
  );
}

function codeOf(error: { code?: string; constructor: { name: string } }): string {
  return error.code ?? error.constructor.name;
}

@Injectable()
class Resolver {
  constructor(private readonly rollout: Rollout) {}

  @RequireFeature('chat')
  async first(@FeatureEnabled('video') video: boolean) {
    const before = [video, this.rollout.currentSubject(), this.rollout.isEnabledSync('chat')];
    await this.rollout.deactivate('chat');
    return [...before, this.rollout.isEnabledSync('chat')];
  }

  @RequireFeature('chat')
  second() {
    return this.rollout.isEnabledSync('chat');
  }

  @RequireFeature('off')
  off() {
    return 'off';
  }

  @RequireFeature('off', { status: 403 })
  forbidden() {
    return 'forbidden';
  }
}

/**
 * What handlers answer that Nest calls for something else than HTTP, by what its modules for that call
 * them by: one after the other within an operation, and then in the next one.
 */
async function outside(kind: 'graphql' | 'rpc' | 'ws') {
  const rollout = new Rollout();
  for (const name of ['chat', 'video']) await rollout.addFeature(name, { percentage: 100 });
  await rollout.addFeature('off');
  let asked = 0;
  const subjectOf = (context: ExecutionContext) => {
    asked++;
    return context.getArgByIndex(kind === 'graphql' ? 2 : 1).user;
  };
  class Outside {}
  Module({ imports: [HanoiModule.forRoot({ rollout, subjectOf })], providers: [Resolver] })(
    Outside,
  );
  const app = await NestFactory.create(Outside, new ExpressAdapter(), { logger: false });
  await app.init();
  const resolver = app.get(Resolver);
  // Where Nest notes what a decorated parameter takes.
  const parameters = '__routeArguments__';
  const creator = app.get(ExternalContextCreator);
  const operation = async (names: readonly ('first' | 'second' | 'off' | 'forbidden')[]) => {
    const about = { user: 'user-1' };
    // Of a query: its parent, its arguments, its context; of a message: what it says, and whence.
    const args = kind === 'graphql' ? [{}, {}, about] : [{}, about];
    const answers: unknown[] = [];
    for (const name of names) {
      const call = resolver[name] as (...args: unknown[]) => unknown;
      const handler = creator.create(
        ...([resolver, call, name, parameters, { exchangeKeyForValue: () => undefined }] as const),
        ...([undefined, undefined, undefined, kind] as const),
      );
      answers.push(await handler(...args).catch((error: Error) => error.message));
    }
    return answers;
  };
  const answers = await operation(['first', 'second', 'off', 'forbidden']);
  const askedBefore = asked;
  const next = await operation(['second']);
  await app.close();
  return { answers, asked: askedBefore, next };
}

/** What comes of apps that are put together otherwise. */
export async function setUp(): Promise<Record<string, unknown>> {
  const given = (options: unknown) =>
    failing([HanoiModule.forRootAsync({ useFactory: () => options as HanoiModuleOptions })]);
  const rollout = new Rollout();
  const decorators = [
    () => RequireFeature([]),
    () => RequireFeature(''),
    () => RequireFeature(['chat', 'video'], { variant: 'red' }),
    () => RequireFeature('chat', { status: 200 }),
    () => RequireFeature('chat', { status: 404.5 }),
    () => RequireFeature('chat', { exception: 'no' as never }),
    () => RequireFeature('chat', { status: 403, exception: () => new Error() }),
    () => RequireFeature('chat', { otherwise: 403 } as never),
    () => FeatureEnabled(undefined as never),
  ];
  return {
    none: await given(undefined),
    noRollout: await given({}),
    noFunction: await given({ rollout, subjectOf: 'user' }),
    misspelt: await given({ rollout, subject: () => 'ann' }),
    neither: await given({ rollout, closesRollout: 'yes' }),
    without: await failing([]),
    decorators: decorators.map((make) => {
      try {
        return typeof make();
      } catch (error) {
        return codeOf(error as Error);
      }
    }),
    closing: await closed(true),
    leaving: await closed(undefined),
    graphql: await outside('graphql'),
    rpc: await outside('rpc'),
    ws: await outside('ws'),
  };
}
