// The specs' redis-server, for the benches: found, or fetched, in the same way.
import { fileURLToPath } from 'node:url';
import { transformFileSync } from '@swc/core';

const { code } = transformFileSync(
  fileURLToPath(new URL('../spec/redis-server.ts', import.meta.url)),
  { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'es6' } },
);
export const { RedisServer } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
