import fc from 'fast-check';

/** A JSON schema, as far as the document uses them. */
export interface Schema {
  readonly $ref?: string;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly type?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly items?: Schema;
  readonly prefixItems?: readonly Schema[];
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
}

/** Of which texts are made: those that are there, that mean something, and that break things. */
const TEXTS = [
  ...[
    'chat',
    'search',
    'staff',
    'red',
    'blue',
    'ann',
    'all',
    'a/b',
    '☃',
    '%2525',
    ' ',
    'x'.repeat(200),
  ],
  ...[
    '2026-01-01T00:00:00Z',
    '2999-01-01T00:00:00+01:00',
    '2026-02-30T00:00:00Z',
    '14d',
    '36h',
    '-1d',
  ],
  ...[
    '1',
    '42',
    '>=2.1',
    'change:1',
    '__proto__',
    'constructor',
    '<script>',
    '\ud800',
    '\u0000',
    '\u001f',
  ],
  ...[
    '(a+)+$',
    '01$',
    '[',
    '(?=a)',
    'i',
    'gg',
    '',
    'on',
    'off',
    'group\u001fstaff',
    "'; --",
    '\u202e',
  ],
];

const DEEPEST = 4;

/** Values that fit a schema. */
export class Values {
  private readonly known = new Map<Schema, fc.Arbitrary<unknown>[]>();

  constructor(private readonly components: Readonly<Record<string, Schema>>) {}

  of(schema: Schema, depth: number = 0): fc.Arbitrary<unknown> {
    const known = this.known.get(schema)?.[depth];
    if (known !== undefined) return known;
    const made = this.made(schema, depth);
    const byDepth = this.known.get(schema) ?? [];
    byDepth[depth] = made;
    this.known.set(schema, byDepth);
    return made;
  }

  private made(schema: Schema, depth: number): fc.Arbitrary<unknown> {
    const { $ref, anyOf, type } = schema;
    if ($ref !== undefined) return this.of(this.named($ref), depth);
    if (schema.const !== undefined) return fc.constant(schema.const);
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
    if (anyOf !== undefined) return this.oneOf(anyOf, depth);
    switch (type) {
      case 'string':
        return textOf(schema);
      case 'integer':
        return fc.oneof(
          fc.constantFrom(...[0, 1, 2, 42].filter((each) => isWithin(each, schema))),
          fc.integer({
            min: schema.minimum ?? -10,
            max: Math.min(schema.maximum ?? 1_000, 2 ** 31),
          }),
        );
      case 'number':
        return fc.oneof(
          fc.constantFrom(...[0, 0.5, 1, 100].filter((each) => isWithin(each, schema))),
          fc.double({ min: schema.minimum ?? -1e9, max: schema.maximum ?? 1e9, noNaN: true }),
        );
      case 'boolean':
        return fc.boolean();
      case 'null':
        return fc.constant(null);
      case 'array':
        return this.listOf(schema, depth);
      case 'object':
        return this.objectOf(schema, depth);
      default:
        return fc.constantFrom<unknown>(null, 1, 'text', true, [], {});
    }
  }

  private named($ref: string): Schema {
    return this.components[$ref.split('/').at(-1) ?? ''] ?? {};
  }

  private oneOf(schemas: readonly Schema[], depth: number): fc.Arbitrary<unknown> {
    const costs = schemas.map((each) => this.cost(each));
    const least = Math.min(...costs);
    const some = depth >= DEEPEST ? schemas.filter((_, at) => costs[at] === least) : schemas;
    return fc.oneof(...some.map((each) => this.of(each, depth + 1)));
  }

  /** How deep its values nest at least. */
  private cost(schema: Schema, within: readonly string[] = []): number {
    const {
      $ref,
      anyOf,
      properties = {},
      required = [],
      prefixItems,
      items,
      minItems = 0,
    } = schema;
    if ($ref !== undefined) {
      return within.includes($ref) ? Infinity : this.cost(this.named($ref), [...within, $ref]);
    }
    if (anyOf !== undefined) return Math.min(...anyOf.map((each) => this.cost(each, within)));
    const parts = [
      ...required.map((name) => properties[name] ?? {}),
      ...(prefixItems ?? (minItems > 0 && items ? [items] : [])),
    ];
    return Math.max(0, ...parts.map((each) => 1 + this.cost(each, within)));
  }

  private listOf({ prefixItems, items = {}, minItems = 0, maxItems = 4 }: Schema, depth: number) {
    if (prefixItems !== undefined) {
      return fc.tuple(...prefixItems.map((each) => this.of(each, depth + 1)));
    }
    const maxLength = depth >= DEEPEST ? minItems : Math.max(minItems, Math.min(maxItems, 4));
    if (maxLength === 0) return fc.constant([]);
    return fc.array(this.of(items, depth + 1), { minLength: minItems, maxLength });
  }

  private objectOf(schema: Schema, depth: number): fc.Arbitrary<object> {
    const { properties = {}, required = [], additionalProperties } = schema;
    const known = Object.entries(properties);
    const some = depth >= DEEPEST ? known.filter(([name]) => required.includes(name)) : known;
    const parts = Object.fromEntries(some.map(([name, each]) => [name, this.of(each, depth + 1)]));
    // With few of those that can be left out: of many together, one is mostly refused.
    const optional = Object.keys(parts).filter((name) => !required.includes(name));
    const fields = fc
      .subarray(optional, { maxLength: Math.min(2, optional.length) })
      .chain((chosen) => {
        const names = [...required, ...chosen];
        return fc.record(
          Object.fromEntries(names.map((name) => [name, parts[name] as fc.Arbitrary<unknown>])),
        ) as fc.Arbitrary<object>;
      });
    if (typeof additionalProperties !== 'object' || depth >= DEEPEST) return fields;
    const key = fc.constantFrom('chat', 'a', 'constructor', '☃', 'x y');
    const others = fc.dictionary(key, this.of(additionalProperties, depth + 1), { maxKeys: 3 });
    return fc.tuple(others, fields).map(([more, own]) => ({ ...more, ...own }));
  }
}

function textOf({ minLength = 0, maxLength = 1_000, pattern }: Schema): fc.Arbitrary<string> {
  const fits = (text: string) =>
    text.length >= minLength &&
    text.length <= maxLength &&
    (pattern === undefined || new RegExp(pattern, 'u').test(text));
  return fc.oneof(
    { arbitrary: fc.constantFrom(...TEXTS.filter(fits)), weight: 4 },
    { arbitrary: fc.string({ unit: 'binary', maxLength: 12 }).filter(fits), weight: 1 },
  );
}

function isWithin(value: number, { minimum = -Infinity, maximum = Infinity }: Schema): boolean {
  return value >= minimum && value <= maximum;
}

/** The same with one thing changed, somewhere in it: it may fit the schema no more. */
export function spoilt(value: unknown): fc.Arbitrary<unknown> {
  const other = fc.constantFrom<unknown>(
    null,
    true,
    -1,
    1e99,
    0.5,
    '',
    'x'.repeat(500),
    [],
    [[]],
    {},
  );
  if (typeof value !== 'object' || value === null) return other;
  const keys = Object.keys(value);
  const unknown = fc.constant({ ...value, surprise: 1 });
  if (keys.length === 0) return fc.oneof(other, unknown);
  const within = fc
    .constantFrom(...keys)
    .chain((key) =>
      spoilt((value as Record<string, unknown>)[key]).map((changed) =>
        Array.isArray(value) ? value.with(Number(key), changed) : { ...value, [key]: changed },
      ),
    );
  const without = fc
    .constantFrom(...keys)
    .map((key) => Object.fromEntries(Object.entries(value).filter(([each]) => each !== key)));
  return fc.oneof(
    { arbitrary: within, weight: 4 },
    ...(Array.isArray(value) ? [other] : [other, unknown, without]),
  );
}
