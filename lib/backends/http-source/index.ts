export { HttpSource, type HttpSourceOptions } from './http-source.js';
export type { Latest, LatestVersion } from './latest.js';
export type { RequestHeaders } from './request.js';
