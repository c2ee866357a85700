import { html } from 'hono/html';
import type { Change } from '../../backends/backend.js';
import type { Feature } from '../../domain/feature.js';
import type { ExperimentReport } from '../../experiments.js';
import type { Group } from '../../groups.js';
import { conditionText, overriddenBy, patternText, serveText, shareText } from './conditions.js';
import { barOf, rampChartOf, sharesBarOf, swatchOf } from './drawing.js';
import { button, type Draft, editorOf, fieldOf, formOf } from './form.js';
import {
  changeForm,
  dataForm,
  dealingForm,
  excludedForm,
  groupsForm,
  isOverride,
  itemForm,
  membersForm,
  overrideForm,
  patternForm,
  percentageForm,
  rampForm,
  removeForm,
  requiresForm,
  ruleEditor,
  steerForm,
  switchForm,
  variantsForm,
} from './forms.js';
import { changeOf, changesOf } from './history.js';
import { pageOf } from './layout.js';
import { type Leftovers, leftoverMark } from './list-page.js';
import { standingOf } from './standing.js';
import { documentOf, rollbackTo, unreadablePage } from './unreadable-page.js';
import { featureUrl, type Html, type Visit } from './visit.js';
import { countOf, dateOf, listOf, named, numberOf, percentOf, timeOf } from './wording.js';

/** Members that are named; the others are counted. */
const FIRST_MEMBERS = 50;
const FIRST_CHANGES = 15;

/** A change that is older is not the one that was just made. */
const JUST_NOW_MS = 60_000;

/** All that is told of one feature. */
interface Told {
  readonly visit: Visit;
  readonly feature: Feature;
  readonly members: number;
  readonly firstMembers: readonly string[];
  readonly changes: readonly Change[];
  readonly groups: readonly Group[];
  readonly experiments: readonly ExperimentReport[];
}

/** One feature: who gets it, why, since when, and what can be done about it. */
export async function featurePage(
  visit: Visit,
  name: string,
  leftovers: Leftovers,
): Promise<Response> {
  const { rollout, base } = visit;
  const { feature, unreadable } = await documentOf(rollout, name);
  if (unreadable !== undefined) return unreadablePage(visit, unreadable);
  const changes = await rollout.history(name, { limit: FIRST_CHANGES });
  if (feature === undefined) return absentPage(visit, name, changes);
  const [members, firstMembers, groups, reports] = await Promise.all([
    rollout.countMembers(name),
    firstOf(rollout.members(name), FIRST_MEMBERS),
    rollout.groups(),
    Promise.all((feature.experiments ?? []).map((each) => rollout.experiment(each))),
  ]);
  const experiments = reports.filter((each) => each !== undefined);
  const told = { visit, feature, members, firstMembers, changes, groups, experiments };
  const body = html`${crumbsOf(visit)}
${savedNote(told)}
${headingOf(told, leftovers)}
<div class="columns">
<nav class="parts" aria-label="On this page"><ul>${PARTS.map(([id, title]) => html`<li><a href="#${id}">${title}</a></li>`)}</ul></nav>
<div class="sections">${PARTS.map(([id, title, part]) => {
    const content = part(told);
    return html`<section id="${id}" aria-labelledby="${id}-title" data-part><h2 id="${id}-title">${title}</h2>
${content}</section>`;
  })}</div></div>
<datalist id="stored-groups">${groups.map((group) => html`<option value="${group.name}"></option>`)}</datalist>`;
  return pageOf({ title: name, base, body, visit, about: name });
}

const PARTS: readonly (readonly [id: string, title: string, part: (told: Told) => Html])[] = [
  ['percentage', 'Percentage', percentagePart],
  ['why', 'Why?', whyPart],
  ['users', 'Users', usersPart],
  ['rules', 'Rules', rulesPart],
  ['patterns', 'Patterns', patternsPart],
  ['groups', 'Groups', groupsPart],
  ['variants', 'Variants', variantsPart],
  ['experiments', 'Experiments', experimentsPart],
  ['about', 'About it', aboutPart],
  ['history', 'History', historyPart],
];

function crumbsOf({ base }: Visit): Html {
  return html`<nav class="crumbs" aria-label="Where you are"><a href="${base}/">Features</a> <span aria-hidden="true">/</span></nav>`;
}

/** After a write: what it was, with the way back. */
function savedNote({ visit, feature, changes }: Told): Html {
  if (!visit.query.has('saved')) return '';
  const own = changes.find(
    ({ actor, at }) => actor === visit.caller.actor && at > visit.now - JUST_NOW_MS,
  );
  if (own === undefined) {
    return html`<div class="notice good" role="status" id="saved" tabindex="-1"><p>Nothing had to be changed.</p></div>`;
  }
  return html`<div class="notice good" role="status" id="saved" tabindex="-1"><p><strong>Saved</strong></p>${changeOf(visit, own)}${
    visit.canWrite && (own.kind === 'members' || own.before !== undefined)
      ? itemForm(visit, feature, { change: own.id }, button('undo', 'Undo', 'secondary'), 'undo')
      : ''
  }</div>`;
}

function headingOf({ visit, feature, members, changes }: Told, leftovers: Leftovers): Html {
  const { name, data, enabled, revision } = feature;
  const { description, owner } = data;
  const standing = standingOf(feature, visit.now);
  const left = (leftovers ?? []).filter((each) => each.name === name);
  const [last] = changes;
  const tags = [data.tags].flat().filter((tag) => typeof tag === 'string');
  return html`<div class="hero is-${standing.state}" id="top" data-part>
<div class="hero-name"><h1>${named(name)}</h1>${
    typeof description === 'string' ? html`<p class="about" dir="auto">${description}</p>` : ''
  }${left.map((each) => leftoverMark(each, visit.now))}</div>
<div class="hero-reach"><p class="reach-text"><span class="state">${enabled ? 'On' : 'Off'}</span> ${standing.text}</p>${
    enabled ? barOf(standing.percentage) : barOf(0, 'off')
  }</div>
<dl class="facts">
<div><dt>Users by name</dt><dd>${numberOf(members)}</dd></div>
<div><dt>Rules</dt><dd>${feature.rules.length}</dd></div>
<div><dt>Excluded</dt><dd>${feature.excluded.length}</dd></div>
${typeof owner === 'string' ? html`<div><dt>Owner</dt><dd dir="auto">${owner}</dd></div>` : ''}
${tags.length > 0 ? html`<div><dt>Tags</dt><dd dir="auto">${listOf(tags as string[])}</dd></div>` : ''}
<div><dt>Revision</dt><dd>${revision}</dd></div>
${last === undefined ? '' : html`<div><dt>Last change</dt><dd id="last-change" data-who="${last.actor ?? 'Somebody'}" data-change="${last.id}">${last.actor === undefined ? 'somebody' : named(last.actor)}, ${timeOf(last.at, visit.now)}</dd></div>`}
</dl>
${visit.canWrite ? switchForm(visit, feature) : ''}
</div>`;
}

function percentagePart({ visit, feature }: Told): Html {
  const { percentage: share, bucketing, subjectKey } = feature;
  const isRamp = typeof share !== 'number';
  const dealt = subjectKey === undefined ? '' : html`, by the attribute <code>${subjectKey}</code>`;
  return html`${
    isRamp
      ? rampChartOf(share, visit.now)
      : html`<p class="figure">${percentOf(share)}</p>${barOf(share)}`
  }<p class="quiet">Dealt by the bucketing <code>${bucketing}</code>${dealt}.${
    feature.buckets === undefined
      ? ''
      : html` ${countOf(feature.buckets.length, 'bucket')} of the population.`
  }</p>
${isRamp && visit.canWrite ? editorOf('Steer the ramp', steerForm(visit, feature), true) : ''}
${percentageForm(visit, feature)}
${
  visit.canWrite
    ? html`${editorOf(isRamp ? 'Start another ramp' : 'Let it go with time: a ramp', rampForm(visit, feature))}${editorOf('How users are dealt', dealingForm(visit, feature))}`
    : ''
}`;
}

export function whyForm(visit: Visit, feature: Feature, subject: string = '', draft?: Draft): Html {
  return formOf(visit, feature, {
    part: '/why',
    body: fieldOf({
      key: 'why',
      name: 'subject',
      label: 'Is it on for this subject, and why?',
      value: subject,
      draft,
      hint: 'An id, or JSON with an id and attributes: { "id": "42", "plan": "pro" }. Empty: nobody.',
      rows: 2,
      isCode: true,
    }),
    buttons: html`<button class="secondary">Explain</button>`,
  });
}

function whyPart({ visit, feature }: Told): Html {
  return whyForm(visit, feature);
}

function usersPart({ visit, feature, members, firstMembers }: Told): Html {
  const { excluded } = feature;
  return html`<p>${
    members === 0
      ? 'Nobody is let in by name.'
      : html`${countOf(members, 'user is', 'users are')} let in by name${members > firstMembers.length ? `; the first ${numberOf(firstMembers.length)} that came` : ''}:`
  }</p>
${idList(firstMembers)}
${excluded.length === 0 ? '' : html`<h3>Excluded</h3><p>${countOf(excluded.length, 'user is', 'users are')} kept out, whatever lets them in${excluded.length > FIRST_MEMBERS ? `; the first ${FIRST_MEMBERS}` : ''}:</p>${idList(excluded.slice(0, FIRST_MEMBERS))}`}
${formOf(visit, feature, {
  part: '/why',
  body: fieldOf({ key: 'user', name: 'subject', label: 'Look up a user', isCode: true }),
  buttons: html`<button class="secondary">Look up</button>`,
  className: 'inline',
})}
${visit.canWrite ? html`${editorOf('Add or remove users', membersForm(visit, feature))}${editorOf('Exclude users', excludedForm(visit, feature))}` : ''}`;
}

function idList(ids: readonly string[]): Html {
  if (ids.length === 0) return '';
  return html`<ul class="ids">${ids.map((id) => html`<li dir="auto">${id}</li>`)}</ul>`;
}

function rulesPart({ visit, feature }: Told): Html {
  const rules = feature.rules.filter((rule) => !isOverride(rule));
  return html`${
    rules.length === 0
      ? html`<p>There are none. A rule decides by attributes, segments or groups, before the percentage.</p>`
      : html`<ol class="rules">${rules.map((rule) => {
          const { id, description, when, serve, percentage, from, until, sticky } = rule;
          return html`<li><p class="rule"><span class="quiet">If</span> <span dir="auto">${conditionText(when)}</span> <span class="quiet">then</span> <strong dir="auto">${serveText(serve)}</strong>${percentage === undefined ? '' : html`, for ${shareText(percentage)} of them`}${from === undefined ? '' : html`, from ${dateOf(Date.parse(from))}`}${until === undefined ? '' : html`, until ${dateOf(Date.parse(until))}`}${sticky ? ', kept once used' : ''}</p>
<p class="quiet"><code dir="auto">${id}</code>${description === undefined ? '' : html` <span dir="auto">${description}</span>`}</p>${
            visit.canWrite
              ? editorOf(
                  html`Edit <span class="hidden">the rule ${named(id)}</span>`,
                  ruleEditor(visit, feature, rule),
                )
              : ''
          }</li>`;
        })}</ol>`
  }${visit.canWrite ? editorOf('Add a rule', ruleEditor(visit, feature)) : ''}`;
}

function patternsPart({ visit, feature }: Told): Html {
  const { patterns } = feature;
  return html`${
    patterns.length === 0
      ? html`<p>There are none. A pattern lets in every id that it matches.</p>`
      : html`<ul class="items">${patterns.map(
          ({ source, flags }, at) =>
            html`<li><code dir="auto">${patternText({ source, flags })}</code>${
              visit.canWrite
                ? editorOf(
                    html`Remove<span class="hidden"> the pattern ${patternText({ source, flags })}</span>`,
                    itemForm(
                      visit,
                      feature,
                      { source, flags },
                      button('pattern-remove', 'Remove the pattern', 'danger'),
                      `pattern-${at}`,
                    ),
                  )
                : ''
            }</li>`,
        )}</ul>`
  }${editorOf(visit.canWrite ? 'Try or add a pattern' : 'Try a pattern', patternForm(visit, feature))}`;
}

function groupsPart({ visit, feature, groups }: Told): Html {
  const overrides = feature.rules.filter(isOverride);
  const stored = new Set(groups.map(({ name }) => name));
  return html`${
    feature.groups.length === 0
      ? html`<p>No group is let in.</p>`
      : html`<p>Let in whole:</p><ul class="ids">${feature.groups.map((group) => html`<li dir="auto">${group}${stored.has(group) ? html` <span class="quiet">(stored)</span>` : ''}</li>`)}</ul>`
  }${
    overrides.length === 0
      ? ''
      : html`<h3>Overrides</h3><p>Before all other rules, the first that fits:</p><ol class="rules">${overrides.map((rule) => html`<li><p class="rule"><span class="quiet">Group</span> <span dir="auto">${overriddenBy(rule)}</span> <span class="quiet">gets</span> <strong dir="auto">${serveText(rule.serve)}</strong></p></li>`)}</ol>`
  }${visit.canWrite ? html`${editorOf('Let in a group', groupsForm(visit, feature))}${editorOf('Override for a group', overrideForm(visit, feature))}` : ''}`;
}

function variantsPart({ visit, feature }: Told): Html {
  const { variants, defaultVariant, offValue } = feature;
  const total = variants.reduce((sum, { weight }) => sum + weight, 0);
  return html`${
    variants.length === 0
      ? html`<p>There are none: it is on or off.</p>`
      : html`${sharesBarOf(variants)}<div class="scroll" tabindex="0" role="region" aria-label="Table of variants"><table><caption class="hidden">Variants and their shares</caption><thead><tr><th scope="col">Variant</th><th scope="col" class="number">Share</th><th scope="col" class="number">Weight</th><th scope="col">Value</th></tr></thead><tbody>${variants.map(
          ({ name, weight, value }, at) =>
            html`<tr><th scope="row">${swatchOf(at)} ${named(name)}</th><td class="number">${total > 0 ? percentOf((100 * weight) / total, 2) : '0%'}</td><td class="number">${weight}</td><td>${value === undefined ? html`<span class="quiet">its name</span>` : html`<code dir="auto">${JSON.stringify(value)}</code>`}</td></tr>`,
        )}</tbody></table></div>`
  }${defaultVariant === undefined ? '' : html`<p>Those that nothing lets in are on, with <strong>${named(defaultVariant)}</strong>.</p>`}${offValue === undefined ? '' : html`<p>Where it is off, its value is <code dir="auto">${JSON.stringify(offValue)}</code>.</p>`}
${visit.canWrite ? editorOf('Edit the variants', variantsForm(visit, feature)) : ''}`;
}

function experimentsPart({ feature, experiments, visit }: Told): Html {
  if (experiments.length === 0) return html`<p>It is in none.</p>`;
  return html`${experiments.map((experiment) => experimentOf(experiment, feature, visit.now))}`;
}

function experimentOf(experiment: ExperimentReport, { name: feature }: Feature, now: number): Html {
  const { name, state, from, until, arms, sampleRatio, missing, when } = experiment;
  const total = arms.reduce((sum, { uses }) => sum + uses, 0);
  const gives = (given: string | boolean | undefined) =>
    given === true ? 'on' : given === false || given === undefined ? 'off' : given;
  return html`<article class="experiment"><h3>${named(name)} <span class="label">${state}</span></h3>
<p class="quiet">${dateOf(Date.parse(from))} to ${dateOf(Date.parse(until))} (${timeOf(Date.parse(state === 'planned' ? from : until), now)}); for <span dir="auto">${conditionText(when)}</span>.</p>
${
  sampleRatio?.isMismatched
    ? html`<div class="notice bad"><p><strong>Do not trust its result.</strong> The counts do not fit to the proportions: chance alone does this in one of ${numberOf(Math.max(1, Math.round(1 / Math.max(sampleRatio.pValue, 1e-12))))} experiments (sample-ratio mismatch, χ² ${sampleRatio.chiSquare.toFixed(1)}).</p></div>`
    : ''
}${missing.length > 0 ? html`<p class="notice warn">Not in it any more: ${listOf(missing)}.</p>` : ''}
${sharesBarOf(arms.map((arm) => ({ name: arm.name, weight: arm.proportion })))}
<div class="scroll" tabindex="0" role="region" aria-label="Table of the arms of ${name}"><table><caption class="hidden">Arms, and how many have used what they give</caption><thead><tr><th scope="col">Arm</th><th scope="col">Gives</th><th scope="col" class="number">Planned</th><th scope="col" class="number">Counted</th><th scope="col" class="number">Used by</th></tr></thead><tbody>${arms.map(
    ({ name: arm, proportion, features, uses }, at) =>
      html`<tr><th scope="row">${swatchOf(at)} ${named(arm)}</th><td dir="auto">${gives(Object.hasOwn(features, feature) ? features[feature] : undefined)}</td><td class="number">${percentOf(100 * proportion, 2)}</td><td class="number">${total > 0 ? percentOf((100 * uses) / total, 2) : '–'}</td><td class="number">${numberOf(uses)}</td></tr>`,
  )}</tbody></table></div>
<p class="quiet">${
    sampleRatio === undefined
      ? 'Too few have been counted to say whether they fit to the proportions.'
      : sampleRatio.isMismatched
        ? ''
        : `The counts fit to the proportions (p = ${sampleRatio.pValue.toFixed(2)}).`
  }</p></article>`;
}

function aboutPart({ visit, feature }: Told): Html {
  const { requires, data } = feature;
  const entries = Object.entries(data);
  return html`${
    requires.length === 0
      ? ''
      : html`<p>Has to be on too:</p><ul class="ids">${requires.map(({ feature: other, variants }) => html`<li><a href="${featureUrl(visit, other)}">${named(other)}</a>${variants === undefined ? '' : html` with ${listOf(variants)}`}</li>`)}</ul>`
  }${
    entries.length === 0
      ? html`<p>The team has noted nothing.</p>`
      : html`<dl class="data">${entries.map(([key, value]) => html`<div><dt dir="auto">${key}</dt><dd dir="auto">${typeof value === 'string' ? value : JSON.stringify(value)}</dd></div>`)}</dl>`
  }${
    visit.canWrite
      ? html`${editorOf('Edit what is noted', dataForm(visit, feature))}${editorOf('Edit what it requires', requiresForm(visit, feature))}${editorOf('Remove the feature', removeForm(visit, feature))}`
      : ''
  }`;
}

function historyPart({ visit, feature, changes }: Told): Html {
  if (changes.length === 0) return html`<p>Nothing is kept.</p>`;
  return html`${changesOf(visit, changes, takeBack(visit, feature))}${olderOf(visit, feature.name, changes)}`;
}

/** One change alone, or all that came since. */
function takeBack(
  visit: Visit,
  feature: Feature | undefined,
  isFirstPage: boolean = true,
): (change: Change, at: number) => Html {
  if (!visit.canWrite || feature === undefined) return () => '';
  return ({ id, kind }, at) =>
    kind === 'removed'
      ? ''
      : html`<details class="edit back"><summary>Take back</summary>${changeForm(visit, feature, id, `past-${at}`, undefined, isFirstPage && at === 0)}</details>`;
}

function olderOf(visit: Visit, name: string, changes: readonly Change[]): Html {
  if (changes.length < FIRST_CHANGES) return '';
  const before = encodeURIComponent(changes.at(-1)?.id ?? '');
  return html`<p><a href="${featureUrl(visit, name, '/history')}&amp;before=${before}">Older changes</a></p>`;
}

/** Older changes of a feature, which may be gone. */
export async function historyPage(visit: Visit, name: string): Promise<Response> {
  const { rollout, query, base } = visit;
  const before = query.get('before') ?? undefined;
  const { feature, unreadable } = await documentOf(rollout, name);
  const changes = await rollout.history(name, {
    limit: FIRST_CHANGES,
    ...(before !== undefined && { before }),
  });
  const body = html`${crumbsOf(visit)}<h1>History of <a href="${featureUrl(visit, name)}">${named(name)}</a></h1>
${changes.length === 0 ? html`<p>Nothing older is kept.</p>` : changesOf(visit, changes, unreadable ? rollbackTo(visit, unreadable, changes) : takeBack(visit, feature, before === undefined))}${olderOf(visit, name, changes)}`;
  return pageOf({ title: `History of ${name}`, base, body, visit });
}

/** Of a feature that is not there: was it ever? */
function absentPage(visit: Visit, name: string, changes: readonly Change[]): Response {
  const { base } = visit;
  const [last] = changes;
  const seen = { name, id: last?.head.id ?? '', revision: last?.head.revision ?? 0 };
  const wasThere = last?.kind === 'removed';
  const body = html`${crumbsOf(visit)}<h1>${named(name)}</h1>
${
  wasThere
    ? html`<div class="notice warn"><p><strong>It was removed.</strong></p>${changeOf(visit, last)}${
        last.before === undefined
          ? html`<p>What it was last could not be read, so it can not be brought back here.</p>`
          : visit.canWrite
            ? formOf(visit, seen, {
                body: html`<label class="check"><input type="checkbox" name="alone" value="yes"> Without its users</label>`,
                buttons: button('restore', 'Bring it back'),
                noteFor: 'restore',
              })
            : ''
      }</div><h2>History</h2>${changesOf(visit, changes)}`
    : html`<p>There is no feature of this name.</p>${visit.canWrite ? html`<p><a class="button" href="${base}/add?name=${encodeURIComponent(name)}">Add it</a></p>` : ''}`
}`;
  return pageOf({ title: name, base, body, visit, about: name, status: wasThere ? 200 : 404 });
}

async function firstOf(ids: AsyncIterable<string>, most: number): Promise<string[]> {
  const first = new Set<string>();
  for await (const id of ids) {
    first.add(id);
    if (first.size === most) break;
  }
  return [...first].sort();
}
