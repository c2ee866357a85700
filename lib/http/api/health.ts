import { Routes } from '../route.js';
import { Health } from '../wire.js';

export const healthRoutes: Routes = new Routes('Health').add('GET /health', {
  id: 'health',
  summary: 'How the store does, and how old what checks are answered from can be.',
  access: 'nobody',
  answer: Health,
  also: 503,
  handle: async ({ rollout }) => {
    const { state, ageMs } = rollout.health();
    const isAnswering = Number.isFinite(ageMs);
    return {
      status: isAnswering ? 200 : 503,
      body: { state, ...(isAnswering && { ageMs: Math.round(ageMs) }) },
    };
  },
});
