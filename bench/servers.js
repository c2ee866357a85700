// The specs' servers, for the benches: found, or fetched, and started in the same way.
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { transformFileSync } from '@swc/core';

// Inside the project, so that what they import is found.
const folder = new URL('../node_modules/.cache/hanoi-bench/', import.meta.url);
mkdirSync(folder, { recursive: true });
for (const name of ['until', 'debian-program', 'redis-server', 'replication', 'redis-cluster']) {
  const { code } = transformFileSync(
    fileURLToPath(new URL(`../spec/${name}.ts`, import.meta.url)),
    { jsc: { parser: { syntax: 'typescript' }, target: 'es2022' }, module: { type: 'es6' } },
  );
  writeFileSync(
    new URL(`${name}.mjs`, folder),
    code.replaceAll(/'(\.\/[-\w]+)\.js'|"(\.\/[-\w]+)\.js"/g, "'$1$2.mjs'"),
  );
}
export const { RedisServer } = await import(new URL('redis-server.mjs', folder).href);
export const { RedisCluster } = await import(new URL('redis-cluster.mjs', folder).href);
