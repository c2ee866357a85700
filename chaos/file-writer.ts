/** Registers and counts in a file: for ever, or so many times each. */
import { FileBackend } from '../lib/backends/file/index.js';
import { Rollout } from '../lib/rollout.js';

const [path, name, times = 'Infinity'] = process.argv.slice(2) as [string, string, string?];
const rollout = new Rollout(new FileBackend(path, { operationTimeoutMs: 120_000 }));
for (let n = 0; n < Number(times); n++) {
  await rollout.register('list', `${name}/${n}`);
  process.send?.('registered');
  if (times === 'Infinity') continue;
  await rollout.update('counter', ({ data }) => ({ data: { n: (data.n as number) + 1 } }));
}
await rollout.close();
process.disconnect?.();
