import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { Arrival } from './arrival.js';

/** Takes Node's requests. `next` is not called: what is under its path is answered here. */
export type Bridge = (
  request: IncomingMessage,
  response: ServerResponse,
  next?: (error?: unknown) => void,
) => void;

/** What frameworks leave on a request. */
interface Mounted extends Omit<IncomingMessage, 'rawBody'> {
  /** The whole path, where the framework has cut off that of the mount (Express, Connect, Koa). */
  readonly originalUrl?: string;
  /** What a body parser before this has made of the body. */
  readonly body?: unknown;
  rawBody?: Uint8Array;
}

/**
 * From Node's requests and responses to those of the fetch standard and back. A body that was parsed
 * before is taken as it was parsed.
 */
export function nodeBridge(
  answer: (request: Request, arrival: Arrival) => Promise<Response>,
  basePath: string,
): Bridge {
  const listener = getRequestListener(
    (request, { incoming }) => {
      const message = incoming as unknown as Mounted;
      return answer(request, {
        base: baseOf(message) ?? basePath,
        address: message.socket.remoteAddress,
        incoming: incoming as IncomingMessage,
      });
    },
    { overrideGlobalObjects: false },
  );
  return (request, response) => {
    const message = request as unknown as Mounted;
    const { url, originalUrl } = message;
    if (message.rawBody === undefined && message.body !== undefined && message.readableDidRead) {
      message.rawBody = bytesOf(message.body, message.headers['content-type']);
    }
    // With the path of the mount, as the fetch standard's requests have it.
    const isCut = originalUrl !== undefined && originalUrl !== url;
    if (isCut) message.url = originalUrl;
    void listener(request, response);
    if (isCut) message.url = url;
  };
}

/** Undefined where the framework does not tell. */
function baseOf({ url = '', originalUrl }: Mounted): string | undefined {
  if (originalUrl === undefined) return undefined;
  const [path = ''] = originalUrl.split('?');
  const [inner = ''] = url.split('?');
  if (path.endsWith(inner)) return path.slice(0, path.length - inner.length);
  // The mount itself, without a slash: the framework makes it one.
  return inner === '/' ? path : '';
}

function bytesOf(body: unknown, type: string = ''): Uint8Array {
  if (body instanceof Uint8Array) return body;
  if (typeof body === 'string') return Buffer.from(body);
  if (type.startsWith('application/x-www-form-urlencoded')) {
    return Buffer.from(new URLSearchParams(body as Record<string, string>).toString());
  }
  return Buffer.from(JSON.stringify(body));
}
