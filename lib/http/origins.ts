import { invalid } from '../errors.js';
import { Refusal } from './problem.js';
import { Reply } from './reply.js';

const EXPOSED = { 'access-control-expose-headers': 'ETag, Retry-After' };

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
  refuseHost(request: Request): void {
    if (this.hosts !== undefined && !this.hosts.has(hostOf(request))) {
      throw new Refusal('MISDIRECTED');
    }
  }

  /**
   * FORBIDDEN for what comes from pages of other sites, and they may not do: to write; and for those
   * not named, to send anything.
   */
  refuseOther({ headers, method, url }: Request, writes: boolean): void {
    if (method === 'GET' || method === 'HEAD') return;
    const origin = headers.get('origin');
    const site = headers.get('sec-fetch-site');
    const isOwn =
      origin === null
        ? site === null || site === 'same-origin' || site === 'none'
        : hostIn(origin) === hostOf({ headers, url }) && (site === null || site === 'same-origin');
    if (isOwn || (!writes && origin !== null && this.others.has(origin))) return;
    throw new Refusal('FORBIDDEN', 'The request comes from a page of another site.');
  }

  /** The answer to a browser that asks what a page of another site may send. */
  preflight(request: Request): Reply | undefined {
    const origin = request.headers.get('origin');
    if (origin === null || !this.others.has(origin)) return undefined;
    const headers = {
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': 'authorization, content-type, if-none-match, x-api-key',
      'access-control-max-age': '600',
    };
    return new Reply(204, headers, null);
  }

  /** Whether pages of any other site may read answers. */
  get isSharing(): boolean {
    return this.others.size > 0;
  }

  /** Lets a page of another site, which is named, read the answer. */
  share(answer: Response | Reply, request: Request): void {
    const origin = request.headers.get('origin');
    const isShared = origin !== null && this.others.has(origin);
    const allowed = { 'access-control-allow-origin': origin ?? '', ...EXPOSED };
    if (answer instanceof Reply) {
      const { headers } = answer;
      headers.vary = 'vary' in headers ? `${headers.vary}, Origin` : 'Origin';
      if (isShared) Object.assign(headers, allowed);
      return;
    }
    answer.headers.append('vary', 'Origin');
    if (!isShared) return;
    for (const [name, value] of Object.entries(allowed)) answer.headers.set(name, value);
  }
}

/** The host that a request names, in lower case. */
export function hostOf({ headers, url }: Pick<Request, 'headers' | 'url'>): string {
  return (headers.get('host') ?? new URL(url).host).toLowerCase();
}

function hostIn(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function isListOfText(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string' && each !== '');
}
