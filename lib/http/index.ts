export type { Access, Caller, Token } from './credentials.js';
export { fastifyMount } from './fastify.js';
export { type Connection, createHandler, type HttpHandler } from './handler.js';
export { koaMount } from './koa.js';
export type { Bridge } from './node-bridge.js';
export type { HttpOptions } from './options.js';
export { HTTP_CODES, type HttpCode, type Problem } from './problem.js';
export { type Served, type ServeOptions, serve } from './serve.js';
