import { html } from 'hono/html';
import { logOf } from './history.js';
import { pageOf } from './layout.js';
import type { Visit } from './visit.js';

const PAGE = 50;

/** What was changed of everything, by whom and why. */
export async function changesPage(visit: Visit): Promise<Response> {
  const { rollout, query, base } = visit;
  const before = query.get('before') ?? undefined;
  const changes = await rollout.log({ limit: PAGE, ...(before !== undefined && { before }) });
  const last = changes.at(-1)?.id ?? '';
  const body = html`<h1>Changes</h1>
${changes.length === 0 ? html`<p>Nothing${before === undefined ? '' : ' older'} is kept.</p>` : logOf(visit, changes)}
${changes.length < PAGE ? '' : html`<p><a href="${base}/changes?before=${encodeURIComponent(last)}">Older changes</a></p>`}`;
  return pageOf({ title: 'Changes', base, body, visit, current: 'changes' });
}
