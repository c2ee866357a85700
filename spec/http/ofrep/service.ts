import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHandler, type HttpHandler, type HttpOptions } from '../../../lib/http/index.js';
import { Rollout } from '../../../lib/index.js';
import { Contract } from '../documented.js';
import { refuseForeign } from './protocol.js';

export const TOKEN = 'evaluate-0123456789abcdef0123456789abcdef';
export const BEARER = { authorization: `Bearer ${TOKEN}` } as const;

const SINGLE = '/ofrep/v1/evaluate/flags/{key}';
const BULK = '/ofrep/v1/evaluate/flags';

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: of each answer another
  readonly body: any;
}

/** Evaluations served on a port of this machine. */
export class Service {
  readonly answered: { readonly method: string; readonly url: string; status: number }[] = [];

  private constructor(
    readonly rollout: Rollout,
    readonly handler: HttpHandler,
    private readonly server: Server,
    private readonly contract: Contract,
    readonly port: number,
  ) {
    server.prependListener('request', ({ method = '', url = '' }, response) => {
      const asked = { method, url, status: 0 };
      this.answered.push(asked);
      response.on('finish', () => (asked.status = response.statusCode));
    });
  }

  static async start(options: HttpOptions = {}, rollout = new Rollout()): Promise<Service> {
    const handler = createHandler(rollout, {
      tokens: [{ token: TOKEN, access: 'evaluate' }],
      ...options,
    });
    const server = createServer(handler.node);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return new Service(rollout, handler, server, await Contract.of(handler), port);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** How many connections there are. */
  get connections(): Promise<number> {
    return new Promise((resolve) => this.server.getConnections((_, count) => resolve(count)));
  }

  /** One feature, or all; the answer is held to the protocol and to our own document. */
  async evaluate(
    key: string | undefined,
    body: unknown,
    headers: object = BEARER,
  ): Promise<Answered> {
    const path = key === undefined ? BULK : `${BULK}/${encodeURIComponent(key)}`;
    return this.post(path, body, headers);
  }

  async post(path: string, body: unknown, headers: object = BEARER): Promise<Answered> {
    const response = await fetch(this.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: body instanceof Uint8Array || typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    const { status } = response;
    const [bare = ''] = path.split('?');
    refuseForeign(bare === BULK ? BULK : SINGLE, status, text);
    this.contract.check('POST', path, { status, headers: response.headers, text });
    return { status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
  }

  /** The server is gone, and the rollout closed. */
  async stop(): Promise<void> {
    this.handler.close();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await this.rollout.close();
  }
}
