import { html } from 'hono/html';
import { fieldOf } from './form.js';
import { errorSummaryOf, type Mistake, pageOf } from './layout.js';
import type { Visit } from './visit.js';

/** A form for a new feature; with what was typed, where it was refused. */
export function addPage(visit: Visit, mistake?: Mistake, status: number = 200): Response {
  const { base, fields, query, formToken, nonce } = visit;
  const draft = mistake && { ...mistake, fields };
  const body = html`<nav class="crumbs" aria-label="Where you are"><a href="${base}/">Features</a> <span aria-hidden="true">/</span></nav>
<h1>Add a feature</h1>
${mistake === undefined ? '' : errorSummaryOf('It was refused', mistake)}
<form method="post" action="${base}/add"><input type="hidden" name="form" value="${formToken}"><input type="hidden" name="nonce" value="${nonce}">
${fieldOf({ key: 'add', name: 'name', label: 'Name', value: query.get('name') ?? '', hint: 'As code asks for it; it stays as it is.', draft, required: true, isCode: true })}
${fieldOf({ key: 'add', name: 'percentage', label: 'Percentage', value: '0', inputMode: 'decimal', draft, className: 'short' })}
${fieldOf({ key: 'add', name: 'description', label: 'Description', draft })}
${fieldOf({ key: 'add', name: 'owner', label: 'Owner', draft })}
${fieldOf({ key: 'add', name: 'variants', label: 'Variants, one a line', hint: 'Each of the same weight. None: it is on or off.', rows: 3, draft })}
<div class="send"><label class="note" for="add-note"><span>Why <span class="quiet">(for the history)</span></span><input id="add-note" name="note" maxlength="1000" autocomplete="off" value="${fields.text('note')}"></label><div class="buttons"><button>Add it</button></div></div>
</form>`;
  return pageOf({ title: 'Add a feature', base, body, visit, status });
}

/** Of the fields of that form, the one that a path of a feature's settings means. */
export function addField(path: string | undefined): string {
  const [field = 'name'] = (path ?? 'name').split(/[.[]/);
  return `add-${['percentage', 'variants', 'description', 'owner'].includes(field) ? field : 'name'}`;
}
