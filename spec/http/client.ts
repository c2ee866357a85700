import { createHandler, type HttpHandler, type HttpOptions } from '../../lib/http/index.js';
import { type Backend, MemoryBackend, Rollout, type RolloutOptions } from '../../lib/index.js';
import { Contract } from './documented.js';

export const TOKENS = {
  evaluate: 'evaluate-0123456789abcdef0123456789abcdef',
  read: 'read-0123456789abcdef0123456789abcdef',
  admin: 'admin-0123456789abcdef0123456789abcdef',
} as const;

export const ALL_TOKENS = (['evaluate', 'read', 'admin'] as const).map((access) => ({
  token: TOKENS[access],
  access,
  actor: `the ${access} token`,
}));

/** What an answer was, read. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: of each operation another
  readonly body: any;
}

export interface AskOptions {
  /** Sent as JSON; a text or bytes as they are. */
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** Default admin; undefined sends none. */
  readonly token?: string | undefined;
  readonly address?: string;
}

export class Client {
  constructor(
    readonly handler: HttpHandler,
    readonly contract: Contract,
    readonly rollout: Rollout,
  ) {}

  /** Asks, and holds the answer to the OpenAPI document. */
  async ask(asked: string, options: AskOptions = {}): Promise<Reply> {
    const [method = '', path = ''] = asked.split(/ (.*)/);
    const token = 'token' in options ? options.token : TOKENS.admin;
    const { body, address } = options;
    const raw = typeof body === 'string' || body instanceof Uint8Array || body === undefined;
    const request = new Request(`http://localhost${path}`, {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(body !== undefined && { body: raw ? (body as string) : JSON.stringify(body) }),
    });
    const response = await this.handler.fetch(request, { address });
    const { status, headers } = response;
    const isEndless = headers.get('content-type') === 'text/event-stream';
    if (isEndless) await response.body?.cancel();
    const text = isEndless ? '' : await response.text();
    this.contract.check(method, path, { status, headers, text });
    const isJson = /json$/.test(headers.get('content-type') ?? '') && text !== '';
    return { status, headers, text, body: isJson ? JSON.parse(text) : undefined };
  }
}

/** So many that none of them is too much. */
export const UNLIMITED = { failuresPerMinute: 1_000_000, writesPerMinute: 1_000_000 } as const;

let contract: Contract | undefined;

/** A client of a handler of its own, in mode admin where nothing else is said. */
export async function clientOf(
  options: HttpOptions = {},
  backend: Backend = new MemoryBackend(),
  rolloutOptions: RolloutOptions = {},
): Promise<Client> {
  const rollout = new Rollout(backend, rolloutOptions);
  const handler = createHandler(rollout, {
    mode: 'admin',
    tokens: ALL_TOKENS,
    ...UNLIMITED,
    ...options,
  });
  // The document is the same of all of them, and takes some ms to be made.
  contract ??= await Contract.of(createHandler(rollout, { anonymous: 'read' }));
  return new Client(handler, contract, rollout);
}
