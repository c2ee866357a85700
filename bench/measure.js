// How the benches measure: contenders in turn, round by round, so that a machine that gets slower
// slows all of them; the median of the rounds; and ratios rather than times.

/** Ids that every contender is asked about: distinct, flat strings, the same in each run. */
export function idsOf(count, prefix) {
  // A text that is read from a buffer is flat, one that is joined is not.
  return Array.from({ length: count }, (_, n) => Buffer.from(`${prefix}${n * 7919}`).toString());
}

/** Median ns a call of each contender: `{ name: fn }`, `fn(n)` with n counting up. */
export async function measure(contenders, { rounds = 11, batchMs = 25, awaited = false } = {}) {
  const running = Object.entries(contenders).map(([name, fn]) => ({
    name,
    fn,
    // A loop of its own for each, so that none pays for what another has taught the compiler.
    loop: new Function(
      awaited
        ? 'return async (fn, calls) => { let yes = 0; for (let n = 0; n < calls; n++) if (await fn(n)) yes++; return yes; };'
        : 'return (fn, calls) => { let yes = 0; for (let n = 0; n < calls; n++) if (fn(n)) yes++; return yes; };',
    )(),
    calls: 64,
    times: [],
    yes: 0,
  }));
  const once = async (each) => {
    const start = process.hrtime.bigint();
    each.yes += await each.loop(each.fn, each.calls);
    return Number(process.hrtime.bigint() - start);
  };
  for (const each of running) {
    let ns = await once(each);
    while (ns < batchMs * 1e6) {
      each.calls *= 2;
      ns = await once(each);
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const each of running) each.times.push((await once(each)) / each.calls);
  }
  return Object.fromEntries(running.map(({ name, times }) => [name, median(times)]));
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Rows as a Markdown table that also reads well on a terminal. */
export function table(rows) {
  const widths = rows[0].map((_, at) => Math.max(...rows.map((row) => String(row[at]).length)));
  const line = (row) =>
    `| ${row.map((cell, at) => (at === 0 ? String(cell).padEnd(widths[at]) : String(cell).padStart(widths[at]))).join(' | ')} |`;
  const rule = `|${widths.map((width, at) => (at === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(rows[0]), rule, ...rows.slice(1).map(line)].join('\n');
}

export function ns(value) {
  return value === undefined ? '-' : value < 100 ? value.toFixed(1) : Math.round(value).toString();
}
