import { Refusal } from './problem.js';

interface State {
  readonly id: string;
  readonly revision: number;
}

/** What names a state of a document: `"3f0…:12"`. */
export function etagOf({ id, revision }: State): string {
  return `"${encodeURIComponent(id)}:${revision}"`;
}

/**
 * The state that `If-Match` names; undefined where any will do. INVALID_REQUEST for what is not an
 * ETag of here, since a condition that is not understood must not be passed over.
 */
export function stateNamed(header: string | null): State | undefined {
  if (header === null || header.trim() === '*') return undefined;
  const [, id, revision] = /^\s*"([^":]+):(\d{1,15})"\s*$/.exec(header) ?? [];
  if (id === undefined) {
    throw new Refusal(
      'INVALID_REQUEST',
      'Expected `If-Match` to be one ETag that was given here, or *.',
    );
  }
  try {
    return { id: decodeURIComponent(id), revision: Number(revision) };
  } catch {
    return { id, revision: Number(revision) };
  }
}

/** Whether `If-None-Match` names this ETag: by the weak comparison, as RFC 9110 has it. */
export function isMatch(header: string | null, etag: string): boolean {
  if (header === null) return false;
  const opaque = etag.replace(/^W\//, '');
  return header.split(',').some((each) => {
    const given = each.trim();
    return given === '*' || given.replace(/^W\//, '') === opaque;
  });
}
