import { html } from 'hono/html';
import { pageOf } from './layout.js';
import type { Html } from './visit.js';

interface SignIn {
  readonly base: string;
  readonly formToken: string;
  /** Where to go then: a path of here. */
  readonly next: string;
  readonly wrong?: string | undefined;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export function signInPage({ base, formToken, next, wrong, status, headers }: SignIn): Response {
  const body: Html = html`<div class="sign-in"><h1>Sign in</h1>
${wrong === undefined ? '' : html`<div class="notice bad" role="alert" tabindex="-1" id="error"><p><a href="#secret">${wrong}</a></p></div>`}
<form method="post" action="${base}/sign-in"><input type="hidden" name="form" value="${formToken}"><input type="hidden" name="next" value="${next}">
<div class="field"><label for="secret">Token</label><p class="hint" id="secret-hint">One that lets you read or steer here. It is kept by nobody: the session ends after 12 hours.</p><input id="secret" name="secret" type="password" autocomplete="current-password" required autofocus aria-describedby="secret-hint"${wrong === undefined ? '' : html` aria-invalid="true"`}></div>
<div class="buttons"><button>Sign in</button></div></form></div>`;
  return pageOf({
    title: wrong === undefined ? 'Sign in' : 'Sign in: refused',
    base,
    body,
    ...(status !== undefined && { status }),
    ...(headers !== undefined && { headers }),
  });
}

/** A path of here, or the list: never another site. */
export function pathWithin(next: string): string {
  return /^\/(?![/\\])[\x21-\x7e]*$/.test(next) && !next.includes('\\') ? next : '/';
}
