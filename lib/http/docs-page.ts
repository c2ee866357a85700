import { html } from 'hono/html';
import type { OpenApi, Operation, Parameter } from './openapi.js';

export const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
  "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** The headers of every page. */
export const PAGE_HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': CSP,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-store',
} as const;

/** The OpenAPI document for people: one page without script. */
export function docsPage(document: OpenApi, base: string): Response {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>hanoi: HTTP API</title>
<link rel="stylesheet" href="${base}/assets/docs.css">
</head>
<body>
<header><h1>HTTP API</h1>
<p>As <a href="${base}/openapi.json">OpenAPI 3.1</a>, for clients and tools.</p></header>
<nav aria-label="Parts"><ul>${document.tags.map(({ name }) => html`<li><a href="#${slug(name)}">${name}</a></li>`)}<li><a href="#schemas">Schemas</a></li></ul></nav>
<main>
${document.tags.map(
  ({ name }) => html`<section aria-labelledby="${slug(name)}"><h2 id="${slug(name)}">${name}</h2>
${operations.filter(({ operation }) => operation.tags.includes(name)).map(operationOf)}</section>`,
)}
<section aria-labelledby="schemas"><h2 id="schemas">Schemas</h2>
${Object.entries(document.components.schemas).map(
  ([name, schema]) =>
    html`<article id="schema-${name}"><h3>${name}</h3>${schemaOf(schema)}</article>`,
)}</section>
</main>
</body>
</html>`;
  return new Response(String(page), { headers: PAGE_HEADERS });
}

function operationOf({
  path,
  method,
  operation,
}: {
  path: string;
  method: string;
  operation: Operation;
}) {
  const { operationId, summary, parameters, requestBody, responses } = operation;
  return html`<article id="${operationId}">
<h3><span class="method">${method.toUpperCase()}</span> <code>${path}</code></h3>
<p>${summary}</p>
${parameters.length === 0 ? '' : html`<table><caption>Parameters</caption><thead><tr><th scope="col">Name</th><th scope="col">In</th><th scope="col">What</th></tr></thead><tbody>${parameters.map(parameterOf)}</tbody></table>`}
${requestBody === undefined ? '' : html`<details><summary>Body</summary>${schemaOf(contentOf(requestBody))}</details>`}
<details><summary>Answers: ${Object.keys(responses).join(', ')}</summary>
${Object.entries(responses).map(([status, response]) => {
  const schema = contentOf(response);
  return html`<p><strong>${status}</strong></p>${schema === undefined ? '' : schemaOf(schema)}`;
})}</details>
</article>`;
}

function parameterOf({ name, in: place, required, description, schema }: Parameter) {
  return html`<tr><th scope="row"><code>${name}</code>${required ? ', required' : ''}</th><td>${place}</td><td>${description ?? ''} <code>${JSON.stringify(schema)}</code></td></tr>`;
}

/** JSON, in which references are links. */
function schemaOf(schema: unknown = {}) {
  const text = JSON.stringify(schema, undefined, 2);
  const parts = text.split(/("#\/components\/schemas\/\w+")/);
  return html`<pre><code>${parts.map((part) => {
    const [, name] = /^"#\/components\/schemas\/(\w+)"$/.exec(part) ?? [];
    return name === undefined ? part : html`<a href="#schema-${name}">"${name}"</a>`;
  })}</code></pre>`;
}

function contentOf(part: object): unknown {
  const { content } = part as { content?: Record<string, { schema: unknown }> };
  return content && Object.values(content)[0]?.schema;
}

function slug(name: string): string {
  return name.toLowerCase().replace(/\W+/g, '-');
}
