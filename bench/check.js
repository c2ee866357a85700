// What does a check on memory cost, next to doing the work by hand and to peers on the same work?
import { idsOf, measure, ns, table } from './measure.js';
import { contenders, KINDS } from './peers.js';

const MASK = 4095;

/**
 * Fresh copies for each contender, and others than those on its list: a library that makes an id a
 * key of an object changes the very string, and slows it for the next contender.
 */
function subjects() {
  const hit = idsOf(MASK + 1, 'user-');
  const miss = idsOf(MASK + 1, 'other-');
  // A fifth of them end in 01, so that both answers of a pattern are taken often.
  const phones = miss.map((id, n) => Buffer.from(n % 5 === 0 ? `${id}01` : id).toString());
  return { hit, miss, phones };
}

const ROWS = [
  ['percentage', 'percentage', 'hit'],
  ['list of 10,000, hit', 'list', 'hit'],
  ['list of 10,000, miss', 'list', 'miss'],
  ['variant of 3', 'variant', 'hit'],
  ['pattern', 'pattern', 'phones'],
];

const quick = process.argv.includes('--quick');
const results = [];
for (const count of [1, 100]) {
  const names = Object.fromEntries(
    KINDS.map((kind) => [
      kind,
      Array.from({ length: count }, (_, n) => Buffer.from(`${kind}-${n}`).toString()),
    ]),
  );
  const ready = {};
  for (const [name, make] of Object.entries(contenders)) {
    ready[name] = { ...(await make(names, idsOf(10_000, 'user-'))), asked: subjects() };
    await prove(name, ready[name], names);
  }
  for (const way of ['sync', 'awaited']) {
    for (const [row, kind, ids] of ROWS) {
      const features = names[kind];
      const calls = {};
      for (const [name, work] of Object.entries(ready)) {
        const answer = work[way]?.[kind];
        if (answer === undefined) continue;
        const asked = work.asked[ids];
        calls[name] =
          count === 1
            ? oneFeature(answer, features[0], asked)
            : inRotation(answer, features, asked);
      }
      const times = await measure(calls, {
        awaited: way === 'awaited',
        ...(quick && { rounds: 3, batchMs: 5 }),
      });
      results.push({ row, way, count, times });
    }
  }
  for (const { close } of Object.values(ready)) close?.();
}

const peers = Object.keys(contenders);
const cells = (times, name) => {
  if (times[name] === undefined) return '-';
  if (name === 'hanoi') return ns(times[name]);
  return `${ns(times[name])} (${(times[name] / times.hanoi).toFixed(times[name] < times.hanoi ? 2 : 1)})`;
};
for (const way of ['sync', 'awaited']) {
  for (const count of [1, 100]) {
    const rows = results.filter((each) => each.way === way && each.count === count);
    console.log(
      `\n**${way}, ${count === 1 ? 'one feature' : '100 features in rotation'}**: ns a check (times hanoi's)\n`,
    );
    const shown = peers.filter((name) => rows.some(({ times }) => times[name] !== undefined));
    console.log(
      table([
        ['', ...shown],
        ...rows.map(({ row, times }) => [row, ...shown.map((name) => cells(times, name))]),
      ]),
    );
  }
}

function oneFeature(answer, feature, ids) {
  return (n) => answer(feature, ids[n & MASK]);
}

function inRotation(answer, features, ids) {
  return (n) => answer(features[n % features.length], ids[n & MASK]);
}

/** That each contender does the work: else a fast answer may be a wrong one. */
async function prove(name, { sync = {}, awaited = {}, asked }, names) {
  for (const [kind, answer] of [...Object.entries(sync), ...Object.entries(awaited)]) {
    const feature = names[kind].at(-1);
    const given = (ids) => Promise.all(ids.map((id) => answer(feature, id)));
    const share = async (ids) => (await given(ids)).filter((it) => it === true).length / ids.length;
    const isDone = {
      percentage: async () => Math.abs((await share(asked.hit)) - 0.2) < 0.03,
      list: async () => (await share(asked.hit)) === 1 && (await share(asked.miss)) === 0,
      variant: async () => new Set(await given(asked.hit)).size === 3,
      pattern: async () => Math.abs((await share(asked.phones)) - 0.21) < 0.02,
    };
    if (!(await isDone[kind]())) throw new Error(`${name} does not do the work "${kind}"`);
  }
}
