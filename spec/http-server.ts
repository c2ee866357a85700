import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What an HTTP server was asked. */
export interface Asked {
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

/** An HTTP server on loopback that answers as it is told to. */
export class HttpServer {
  readonly asked: Asked[] = [];
  /** How many answers are underway, and how many of them were broken off from the other side. */
  open = 0;
  brokenOff = 0;

  private constructor(
    private server: Server,
    readonly port: number,
    /** Answers one request. */
    public answer: (response: ServerResponse, asked: Asked) => void,
  ) {}

  static async start(answer: HttpServer['answer']): Promise<HttpServer> {
    const server = createServer();
    await listening(server, 0);
    const started = new HttpServer(server, (server.address() as AddressInfo).port, answer);
    started.take(server);
    return started;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Ends all connections, and takes no new ones. Idempotent. */
  async stop(): Promise<void> {
    if (!this.server.listening) return;
    const stopped = new Promise((resolve) => this.server.close(resolve));
    this.server.closeAllConnections();
    await stopped;
  }

  /** Takes back `stop`, on the same port. */
  async restart(): Promise<void> {
    this.server = createServer();
    await listening(this.server, this.port);
    this.take(this.server);
  }

  private take(server: Server): void {
    server.on('request', (request, response) => {
      const asked = { url: request.url ?? '', headers: request.headers };
      this.asked.push(asked);
      this.open++;
      response.on('close', () => {
        this.open--;
        if (!response.writableFinished) this.brokenOff++;
      });
      this.answer(response, asked);
    });
  }
}

/** Answers with this text under this ETag, and with 304 whoever has that. */
export function answerWith(text: string, etag?: string): HttpServer['answer'] {
  return (response, { headers }) => {
    if (etag !== undefined && headers['if-none-match'] === etag) {
      response.writeHead(304, { etag }).end();
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json', ...(etag && { etag }) });
    response.end(text);
  };
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}
