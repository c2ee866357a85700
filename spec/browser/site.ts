import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { MemoryBackend } from '../../lib/backends/memory.js';
import { createHandler, type HttpHandler, type HttpOptions } from '../../lib/http/index.js';
import { Rollout } from '../../lib/rollout.js';
import { launchChromium } from './chromium.js';

export const TOKENS = {
  ann: 'the token of ann, who steers it all'.replaceAll(' ', '-'),
  bea: 'the token of bea, who steers it too'.replaceAll(' ', '-'),
  rob: 'the token of rob, who only looks on'.replaceAll(' ', '-'),
  eve: 'the token of eve, who evaluates flags'.replaceAll(' ', '-'),
} as const;

type Person = keyof typeof TOKENS;

/** The page as an app serves it, and a browser to look at it. */
export class Site {
  private constructor(
    private readonly browser: Browser,
    private readonly server: Server,
    private readonly handler: HttpHandler,
    readonly rollout: Rollout,
    readonly url: string,
  ) {}

  /** What the browser complained of: nothing is expected to be there. */
  readonly complaints: string[] = [];

  static async open(
    browser: Browser,
    options: Partial<HttpOptions> = {},
    now?: () => number,
    contents?: string,
  ): Promise<Site> {
    const clock = now === undefined ? {} : { now };
    const stored = contents === undefined ? clock : { ...clock, contents };
    const rollout = new Rollout(new MemoryBackend(stored), clock);
    const handler = createHandler(rollout, {
      mode: 'admin',
      writesPerMinute: 10_000,
      tokens: [
        { token: TOKENS.ann, access: 'admin', actor: 'ann' },
        { token: TOKENS.bea, access: 'admin', actor: 'bea' },
        { token: TOKENS.rob, access: 'read', actor: 'rob' },
        { token: TOKENS.eve, access: 'evaluate', actor: 'eve' },
      ],
      ...options,
    });
    const server = createServer(handler.node);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return new Site(browser, server, handler, rollout, `http://127.0.0.1:${port}`);
  }

  /** Another one, on what is stored in that text; to be closed before this one. */
  on(contents: string): Promise<Site> {
    return Site.open(this.browser, {}, undefined, contents);
  }

  /** A page of a browser of its own, of which every complaint is noted. */
  async visitor(options: BrowserContextOptions = {}): Promise<Page> {
    const context = await this.browser.newContext(options);
    const page = await context.newPage();
    page.setDefaultTimeout(5_000);
    page.on('pageerror', (error) => this.complaints.push(error.message));
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      // What is refused is refused with a status that says so.
      if (/status of 4\d\d/.test(message.text())) return;
      this.complaints.push(message.text());
    });
    return page;
  }

  /** The same, signed in. */
  async person(who: Person, options: BrowserContextOptions = {}): Promise<Page> {
    const page = await this.visitor(options);
    await page.goto(`${this.url}/sign-in`);
    await page.getByLabel('Token').fill(TOKENS[who]);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL(`${this.url}/`);
    return page;
  }

  feature(name: string): string {
    return `${this.url}/feature?name=${encodeURIComponent(name)}`;
  }

  async close(): Promise<void> {
    this.handler.close();
    for (const context of this.browser.contexts()) await context.close();
    await new Promise((resolve) => {
      this.server.close(resolve);
      this.server.closeAllConnections();
    });
    await this.rollout.close();
  }
}

/** A browser for all of the file's specs, and a site for each of them, without complaints. */
export function useSite(options: Partial<HttpOptions> = {}): { readonly site: Site } {
  let browser: Browser;
  let site: Site;
  beforeAll(async () => {
    browser = await launchChromium();
  }, 180_000);
  afterAll(() => browser?.close());
  beforeEach(async () => {
    site = await Site.open(browser, options);
  });
  afterEach(async () => {
    const { complaints } = site;
    await site.close();
    expect(complaints).toEqual([]);
  });
  return {
    get site() {
      return site;
    },
  };
}
