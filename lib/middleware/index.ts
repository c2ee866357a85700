export { expressMiddleware } from './express.js';
export { type FastifyPluginOptions, fastifyPlugin } from './fastify.js';
export { honoMiddleware } from './hono.js';
export { koaMiddleware } from './koa.js';
export type { SubjectOf } from './subject-of.js';
