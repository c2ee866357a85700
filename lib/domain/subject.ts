/** Who a check is about: an id, or an object with an id and attributes. */
export type Subject = string | number | bigint | object;

/** Reads the id of a subject that is an object. What it gives may be anything. */
export type Identify = (subject: object) => unknown;

/**
 * An id as hashes, lists and stores know it: `42`, `42n` and `'42'` are the same one.
 * Undefined for what is no id: an empty string, a lone surrogate (which UTF-8 can't hold), NaN, a
 * number beyond 2 ** 53, anything else than a string, a number or a bigint.
 */
export function idOf(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return value !== '' && value.isWellFormed() ? value : undefined;
    case 'number':
      // Beyond 2 ** 53 two ids can have become one number.
      return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? String(value) : undefined;
    case 'bigint':
      return String(value);
    default:
      return undefined;
  }
}

/**
 * Whether both are one subject: the same object, ids that are one, or nobody. Two objects are two,
 * whatever their ids, since a feature can go by other attributes.
 */
export function isSameSubject(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (one === undefined || one === null) return other === undefined || other === null;
  const id = idOf(one);
  return id !== undefined && id === idOf(other);
}

/**
 * The id by which a subject is bucketed and listed: its `key` attribute where a key is named, else
 * its own id. A bare id has no attributes, so with a key it can't be read. Throws what reading the
 * subject throws.
 */
export function subjectId(
  subject: unknown,
  key: string | undefined,
  identify: Identify,
): string | undefined {
  if (typeof subject === 'object' && subject !== null) {
    const id = key === undefined ? identify(subject) : (subject as Record<string, unknown>)[key];
    refusePromise(id);
    return idOf(id);
  }
  return key === undefined ? idOf(subject) : undefined;
}

/**
 * Throws where something answers later that has to answer at once. Its own failure is taken care of:
 * nobody else waits for it, and it would end the process.
 */
export function refusePromise(answer: unknown): void {
  if (typeof answer === 'object' && answer !== null && 'then' in answer) {
    Promise.resolve(answer).catch(() => {});
    throw new TypeError('It answered with a promise; it has to answer at once.');
  }
}
