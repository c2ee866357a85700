import type { z } from 'zod';
import { Refusal } from './problem.js';

/** INVALID_REQUEST, with the place, for what has not the shape that the route takes. */
export function parsed(schema: z.ZodType, given: unknown): unknown {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const issue = deepest(result.error.issues);
  const path = pathOf(issue.path);
  throw new Refusal(
    'INVALID_REQUEST',
    `${path === '' ? 'What was sent' : `\`${path}\``} is refused: ${issue.message}.`,
    path === '' ? {} : { path },
  );
}

type Issue = z.core.$ZodIssue;

/** Of a choice between shapes, what is wrong with the one that fits best. */
function deepest(issues: readonly Issue[], path: readonly PropertyKey[] = []): Issue {
  const [first] = issues as [Issue];
  const full = { ...first, path: [...path, ...first.path] };
  if (first.code !== 'invalid_union' || first.errors.length === 0) return full;
  const nested = first.errors.map((each) => deepest(each, full.path));
  const [best] = nested.sort((one, other) => other.path.length - one.path.length) as [Issue];
  return best.path.length > full.path.length
    ? best
    : { ...full, message: 'It has none of the shapes that are taken' };
}

function pathOf(path: readonly PropertyKey[]): string {
  return path
    .map((key, at) =>
      typeof key === 'number' ? `[${key}]` : `${at === 0 ? '' : '.'}${String(key)}`,
    )
    .join('');
}
