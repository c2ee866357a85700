import { html } from 'hono/html';
import type { Caller } from '../credentials.js';
import { PAGE_HEADERS } from '../docs-page.js';
import { assetUrl } from './assets.js';
import { logo } from './drawing.js';
import type { Html, Visit } from './visit.js';
import { named } from './wording.js';

/** What stands around a page. */
interface Frame {
  readonly title: string;
  readonly base: string;
  readonly body: Html;
  readonly caller?: Caller | undefined;
  readonly visit?: Visit | undefined;
  readonly current?: 'features' | 'changes';
  /** The name of the feature that the page is about: changes of it are told while it is open. */
  readonly about?: string;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Without any referrer, browsers name the origin of a form as null, which is refused as that of
 * another site. Other sites are told nothing either way.
 */
const HEADERS = { ...PAGE_HEADERS, 'referrer-policy': 'same-origin' };

export function pageOf(frame: Frame): Response {
  const { base, title, body, visit, current, about, status = 200 } = frame;
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} · hanoi</title>
<link rel="icon" type="image/svg+xml" href="${assetUrl(base, 'icon.svg')}">
<link rel="stylesheet" href="${assetUrl(base, 'page.css')}">
<script type="module" src="${assetUrl(base, 'page.js')}"></script>
</head>
<body data-base="${base}"${visit === undefined ? '' : html` data-events="${base}/events"`}${about === undefined ? '' : html` data-about="${about}"`}>
<a class="skip" href="#main">Skip to the content</a>
<header class="top">
<a class="brand" href="${base}/">${logo()}<span>hanoi</span></a>
${visit === undefined ? '' : navigationOf(visit, current)}
</header>
<main id="main" tabindex="-1">
${body}
</main>
<div id="live" class="live" role="status" aria-live="polite"></div>
</body>
</html>`;
  return new Response(String(page), { status, headers: { ...HEADERS, ...frame.headers } });
}

function navigationOf(visit: Visit, current: Frame['current']): Html {
  const { base, caller, canWrite, session } = visit;
  const item = (url: string, text: string, isHere: boolean) =>
    html`<li><a href="${base}${url}"${isHere ? html` aria-current="page"` : ''}>${text}</a></li>`;
  return html`<nav aria-label="Main"><ul>${item('/', 'Features', current === 'features')}${item('/changes', 'Changes', current === 'changes')}${item('/docs', 'API', false)}</ul></nav>
<div class="who"><span>${named(caller.actor)}<span class="quiet">, ${canWrite ? 'steers' : 'looks on'}</span></span>${sessionOf(visit, session)}</div>`;
}

function sessionOf({ base, formToken }: Visit, session: Visit['session']): Html {
  if (session === 'none') return '';
  if (session === 'possible') return html`<a href="${base}/sign-in">Sign in</a>`;
  return html`<form method="post" action="${base}/sign-out"><input type="hidden" name="form" value="${formToken}"><button class="plain">Sign out</button></form>`;
}

/** The names that what was refused in a form has for people, and where it stands. */
export interface Mistake {
  readonly message: string;
  /** The id of the field, where it is one's. */
  readonly field?: string | undefined;
}

/** What is wrong with a form: gets the focus, and leads to the field. */
export function errorSummaryOf(title: string, mistake: Mistake): Html {
  const { message, field } = mistake;
  return html`<div class="notice bad" role="alert" tabindex="-1" autofocus id="error"><h2>${title}</h2><p>${
    field === undefined ? message : html`<a href="#${field}">${message}</a>`
  }</p></div>`;
}
