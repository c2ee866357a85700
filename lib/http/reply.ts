import type { ServerResponse } from 'node:http';

/**
 * An answer as it is sent. On Node it goes out as it is; a Response, which takes as long as all the
 * rest of a short answer, is made of it only where somebody asked for one.
 */
export class Reply {
  constructor(
    readonly status: number,
    /** Names in lower case. */
    readonly headers: Record<string, string>,
    readonly body: string | null,
  ) {}

  toResponse(): Response {
    const { status, headers, body } = this;
    return new Response(body, { status, headers });
  }

  send(outgoing: ServerResponse): void {
    const { status, headers, body } = this;
    if (body === null) {
      outgoing.writeHead(status, headers);
      outgoing.end();
      return;
    }
    outgoing.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
    outgoing.end(body);
  }
}
