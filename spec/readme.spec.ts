import crypto from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as timers from 'node:timers/promises';
import * as openfeature from '@openfeature/server-sdk';
import { transformSync } from '@swc/core';
import express from 'express';
import fastify from 'fastify';
import * as hono from 'hono';
import * as ioredis from 'ioredis';
import Koa from 'koa';
import * as promClient from 'prom-client';
import * as hanoiFile from '../lib/backends/file/index.js';
import * as hanoiHttpSource from '../lib/backends/http-source/index.js';
import * as hanoiRedis from '../lib/backends/redis/index.js';
import * as hanoiHttp from '../lib/http/index.js';
import { statusOf } from '../lib/http/problem.js';
import * as hanoiImport from '../lib/import/index.js';
import * as hanoi from '../lib/index.js';
import * as hanoiMetrics from '../lib/metrics/index.js';
import * as hanoiMiddleware from '../lib/middleware/index.js';
import * as hanoiOpenFeature from '../lib/openfeature/index.js';
import * as hanoiTesting from '../lib/testing/index.js';
import {
  PAGES,
  PROGRAMS,
  program,
  README,
  sectionOf,
  serveUrls,
  snippets,
  textOf,
} from './readme.js';
import { useRedis } from './redis-server.js';

const redis = useRedis();
const ROOT = join(__dirname, '..');
const PAGE = /\bdocs\/[\w-]+\.md\b/g;

describe('the README', () => {
  it('is short, and begins with a snippet of eight lines', () => {
    expect(README.split('\n').length).toBeLessThan(250);
    const lines = snippets('README.md')[0]
      ?.code.split('\n')
      .filter((line) => line !== '');
    expect(lines).toHaveLength(8);
  });

  it('gives the two commands', () => {
    expect(README).toContain('\nnpm ci && npm run demo\n');
    expect(README).toContain('\nnpm ci && npm test\n');
  });

  it('leads to every page', () => {
    for (const page of PAGES.slice(1)) expect(README).toContain(`](${page})`);
  });

  it('has a row for every folder of lib', () => {
    const rows = sectionOf('README.md', 'Architecture');
    const folders = readdirSync(join(ROOT, 'lib'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    for (const folder of folders) expect(rows).toContain(`\n| \`lib/${folder}/\` |`);
  });

  it('lists every error code, with what it means', () => {
    const listed = [...README.matchAll(/^\| `([A-Z_]+)` \| (.+) \|$/gm)].map(
      ([, code, meaning]) => [code, meaning],
    );
    expect(Object.fromEntries(listed)).toEqual(hanoi.ERROR_CODES);
  });
});

describe('the page on serving', () => {
  it('lists every code of the HTTP API, with its status and what it means', () => {
    const listed = [
      ...textOf('docs/serving.md').matchAll(/^\| (\d{3}) \| `([A-Z_]+)` \| (.+) \|$/gm),
    ];
    const meanings = listed.map(([, , code, meaning]) => [code, meaning]);
    expect(Object.fromEntries(meanings)).toEqual(hanoiHttp.HTTP_CODES);
    const statuses = listed.map(([, status, code]) => [Number(status), code]);
    expect(statuses).toEqual(
      statuses.map(([, code]) => [statusOf(code as hanoiHttp.HttpCode), code]),
    );
  });
});

describe.each(PROGRAMS)('%s, in its snippets of %s', (page, kind) => {
  it('runs, line by line, with the results that it states', async () => {
    const checked: string[] = [];
    const expectSame = (actual: unknown, stated: unknown, heading: string) => {
      checked.push(heading);
      expect({ heading, value: actual }).toEqual({ heading, value: stated });
    };
    const { code } = transformSync(program(page, kind), {
      jsc: {
        target: 'es2022',
        parser: { syntax: 'typescript', decorators: true },
        transform: { decoratorVersion: '2022-03' },
      },
      module: { type: 'commonjs', ignoreDynamic: true },
      // The program awaits at its top level; as a function's body it may.
      isModule: true,
    });
    const modules: Record<string, unknown> = {
      hanoi,
      'hanoi/file': hanoiFile,
      'hanoi/http': hanoiHttp,
      'hanoi/http-source': hanoiHttpSource,
      'hanoi/import': hanoiImport,
      'hanoi/metrics': hanoiMetrics,
      'hanoi/middleware': hanoiMiddleware,
      'hanoi/openfeature': hanoiOpenFeature,
      'hanoi/redis': hanoiRedis,
      'hanoi/testing': hanoiTesting,
      express,
      fastify,
      hono,
      ioredis,
      koa: Koa,
      '@openfeature/server-sdk': openfeature,
      'node:crypto': crypto,
      'node:http': http,
      'node:timers/promises': timers,
      'prom-client': promClient,
    };
    const served = await serveUrls(redis.server.url);
    Object.assign(process.env, served.urls);
    const printed = jest.spyOn(console, 'log').mockImplementation(() => {});
    const run = new Function(
      'require',
      'exports',
      'expectSame',
      `return (async () => {${code}\n})()`,
    ) as (...args: unknown[]) => Promise<void>;
    const folder = mkdtempSync(join(tmpdir(), 'hanoi-readme-'));
    const from = process.cwd();
    process.chdir(folder);
    try {
      await run((name: string) => modules[name], {}, expectSame);
    } finally {
      process.chdir(from);
      await served.stop();
      rmSync(folder, { recursive: true });
    }
    if (page === 'docs/guide.md') expect(printed.mock.calls.flat()).toContain('2500 of 2500');
    printed.mockRestore();
    const stated = snippets(page, kind).map(({ code }) => code.match(/; \/\/ → /g)?.length ?? 0);
    expect(checked.length).toBe(stated.reduce((sum, count) => sum + count, 0));
  });
});

describe.each([...PAGES, 'CHANGELOG.md', 'SECURITY.md', 'bench/README.md'])('%s', (page) => {
  it('leads to what is there', () => {
    const from = join(ROOT, dirname(page));
    const broken: string[] = [];
    for (const [, target = ''] of textOf(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? join(ROOT, page) : join(from, path);
      const isThere =
        existsSync(file) &&
        (anchor === undefined || anchorsOf(readFileSync(file, 'utf8')).has(anchor));
      if (!isThere) broken.push(target);
    }
    expect(broken).toEqual([]);
  });
});

describe('what is written in lib', () => {
  it('names pages that are there', () => {
    const named = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) => readFileSync(join(ROOT, 'lib', file), 'utf8').match(PAGE) ?? []);
    expect(named).not.toEqual([]);
    expect(PAGES).toEqual(expect.arrayContaining(named));
  });
});

/** What GitHub makes of the headings. */
function anchorsOf(markdown: string): Set<string> {
  const prose = markdown.replace(/^```[\s\S]*?^```$/gm, '');
  return new Set(
    Array.from(prose.matchAll(/^#+ (.+)$/gm), ([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
