export { type MetricsOptions, registerMetrics } from './register-metrics.js';
