import { html } from 'hono/html';
import type { ExplainedCondition, ExplainedStep } from '../../domain/explain.js';
import type { Feature } from '../../domain/feature.js';
import { matcherOf, parsePattern } from '../../domain/pattern.js';
import type { Subject } from '../../domain/subject.js';
import { amendFeature, type FeatureSettings } from '../../domain/validate.js';
import { notFound } from '../../errors.js';
import type { Preview } from '../../preview.js';
import { Refusal } from '../problem.js';
import { type Action, changedBy, patternOf } from './actions.js';
import { conditionText, patternText } from './conditions.js';
import { sharesBarOf, swatchOf } from './drawing.js';
import { whyForm } from './feature-page.js';
import { Fields } from './fields.js';
import { button, formOf } from './form.js';
import { audienceOf, defaultAudience, itemForm, patternForm } from './forms.js';
import { errorSummaryOf, pageOf } from './layout.js';
import { type Dealt, dealtSample, SAMPLE } from './sample.js';
import { featureUrl, type Html, type Visit } from './visit.js';
import { countOf, named, numberOf, percentOf } from './wording.js';

/** Members, or those of a population, that are looked at: the first that come. */
const MOST_SUBJECTS = 10_000;
const MOST_IDS = 1_000;

/** Ids that a pattern is tried on, and how long each can be. */
const MOST_TRIED = 20;
const LONGEST_TRIED = 256;

/** So long a member is looked for among millions. */
const SEARCH_MS = 3_000;

/** Fields of every form, which are not about the change itself. */
const OF_FORM = new Set(['form', 'nonce', 'id', 'revision', 'note', 'do', 'over', 'overIds']);

/** Who would gain and lose by a change, before it is made. */
export async function previewPage(
  visit: Visit,
  feature: Feature,
  doing: string,
  action: Action,
): Promise<Response> {
  const { fields, rollout, base } = visit;
  if (action.settings === undefined) {
    throw new Refusal('INVALID_REQUEST', 'There is no preview of this.');
  }
  const settings = changedBy(action, feature, fields);
  const found = await audience(visit, feature, settings);
  const outcome =
    found === undefined
      ? dealtSample(feature, amendFeature(feature, settings), visit.now)
      : await rollout.preview(feature.name, settings, found.subjects, { ids: 20 });
  const carried = [...fields.names()].filter((name) => !OF_FORM.has(name));
  const hidden = carried.map(
    (name) => html`<input type="hidden" name="${name}" value="${fields.raw(name) ?? ''}">`,
  );
  const body = html`${backOf(visit, feature)}
<h1>${action.title}: who gains, who loses?</h1>
<p class="quiet">Nothing has been saved yet.</p>
<div class="panel">${changeText(feature, settings)}
<div id="outcome">${outcomeOf(outcome, found?.told ?? OF_SAMPLE)}</div>
${
  visit.canWrite
    ? formOf(visit, feature, {
        body: hidden,
        buttons: [
          button(
            doing,
            doing === 'percentage' ? `Save ${percentOf(fields.number('percentage'))}` : 'Save it',
          ),
          html`<a class="button secondary" href="${featureUrl(visit, feature.name)}">Back, without saving</a>`,
        ],
        noteFor: 'preview',
        className: 'confirm',
      })
    : html`<p><a class="button secondary" href="${featureUrl(visit, feature.name)}">Back</a></p>`
}</div>
<h2>Look at others</h2>
${formOf(visit, feature, {
  part: '/preview',
  body: [...hidden, audienceOf('preview', feature, fields)],
  buttons: html`<button name="do" value="${doing}" class="secondary">Preview again</button>`,
})}`;
  return pageOf({ title: `Preview of ${feature.name}`, base, body, visit, about: feature.name });
}

function backOf(visit: Visit, { name }: Feature): Html {
  return html`<nav class="crumbs" aria-label="Where you are"><a href="${visit.base}/">Features</a> <span aria-hidden="true">/</span> <a href="${featureUrl(visit, name)}">${named(name)}</a> <span aria-hidden="true">/</span></nav>`;
}

function changeText(
  { percentage, enabled }: Feature,
  settings: { percentage?: unknown; enabled?: unknown },
): Html {
  if (!enabled && settings.enabled === undefined) {
    return html`<p class="notice warn">It is turned off: nobody gains or loses by this until it is turned on again.</p>`;
  }
  if (typeof settings.percentage !== 'number') return '';
  const from = typeof percentage === 'number' ? percentOf(percentage) : 'a ramp';
  return html`<p class="figure">${from} <span aria-hidden="true">→</span><span class="hidden">to</span> ${percentOf(settings.percentage)}</p>`;
}

/** Said of a sample, honestly. */
const OF_SAMPLE = `Of ${numberOf(SAMPLE)} made-up ids, always the same, by the percentage and the variants alone: no user of yours is among them, and rules, groups, patterns, experiments and what is required are left out.`;

interface Audience {
  readonly subjects: Iterable<Subject> | AsyncIterable<Subject>;
  /** Who they are, honestly. */
  readonly told: string;
}

const DEALING = ['percentage', 'variants', 'bucketing'] as const;

/** Over whom a preview is asked for; undefined where that is the sample. INVALID_REQUEST. */
async function audience(
  visit: Visit,
  feature: Feature,
  settings: FeatureSettings,
): Promise<Audience | undefined> {
  const { fields, rollout } = visit;
  const { name, subjectKey } = feature;
  // What is no matter of dealing shows in real users alone.
  const isDealt = DEALING.some((each) => Object.hasOwn(settings, each));
  const over = fields.text('over') || (isDealt ? defaultAudience(feature) : 'members');
  switch (over) {
    case 'sample':
      return undefined;
    case 'ids': {
      const ids = fields.lines('overIds');
      if (ids.length > 0 && ids.length <= MOST_IDS) {
        const told = `Of the ${countOf(ids.length, 'subject')} that you gave.`;
        const subjects = ids.map((line) =>
          line.startsWith('{') ? subjectIn(line) : asSubject(line, subjectKey),
        );
        return { subjects, told };
      }
      throw new Refusal(
        'INVALID_REQUEST',
        `Expected 1 to ${MOST_IDS} subjects to preview over, one a line.`,
        { path: 'overIds' },
      );
    }
    case 'members': {
      const told = toldOf(await rollout.countMembers(name), 'users by name, without attributes');
      const members = asSubjects(rollout.members(name), subjectKey);
      return { subjects: limited(members, MOST_SUBJECTS), told };
    }
    case 'population': {
      const told = toldOf(await rollout.population.count(), 'subjects of the population');
      return { subjects: limited(rollout.population.subjects(), MOST_SUBJECTS), told };
    }
    default:
      throw new Refusal('INVALID_REQUEST', 'Expected over whom to preview.', { path: 'over' });
  }
}

function toldOf(all: number, what: string): string {
  return all > MOST_SUBJECTS
    ? `Of the first ${numberOf(MOST_SUBJECTS)} that came of ${numberOf(all)} ${what}.`
    : `Of all ${numberOf(all)} ${what}.`;
}

async function* asSubjects(
  ids: AsyncIterable<string>,
  subjectKey: string | undefined,
): AsyncGenerator<Subject> {
  for await (const id of ids) yield asSubject(id, subjectKey);
}

function asSubject(id: string, subjectKey: string | undefined): Subject {
  return subjectKey === undefined ? id : { id, [subjectKey]: id };
}

/** INVALID_REQUEST, at the field. */
function subjectIn(json: string): Subject {
  return new Fields(new Map([['overIds', json]])).json('overIds') as Subject;
}

async function* limited(subjects: AsyncIterable<Subject>, most: number): AsyncGenerator<Subject> {
  let count = 0;
  for await (const subject of subjects) {
    yield subject;
    if (++count === most) return;
  }
}

const KINDS = [
  ['gains', 'Gain it'],
  ['loses', 'Lose it'],
  ['changes', 'Get another variant'],
  ['stays', 'Stay as they are'],
] as const;

/** Of a sample no ids are named: they are nobody's. */
function outcomeOf(outcome: Dealt & Partial<Pick<Preview, 'ids' | 'unknown'>>, told: string): Html {
  const { ids, unknown = 0 } = outcome;
  const total = KINDS.reduce((sum, [kind]) => sum + outcome[kind], unknown);
  const share = (count: number) => (total === 0 ? '–' : percentOf((100 * count) / total, 1));
  return html`<p>${told}</p>
${sharesBarOf(
  KINDS.map(([kind]) => ({ name: kind, weight: outcome[kind] })),
  KINDS.map(([kind]) => kind),
)}
<table class="numbers"><caption class="hidden">Who would gain and lose</caption><tbody>${KINDS.map(
    ([kind, title]) =>
      html`<tr><th scope="row">${swatchOf(kind)} ${title}</th><td class="number">${numberOf(outcome[kind])}</td><td class="number">${share(outcome[kind])}</td></tr>`,
  )}</tbody></table>
${KINDS.map(([kind, title]) => {
  const named = kind === 'stays' ? [] : (ids?.[kind] ?? []);
  if (named.length === 0) return '';
  const isPart = named.length < outcome[kind];
  return html`<h3>${title}${isPart ? `, the first ${named.length}` : ''}</h3><ul class="ids">${named.map((id) => html`<li dir="auto">${id}</li>`)}</ul>`;
})}`;
}

/** Why a feature is on for a subject, or is not. */
export async function whyPage(visit: Visit, feature: Feature): Promise<Response> {
  const { fields, rollout, base } = visit;
  const text = fields.text('subject');
  let subject: unknown;
  try {
    subject = text === '' ? undefined : text.startsWith('{') ? fields.json('subject') : text;
  } catch (error) {
    return unreadablePage(visit, feature, (error as Error).message);
  }
  const { name } = feature;
  const explanation = await rollout.explain(name, subject as string | undefined);
  if (explanation === undefined) throw notFound(name);
  const { decision, steps } = explanation;
  const { enabled, variant, value, reason, detail, rule } = decision;
  const body = html`${backOf(visit, feature)}
<h1>${enabled ? 'On' : 'Off'} for ${subject === undefined ? 'nobody in particular' : html`<span class="subject" dir="auto">${text}</span>`}</h1>
<dl class="facts"><div><dt>Reason</dt><dd>${reason}</dd></div><div><dt>By</dt><dd>${detail}${rule === undefined ? '' : html` <code dir="auto">${rule}</code>`}</dd></div>${variant === undefined ? '' : html`<div><dt>Variant</dt><dd dir="auto">${variant}</dd></div>`}${value === undefined ? '' : html`<div><dt>Value</dt><dd><code dir="auto">${JSON.stringify(value)}</code></dd></div>`}</dl>
${typeof subject === 'string' ? await listedPart(visit, feature, subject) : ''}
<h2>Step by step</h2>
<ol class="steps panel">${steps.map(stepOf)}</ol>
<h2>Ask again</h2>
${whyForm(visit, feature, text)}`;
  return pageOf({ title: `Why: ${name}`, base, body, visit, about: name });
}

function unreadablePage(visit: Visit, feature: Feature, message: string): Response {
  const { base, fields } = visit;
  const mistake = { message, field: 'why-subject' };
  const body = html`${backOf(visit, feature)}<h1>Why?</h1>
${errorSummaryOf('The subject can not be read', mistake)}
${whyForm(visit, feature, '', { ...mistake, fields })}`;
  return pageOf({ title: `Why: ${feature.name}`, base, body, visit, status: 400 });
}

async function listedPart(visit: Visit, feature: Feature, id: string): Promise<Html> {
  const isListed = await isMember(visit, feature, id);
  const isExcluded = feature.excluded.includes(id);
  const text =
    isListed === undefined
      ? 'Whether it is let in by name could not be told in time'
      : isListed
        ? 'It is let in by name'
        : 'It is not let in by name';
  return html`<p>${text}${isExcluded ? ', and it is excluded.' : '.'}</p>${
    visit.canWrite
      ? itemForm(
          visit,
          feature,
          { ids: id },
          [
            isListed
              ? button('unregister', 'Take it out', 'secondary')
              : button('register', 'Let it in by name', 'secondary'),
            isExcluded
              ? button('unexclude', 'No longer exclude it', 'secondary')
              : button('exclude', 'Exclude it', 'secondary'),
          ],
          'listed',
        )
      : ''
  }`;
}

/** Undefined where it is not found in the time there is. */
async function isMember(
  { rollout }: Visit,
  { name }: Feature,
  wanted: string,
): Promise<boolean | undefined> {
  const until = performance.now() + SEARCH_MS;
  let count = 0;
  for await (const id of rollout.members(name)) {
    if (id === wanted) return true;
    if (++count % 1_000 === 0 && performance.now() > until) return undefined;
  }
  return false;
}

const OUTCOMES = {
  answers: ['✔', 'Answers'],
  passes: ['·', 'Passes'],
  'not reached': ['', 'Not reached'],
} as const;

function stepOf({ step, rule, outcome, why, when }: ExplainedStep): Html {
  const [mark, text] = OUTCOMES[outcome];
  const kind = outcome.replace(' ', '-');
  return html`<li class="step step-${kind}"><span class="step-mark" aria-hidden="true">${mark}</span><div><p><strong>${step}${rule === undefined ? '' : html` <code dir="auto">${rule}</code>`}</strong> <span class="label">${text}</span></p>${
    outcome === 'not reached' ? '' : html`<p dir="auto">${why}</p>`
  }${when === undefined ? '' : html`<ul class="conditions">${conditionOf(when)}</ul>`}</div></li>`;
}

function conditionOf({ condition, holds, parts }: ExplainedCondition): Html {
  const answer = holds === 'unknown' ? 'can not be told' : holds ? 'yes' : 'no';
  return html`<li><span dir="auto">${conditionText(condition)}</span>: <strong>${answer}</strong>${
    parts.length === 0 ? '' : html`<ul class="conditions">${parts.map(conditionOf)}</ul>`
  }</li>`;
}

/** Which ids a pattern matches, by the engine that checks use. */
export function tryPage(visit: Visit, feature: Feature): Response {
  const { fields, base } = visit;
  const pattern = tried(fields);
  const matches = matcherOf(pattern);
  const ids = fields.lines('ids').slice(0, MOST_TRIED);
  const body = html`${backOf(visit, feature)}
<h1>Does <code dir="auto">${patternText(pattern)}</code> match?</h1>
<div id="outcome" class="panel">${
    ids.length === 0
      ? html`<p>The pattern can be used. Give ids to try it on.</p>`
      : html`<ul class="tried">${ids.map((id) => {
          if (id.length > LONGEST_TRIED)
            return html`<li>Longer than ${LONGEST_TRIED} characters</li>`;
          const isMatch = matches(id);
          return html`<li class="${isMatch ? 'yes' : 'no'}"><span aria-hidden="true">${isMatch ? '✔' : '✘'}</span> <span dir="auto">${id}</span> <span class="quiet">${isMatch ? 'matches' : 'does not match'}</span></li>`;
        })}</ul>`
  }</div>
<h2>Another one</h2>
${patternForm(visit, feature, { fields, message: '' })}`;
  return pageOf({
    title: `Try a pattern: ${feature.name}`,
    base,
    body,
    visit,
    about: feature.name,
  });
}

/** INVALID_REQUEST, at the field. */
function tried(fields: Fields) {
  if (fields.lines('ids').length > MOST_TRIED) {
    throw new Refusal('INVALID_REQUEST', `Expected at most ${MOST_TRIED} ids.`, { path: 'ids' });
  }
  return parsePattern(patternOf(fields), 'source');
}
