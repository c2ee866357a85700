import { crc32 } from '../../domain/bucketing.js';
import type { Decision } from '../../domain/decision.js';
import { isMatch } from '../etag.js';
import { STREAM_HEADERS } from '../event-streams.js';
import type { Gate } from '../gate.js';
import { type Problem, Refusal } from '../problem.js';
import { type Answer, type Call, type Dialect, Routes } from '../route.js';
import { caughtUp } from './config-etag.js';
import { subjectIn } from './context.js';
import { evaluationOf, FAILURES } from './evaluation.js';
import { FlagSet } from './flag-set.js';
import type { RefetchStreams } from './refetch-streams.js';
import {
  BulkEvaluation,
  BulkEvaluationFailure,
  BulkQuery,
  EvaluationFailure,
  EvaluationRequest,
  EvaluationSuccess,
  EventsQuery,
  FlagNotFound,
} from './schemas.js';

const EVENTS = '/ofrep/v1/events';

/** What a ticket is for. */
const PURPOSE = 'events';

/**
 * Tickets last from one to two hours: one is the same for as long as it has more than an hour left, so
 * that the answer around it stays the same.
 */
const STEP_MS = 3_600_000;

type Asking = Call<unknown, ReturnType<typeof subjectIn>>;

/** Evaluations for OpenFeature's clients of any language: the Remote Evaluation Protocol 0.3.0. */
export function ofrepRoutes(gate: Gate, streams: RefetchStreams): Routes {
  return new Routes('OpenFeature Remote Evaluation')
    .add('POST /ofrep/v1/evaluate/flags/{key}', {
      id: 'evaluateFlag',
      summary: 'A feature, evaluated for the subject that the context says.',
      access: 'evaluate',
      asks: true,
      body: EvaluationRequest,
      answer: EvaluationSuccess,
      dialect: SINGLE,
      handle: ({ rollout, param, body }: Asking) =>
        rollout.decide(param('key'), body).then(answerOf),
    })
    .add('POST /ofrep/v1/evaluate/flags', {
      id: 'evaluateFlagsBulk',
      summary: 'Every feature, evaluated for the subject that the context says.',
      access: 'evaluate',
      asks: true,
      query: BulkQuery,
      body: EvaluationRequest,
      answer: BulkEvaluation,
      dialect: BULK,
      handle: async (call: Asking) => {
        const { rollout, request, body } = call;
        const known = flagConfigEtagOf(request.url);
        if (known !== undefined) await caughtUp(rollout, known);
        // Before the evaluation: what changes during it is told to whoever connects afterwards.
        const offer = offerOf(gate, streams, call);
        const flags = new FlagSet((await rollout.snapshot(body)).decisions());
        const etag = flags.etag(offer?.ticket ?? String(offer !== undefined));
        const headers = { etag, 'cache-control': 'private, no-cache' };
        if (isMatch(request.headers.get('if-none-match'), etag)) return { status: 304, headers };
        const more = offer === undefined ? '' : `,"eventStreams":${JSON.stringify(offer.streams)}`;
        return { headers, body: flags.json(more) };
      },
    })
    .add(`GET ${EVENTS}`, {
      id: 'evaluationEvents',
      summary: 'Server-sent events that say when to evaluate anew.',
      access: 'evaluate',
      ticket: PURPOSE,
      query: EventsQuery,
      media: 'text/event-stream',
      handle: async ({ caller, query, request, arrival, until }) => {
        if (request.method === 'HEAD') return { headers: STREAM_HEADERS };
        const stream = streams.stream({
          caller: nameOf(gate, query.ticket, { caller, request, arrival }),
          until: until ?? Number.POSITIVE_INFINITY,
          seen: request.headers.get('last-event-id') ?? query.seen,
          hangUp: () => arrival.incoming?.destroy(),
        });
        if (stream === undefined) {
          const again = { 'retry-after': '60' };
          throw new Refusal('TOO_MANY_REQUESTS', 'There are too many event streams.', {
            headers: again,
          });
        }
        return { headers: STREAM_HEADERS, stream };
      },
    });
}

function answerOf(decision: Decision): Answer {
  const { status, json } = evaluationOf(decision);
  return { status, body: json };
}

interface Offer {
  readonly ticket: string | undefined;
  readonly streams: readonly object[];
}

/** The event stream that is offered with an answer; undefined while there is no room for one. */
function offerOf(gate: Gate, streams: RefetchStreams, call: Asking): Offer | undefined {
  const { caller, base, body } = call;
  if (caller === undefined) return undefined;
  const ticket = gate.ticketUntil(caller, PURPOSE, ticketEnd(body, Date.now()));
  if (!streams.hasRoom(nameOf(gate, ticket, call))) return undefined;
  const query = new URLSearchParams({ seen: streams.position, ...(ticket && { ticket }) });
  const requestUri = `${base}${EVENTS}?${query.toString()}`;
  return { ticket, streams: [{ type: 'sse', endpoint: { requestUri } }] };
}

/** When a ticket ends: spread over time, so that clients do not come all at once for another. */
function ticketEnd(subject: Asking['body'], now: number): number {
  const { id } = (subject ?? {}) as { readonly id?: string };
  const phase = id === undefined ? 0 : crc32(id) % STEP_MS;
  return (Math.floor((now - phase) / STEP_MS) + 2) * STEP_MS + phase;
}

/** By whom streams are counted: whose ticket it is, and from where. */
function nameOf(
  gate: Gate,
  ticket: string | undefined,
  { caller, request, arrival }: Pick<Asking, 'caller' | 'request' | 'arrival'>,
): string {
  const [holder = ''] = ticket === undefined ? [caller?.actor] : ticket.split('.');
  return `${holder} ${gate.addressOf(request, arrival)}`;
}

function flagConfigEtagOf(url: string): string | undefined {
  const at = url.indexOf('?');
  if (at === -1) return undefined;
  return new URLSearchParams(url.slice(at)).get('flagConfigEtag') ?? undefined;
}

const SINGLE: Dialect = {
  bodyOf: subjectIn,
  answers: { 400: EvaluationFailure, 404: FlagNotFound, 500: EvaluationFailure },
  failureOf: (problem, key) => {
    const failure = failureOf(problem);
    return failure && { status: failure.status, body: { key, ...failure.body } };
  },
};

const BULK: Dialect = {
  bodyOf: subjectIn,
  answers: { 304: undefined, 400: BulkEvaluationFailure, 500: BulkEvaluationFailure },
  failureOf,
};

/** Undefined of what the protocol has no shape for: the status says all. */
function failureOf({ status, detail, path }: Problem): ReturnType<Dialect['failureOf']> {
  switch (status) {
    case 401:
    case 403:
    case 421:
    case 429:
      return undefined;
    case 404:
      return told(404, 'FLAG_NOT_FOUND', FAILURES.FLAG_NOT_FOUND);
    // Of the statuses for what can't be taken, the protocol has this one alone.
    case 400:
    case 413:
    case 415:
    case 422:
      return told(400, path === undefined ? 'PARSE_ERROR' : 'INVALID_CONTEXT', detail);
    default:
      return told(500, 'GENERAL', FAILURES.GENERAL);
  }
}

function told(status: number, errorCode: string, errorDetails: string) {
  return { status, body: { errorCode, errorDetails } };
}
