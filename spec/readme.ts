import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { answerWith, HttpServer } from './http-server.js';

const root = join(__dirname, '..');

/** What is written for users, with snippets that run: the README, and the pages of docs/. */
export const PAGES = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .map((file) => `docs/${file}`),
];

export function textOf(page: string): string {
  return readFileSync(join(root, page), 'utf8');
}

export const README = textOf('README.md');

/**
 * Of which program of its page a snippet is: in Nest's kind of decorators it can't be in one with
 * others, and whole starts make anew what the page has made before.
 */
export type Kind = 'ts' | 'ts nest' | 'ts start';

/** Each TypeScript snippet of a page, with the heading that it stands under. */
export function snippets(page: string, kind: Kind = 'ts'): { heading: string; code: string }[] {
  let heading = '';
  const found: { heading: string; code: string }[] = [];
  const parts = textOf(page).matchAll(/^#+ (.+)$|^```(ts(?: nest| start)?)\n([\s\S]*?)^```$/gm);
  for (const [, title, its, code] of parts) {
    if (title !== undefined) heading = title;
    else if (its === kind && code !== undefined) found.push({ heading, code });
  }
  return found;
}

/**
 * A page's snippets as one program, as a reader follows them, in which `expression; // → value` is
 * checked by a call of `expectSame(expression, value, heading)`.
 */
export function program(page: string, kind: Kind = 'ts'): string {
  const all = snippets(page, kind).map(({ heading, code }) =>
    code.replace(
      /^([ \t]*)(?!const |import )(.+); \/\/ → (.+)$/gm,
      (_, indent, expression, value) =>
        `${indent}expectSame(${expression}, ${value}, ${JSON.stringify(heading)});`,
    ),
  );
  return all.join('\n');
}

/** The programs that run as they are. */
export const PROGRAMS = PAGES.flatMap((page) =>
  (['ts', 'ts start'] as const)
    .filter((kind) => snippets(page, kind).length > 0)
    .map((kind) => [page, kind] as const),
);

/** What stands under a heading of the second level. */
export function sectionOf(page: string, heading: string): string {
  const section = textOf(page)
    .split(/^(?=## )/m)
    .find((text) => text.startsWith(`## ${heading}\n`));
  if (section === undefined) throw new Error(`${page} has no section "${heading}".`);
  return section;
}

/** The `ACL SETUSER` lines for Redis, as commands. */
export function users(): string[][] {
  return [...textOf('docs/stores.md').matchAll(/^ACL SETUSER .+$/gm)].map(([line]) =>
    line.split(' '),
  );
}

/**
 * Serves what the pages' `FEATURES_URL` and `SLOWROLL_URL` lead to, and empties the Redis of their
 * `REDIS_URL`, so that no page meets what another has left there.
 */
export async function serveUrls(REDIS_URL: string): Promise<{
  readonly urls: { readonly [variable: string]: string };
  stop(): Promise<void>;
}> {
  const client = new Redis(REDIS_URL);
  await client.flushall();
  client.disconnect();
  const features = { features: { chat: { percentage: 100 } } };
  const item = { stable: false, new: true, end_time: '2025-01-01 00:00Z', duration: '14d' };
  const slowroll = { features: { install_to_opt_foo: item } };
  const servers = await Promise.all(
    [features, slowroll].map((body) => HttpServer.start(answerWith(JSON.stringify(body), '"1"'))),
  );
  const [FEATURES_URL, SLOWROLL_URL] = servers.map(({ url }) => url) as [string, string];
  return {
    urls: { FEATURES_URL, SLOWROLL_URL, REDIS_URL },
    stop: async () => {
      await Promise.all(servers.map((server) => server.stop()));
    },
  };
}
