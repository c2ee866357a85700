import { Gauge } from 'prom-client';
import type { Health } from '../backends/backend.js';
import { crc32 } from '../domain/bucketing.js';

/** How a rollout's store does, when the metrics are read; in no registry yet. */
export function healthGauges(rollout: { health(): Health }, prefix: string): readonly Gauge[] {
  const isReady = new Gauge({
    name: `${prefix}store_up`,
    help: 'Whether the store answers: 1 or 0.',
    aggregator: 'min',
    registers: [],
    collect() {
      this.set(rollout.health().state === 'ready' ? 1 : 0);
    },
  });
  const age = new Gauge({
    name: `${prefix}replica_age_seconds`,
    help: 'How old what checks are answered from can be at most.',
    aggregator: 'max',
    registers: [],
    collect() {
      this.set(rollout.health().ageMs / 1000);
    },
  });
  const revision = new Gauge({
    name: `${prefix}replica_revision`,
    help: 'A number for the state of all features: equal where that is the same, and in no order.',
    aggregator: 'omit',
    registers: [],
    collect() {
      const { token } = rollout.health();
      if (token === undefined) this.remove();
      else this.set(crc32(`${token.epoch ?? ''}\n${token.documents}`) >>> 0);
    },
  });

  return [isReady, age, revision];
}
