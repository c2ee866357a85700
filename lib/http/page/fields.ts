import { createHash } from 'node:crypto';
import type { Arrival } from '../arrival.js';
import { parseHostileJson, readBytes, refuseInexact, textOf } from '../body.js';
import { Refusal } from '../problem.js';

const MOST_FIELDS = 500;

/** Of all the forms; those with a number are of the rows of variants. */
const KNOWN = new Set(
  (
    'form nonce id revision note do over overIds percentage to from by steps ids source flags rule ' +
    'json group serve otherwise off bucketing subjectKey change typed alone subject secret next ' +
    'name description owner variants'
  ).split(' '),
);

/** What a form says, by the names of its fields; each comes once. */
export class Fields {
  static readonly none: Fields = new Fields(new Map());

  constructor(private readonly values: ReadonlyMap<string, string>) {}

  has(name: string): boolean {
    return this.values.has(name);
  }

  /** As it was typed, without space around it; empty where there is no such field. */
  text(name: string): string {
    return (this.values.get(name) ?? '').trim();
  }

  /** As it was sent. */
  raw(name: string): string | undefined {
    return this.values.get(name);
  }

  names(): Iterable<string> {
    return this.values.keys();
  }

  /** Each line that says something. */
  lines(name: string): string[] {
    return this.text(name)
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line !== '');
  }

  /** INVALID_REQUEST, at the field, where it is no number. */
  number(name: string): number {
    const text = this.text(name).replace(/%$/, '').trim();
    // Not hexadecimal, nor with an exponent: nobody means that.
    if (/^[+-]?(\d+\.?\d*|\.\d+)$/.test(text)) return Number(text);
    throw new Refusal('INVALID_REQUEST', `Expected a number, got ${JSON.stringify(text)}.`, {
      path: name,
    });
  }

  /** INVALID_REQUEST, at the field, where it is no JSON. */
  json(name: string): unknown {
    const text = this.text(name);
    try {
      const json = parseHostileJson(text);
      refuseInexact(json);
      return json;
    } catch (error) {
      const why = (error as Error).message;
      throw new Refusal(
        'INVALID_REQUEST',
        why === 'The body is not JSON.' ? notJson(text) : why.replace('The body', 'It'),
        { path: name },
      );
    }
  }

  /** Names what is asked: the same of the same form with the same text. */
  digest(): string {
    const hash = createHash('sha256');
    for (const entry of [...this.values].sort()) hash.update(JSON.stringify(entry));
    return hash.digest('base64url');
  }
}

/** UNSUPPORTED_MEDIA_TYPE, TOO_LARGE, INVALID_REQUEST. */
export async function readFields(
  request: Request,
  { incoming }: Arrival,
  maxBytes: number,
): Promise<Fields> {
  const type = request.headers.get('content-type') ?? '';
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type)) {
    throw new Refusal('UNSUPPORTED_MEDIA_TYPE', 'The form has to be sent urlencoded.');
  }
  const values = new Map<string, string>();
  for (const [name, value] of new URLSearchParams(
    textOf(await readBytes(request, incoming, maxBytes)),
  )) {
    if (values.has(name)) {
      throw new Refusal('INVALID_REQUEST', `The field ${JSON.stringify(name)} comes twice.`);
    }
    if (!KNOWN.has(name) && !/^(name|weight|value)\d{1,3}$/.test(name)) {
      throw new Refusal('INVALID_REQUEST', `There is no field ${JSON.stringify(name)} here.`);
    }
    if (values.size === MOST_FIELDS) {
      throw new Refusal('INVALID_REQUEST', `There are more than ${MOST_FIELDS} fields.`);
    }
    values.set(name, value);
  }
  return new Fields(values);
}

/** What is wrong, and in which line. */
function notJson(text: string): string {
  if (text === '') return 'Expected JSON, got nothing.';
  try {
    JSON.parse(text);
    return 'It is not JSON.';
  } catch (error) {
    const [, at] = /position (\d+)/.exec((error as Error).message) ?? [];
    if (at === undefined) return 'It is not JSON: it ends early, or something stands outside.';
    const line = text.slice(0, Number(at)).split('\n').length;
    return `It is not JSON: see line ${line}.`;
  }
}
