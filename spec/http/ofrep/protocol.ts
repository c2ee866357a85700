import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import protocol from '../../fixtures/ofrep.json' with { type: 'json' };

/*
 * The protocol's openapi.yaml of version 0.3.0 as JSON (Apache-2.0, github.com/open-feature/protocol),
 * without its descriptions and examples.
 */

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);
ajv.addSchema({ $id: 'ofrep', ...withoutContradiction() });

/** Throws, saying what, where the protocol does not have this answer under this path. */
export function refuseForeign(template: string, status: number, text: string): void {
  const { responses } = (protocol.paths as Paths)[template]?.post ?? {};
  const response = responses?.[status];
  if (response === undefined) throw new Error(`${template} has no ${status}: ${text}`);
  if (response.content === undefined) return;
  const escaped = encodeURIComponent(template.replaceAll('/', '~1'));
  const place = `/paths/${escaped}/post/responses/${status}/content/application~1json/schema`;
  const validate = ajv.compile({ $ref: `ofrep#${place}` });
  if (validate(JSON.parse(text))) return;
  throw new Error(`${template} ${status}: ${ajv.errorsText(validate.errors)}\n${text}`);
}

/** Whether the data of an event is as the protocol has it. */
export function isEventData(data: unknown): boolean {
  return ajv.validate({ $ref: 'ofrep#/components/schemas/sseEventData' }, data);
}

type Paths = Record<
  string,
  { readonly post: { readonly responses: Record<string, { readonly content?: object }> } }
>;

/**
 * A value has to be of exactly one of the types, and "none at all" is a type that takes every object: as
 * it is written, no answer with a value is valid. So it is read as "of one or more", which it can't mean
 * for a value of no type: that no other is let through is up to the specs.
 */
function withoutContradiction(): object {
  const copy = structuredClone(protocol) as unknown as {
    components: { schemas: { evaluationSuccess: { allOf: { oneOf?: object; anyOf?: object }[] } } };
  };
  const [, types] = copy.components.schemas.evaluationSuccess.allOf;
  if (types?.oneOf === undefined) throw new Error('The fixture is another one.');
  types.anyOf = types.oneOf;
  delete types.oneOf;
  return copy;
}
