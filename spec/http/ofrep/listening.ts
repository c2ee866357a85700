import type { Service } from './service.js';

/** One event stream, read as it comes. */
export class Listening {
  text = '';
  isOver = false;
  private readonly hanging = new AbortController();

  private constructor(readonly status: number) {}

  static async to(service: Service, path: string, headers = {}): Promise<Listening> {
    const hanging = new AbortController();
    const response = await fetch(service.url + path, { headers, signal: hanging.signal });
    const listening = new Listening(response.status);
    listening.hanging.signal.addEventListener('abort', () => hanging.abort());
    void listening.read(response.body as ReadableStream<Uint8Array>);
    return listening;
  }

  /** The data of the events that have come. */
  get events(): unknown[] {
    return Array.from(this.text.matchAll(/^data: (.*)$/gm), ([, data = '']) => JSON.parse(data));
  }

  /** The id that came last. */
  get id(): string {
    return Array.from(this.text.matchAll(/^id: (.*)$/gm), ([, id = '']) => id).at(-1) ?? '';
  }

  hangUp(): void {
    this.hanging.abort();
  }

  private async read(body: ReadableStream<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of body) this.text += Buffer.from(chunk).toString();
    } catch {
      // It was hung up.
    }
    this.isOver = true;
  }
}
