// How long does the benchmark of hanoi (Python) take here: add a feature, register 10,000 users one
// by one, and check 20,000 times, half of them hits?
import { execFileSync } from 'node:child_process';
import { Rollout } from '../dist/esm/index.js';
import { median, table } from './measure.js';

const USERS = 10_000;

/** hanoi 0.0.4, MemoryBackEnd, Python 3.11, on the 2-core machine of 2026-11. */
const RECORDED = 0.67;

async function once() {
  const start = performance.now();
  const rollout = new Rollout();
  await rollout.addFeature('FOO');
  for (let n = 0; n < USERS; n++) await rollout.register('FOO', `USER-${n}`);
  let hits = 0;
  for (let n = 0; n < USERS; n++) {
    if (await rollout.isEnabled('FOO', `USER-${n}`)) hits++;
    if (await rollout.isEnabled('FOO', 'USER-a')) hits++;
  }
  if (hits !== USERS) throw new Error(`Expected ${USERS} hits, got ${hits}.`);
  return (performance.now() - start) / 1_000;
}

/** The original in the same run, where python3 can import it (PYTHONPATH); else undefined. */
function python() {
  const script = `
import hanoi, time
t = time.time()
c = hanoi.Rollout(hanoi.MemoryBackEnd())
c.add_func('FOO')
for i in range(${USERS}): c.register('FOO', 'USER-%d' % i)
for i in range(${USERS}):
    c.is_enabled('FOO', 'USER-%d' % i)
    c.is_enabled('FOO', 'USER-a')
print(time.time() - t)`;
  try {
    const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    return Number(execFileSync('python3', ['-c', script], options));
  } catch {
    return undefined;
  }
}

const first = await once();
const times = [];
for (let run = 0; run < 10; run++) times.push(await once());
const warm = median(times);
const original = python();
const row = (name, seconds) => [
  name,
  seconds.toFixed(3),
  `${(RECORDED / seconds).toFixed(0)}x`,
  original === undefined ? 'not run' : `${(original / seconds).toFixed(0)}x`,
];
console.log(
  table([
    ['', 'seconds', `to ${RECORDED} s as recorded`, 'to the original in this run'],
    row('first run of a process', first),
    row('median of 10 more', warm),
    ...(original === undefined ? [] : [row('hanoi (Python)', original)]),
  ]),
);
