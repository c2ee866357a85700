import fc from 'fast-check';
import type { Operation } from '../../lib/http/openapi.js';
import { type Client, clientOf } from './client.js';
import { type Schema, spoilt, Values } from './from-schema.js';

/** For each operation; more by `FUZZ_RUNS`, and others by `FUZZ_SEED`. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 12);
const SEED = Number(process.env.FUZZ_SEED ?? 20_261_121);
jest.setTimeout(Math.max(20_000, RUNS * 1_000));

const NAMES = [
  'chat',
  'search',
  'all',
  'staff',
  'a/b',
  '☃',
  '__proto__',
  'constructor',
  '%2525',
  'x'.repeat(201),
  '1',
];

let api: Client;
let values: Values;
let operations: { method: string; path: string; at: string; operation: Operation }[];
const failed: unknown[] = [];

/** A store with something of everything. */
async function fill({ rollout }: Client): Promise<void> {
  await rollout.addFeature('chat', { percentage: 10, variants: ['red', 'blue'] });
  await rollout.addFeature('search', {
    rules: [{ id: 'staff', when: { group: 'staff' }, serve: 'on' }],
  });
  await rollout.register('chat', ['ann', 'bob']);
  await rollout.addToGroup('staff', ['ann']);
  await rollout.population.increaseBuckets(3);
  await rollout.population.register([['ann', 5], 'bob']);
  await rollout.addExperiment('chat', {
    from: '2026-01-01T00:00:00Z',
    until: '2999-01-01T00:00:00Z',
    arms: [{ name: 'a', proportion: 1, features: { chat: 'red' } }],
  });
}

/** Begins anew, so that what one operation has removed is there for the next. */
async function renew(): Promise<void> {
  await api?.rollout.close();
  api = await clientOf({ onError: (error) => failed.push(error) });
  await fill(api);
}

beforeAll(async () => {
  await renew();
  const { document } = api.contract;
  values = new Values(document.components.schemas);
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      ...{ method: method.toUpperCase(), path, operation },
      at: `#/paths/${encodeURIComponent(path.replaceAll('/', '~1'))}/${method}`,
    })),
  );
});
afterAll(() => api.rollout.close());

const within = (path: string) => {
  const names = [...path.matchAll(/{\w+}/g)];
  return fc
    .tuple(
      ...names.map(() =>
        fc.oneof(
          { arbitrary: fc.constantFrom('chat', 'staff'), weight: 3 },
          fc.constantFrom(...NAMES),
        ),
      ),
    )
    .map((given) =>
      given.reduce((at, each) => at.replace(/{\w+}/, encodeURIComponent(each)), path),
    );
};

const queryOf = ({ parameters }: Operation) => {
  // A configuration that is not here yet is waited for.
  const some = parameters.filter(
    (each) => each.in === 'query' && !each.name.startsWith('flagConfig'),
  );
  const fields = some.map(({ name, schema }) => [name, values.of(schema as Schema).map(String)]);
  const requiredKeys = some.filter(({ required }) => required).map(({ name }) => name);
  return fc
    .record(Object.fromEntries(fields) as Record<string, fc.Arbitrary<string>>, { requiredKeys })
    .map((query) => new URLSearchParams(query as Record<string, string>).toString());
};

const bodyOf = ({ requestBody }: Operation): Schema | undefined =>
  (requestBody as { content: Record<string, { schema: Schema }> } | undefined)?.content[
    'application/json'
  ]?.schema;

const headersOf = ({ parameters }: Operation) => {
  const names = parameters.filter((each) => each.in === 'header').map(({ name }) => name);
  const value = fc.constantFrom('*', '"a:1"', 'x', 'a b', '', 'é', '"');
  return fc.dictionary(fc.constantFrom('X-Other', ...names), value, { maxKeys: 1 });
};

const holds = (property: fc.IAsyncProperty<unknown>) =>
  fc.assert(property as fc.IAsyncProperty<[unknown]>, { seed: SEED, numRuns: RUNS });

/** That this is refused, and has changed nothing. */
async function refuses(asked: string, body: unknown): Promise<void> {
  const newest = async () => (await api.rollout.log({ limit: 1 }))[0]?.id;
  const before = await newest();
  const { status, text } = await api.ask(asked, { body });
  if (status < 400 || status >= 500) throw new Error(`${asked} answers ${status}: ${text}`);
  expect(await newest()).toBe(before);
}

describe('whatever is asked', () => {
  afterEach(() => {
    expect(failed).toEqual([]);
  });

  it('has an answer that is documented, and is no failure, where it has the shape', async () => {
    for (const { method, path, operation } of operations) {
      const body = bodyOf(operation);
      await renew();
      await holds(
        fc.asyncProperty(
          fc.tuple(
            within(path),
            queryOf(operation),
            headersOf(operation),
            body === undefined ? fc.constant(undefined) : values.of(body),
          ),
          async ([at, query, headers, sent]) => {
            // `ask` throws where the document does not have the answer.
            const { status } = await api.ask(`${method} ${at}${query && `?${query}`}`, {
              body: sent === undefined ? undefined : JSON.stringify(sent),
              headers,
            });
            expect(status).toBeLessThan(500);
          },
        ),
      );
    }
  });

  it('is refused, and changes nothing, where its body has another shape', async () => {
    for (const { method, path, at: place, operation } of operations) {
      const schema = bodyOf(operation);
      if (schema === undefined) continue;
      await renew();
      const bodies = `${place}/requestBody/content/application~1json/schema`.replace('~', '%7E');
      await holds(
        fc.asyncProperty(
          fc.tuple(
            within(path),
            values
              .of(schema)
              .chain(spoilt)
              .filter((body) => !api.contract.fits(bodies, body)),
          ),
          ([at, body]) => refuses(`${method} ${at}`, JSON.stringify(body)),
        ),
      );
    }
  });

  it('is refused, and changes nothing, where its query says what is not known', async () => {
    for (const { method, path, operation } of operations) {
      if (operation.operationId === 'health') continue;
      // Providers send what they are told to, besides what the protocol knows.
      if (path.startsWith('/ofrep/v1/evaluate/')) continue;
      const body = bodyOf(operation);
      const sent = body && fc.sample(values.of(body), { seed: SEED, numRuns: 1 })[0];
      const at = path.replaceAll(/{\w+}/g, 'chat');
      for (const query of [
        'surprise=1',
        'actor=eve',
        '__proto__=1',
        'note=a&note=b',
        'limit=0',
        'limit=1001',
        'limit=x',
        '%ff=1',
      ]) {
        await refuses(
          `${method} ${at}?${query}`,
          sent === undefined ? undefined : JSON.stringify(sent),
        );
      }
    }
  });

  it('is refused, and changes nothing, where its body is no JSON', async () => {
    const broken = fc.oneof(
      fc.constantFrom('', '{', '[', 'nul', '{"a":1,}', "{'a':1}", '{"a":1}{', '1e', '"\\x"'),
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.uint8Array({ maxLength: 30 }),
    );
    const isJson = (text: string) => {
      try {
        JSON.parse(text);
        return true;
      } catch {
        return false;
      }
    };
    const notJson = broken.filter((body) => !isJson(Buffer.from(body as string).toString()));
    for (const { method, path, operation } of operations) {
      if (bodyOf(operation) === undefined) continue;
      const at = path.replaceAll(/{\w+}/g, 'chat');
      await holds(fc.asyncProperty(notJson, (body) => refuses(`${method} ${at}`, body)));
    }
  });
});
