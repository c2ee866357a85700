// How long does a command of the command line take, from its start to its end, with 1,000 features?
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Redis } from 'ioredis';
import { RedisBackend } from '../dist/esm/backends/redis/index.js';
import { Rollout } from '../dist/esm/index.js';
import { median, table } from './measure.js';
import { RedisServer } from './servers.js';

const ROUNDS = process.argv.includes('--quick') ? 3 : 21;
const root = new URL('..', import.meta.url).pathname;

const server = await RedisServer.start();
const redis = new Redis(server.port);
// A project that has the package, and another one that does nothing.
const folder = await mkdtemp(join(tmpdir(), 'hanoi-cli-'));
const bins = join(folder, 'node_modules/.bin');
await mkdir(bins, { recursive: true });
await writeFile(join(folder, 'package.json'), '{ "private": true }');
await symlink(root, join(folder, 'node_modules/hanoi'));
const { bin } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
const hanoi = join(root, bin.hanoi);
// As npm does where it installs a package.
await chmod(hanoi, 0o755);
await symlink(hanoi, join(bins, 'hanoi'));
await writeFile(join(folder, 'node_modules/nothing.js'), '#!/usr/bin/env node\n');
await chmod(join(folder, 'node_modules/nothing.js'), 0o755);
await symlink('../nothing.js', join(bins, 'nothing'));

const features = Object.fromEntries(
  Array.from({ length: 1_000 }, (_, n) => [`feature-${n}`, { percentage: n % 101 }]),
);
await writeFile(join(folder, 'features.json'), JSON.stringify({ features }));
const rollout = new Rollout(new RedisBackend(redis));
for (const [name, settings] of Object.entries(features)) await rollout.addFeature(name, settings);
await rollout.close();
const url = `redis://127.0.0.1:${server.port}`;

const npx = join(dirname(process.execPath), 'npx');
const contenders = {
  'node, which does nothing': [process.execPath, '-e', '0'],
  'hanoi list, of a file': [process.execPath, hanoi, 'list'],
  'hanoi list, of Redis': [process.execPath, hanoi, 'list', '--url', url],
  'npx, of what does nothing': [npx, '--no-install', 'nothing'],
  'npx hanoi list, of a file': [npx, '--no-install', 'hanoi', 'list'],
};
try {
  const times = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, [command, ...args]] of Object.entries(contenders)) {
      const start = performance.now();
      const { status, stderr } = spawnSync(command, args, { cwd: folder, encoding: 'utf8' });
      if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr}`);
      times[name].push(performance.now() - start);
    }
  }
  const bare = median(times['node, which does nothing']);
  console.log(
    table([
      ['', 'median ms', 'of a node that does nothing'],
      ...Object.entries(times).map(([name, all]) => [
        name,
        Math.round(median(all)),
        (median(all) / bare).toFixed(1),
      ]),
    ]),
  );
} finally {
  redis.disconnect();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
