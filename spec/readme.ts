import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { answerWith, HttpServer } from './http-server.js';

export const README = readFileSync(join(__dirname, '../README.md'), 'utf8');

/** Each TypeScript snippet of the README, with the heading that it stands under. */
export function snippets(): { heading: string; code: string }[] {
  let heading = '';
  const found: { heading: string; code: string }[] = [];
  for (const [, title, code] of README.matchAll(/^#+ (.+)$|^```ts\n([\s\S]*?)^```$/gm)) {
    if (title !== undefined) heading = title;
    else if (code !== undefined) found.push({ heading, code });
  }
  return found;
}

/**
 * The snippets as one program, as a reader follows them, in which `expression; // → value` is
 * checked by a call of `expectSame(expression, value, heading)`.
 */
export function program(): string {
  const all = snippets().map(({ heading, code }) =>
    code.replace(
      /^([ \t]*)(?!const |import )(.+); \/\/ → (.+)$/gm,
      (_, indent, expression, value) =>
        `${indent}expectSame(${expression}, ${value}, ${JSON.stringify(heading)});`,
    ),
  );
  return all.join('\n');
}

/** The README's `ACL SETUSER` lines, as commands. */
export function users(): string[][] {
  return [...README.matchAll(/^ACL SETUSER .+$/gm)].map(([line]) => line.split(' '));
}

/** What the README's `FEATURES_URL` leads to. */
export function serveFeatures(): Promise<HttpServer> {
  return HttpServer.start(answerWith('{ "features": { "chat": { "percentage": 100 } } }', '"1"'));
}
