import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Arrival } from './arrival.js';
import { problemOf, problemReply, Refusal } from './problem.js';
import { Reply } from './reply.js';

/** Takes Node's requests. `next` is not called: what is under its path is answered here. */
export type Bridge = (
  request: IncomingMessage,
  response: ServerResponse,
  next?: (error?: unknown) => void,
) => void;

/** What frameworks leave on a request. */
export interface Mounted extends Omit<IncomingMessage, 'rawBody'> {
  /** The whole path, where the framework has cut off that of the mount (Express, Connect). */
  readonly originalUrl?: string;
  /** What a body parser before this has made of the body. */
  readonly body?: unknown;
  rawBody?: Uint8Array;
  /** Where this is mounted, for the time of the call. */
  [BASE]?: string;
}

const BASE = Symbol('base');

/** In a URL as it was sent: what has to be looked at more closely. */
const ODD = /[^\x21-\x7e]|[/\\](?:\.|%2e)|\\/i;
/** The URL standard takes such segments away, so that another path would be meant. */
const DOTS = /\/(?:\.|%2e){1,2}(?:\/|$)/i;

/**
 * From Node's requests and responses to those of the fetch standard and back. A body that was parsed
 * before is taken as it was parsed.
 */
export function nodeBridge(
  answer: (request: Request, arrival: Arrival) => Promise<Response | Reply>,
  basePath: string,
): Bridge {
  const listener = getRequestListener(
    async (request, { incoming, outgoing }) => {
      const message = incoming as unknown as Mounted;
      if (ODD.test(message.url ?? '')) refuseOdd(message.url ?? '');
      if (message.rawBody === undefined && message.body !== undefined && message.readableDidRead) {
        message.rawBody = bytesOf(message.body, message.headers['content-type']);
      }
      const answered = await answer(request, {
        base: message[BASE] ?? basePath,
        address: message.socket.remoteAddress,
        incoming: incoming as IncomingMessage,
      });
      if (!(answered instanceof Reply)) return answered;
      answered.send(outgoing as ServerResponse);
      return RESPONSE_ALREADY_SENT;
    },
    { overrideGlobalObjects: false, errorHandler: unreadable },
  );
  return (request, response) => {
    const message = request as unknown as Mounted;
    const { url, originalUrl } = message;
    // With the path of the mount, as the fetch standard's requests have it.
    const isCut = originalUrl !== undefined && originalUrl !== url;
    if (isCut) {
      message[BASE] = baseOf(originalUrl, url ?? '');
      message.url = originalUrl;
    }
    void listener(request, response);
    if (isCut) message.url = url;
  };
}

/** What stands before the path that the framework has left. */
function baseOf(originalUrl: string, url: string): string {
  const [path = ''] = originalUrl.split('?');
  const [inner = ''] = url.split('?');
  if (path.endsWith(inner)) {
    // Express 4 leaves one slash of several at the end: the others are no part of the mount.
    return path.slice(0, path.length - inner.length).replace(/(?<!\/)\/+$/, '');
  }
  // The mount itself, without a slash: the framework makes it one.
  return inner === '/' ? path : '';
}

function refuseOdd(url: string): void {
  const [path = ''] = url.split('?');
  if (/[^\x21-\x7e]/.test(url) || path.includes('\\')) {
    throw new Refusal(
      'INVALID_REQUEST',
      'The URL holds characters that have to be percent-encoded.',
    );
  }
  if (DOTS.test(path)) {
    throw new Refusal('INVALID_REQUEST', 'No segment of a path can be `.` or `..`.');
  }
}

/** For a request of which no `Request` can be made: by its URL or its Host. */
function unreadable(error: unknown): Response {
  const refusal = new Refusal('INVALID_REQUEST', 'The URL or the Host can not be read.');
  return problemReply(problemOf(error instanceof Refusal ? error : refusal)).toResponse();
}

function bytesOf(body: unknown, type: string = ''): Uint8Array {
  if (body instanceof Uint8Array) return body;
  if (typeof body === 'string') return Buffer.from(body);
  if (type.startsWith('application/x-www-form-urlencoded')) return Buffer.from(formOf(body));
  try {
    return Buffer.from(JSON.stringify(body));
  } catch {
    throw new Refusal('INVALID_REQUEST', 'The body nests too deep.');
  }
}

/** A form again, of which a parser has made an object. */
function formOf(body: unknown): string {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(body as object)) {
    for (const each of Array.isArray(value) ? value : [value]) form.append(name, String(each));
  }
  return form.toString();
}
