export { expressGuard, expressMiddleware } from './express.js';
export { type FastifyPluginOptions, fastifyGuard, fastifyPlugin } from './fastify.js';
export type { RequestGuardOptions } from './guarding.js';
export { honoGuard, honoMiddleware } from './hono.js';
export { koaGuard, koaMiddleware } from './koa.js';
export type { SubjectOf } from './subject-of.js';
