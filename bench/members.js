// What do a million members take, in memory and in time, and what does asking for one cost?
import { randomUUID } from 'node:crypto';
import { Rollout } from '../dist/esm/index.js';
import { idsOf, measure, ns, table } from './measure.js';

const COUNT = 1_000_000;
const KINDS = {
  'user-123456': (n) => `user-${n}`,
  'random UUIDs': () => randomUUID(),
};

const rows = [['ids', 'MB of heap', 'seconds to register', 'ns a check']];
for (const [kind, make] of Object.entries(KINDS)) {
  const rollout = new Rollout();
  await rollout.addFeature('list');
  const before = heap();
  const start = performance.now();
  await rollout.register('list', ids(make));
  const seconds = (performance.now() - start) / 1_000;
  const megabytes = (heap() - before) / 1e6;
  const asked = idsOf(4_096, 'user-');
  const { hanoi } = await measure({
    hanoi: (n) => rollout.isEnabledSync('list', asked[n & 4_095]),
  });
  if ((await rollout.countMembers('list')) !== COUNT) throw new Error('Members are missing.');
  rows.push([kind, megabytes.toFixed(1), seconds.toFixed(2), ns(hanoi)]);
  await rollout.close();
}
console.log(table(rows));

function* ids(make) {
  for (let n = 0; n < COUNT; n++) yield make(n);
}

/** Bytes in use after a collection; needs --expose-gc. */
function heap() {
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
