import { MetricsHook, SpanHook } from '@openfeature/open-telemetry-hooks';
import { OpenFeature } from '@openfeature/server-sdk';
import { metrics, trace } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { Rollout } from '../../lib/index.js';
import { HanoiProvider } from '../../lib/openfeature/index.js';

describe("given OpenTelemetry's hooks on OpenFeature, and the provider", () => {
  const spans = new InMemorySpanExporter();
  const counts = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter: counts });
  const meters = new MeterProvider({ readers: [reader] });
  let rollout: Rollout;

  beforeAll(async () => {
    trace.setGlobalTracerProvider(
      new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }),
    );
    metrics.setGlobalMeterProvider(meters);
    rollout = new Rollout();
    await rollout.addFeature('theme', { percentage: 100, variants: ['dark'] });
    OpenFeature.addHooks(new SpanHook(), new MetricsHook());
    await OpenFeature.setProviderAndWait(new HanoiProvider(rollout));
  });

  afterAll(async () => {
    OpenFeature.clearHooks();
    await OpenFeature.clearProviders();
    trace.disable();
    metrics.disable();
    await meters.shutdown();
    await rollout.close();
  });

  it('tells traces and metrics what was answered, by which variant and why', async () => {
    const client = OpenFeature.getClient();
    expect(await client.getStringValue('theme', 'light', { targetingKey: 'ann' })).toBe('dark');
    expect(await client.getStringValue('nope', 'light', { targetingKey: 'ann' })).toBe('light');

    expect(spans.getFinishedSpans().map(({ attributes }) => attributes)).toEqual([
      expect.objectContaining({
        'feature_flag.key': 'theme',
        'feature_flag.provider.name': 'hanoi',
        'feature_flag.result.variant': 'dark',
        'feature_flag.result.reason': 'static',
        'feature_flag.context.id': 'ann',
      }),
      expect.objectContaining({ 'feature_flag.key': 'nope', 'error.type': 'flag_not_found' }),
    ]);

    await reader.forceFlush();
    const points = Object.fromEntries(
      (counts.getMetrics().at(-1)?.scopeMetrics ?? [])
        .flatMap(({ metrics: all }) => all)
        .map(({ descriptor, dataPoints }) => [descriptor.name, dataPoints]),
    );
    expect(points['feature_flag.evaluation_success_total']).toEqual([
      expect.objectContaining({
        value: 1,
        attributes: expect.objectContaining({
          'feature_flag.key': 'theme',
          'feature_flag.result.variant': 'dark',
        }),
      }),
    ]);
    expect(points['feature_flag.evaluation_error_total']).toMatchObject([{ value: 1 }]);
  });
});
