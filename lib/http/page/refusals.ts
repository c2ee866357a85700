import { html } from 'hono/html';
import type { Change } from '../../backends/backend.js';
import type { Feature } from '../../domain/feature.js';
import type { HanoiError } from '../../errors.js';
import type { Problem } from '../problem.js';
import type { Action } from './actions.js';
import { changesOf } from './history.js';
import { errorSummaryOf, type Mistake, pageOf } from './layout.js';
import { featureUrl, type Visit } from './visit.js';
import { named } from './wording.js';

/** So many changes are told of what came meanwhile. */
const MEANWHILE = 20;

/** What kept a form from being written. */
interface Refused {
  readonly problem: Problem;
  readonly action: Action;
  readonly feature: Feature;
  /** The form shows another state than there is. */
  readonly isStale: boolean;
  /** It may have been applied: the form keeps what names it. */
  readonly isOpen: boolean;
}

/** A form that was refused: why, what has changed meanwhile, and what was typed, to be sent again. */
export async function refusedPage(visit: Visit, refused: Refused): Promise<Response> {
  const { problem, action, feature, isStale, isOpen } = refused;
  const { base, fields } = visit;
  const mistake = isStale
    ? { message: 'It has changed since you looked at it, so nothing was saved.' }
    : mistakeOf(problem, action, visit);
  const meanwhile = isStale ? await changesSince(visit, feature) : undefined;
  const again = isOpen ? sameForm(visit) : visit;
  const seen = isOpen
    ? { ...feature, id: fields.text('id'), revision: Number(fields.text('revision')) }
    : feature;
  const body = html`<nav class="crumbs" aria-label="Where you are"><a href="${base}/">Features</a> <span aria-hidden="true">/</span> <a href="${featureUrl(visit, feature.name)}">${named(feature.name)}</a> <span aria-hidden="true">/</span></nav>
<h1>${action.title}: not saved</h1>
${errorSummaryOf(isStale ? 'It has changed meanwhile' : 'It was refused', mistake)}
${
  meanwhile === undefined
    ? ''
    : html`<h2>Who has changed what</h2>${
        meanwhile.length === 0
          ? html`<p>The history does not tell. <a href="${featureUrl(visit, feature.name)}">Look at it again</a>.</p>`
          : changesOf(visit, meanwhile)
      }`
}
<h2>What you typed</h2>
<p class="quiet">${isStale ? 'Sent again, it changes the feature as it is now.' : isOpen ? 'To send it again is safe: it is applied once.' : 'Nothing has changed. Mend it, and send it again.'}</p>
${action.form(again, seen, { fields, ...mistake })}
<p><a href="${featureUrl(visit, feature.name)}">Back to the feature, without saving</a></p>`;
  return pageOf({
    title: `Not saved: ${action.title}`,
    base,
    body,
    visit,
    about: feature.name,
    status: problem.status,
  });
}

/** The same write again, and not another one. */
function sameForm(visit: Visit): Visit {
  return { ...visit, nonce: visit.fields.text('nonce') };
}

function mistakeOf({ detail, path }: Problem, { key, field }: Action, { fields }: Visit): Mistake {
  const known = path !== undefined && fields.has(path) ? path : field?.(path ?? '', fields);
  return { message: detail, ...(known !== undefined && { field: `${key}-${known}` }) };
}

/** What came after the state that the form shows; of another id, all of it. */
async function changesSince(visit: Visit, { name }: Feature): Promise<Change[]> {
  const { rollout, fields } = visit;
  const [id, revision] = [fields.text('id'), Number(fields.text('revision'))];
  const changes = await rollout.history(name, { limit: MEANWHILE });
  return changes.filter((change) => change.head.id !== id || change.head.revision > revision);
}

/** What went wrong, where there is no form to show it at. */
export function problemPage(
  problem: Problem,
  base: string,
  visit?: Visit,
  headers: Readonly<Record<string, string>> = {},
  canSignIn: boolean = false,
): Response {
  const { title, detail, status, code } = problem;
  const body = html`<h1>${status === 503 ? 'The store does not answer' : title}</h1>
<div class="notice ${status >= 500 ? 'bad' : 'warn'}" role="alert"><p>${detail}</p><p class="quiet">${code}</p></div>
<p>${status === 401 && canSignIn ? html`<a class="button" href="${base}/sign-in">Sign in</a>` : html`<a href="${base}/">All features</a>`}</p>`;
  return pageOf({ title, base, body, visit, status, headers });
}

export function isOpenOutcome(error: unknown): boolean {
  const { code } = (error ?? {}) as Partial<HanoiError>;
  return code === 'OUTCOME_UNKNOWN' || code === 'NOT_APPLIED';
}
