import { MemoryBackend } from '../../../lib/backends/memory.js';
import { createHandler, type HttpHandler, type HttpOptions } from '../../../lib/http/index.js';
import { Rollout } from '../../../lib/rollout.js';

export const ADMIN = 'steers-'.repeat(6);
export const OTHER = 'others-'.repeat(6);
export const READ = 'looks-on-'.repeat(5);
export const EVALUATE = 'evaluates-'.repeat(5);
export const HOST = 'flags.example.com';

export const TOKENS = [
  { token: ADMIN, access: 'admin', actor: 'ann' },
  { token: OTHER, access: 'admin', actor: 'bea' },
  { token: READ, access: 'read', actor: 'rob' },
  { token: EVALUATE, access: 'evaluate', actor: 'eve' },
] as const;

/** A browser, as far as cookies and forms go. */
export class Visitor {
  readonly cookies = new Map<string, string>();
  /** The last page. */
  text = '';

  constructor(
    private handler: HttpHandler,
    private readonly host: string = HOST,
  ) {}

  async get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return this.send(path, { headers });
  }

  /** Sends a form with what its page carries, and with what else browsers say. */
  async post(
    path: string,
    fields: Record<string, string>,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    const hidden = Object.fromEntries(
      ['form', 'nonce', 'id', 'revision'].flatMap((name) => {
        const [, value] = new RegExp(`name="${name}" value="([^"]*)"`).exec(this.text) ?? [];
        return value === undefined ? [] : [[name, value]];
      }),
    );
    return this.send(path, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        origin: `http://${this.host}`,
        'sec-fetch-site': 'same-origin',
        ...headers,
      },
      body: new URLSearchParams({ ...hidden, ...fields }).toString(),
    });
  }

  async signIn(token: string): Promise<this> {
    await this.get('/sign-in');
    const { status } = await this.post('/sign-in', { secret: token, next: '/' });
    expect(status).toBe(303);
    return this;
  }

  /** The same browser, at another process. */
  at(handler: HttpHandler): this {
    this.handler = handler;
    return this;
  }

  private async send(path: string, init: RequestInit): Promise<Response> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const headers = { host: this.host, ...(cookie && { cookie }), ...init.headers };
    const request = new Request(`http://${this.host}${path}`, { ...init, headers });
    // The fetch standard keeps scripts from saying these; browsers say them.
    const response = await this.handler.fetch(request, { address: '192.0.2.1' });
    for (const each of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(each) ?? [];
      if (/Max-Age=0/.test(each)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    if (/html/.test(response.headers.get('content-type') ?? '')) {
      this.text = await response.clone().text();
    }
    return response;
  }
}

export function given(options: Partial<HttpOptions> = {}, backend = new MemoryBackend()) {
  const rollout = new Rollout(backend);
  const handler = createHandler(rollout, { mode: 'admin', tokens: TOKENS, ...options });
  return { rollout, handler, visitor: new Visitor(handler) };
}
