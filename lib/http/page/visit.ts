import type { html } from 'hono/html';
import type { Rollout } from '../../rollout.js';
import type { Caller } from '../credentials.js';
import type { Fields } from './fields.js';

/** Escaped text: what comes out of `html`. */
export type Html = ReturnType<typeof html> | '';

/** One request for a page, by somebody who may see it. */
export interface Visit {
  /** Writes as the caller. */
  readonly rollout: Rollout;
  readonly caller: Caller;
  /** Steering: the caller may, and the mode is admin. */
  readonly canWrite: boolean;
  /** There is a session to end, or to begin: tokens are known here. */
  readonly session: 'begun' | 'possible' | 'none';
  readonly base: string;
  readonly query: URLSearchParams;
  /** Of a POST. */
  readonly fields: Fields;
  /** What a form of this visitor carries beside the cookie. */
  readonly formToken: string;
  /** Another one for each page: a form that is sent twice from one page writes once. */
  readonly nonce: string;
  /** Unix ms. */
  readonly now: number;
}

/** The address of the page about a feature, or of one of its parts. Any name fits into a query. */
export function featureUrl({ base }: Pick<Visit, 'base'>, name: string, part: string = ''): string {
  return `${base}/feature${part}?name=${encodeURIComponent(name)}`;
}
