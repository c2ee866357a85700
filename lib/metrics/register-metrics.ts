import {
  Counter,
  Histogram,
  type Metric,
  type OpenMetricsContentType,
  type PrometheusContentType,
  type Registry,
} from 'prom-client';
import { invalid, refuseUnknownOptions } from '../errors.js';
import type { Rollout } from '../rollout.js';
import { DecisionCounts } from './decision-counts.js';
import { healthGauges } from './health-gauges.js';

export interface MetricsOptions {
  /** What the metrics' names begin with: another one for each rollout of a registry. Default `hanoi_`. */
  prefix?: string;
  /** Of how many decisions one is timed, from 1: on average, chosen at random. Default 100. */
  timeEvery?: number;
  /**
   * How many series of decisions there may be, from 0. What comes beyond is counted under the feature
   * `(other)`, without its variant. Default 10,000.
   */
  maxSeries?: number;
}

type AnyRegistry = Registry<PrometheusContentType> | Registry<OpenMetricsContentType>;

const DEFAULTS = { prefix: 'hanoi_', timeEvery: 100, maxSeries: 10_000 };

/** From a decision that is ready in this process to one that waits for a slow store. */
const BUCKETS_S = [
  ...[1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 1e-5, 1e-4, 2.5e-4],
  ...[5e-4, 1e-3, 2.5e-3, 1e-2, 0.1, 0.25, 1],
];

/**
 * Registers the metrics of what this rollout does in this process with a prom-client registry, until
 * the returned function is called or the rollout is closed: then they are out of it again.
 *
 * INVALID_ARGUMENT, also where the registry has metrics of these names, as those of another rollout;
 * nothing is registered then.
 */
export function registerMetrics(
  rollout: Pick<Rollout, 'observe' | 'health'>,
  registry: AnyRegistry,
  options: MetricsOptions = {},
): () => void {
  const { prefix, timeEvery, maxSeries } = { ...DEFAULTS, ...options };
  refuseUnknownOptions(options, Object.keys(DEFAULTS));
  if (typeof prefix !== 'string' || !/^[a-z_]\w*$/i.test(prefix)) {
    throw invalid('`prefix` to be letters, digits and _', prefix);
  }
  if (!Number.isSafeInteger(timeEvery) || timeEvery < 1) {
    throw invalid('`timeEvery` to be a whole number from 1', timeEvery);
  }
  if (!Number.isSafeInteger(maxSeries) || maxSeries < 0) {
    throw invalid('`maxSeries` to be a whole number from 0', maxSeries);
  }
  if (typeof (rollout as Partial<Rollout> | undefined)?.observe !== 'function') {
    throw invalid('a Rollout', rollout);
  }
  if (typeof (registry as Partial<AnyRegistry> | undefined)?.registerMetric !== 'function') {
    throw invalid('a registry of prom-client', registry);
  }

  const counts = new DecisionCounts(maxSeries);
  // In none yet: all come in, or nothing does.
  const registers: [] = [];
  const decisions = new Counter({
    name: `${prefix}decisions_total`,
    help: 'Decisions that somebody was given.',
    labelNames: ['feature', 'variant', 'enabled', 'reason'],
    registers,
    collect() {
      for (const [labels, count] of counts.take()) this.inc({ ...labels }, count);
    },
  });
  const durations = new Histogram({
    name: `${prefix}decision_duration_seconds`,
    help: `How long decisions took, of one in ${timeEvery}; lookup says whether the store was asked.`,
    labelNames: ['lookup'],
    buckets: BUCKETS_S,
    registers,
  });
  const errors = new Counter({
    name: `${prefix}errors_total`,
    help: 'What went wrong beside the answers that checks gave all the same, by code.',
    labelNames: ['code'],
    registers,
  });
  const writes = new Counter({
    name: `${prefix}writes_total`,
    help: 'Writes that the store was asked for here, by whether it applied them, or why not.',
    labelNames: ['kind', 'outcome'],
    registers,
  });
  const unregister = enter(registry, [
    decisions,
    durations,
    errors,
    writes,
    ...healthGauges(rollout, prefix),
  ] as Metric[]);
  let untilTimed = 0;
  const stop = rollout.observe({
    isTimed() {
      if (--untilTimed > 0) return false;
      // Not every n-th: checks that come in a circle would let one of them always be the timed one.
      untilTimed = 1 + Math.floor(Math.random() * (2 * timeEvery - 1));
      return true;
    },
    decided(decision, ms, isLookup) {
      counts.add(decision);
      if (ms !== undefined) durations.observe({ lookup: String(isLookup) }, ms / 1000);
    },
    written(kind, failure) {
      writes.inc({ kind, outcome: failure ?? 'applied' });
    },
    failed({ code }) {
      errors.inc({ code });
    },
    closed: unregister,
  });
  return () => {
    stop();
    unregister();
  };
}

/** INVALID_ARGUMENT. Call what it returns to take them out. */
function enter(registry: AnyRegistry, metrics: readonly Metric[]): () => void {
  // A registry of OpenMetrics renames its counters when it is read, but knows them by these.
  const byName = metrics.map((metric) => [nameOf(metric), metric] as const);
  for (const [name] of byName) {
    if (registry.getSingleMetric(name) === undefined) continue;
    throw invalid(
      'a registry without these metrics; for another rollout, give them a `prefix` of their own',
      name,
    );
  }
  for (const metric of metrics) registry.registerMetric(metric);
  return () => {
    for (const [name, metric] of byName) {
      if (registry.getSingleMetric(name) === metric) registry.removeSingleMetric(name);
    }
  };
}

function nameOf(metric: Metric): string {
  // It is there in all versions; only the types leave it out.
  return (metric as unknown as { readonly name: string }).name;
}
