/** One metric, as the text format says it. */
export interface Exposed {
  readonly help: string;
  readonly type: string;
  readonly samples: readonly {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[];
}

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (NaN|[+-]Inf|-?\d[\d.]*(?:e[+-]?\d+)?)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/**
 * Reads the text exposition format, and throws at what is against it or against the names' conventions:
 * HELP, then TYPE, then samples of that metric, none twice; counters end with `_total` and nothing else
 * does; a histogram's buckets rise to +Inf, which is its count.
 */
export function exposed(text: string): Map<string, Exposed> {
  if (!text.endsWith('\n')) throw new Error('no newline at the end');
  const metrics = new Map<string, Exposed>();
  for (const block of text.trimEnd().split('\n\n')) {
    const [help = '', type = '', ...lines] = block.split('\n');
    const [, name = '', said = ''] = /^# HELP (\S+) (.+)$/.exec(help) ?? fail(help);
    const [, kind = ''] =
      new RegExp(`^# TYPE ${name} (counter|gauge|histogram)$`).exec(type) ?? fail(type);
    if (metrics.has(name)) fail(`${name} twice`);
    if ((kind === 'counter') !== name.endsWith('_total')) fail(`${name} is a ${kind}`);
    const suffixes = kind === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    const seen = new Set<string>();
    const samples = lines.map((line) => {
      const [, sample = '', labels = '', value = ''] = LINE.exec(line) ?? fail(line);
      if (!suffixes.some((suffix) => sample === name + suffix)) fail(line);
      const series = `${sample}{${labels}}`;
      if (seen.has(series)) fail(`${series} twice`);
      seen.add(series);
      return { name: sample, labels: labelsIn(labels), value: numberIn(value) };
    });
    if (kind === 'histogram') refuseUneven(name, samples);
    metrics.set(name, { help: said, type: kind, samples });
  }
  return metrics;
}

function labelsIn(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  for (let at = 0; at < text.length; at = LABEL.lastIndex) {
    const [, name = '', value = ''] = LABEL.exec(text) ?? fail(text);
    if (Object.hasOwn(labels, name)) fail(`${name} twice in ${text}`);
    labels[name] = value.replace(/\\(.)/g, (_, escaped) => (escaped === 'n' ? '\n' : escaped));
  }
  return labels;
}

function refuseUneven(name: string, samples: Exposed['samples']): void {
  const counts = new Map<string, number[]>();
  for (const sample of samples) {
    if (!sample.name.endsWith('_bucket')) continue;
    const { le, ...others } = sample.labels;
    const key = JSON.stringify(others);
    const before = counts.get(key) ?? [];
    if (sample.value < (before.at(-1) ?? 0)) fail(`${name} falls at ${le}`);
    counts.set(key, [...before, sample.value]);
  }
  for (const { name: sample, labels, value } of samples) {
    if (sample !== `${name}_count`) continue;
    if (counts.get(JSON.stringify(labels))?.at(-1) !== value) fail(`${name} does not add up`);
  }
}

function numberIn(text: string): number {
  return Number(text.replace('Inf', 'Infinity'));
}

function fail(what: string): never {
  throw new Error(`not as the format has it: ${what}`);
}
