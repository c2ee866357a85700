import { z } from 'zod';
import type { Rollout } from '../rollout.js';
import type { WriteOptions } from '../writer.js';
import type { Arrival } from './arrival.js';
import type { Access, Caller } from './credentials.js';
import type { Problem } from './problem.js';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Routes that need no credential. */
export type Needed = Access | 'nobody';

/** What a route is called with: all of it has been looked at. */
export interface Call<Query = unknown, Body = unknown> {
  /** Writes as the caller. */
  readonly rollout: Rollout;
  readonly caller: Caller | undefined;
  /** One segment of the path, decoded. */
  param(name: string): string;
  readonly query: Query;
  readonly body: Body;
  /** What `If-Match`, `Idempotency-Key` and the query's `note` say. */
  readonly write: Pick<WriteOptions, 'expect' | 'note' | 'requestId'>;
  /** The same for what takes no `expect`. */
  readonly about: Pick<WriteOptions, 'note' | 'requestId'>;
  readonly request: Request;
  /** Where this is mounted: `/flags`, or nothing. */
  readonly base: string;
  readonly arrival: Arrival;
  /** Unix ms: when the ticket ends by which the caller came in. */
  readonly until: number | undefined;
}

type Success = 200 | 201 | 204;

/** What a route answers. */
export interface Answer {
  readonly status?: 200 | 201 | 204 | 304 | 404 | 500 | 503;
  /** Sent as JSON; text as it is. */
  readonly body?: unknown;
  /** In place of a body. */
  readonly stream?: ReadableStream<Uint8Array>;
  /** What has a state that a write can name, and whether it is what was sent. */
  readonly state?: { readonly id: string; readonly revision: number };
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a route has of its own that follows a protocol of others. */
export interface Dialect {
  /** What the route takes of the body, of which its schema is for the document alone. INVALID_REQUEST. */
  bodyOf(body: unknown): unknown;
  /** How a problem is told; undefined where as anywhere. `key` is the one in the path. */
  failureOf(
    problem: Problem,
    key: string | undefined,
  ): { readonly status: number; readonly body: object } | undefined;
  /** What is answered beside a success, by status; undefined is nothing. */
  readonly answers: { readonly [status: number]: z.ZodType | undefined };
}

export interface Route {
  readonly method: Method;
  /** With parameters as `{name}`. */
  readonly path: string;
  readonly access: Needed;
  /** `?ticket=` does for a credential that was given for this purpose. */
  readonly ticket: string | undefined;
  /** Changes something: refused in read-only mode, to other sites, and beyond so many a minute. */
  readonly writes: boolean;
  /** `If-Match` means something here; of a GET, `If-None-Match`. */
  readonly conditional: boolean;
  /** The operation's name, its heading in the docs, and what it does. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly query: z.ZodObject;
  readonly body: z.ZodType | undefined;
  /** Of a success: its status, and what is sent; undefined is nothing. */
  readonly status: Success;
  readonly answer: z.ZodType | undefined;
  /** Another status under which the same is sent. */
  readonly also: 503 | undefined;
  /** Of what is sent, where that is not JSON. */
  readonly media: string | undefined;
  readonly dialect: Dialect | undefined;
  readonly handle: (call: Call) => Promise<Answer>;
}

interface Spec<Query extends z.ZodObject, Body extends z.ZodType> {
  readonly id: string;
  readonly summary: string;
  readonly access?: Needed;
  readonly ticket?: string;
  readonly conditional?: boolean;
  readonly query?: Query;
  readonly body?: Body;
  readonly status?: Success;
  readonly answer?: z.ZodType;
  readonly also?: 503;
  readonly media?: string;
  readonly dialect?: Dialect;
  /** A POST that only asks. */
  readonly asks?: boolean;
  handle(call: Call<z.output<Query>, z.output<Body>>): Promise<Answer>;
}

const NO_QUERY = z.strictObject({});

const NOTE = { note: z.string().max(1_000).optional().describe('Why, for the history.') };

/** The routes of one part of the API: they stand together in the docs. */
export class Routes {
  readonly all: Route[] = [];

  constructor(private readonly tag: string) {}

  /** `GET /v1/features/{name}`: reads need `read`, writes `admin`, where nothing else is said. */
  add<Query extends z.ZodObject = z.ZodObject, Body extends z.ZodType = z.ZodType>(
    route: `${Method} /${string}`,
    spec: Spec<Query, Body>,
  ): this {
    const [method, path] = route.split(' ') as [Method, string];
    const writes = method !== 'GET' && !spec.asks;
    const { id, summary, query, body, answer, media, ticket, dialect, handle } = spec;
    this.all.push({
      method,
      path,
      access: spec.access ?? (writes ? 'admin' : 'read'),
      ticket,
      writes,
      conditional: spec.conditional ?? false,
      id,
      tag: this.tag,
      summary,
      query: writes ? (query ?? NO_QUERY).extend(NOTE) : (query ?? NO_QUERY),
      body,
      status: spec.status ?? 200,
      answer,
      also: spec.also,
      media,
      dialect,
      handle: handle as unknown as Route['handle'],
    });
    return this;
  }
}
