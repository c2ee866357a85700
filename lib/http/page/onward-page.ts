import { html } from 'hono/html';
import { pageOf } from './layout.js';

/**
 * Goes on to where it stands itself. By a link of another site a browser sends none of its cookies;
 * from here it does, so that nobody signs in twice, or loses the cookie that open forms go by.
 */
export function onwardPage(request: Request, base: string): Response {
  const { pathname, search } = new URL(request.url);
  const here = pathname + search;
  const body = html`<p><a href="${here}">Go on</a></p>`;
  return pageOf({ title: 'One moment', base, body, headers: { refresh: `0; url=${here}` } });
}

/** Whether somebody has followed a link of another site. */
export function isFromElsewhere({ method, headers }: Request): boolean {
  return (
    method === 'GET' &&
    headers.get('sec-fetch-site') === 'cross-site' &&
    headers.get('sec-fetch-mode') === 'navigate'
  );
}
