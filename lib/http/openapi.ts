import { z } from 'zod';
import { ERROR_CODES } from '../errors.js';
import { HTTP_CODES } from './problem.js';
import type { Route } from './route.js';
import { named, Problem } from './wire.js';

type Schema = Record<string, unknown>;

export interface OpenApi {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly { readonly url: string }[];
  readonly security: readonly object[];
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: {
    readonly schemas: Record<string, Schema>;
    readonly securitySchemes: object;
  };
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly requestBody?: object;
  readonly responses: Record<string, object>;
  readonly security?: readonly object[];
}

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Schema;
}

/** What can go wrong, beside what each route says of itself. */
const OF_ALL = [400, 404, 421, 500, 503];
const OF_CALLERS = [401, 403, 409, 422, 429];
const OF_BODIES = [413, 415];

const TEXT = { type: 'string' } as const;

/** What is sent beside, by status. */
const HEADERS: { readonly [status: number]: object } = {
  401: { 'WWW-Authenticate': { required: true, schema: TEXT } },
  429: { 'Retry-After': { required: true, description: 'In seconds.', schema: TEXT } },
  503: { 'Retry-After': { description: 'In seconds.', schema: TEXT } },
};

const ETAG = {
  ETag: { required: true, description: 'Names this state, for `If-Match`.', schema: TEXT },
};

const LOCATION = {
  Location: { required: true, description: 'Where it is: relative.', schema: TEXT },
};

const PATH_PARAMETERS: { readonly [name: string]: string } = {
  name: 'The name, percent-encoded.',
  key: 'The name of the feature, percent-encoded.',
};

/** The OpenAPI 3.1 document of these routes. */
export function openApiOf(routes: readonly Route[]): OpenApi {
  const paths: OpenApi['paths'] = {};
  for (const route of routes) {
    paths[route.path] = {
      ...paths[route.path],
      [route.method.toLowerCase()]: operationOf(route),
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'hanoi',
      version: 'v1',
      description: `Errors are RFC 9457 problems. Their codes: ${codes()}`,
    },
    servers: [{ url: '.' }],
    security: [{ bearer: [] }, { apiKey: [] }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: componentsOf(),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      },
    },
  };
}

function operationOf(route: Route): Operation {
  const { id, summary, tag, body, access, method, path, conditional, status } = route;
  const { media, dialect, ticket } = route;
  const success: Record<string, unknown> = { description: 'Done.' };
  const content = route.answer && contentOf(route.answer);
  if (content !== undefined) success.content = content;
  if (media !== undefined) success.content = { [media]: { schema: TEXT } };
  if (status === 201) success.headers = { ...ETAG, ...LOCATION };
  const responses: Record<string, object> = { [status]: success };
  if (method === 'GET' && conditional) {
    success.headers = ETAG;
    responses['304'] = { description: 'It is as it was.', headers: ETAG };
  }
  const failures = [
    ...(dialect === undefined ? OF_ALL : [421]),
    ...(access === 'nobody' ? [] : OF_CALLERS),
    ...(body === undefined || dialect !== undefined ? [] : OF_BODIES),
    ...(conditional && method !== 'GET' ? [412] : []),
  ];
  for (const failure of failures) {
    responses[failure] = {
      description: 'A problem.',
      ...(HEADERS[failure] !== undefined && { headers: HEADERS[failure] }),
      content: {
        'application/problem+json': { schema: schemaOf(Problem) },
        ...(failure === route.also && content),
      },
    };
  }
  for (const [other, schema] of Object.entries(dialect?.answers ?? {})) {
    responses[other] =
      schema === undefined
        ? { description: 'Nothing is sent.' }
        : { description: 'A failure.', content: contentOf(schema) };
  }
  return {
    operationId: id,
    summary,
    tags: [tag],
    parameters: [...pathParameters(path), ...queryParameters(route), ...headerParameters(route)],
    ...(body !== undefined && {
      requestBody: { required: true, content: contentOf(body) },
    }),
    responses,
    ...(access === 'nobody' && { security: [] }),
    ...(ticket !== undefined && { security: [{ bearer: [] }, { apiKey: [] }, {}] }),
  };
}

function contentOf(schema: z.ZodType): object {
  return { 'application/json': { schema: schemaOf(schema) } };
}

function pathParameters(path: string): Parameter[] {
  return Array.from(path.matchAll(/{(\w+)}/g), ([, name = '']) => ({
    name,
    in: 'path' as const,
    required: true,
    ...(PATH_PARAMETERS[name] !== undefined && { description: PATH_PARAMETERS[name] }),
    schema: { type: 'string', minLength: 1 },
  }));
}

function queryParameters({ query }: Route): Parameter[] {
  return Object.entries(query.shape).map(([name, schema]) => {
    const { description, ...rest } = schemaOf(schema as z.ZodType) as { description?: string };
    return {
      name,
      in: 'query' as const,
      required: !(schema as z.ZodType).safeParse(undefined).success,
      ...(description !== undefined && { description }),
      schema: rest,
    };
  });
}

function headerParameters({ writes, conditional, method }: Route): Parameter[] {
  const parameters: Parameter[] = [];
  if (conditional && method === 'GET') {
    parameters.push({
      name: 'If-None-Match',
      in: 'header',
      description: 'ETags: to get only what is another.',
      schema: TEXT,
    });
  }
  if (conditional && method !== 'GET') {
    parameters.push({
      name: 'If-Match',
      in: 'header',
      description: 'An ETag: to write only what has been seen.',
      schema: TEXT,
    });
  }
  if (writes) {
    parameters.push({
      name: 'Idempotency-Key',
      in: 'header',
      description: 'Names this write, so that it can be repeated for ten minutes.',
      schema: { type: 'string', minLength: 1, maxLength: 200 },
    });
  }
  return parameters;
}

function componentsOf(): Record<string, Schema> {
  const { schemas } = z.toJSONSchema(named, { uri: refOf, io: 'input' });
  const found: Record<string, Schema> = {};
  for (const [name, { $id: _, $schema: __, ...schema }] of Object.entries(
    schemas as Record<string, Schema>,
  )) {
    found[name] = schema;
  }
  return found;
}

/** A reference to a schema that has a name; else the schema itself. */
function schemaOf(schema: z.ZodType): Schema {
  const name = named.get(schema)?.id;
  if (name !== undefined) return { $ref: refOf(name) };
  const json = z.toJSONSchema(schema, { metadata: named, io: 'input', target: 'draft-2020-12' });
  const { $schema: _, $defs: __, ...rest } = json as Schema;
  // Named parts are defined once, for the whole document.
  return JSON.parse(
    JSON.stringify(rest).replaceAll('"#/$defs/', '"#/components/schemas/'),
  ) as Schema;
}

function refOf(name: string): string {
  return `#/components/schemas/${name}`;
}

function codes(): string {
  return Object.entries({ ...HTTP_CODES, ...ERROR_CODES })
    .map(([code, meaning]) => `\`${code}\`: ${meaning}`)
    .join(' ');
}
