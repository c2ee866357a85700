import type { Backend } from '../../backends/backend.js';
import { invalid, refuseUnknownOptions } from '../../errors.js';
import { assignedCases } from './assigned.js';
import { besideCases } from './beside.js';
import { closedCases } from './closed.js';
import { documentCases } from './document.js';
import { eventsCases } from './events.js';
import { rejects, same } from './expectation.js';
import { type Case, type Cases, givenOf } from './given.js';
import { headCases } from './head.js';
import { healthCases } from './health.js';
import { historyCases } from './history.js';
import { membersCases } from './members.js';
import { membersExpectedCases } from './members-expected.js';
import { requestIdCases } from './request-id.js';
import { tokenCases } from './token.js';
import { viewsCases } from './views.js';
import { wholeCases } from './whole.js';

/** By what they are about. */
const GROUPS: Readonly<Record<string, Cases>> = {
  'a document': documentCases,
  members: membersCases,
  'a write that was decided by other features': besideCases,
  'what is assigned': assignedCases,
  'a head': headCases,
  'the token': tokenCases,
  'a request id': requestIdCases,
  'a write that says which members there are': membersExpectedCases,
  'the history': historyCases,
  events: eventsCases,
  health: healthCases,
  'all of it': wholeCases,
  views: viewsCases,
  'once closed': closedCases,
};

/** Enough for a store across a network, on a machine that is busy. */
const USUAL_TIMEOUT_MS = 5_000;

/** A case that a backend does otherwise, and why. */
export interface Deviation {
  /** The case's name: `a document › may have any name`. */
  readonly test: string;
  readonly reason: string;
}

export interface BackendContractOptions {
  /** A new, empty backend, which the case closes. */
  open: () => Promise<Backend>;
  /** Cases that this backend fails. Default none. */
  deviations?: readonly Deviation[];
}

/** One sentence of the contract, as a test. */
export interface ContractCase {
  /** Unique, such as `a document › is loaded as it was written`. */
  readonly name: string;
  /** How long it may take: 5,000 ms, or more where it makes thousands of writes. */
  readonly timeoutMs: number;
  /** Opens a backend, and closes it. Rejects where the sentence does not hold of it. */
  readonly run: () => Promise<void>;
}

/**
 * What every backend does, as tests for any runner: `test(name, run)` for each. A case for which a
 * deviation is declared has to fail, and says why in its name; the last case fails where one is
 * declared that there is not. The cases don't meet, as long as the backends opened don't.
 * INVALID_ARGUMENT.
 */
export function backendContract(options: BackendContractOptions): readonly ContractCase[] {
  refuseUnknownOptions(options, ['open', 'deviations']);
  const { open, deviations = [] } = options;
  if (typeof open !== 'function') throw invalid('`open` to be a function', open);
  const declared = new Map(deviations.map(({ test, reason }) => [test, reason]));
  const cases = Object.entries(GROUPS).flatMap(([group, sentences]) =>
    Object.entries(sentences).map(([sentence, each]) => {
      const name = `${group} › ${sentence}`;
      const reason = declared.get(name);
      declared.delete(name);
      return caseOf(name, each, open, reason);
    }),
  );
  const unknown = [...declared.keys()];
  const run = async () => same(unknown, []);
  const last = 'declares no deviation that there is not';
  return [...cases, { name: last, timeoutMs: USUAL_TIMEOUT_MS, run }];
}

function caseOf(
  name: string,
  each: Case,
  open: () => Promise<Backend>,
  reason: string | undefined,
): ContractCase {
  const { run, timeoutMs } =
    typeof each === 'function' ? { run: each, timeoutMs: USUAL_TIMEOUT_MS } : each;
  return {
    name: reason === undefined ? name : `${name} (deviates: ${reason})`,
    timeoutMs,
    run: async () => {
      const backend = await open();
      try {
        const running = run(givenOf(backend));
        await (reason === undefined ? running : rejects(running));
      } finally {
        await backend.close();
      }
    },
  };
}
