import { connect, createServer, type Server, type Socket } from 'node:net';

/** What it does with the bytes that come from the server. */
export type Mischief = 'none' | 'garble' | 'cut';

/** A TCP connection in between, which can do what networks do. */
export class TcpProxy {
  /** Bytes are handed on so many ms after they came. */
  delayMs = 0;
  /** So many bytes of replies are handed on in a ms. */
  bytesPerMs = Number.POSITIVE_INFINITY;
  /** `garble`: replies are noise. `cut`: of each reply comes half, then the end. */
  mischief: Mischief = 'none';
  /** Nothing is handed on, either way, also of connections that are made from now on. */
  isBlackHole: boolean = false;
  /** Decides of each request whether its reply is lost with the connection, once it is executed. */
  loses: (request: Buffer) => boolean = () => false;
  /** How many replies were lost in that way. */
  lost = 0;

  private server: Server | undefined;
  private readonly pairs = new Set<Pair>();

  private constructor(
    /** Where new connections lead. */
    public to: number,
    readonly port: number,
  ) {}

  /** One in front of that port. */
  static async start(to: number): Promise<TcpProxy> {
    const server = createServer();
    await listening(server, 0);
    const { port } = server.address() as { port: number };
    const proxy = new TcpProxy(to, port);
    proxy.take(server);
    return proxy;
  }

  /** The connections that there are fall silent, and stay open; new ones work. */
  halfOpen(): void {
    for (const pair of this.pairs) pair.isSilent = true;
  }

  /** Ends all connections, and takes no new ones. */
  async refuse(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    this.endAll();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }

  /** Takes back `refuse`. */
  async accept(): Promise<void> {
    if (this.server !== undefined) return;
    const server = createServer();
    await listening(server, this.port);
    this.take(server);
  }

  /** Ends all connections; new ones work. */
  endAll(): void {
    for (const { near, far } of this.pairs) {
      near.destroy();
      far.destroy();
    }
  }

  stop(): Promise<void> {
    return this.refuse();
  }

  private take(server: Server): void {
    this.server = server;
    server.on('connection', (near) => {
      const pair: Pair = {
        near,
        far: connect(this.to, '127.0.0.1'),
        toNear: [],
        toFar: [],
        isSilent: false,
        losing: 0,
      };
      this.pairs.add(pair);
      for (const socket of [near, pair.far]) {
        socket.on('error', () => {});
        socket.on('close', () => {
          this.pairs.delete(pair);
          near.destroy();
          pair.far.destroy();
        });
      }
      near.on('data', (data) => {
        if (this.loses(data)) pair.losing++;
        this.handOn(pair, pair.far, data);
      });
      pair.far.on('data', (data) => this.reply(pair, data));
    });
  }

  private reply(pair: Pair, data: Buffer): void {
    const { near } = pair;
    if (pair.losing > 0) {
      this.lost++;
      near.destroy();
      return;
    }
    if (this.mischief === 'garble') {
      this.handOn(pair, near, Buffer.from(data.map((byte) => (byte * 7 + 13) % 256)));
      return;
    }
    if (this.mischief === 'cut') {
      this.handOn(pair, near, data.subarray(0, Math.max(1, data.length >> 1)));
      setTimeout(() => near.destroy(), this.delayMs + 1);
      return;
    }
    const { bytesPerMs } = this;
    if (data.length > bytesPerMs) {
      // The rest waits, and with it all that comes after.
      pair.far.pause();
      this.handOn(pair, near, data.subarray(0, bytesPerMs));
      setTimeout(() => {
        pair.far.unshift(data.subarray(bytesPerMs));
        pair.far.resume();
      }, 1);
      return;
    }
    this.handOn(pair, near, data);
  }

  private handOn(pair: Pair, to: Socket, data: Buffer): void {
    const queue = to === pair.near ? pair.toNear : pair.toFar;
    if (this.delayMs === 0 && queue.length === 0) {
      this.write(pair, to, data);
      return;
    }
    queue.push(data);
    // Whichever timer comes first takes what came first.
    setTimeout(() => this.write(pair, to, queue.shift() as Buffer), this.delayMs);
  }

  private write(pair: Pair, to: Socket, data: Buffer): void {
    // Nothing comes any more after a gap: TCP would not do that.
    if (this.isBlackHole) pair.isSilent = true;
    if (!pair.isSilent && !to.destroyed) to.write(data);
  }
}

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  readonly toNear: Buffer[];
  readonly toFar: Buffer[];
  isSilent: boolean;
  losing: number;
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
}
