import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import type { HttpHandler } from '../../lib/http/index.js';
import type { OpenApi, Operation } from '../../lib/http/openapi.js';

/** An answer, by whatever client it was had. */
export interface Answered {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly text: string;
}

interface Documented {
  readonly content?: Record<string, object>;
  readonly headers?: Record<string, { readonly required?: boolean }>;
}

/** Whether answers are as the OpenAPI document has them. */
export class Contract {
  /** `addFeature 201`: which answers of which operations have been seen. */
  readonly seen: Set<string> = new Set();

  private readonly ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true });
  private readonly validators = new Map<string, ValidateFunction>();
  private readonly operations: { method: string; path: RegExp; at: string; operation: Operation }[];

  private constructor(readonly document: OpenApi) {
    addFormats.default(this.ajv);
    this.ajv.addVocabulary([
      'openapi',
      'info',
      'servers',
      'security',
      'tags',
      'paths',
      'components',
    ]);
    this.ajv.addSchema({ $id: 'api', ...document });
    this.operations = Object.entries(document.paths).flatMap(([template, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        method: method.toUpperCase(),
        path: new RegExp(`^${template.replace(/{\w+}/g, '[^/]+')}$`),
        at: `#/paths/${pointed(template)}/${method}`,
        operation,
      })),
    );
  }

  static async of(
    handler: Pick<HttpHandler, 'fetch'>,
    url: string = 'http://localhost',
  ): Promise<Contract> {
    const response = await handler.fetch(new Request(`${url}/openapi.json`));
    return new Contract((await response.json()) as OpenApi);
  }

  /** Every operation, by its id. */
  get ids(): string[] {
    return this.operations.map(({ operation }) => operation.operationId);
  }

  /** The operation that was asked for, with `path` as it is below the mount. */
  operationOf(method: string, path: string): Operation | undefined {
    return this.find(method, path)?.operation;
  }

  /** Throws, saying what, where the document does not have this answer. */
  check(method: string, path: string, answered: Answered): void {
    const asked = `${method} ${path} → ${answered.status}`;
    const found = this.find(method === 'HEAD' ? 'GET' : method, path);
    // What is no route of the API: a page, the document itself, and what there is not.
    if (found === undefined) {
      if (answered.status >= 400 && method !== 'HEAD')
        this.valid(asked, '#/components/schemas/Problem', answered.text);
      return;
    }
    const { at, operation } = found;
    const documented = operation.responses[answered.status] as Documented | undefined;
    if (documented === undefined && answered.status !== 405) {
      throw new Error(`${asked} is not documented: ${answered.text}`);
    }
    const { content, headers = {} } = documented ?? {};
    for (const [name, { required }] of Object.entries(headers)) {
      if (required && answered.headers.get(name) === null)
        throw new Error(`${asked} lacks ${name}`);
    }
    this.seen.add(`${operation.operationId} ${answered.status}`);
    if (method === 'HEAD' || content === undefined) {
      if (answered.text !== '') throw new Error(`${asked} has a body: ${answered.text}`);
      return;
    }
    const type = answered.headers.get('content-type') ?? '';
    if (content[type] === undefined) throw new Error(`${asked} is not documented as ${type}`);
    if (type === 'text/event-stream') return;
    const place = `${at}/responses/${answered.status}/content/${pointed(type)}/schema`;
    this.valid(asked, place, answered.text);
  }

  /** Whether a value fits the schema at this place of the document. */
  fits(place: string, value: unknown): boolean {
    return this.validator(place)(value) as boolean;
  }

  private find(method: string, path: string) {
    const [bare = ''] = path.split('?');
    return this.operations.find((each) => each.method === method && each.path.test(bare));
  }

  private valid(asked: string, place: string, text: string): void {
    const validate = this.validator(place);
    if (validate(JSON.parse(text))) return;
    throw new Error(
      `${asked} is not as documented: ${this.ajv.errorsText(validate.errors)}\n${text}`,
    );
  }

  private validator(place: string): ValidateFunction {
    const known = this.validators.get(place);
    if (known !== undefined) return known;
    const validate = this.ajv.compile({ $ref: `api${place}` });
    this.validators.set(place, validate);
    return validate;
  }
}

/** What a place is named by in a JSON pointer within a URL. */
function pointed(key: string): string {
  return encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'));
}
