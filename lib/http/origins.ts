import { invalid } from '../errors.js';
import { Refusal } from './problem.js';

/** Which hosts a request may name, and from which sites' pages it may come. */
export class Origins {
  private readonly hosts: ReadonlySet<string> | undefined;
  private readonly others: ReadonlySet<string>;

  /** INVALID_ARGUMENT. */
  constructor(hosts: readonly string[] | undefined, others: readonly string[]) {
    if (hosts !== undefined && !isListOfText(hosts)) {
      throw invalid('`hosts` to be a list like flags.example.com:8080', hosts);
    }
    this.hosts = hosts && new Set(hosts.map((host) => host.toLowerCase()));
    if (!isListOfText(others)) throw invalid('`origins` to be a list of origins', others);
    for (const origin of others) {
      if (URL.canParse(origin) && new URL(origin).origin === origin) continue;
      throw invalid('each of `origins` to be exact, like https://example.com', origin);
    }
    this.others = new Set(others);
  }

  /** MISDIRECTED for a host that is not among those that are allowed: of a page that rebinds a name. */
  refuseHost(host: string | null): void {
    if (this.hosts !== undefined && !this.hosts.has((host ?? '').toLowerCase())) {
      throw new Refusal('MISDIRECTED');
    }
  }

  /**
   * Whether the request comes from a page of another site that may read the answer. FORBIDDEN for
   * what other sites may not do: to write; and for those not named, to send anything.
   */
  isShared(request: Request, host: string | null, writes: boolean): boolean {
    const { headers, method } = request;
    const origin = headers.get('origin');
    const site = headers.get('sec-fetch-site');
    const isKnown = origin !== null && this.others.has(origin);
    if (method === 'GET' || method === 'HEAD') return isKnown;
    const isOwn =
      origin === null
        ? site === null || site === 'same-origin' || site === 'none'
        : hostOf(origin) === host?.toLowerCase() && (site === null || site === 'same-origin');
    if (isOwn || (isKnown && !writes)) return isKnown;
    throw new Refusal('FORBIDDEN', 'The request comes from a page of another site.');
  }

  /** The answer to a browser that asks what a page of another site may send. */
  preflight(request: Request): Response | undefined {
    const origin = request.headers.get('origin');
    if (origin === null || !this.others.has(origin)) return undefined;
    return new Response(null, {
      status: 204,
      headers: {
        'access-control-allow-origin': origin,
        'access-control-allow-methods': 'GET, POST',
        'access-control-allow-headers': 'authorization, content-type, if-none-match, x-api-key',
        'access-control-max-age': '600',
      },
    });
  }

  /** Lets a page of another site, which is named, read the answer. */
  share(response: Response, request: Request): void {
    if (this.others.size === 0) return;
    const { headers } = response;
    headers.append('vary', 'Origin');
    const origin = request.headers.get('origin');
    if (origin === null || !this.others.has(origin)) return;
    headers.set('access-control-allow-origin', origin);
    headers.set('access-control-expose-headers', 'ETag, Retry-After');
  }
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function isListOfText(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string' && each !== '');
}
