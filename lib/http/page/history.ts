import { html } from 'hono/html';
import type { Change } from '../../backends/backend.js';
import { type Difference, diff } from '../../domain/diff.js';
import type { Json } from '../../domain/feature.js';
import { readName } from '../../stored-name.js';
import { featureUrl, type Html, type Visit } from './visit.js';
import { countOf, listOf, named, timeOf } from './wording.js';

/** Differences of one change; more are counted. */
const MOST_DIFFERENCES = 20;
const LONGEST_VALUE = 400;

/** Changes, the newest first, and below each what can be done about it. */
export function changesOf(
  visit: Visit,
  changes: readonly Change[],
  doneAbout: (change: Change, at: number) => Html = () => '',
): Html {
  return html`<ol class="changes">${changes.map(
    (change, at) => html`<li>${changeOf(visit, change)}${doneAbout(change, at)}</li>`,
  )}</ol>`;
}

/** The same of many features, by their names. */
export function logOf(visit: Visit, changes: readonly Change[]): Html {
  return html`<ol class="changes">${changes.map((change) => {
    const [of, name] = readName(change.name);
    return html`<li><p class="of">${
      of === 'feature'
        ? html`<a href="${featureUrl(visit, name)}">${named(name)}</a>`
        : html`<span>${of} ${named(name)}</span>`
    }</p>${changeOf(visit, change)}</li>`;
  })}</ol>`;
}

/** Who changed what, when and why. */
export function changeOf(visit: Visit, change: Change): Html {
  const { at, actor, note, kind } = change;
  return html`<p class="by"><strong>${actor === undefined ? 'Somebody' : named(actor)}</strong> ${VERBS[kind]} ${timeOf(at, visit.now)}${
    kind === 'members' ? '' : html`<span class="quiet">, revision ${change.head.revision}</span>`
  }</p>${note === undefined ? '' : html`<p class="why" dir="auto">“${note}”</p>`}${whatOf(change)}`;
}

const VERBS = {
  created: 'added it',
  updated: 'changed it',
  removed: 'removed it',
  members: 'changed its users',
} as const;

function whatOf({ kind, before, after, added, removed, memberCount }: Change): Html {
  const people = [
    added.length > 0
      ? html`<li><ins><span class="hidden">In: </span>+ ${idsOf(added)}</ins></li>`
      : '',
    removed.length > 0
      ? html`<li><del><span class="hidden">Out: </span>− ${idsOf(removed)}</del></li>`
      : '',
  ];
  if (kind === 'removed') return html`<p class="quiet">With ${countOf(memberCount, 'user')}.</p>`;
  const differences = kind === 'updated' ? diff(before, after).filter(isOfInterest) : [];
  if (differences.length === 0 && added.length + removed.length === 0) return '';
  const more = differences.length - MOST_DIFFERENCES;
  return html`<ul class="diff">${differences.slice(0, MOST_DIFFERENCES).map(differenceOf)}${people}${
    more > 0 ? html`<li class="quiet">and ${more} more</li>` : ''
  }</ul>`;
}

/** The id is no setting; it says that the users were set aside, or came back. */
function isOfInterest({ path }: Difference): boolean {
  return path !== 'buckets';
}

export function differenceOf({ path, kind, before, after }: Difference): Html {
  const old = html`<del><span class="hidden">before: </span>${shown(before)}</del>`;
  const now = html`<ins><span class="hidden">after: </span>${shown(after)}</ins>`;
  const label = path === 'id' ? html`<code>users</code>` : html`<code dir="auto">${path}</code>`;
  if (path === 'id') return html`<li>${label} were set aside, or came back</li>`;
  switch (kind) {
    case 'added':
      return html`<li>${label} ${now}</li>`;
    case 'removed':
      return html`<li>${label} ${old}</li>`;
    case 'moved':
      return html`<li>${label} in another order: ${now}</li>`;
    default:
      return html`<li>${label} ${old} <span aria-hidden="true">→</span> ${now}</li>`;
  }
}

function shown(value: Json | undefined): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value ?? null);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
}

function idsOf(ids: readonly string[]): string {
  return listOf(ids, 10);
}
