import { html } from 'hono/html';
import type { Change } from '../../backends/backend.js';
import type { Feature } from '../../domain/feature.js';
import { hasCode } from '../../errors.js';
import type { Rollout, Unreadable } from '../../rollout.js';
import type { Problem } from '../problem.js';
import { button, formOf, type Seen } from './form.js';
import { removeForm } from './forms.js';
import { changesOf } from './history.js';
import { errorSummaryOf, pageOf } from './layout.js';
import { featureUrl, type Html, type Visit } from './visit.js';
import { countOf, named, numberOf, timeOf } from './wording.js';

/** Changes that are looked through for a document to go back to. */
const LAST_CHANGES = 50;

/** Other than of what can be read, of which the last document comes back too. */
const REMOVAL = 'Its history stays, but what can not be read does not come back.';

/** Of a list; the others are counted. */
const MOST = 100;

/** The feature as it is now, or why it can't be told; neither where there is none. */
export async function documentOf(
  rollout: Rollout,
  name: string,
): Promise<{ readonly feature?: Feature | undefined; readonly unreadable?: Unreadable }> {
  try {
    return { feature: await rollout.get(name) };
  } catch (error) {
    if (!hasCode(error, 'CORRUPT_FEATURE')) throw error;
    const [unreadable] = await rollout.unreadable(name);
    // Mended or removed in between.
    return unreadable === undefined ? { feature: await rollout.get(name) } : { unreadable };
  }
}

/** What stands before the list: what is off for everyone, though nobody has said so. */
export function unreadableNote(visit: Visit, unreadable: readonly Unreadable[]): Html {
  if (unreadable.length === 0) return '';
  const more = unreadable.length - MOST;
  return html`<section class="notice bad unreadable" aria-labelledby="unreadable-title"><h2 id="unreadable-title">${SIGN} ${countOf(unreadable.length, 'document')} can not be read</h2>
<ul>${unreadable
    .slice(0, MOST)
    .map(
      (each) =>
        html`<li>${
          each.of === 'feature'
            ? html`<a href="${featureUrl(visit, each.name)}">${named(each.name)}</a> <strong>can not be read: off for everyone</strong>`
            : html`<span>${each.of} ${named(each.name)}</span> <strong>can not be read</strong> <span class="why" dir="auto">${reasonOf(each)}</span>`
        }</li>`,
    )}</ul>${more > 0 ? html`<p>and ${numberOf(more)} more</p>` : ''}</section>`;
}

/** Where its stored name is in it, that has a control character. */
function reasonOf({ problem }: Unreadable): string {
  return problem.message.replace(/\p{Cc}/gu, ' ');
}

const SIGN = html`<span aria-hidden="true">⚠</span>`;

/** A feature whose document can't be read: why, what is kept of it, and the ways out. */
export async function unreadablePage(
  visit: Visit,
  unreadable: Unreadable,
  refused?: Problem,
): Promise<Response> {
  const { rollout, base, canWrite, fields } = visit;
  const { name, problem, state } = unreadable;
  const changes = await rollout.history(name, { limit: LAST_CHANGES });
  const [last] = changes;
  const field = refused?.path === 'typed' ? 'remove-typed' : undefined;
  const mistake = refused && { message: refused.detail, field };
  const body = html`<nav class="crumbs" aria-label="Where you are"><a href="${base}/">Features</a> <span aria-hidden="true">/</span></nav>
${mistake === undefined ? '' : errorSummaryOf('Nothing was saved', mistake)}
<h1>${named(name)}</h1>
<div class="notice bad"><p><strong>${SIGN} It can not be read: off for everyone</strong></p><p dir="auto">${problem.message}</p><p class="quiet">${problem.code}</p></div>
${last === undefined ? '' : html`<p>Last change: <span id="last-change" data-who="${last.actor ?? 'Somebody'}" data-change="${last.id}">${last.actor === undefined ? 'somebody' : named(last.actor)}, ${timeOf(last.at, visit.now)}</span></p>`}
<h2 id="history-title">${canWrite && state !== undefined ? 'Roll it back' : 'History'}</h2>
<p>${backNote(changes, unreadable, canWrite)}</p>
${changes.length === 0 ? '' : changesOf(visit, changes, rollbackTo(visit, unreadable, changes))}
${
  changes.length < LAST_CHANGES
    ? ''
    : html`<p><a href="${featureUrl(visit, name, '/history')}&amp;before=${encodeURIComponent(changes.at(-1)?.id ?? '')}">Older changes</a></p>`
}
${canWrite ? html`<h2>Remove it</h2>${removeForm(visit, seenOf(unreadable), mistake && { fields, ...mistake }, REMOVAL)}` : ''}`;
  const status = refused?.status ?? 200;
  return pageOf({ title: `${name} can not be read`, base, body, visit, about: name, status });
}

/** A form to bring a document back, below each change that has kept one. */
export function rollbackTo(
  visit: Visit,
  unreadable: Unreadable,
  changes: readonly Change[],
): (change: Change, at: number) => Html {
  if (!visit.canWrite || unreadable.state === undefined) return () => '';
  const newest = changes.find(hasKept);
  return (change, at) =>
    hasKept(change)
      ? formOf(visit, seenOf(unreadable), {
          body: html`<input type="hidden" name="change" value="${change.id}">`,
          buttons: button(
            'rollback',
            html`Roll back to revision ${change.head.revision}`,
            change === newest ? '' : 'secondary',
          ),
          noteFor: `past-${at}`,
          className: 'past',
        })
      : '';
}

function hasKept({ kind, after }: Change): boolean {
  return kind !== 'removed' && kind !== 'members' && after !== undefined;
}

function backNote(changes: readonly Change[], { state }: Unreadable, canWrite: boolean): string {
  if (changes.length === 0) return 'Nothing is kept.';
  if (state === undefined) {
    return 'The store has lost which feature it is, so it can only be removed and added again.';
  }
  if (!changes.some(hasKept)) return 'No document of it is kept among these changes.';
  return canWrite
    ? 'Its document comes back as it was after the change; its users stay as they are.'
    : 'Who may steer can roll it back to one of these.';
}

function seenOf({ name, state }: Unreadable): Seen {
  return { name, id: state?.id ?? '', revision: state?.revision ?? 0 };
}
