import type { Subject } from './domain/subject.js';

/** One subject, or many; a string is one. */
export type Subjects = Subject | Iterable<Subject> | AsyncIterable<Subject>;

export function isMany<Item>(who: unknown): who is Iterable<Item> | AsyncIterable<Item> {
  return (
    typeof who === 'object' &&
    who !== null &&
    (Symbol.iterator in who || Symbol.asyncIterator in who) &&
    // They are iterable too, but nobody means their bytes or letters.
    !ArrayBuffer.isView(who) &&
    !(who instanceof String)
  );
}
