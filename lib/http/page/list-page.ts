import { html } from 'hono/html';
import type { Feature } from '../../domain/feature.js';
import type { Leftover } from '../../domain/leftover.js';
import { barOf, rampLineOf, sharesBarOf } from './drawing.js';
import { pageOf } from './layout.js';
import { STATES, type Standing, standingOf } from './standing.js';
import { unreadableNote } from './unreadable-page.js';
import { featureUrl, type Html, type Visit } from './visit.js';
import { countOf, listOf, named, numberOf, percentOf, spanSince } from './wording.js';

/** Rows of a page. */
const PAGE = 100;

/** Tags and owners that a list offers to narrow by. */
const MOST_LABELS = 200;

/** The features that are left over, as far as is known already. */
export type Leftovers = readonly Leftover[] | undefined;

interface Row {
  readonly feature: Feature;
  readonly standing: Standing;
  readonly leftovers: readonly Leftover[];
}

/** Every feature, and at a glance who gets it. */
export async function listPage(visit: Visit, leftovers: Leftovers): Promise<Response> {
  const { rollout, query, now, base } = visit;
  const all = await rollout.features();
  const unreadable = await rollout.unreadable();
  const left = new Map<string, Leftover[]>();
  for (const each of leftovers ?? []) left.set(each.name, [...(left.get(each.name) ?? []), each]);
  const asked = {
    text: (query.get('q') ?? '').trim().toLowerCase(),
    state: query.get('state') ?? '',
    label: query.get('label') ?? '',
  };
  const rows = all
    .map((feature) => ({
      feature,
      standing: standingOf(feature, now),
      leftovers: left.get(feature.name) ?? [],
    }))
    .filter((row) => fits(row, asked));
  const pages = Math.max(1, Math.ceil(rows.length / PAGE));
  const page = Math.min(pages, Math.max(1, Math.floor(Number(query.get('page')) || 1)));
  const shown = rows.slice((page - 1) * PAGE, page * PAGE);
  const counts = await Promise.all(
    shown.map(({ feature }) => rollout.countMembers(feature.name).catch(() => undefined)),
  );
  const isNarrowed = asked.text !== '' || asked.state !== '' || asked.label !== '';
  const body = html`<div class="heading"><h1>Features</h1>${
    visit.canWrite ? html`<a class="button" href="${base}/add">Add a feature</a>` : ''
  }</div>
${removedNote(visit)}
${all.length + unreadable.length === 0 ? emptyNote(visit) : filtersOf(visit, all, asked)}
<div id="list">
${unreadableNote(
  visit,
  // What else there is to narrow by stands in what can't be read.
  unreadable.filter(({ name }) => name.toLowerCase().includes(asked.text)),
)}
<p class="quiet" id="found">${
    isNarrowed
      ? `${numberOf(rows.length)} of ${countOf(all.length, 'feature')}`
      : countOf(all.length, 'feature')
  }${leftoverNote(visit, leftovers)}</p>
${shown.length === 0 ? '' : tableOf(visit, shown, counts)}
${pagesOf(visit, page, pages)}
</div>`;
  return pageOf({ title: 'Features', base, body, visit, current: 'features' });
}

function removedNote({ query, base }: Visit): Html {
  const name = query.get('removed');
  if (name === null) return '';
  return html`<div class="notice good" role="status"><p><strong>${named(name)}</strong> was removed. <a href="${featureUrl({ base }, name)}">Look at what it was, or bring it back</a>.</p></div>`;
}

function emptyNote({ canWrite }: Visit): Html {
  return html`<div class="empty"><p><strong>There is no feature yet.</strong></p><p>${
    canWrite
      ? 'Add one here, or in code with rollout.addFeature().'
      : 'They appear here once code or somebody who may has added one.'
  }</p></div>`;
}

interface Asked {
  readonly text: string;
  readonly state: string;
  readonly label: string;
}

function fits({ feature, standing, leftovers }: Row, { text, state, label }: Asked): boolean {
  if (state === 'left') {
    if (leftovers.length === 0) return false;
  } else if (state !== '' && standing.state !== state) return false;
  if (label !== '' && !labelsOf(feature).includes(label)) return false;
  return text === '' || feature.name.toLowerCase().includes(text);
}

/** `tag:checkout` and `owner:ann`, of what the team has noted in the data. */
function labelsOf({ data }: Feature): string[] {
  const { tags, owner } = data;
  const all = Array.isArray(tags) ? tags : [tags];
  return [
    ...all.filter((tag) => typeof tag === 'string').map((tag) => `tag:${tag}`),
    ...(typeof owner === 'string' ? [`owner:${owner}`] : []),
  ];
}

function filtersOf({ base }: Visit, all: readonly Feature[], asked: Asked): Html {
  const labels = [...new Set(all.flatMap(labelsOf))].sort().slice(0, MOST_LABELS);
  const choice = (value: string, text: string, chosen: string) =>
    html`<option value="${value}"${value === chosen ? html` selected` : ''}>${text}</option>`;
  const of = (kind: string) => labels.filter((label) => label.startsWith(kind));
  const group = (kind: string, title: string) =>
    of(kind).length === 0
      ? ''
      : html`<optgroup label="${title}">${of(kind).map((label) => choice(label, label.slice(kind.length), asked.label))}</optgroup>`;
  return html`<form class="filters" method="get" action="${base}/" role="search" aria-label="Features" data-filter>
<label>Name<input type="search" name="q" value="${asked.text}" autocomplete="off" spellcheck="false"></label>
<label>Who gets it<select name="state">${choice('', 'Any', asked.state)}${Object.entries(
    STATES,
  ).map(([state, text]) =>
    choice(state, text, asked.state),
  )}${choice('left', 'Left over', asked.state)}</select></label>
${labels.length === 0 ? '' : html`<label>Tag or owner<select name="label">${choice('', 'Any', asked.label)}${group('tag:', 'Tags')}${group('owner:', 'Owners')}</select></label>`}
<button class="secondary">Filter</button>
</form>`;
}

function leftoverNote({ base, query }: Visit, leftovers: Leftovers): Html {
  if (leftovers === undefined)
    return html`<span data-pending>. Which ones are left over is being looked up.</span>`;
  const count = new Set(leftovers.map(({ name }) => name)).size;
  if (count === 0 || query.get('state') === 'left') return '';
  return html`. <a href="${base}/?state=left">${countOf(count, 'is', 'are')} left over</a>.`;
}

function tableOf(
  visit: Visit,
  rows: readonly Row[],
  counts: readonly (number | undefined)[],
): Html {
  return html`<table class="features" role="table">
<caption class="hidden">Features by name, and who gets them</caption>
<thead role="rowgroup"><tr role="row"><th scope="col" role="columnheader">Feature</th><th scope="col" role="columnheader">Who gets it</th><th scope="col" role="columnheader">Members and rules</th><th scope="col" role="columnheader">Variants</th></tr></thead>
<tbody role="rowgroup">${rows.map((row, at) => rowOf(visit, row, counts[at]))}</tbody></table>`;
}

function rowOf(visit: Visit, { feature, standing, leftovers }: Row, members?: number): Html {
  const { name, data } = feature;
  const { description } = data;
  return html`<tr role="row" class="is-${standing.state}">
<th scope="row" role="rowheader"><a href="${featureUrl(visit, name)}">${named(name)}</a><span class="under">${
    typeof description === 'string' && description !== ''
      ? html`<span class="about" dir="auto">${cut(description)}</span>`
      : ''
  }${labelList(feature)}${leftovers.map((each) => leftoverMark(each, visit.now))}</span></th>
<td role="cell" class="reach">${reachOf(feature, standing, visit.now)}</td>
<td role="cell" class="beside">${besideOf(feature, members)}</td>
<td role="cell" class="variants">${variantsOf(feature)}</td>
</tr>`;
}

function labelList(feature: Feature): Html {
  const labels = labelsOf(feature);
  if (labels.length === 0) return '';
  return html`${labels.slice(0, 6).map((label) => {
    const at = label.indexOf(':');
    return html`<span class="label" dir="auto"><span class="hidden">${label.slice(0, at)} </span>${label.startsWith('owner:') ? html`<span aria-hidden="true">@</span>` : ''}${cut(label.slice(at + 1), 40)}</span>`;
  })}`;
}

export function leftoverMark({ why, since, isExact }: Leftover, now: number): Html {
  const text = {
    expired: 'past its expiry',
    everyone: 'on for everyone',
    nobody: 'reaches nobody',
  }[why];
  return html`<span class="mark"><span aria-hidden="true">⚑</span> Left over: ${text} for ${isExact ? '' : 'more than '}${spanSince(since, now)}</span>`;
}

function reachOf({ percentage: share }: Feature, standing: Standing, now: number): Html {
  const { state, percentage, text } = standing;
  if (state === 'off') return html`<span class="off">${text}</span>${barOf(0, 'off')}`;
  return html`<span class="level"><span>${text}</span>${
    state === 'ramping' && typeof share !== 'number' ? rampLineOf(share, now) : ''
  }</span>${barOf(percentage)}`;
}

function besideOf(
  { rules, patterns, groups, excluded, requires, experiments }: Feature,
  members?: number,
) {
  const parts = [
    members === undefined ? 'members not counted' : members > 0 ? countOf(members, 'member') : '',
    rules.length > 0 ? countOf(rules.length, 'rule') : '',
    patterns.length > 0 ? countOf(patterns.length, 'pattern') : '',
    groups.length > 0 ? countOf(groups.length, 'group') : '',
    excluded.length > 0 ? `${numberOf(excluded.length)} excluded` : '',
    requires.length > 0 ? `${numberOf(requires.length)} required` : '',
    experiments !== undefined && experiments.length > 0
      ? countOf(experiments.length, 'experiment')
      : '',
  ].filter((part) => part !== '');
  return parts.length === 0 ? html`<span class="quiet">–</span>` : parts.join(', ');
}

function variantsOf({ variants }: Feature): Html {
  if (variants.length === 0) return html`<span class="quiet">–</span>`;
  const total = variants.reduce((sum, { weight }) => sum + weight, 0);
  const texts = variants.map(
    ({ name, weight }) =>
      `${cut(name, 40)} ${total > 0 ? percentOf((100 * weight) / total, 1) : '0%'}`,
  );
  return html`<span dir="auto">${listOf(texts, 4)}</span>${sharesBarOf(variants)}`;
}

function pagesOf({ base, query }: Visit, page: number, pages: number): Html {
  if (pages === 1) return '';
  const to = (number: number, text: string, rel: string) => {
    const next = new URLSearchParams(query);
    next.set('page', String(number));
    return html`<a rel="${rel}" href="${base}/?${next.toString()}">${text}</a>`;
  };
  return html`<nav class="pages" aria-label="Pages">${page > 1 ? to(page - 1, '← Before', 'prev') : ''}<span>Page ${page} of ${pages}</span>${page < pages ? to(page + 1, 'Next →', 'next') : ''}</nav>`;
}

/** For a glance: the whole text is on the feature's page. */
function cut(text: string, most: number = 140): string {
  const characters = [...text.slice(0, 2 * most)];
  return characters.length > most ? `${characters.slice(0, most - 1).join('')}…` : text;
}
