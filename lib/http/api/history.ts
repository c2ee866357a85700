import { z } from 'zod';
import type { Change as Entry } from '../../backends/backend.js';
import type { Moment } from '../../history.js';
import type { Reference, Rollout } from '../../rollout.js';
import { readName } from '../../stored-name.js';
import { Refusal } from '../problem.js';
import { type Call, type Method, Routes } from '../route.js';
import { Change, Difference, Feature, Preview, Subjects } from '../wire.js';
import { answerOf } from './features.js';

const MomentOf = z
  .union([z.int().min(1), z.string().min(1).max(200)])
  .describe('A revision (a number), or the id of a change (a text).');

/** In a query all is text; ids of changes hold more than digits, or are said with a colon before. */
const MomentIn = z
  .string()
  .min(1)
  .max(200)
  .describe('A revision, or `change:` and the id of a change.');

const Members = z.enum(['restore', 'keep', 'none']).optional();

const HistoryQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).optional().describe('Default 50.'),
  before: z.string().optional().describe('Only what came before the change of this id.'),
  kind: z.enum(['documents', 'members']).optional(),
});

const History = z.strictObject({ changes: z.array(Change), next: z.string().optional() });

/** What has a history, and where. */
const PLACES: readonly [path: string, of: Exclude<Reference['of'], never>, title: string][] = [
  ['/v1/features/{name}', 'feature', 'Feature'],
  ['/v1/groups/{name}', 'group', 'Group'],
  ['/v1/experiments/{name}', 'experiment', 'Experiment'],
  ['/v1/population', 'population', 'Population'],
];

export const historyRoutes: Routes = new Routes('History');

historyRoutes.add('GET /v1/log', {
  id: 'log',
  summary: 'The changes of everything, the newest first.',
  query: HistoryQuery,
  answer: History,
  handle: async ({ rollout, query }) => pageOf(await rollout.log(kept(query)), query.limit),
});

for (const [path, of, title] of PLACES) addTo(path, of, title);

historyRoutes.add('POST /v1/features/{name}/rollback/preview', {
  id: 'previewFeatureRollback',
  summary: 'Who would gain the feature, lose it or change variant by a rollback of its document.',
  asks: true,
  body: z.strictObject({ to: MomentOf, subjects: Subjects }),
  answer: Preview,
  handle: async ({ rollout, param, body }) => {
    const name = param('name');
    const document = await documentAt(rollout, name, body.to);
    return { body: await rollout.preview(name, document, body.subjects) };
  },
});

function addTo(path: string, of: Reference['of'], title: string): void {
  const at = (method: Method, rest: string) =>
    `${method} ${path}/${rest}` as `${Method} /${string}`;
  const reference = ({ param }: Pick<Call, 'param'>): Reference => ({
    of,
    name: of === 'population' ? 'all' : param('name'),
  });
  historyRoutes
    .add(at('GET', 'history'), {
      id: `list${title}History`,
      summary: 'The changes, the newest first; of what is removed too.',
      query: HistoryQuery,
      answer: History,
      handle: async (call) =>
        pageOf(await call.rollout.history(reference(call), kept(call.query)), call.query.limit),
    })
    .add(at('GET', 'diff'), {
      id: `diff${title}`,
      summary:
        'What differs between two states of the document; `to` is what there is now, if it is not said.',
      query: z.strictObject({ from: MomentIn, to: MomentIn.optional() }),
      answer: z.array(Difference),
      handle: async (call) => {
        const { from, to } = call.query;
        const moments = [momentIn(from), to === undefined ? undefined : momentIn(to)] as const;
        return { body: await call.rollout.diff(reference(call), ...moments) };
      },
    })
    .add(at('POST', 'rollback'), {
      id: `rollback${title}`,
      summary:
        'Brings back the document as it was then; to a change, the members as they were too.',
      conditional: true,
      body: z.strictObject({ to: MomentOf, members: Members }),
      answer: Feature,
      handle: async (call) => {
        const { to, members } = call.body;
        const options = { ...call.write, ...(members !== undefined && { members }) };
        return answerOf(await call.rollout.rollback(reference(call), to as Moment, options));
      },
    })
    .add(at('POST', 'undo'), {
      id: `undo${title}`,
      summary: 'Takes back one change: the last, or that of an id.',
      conditional: true,
      body: z.strictObject({ change: z.string().min(1).max(200).optional() }),
      answer: z.strictObject({ document: Feature.optional() }),
      handle: async (call) => {
        const { change } = call.body;
        const { requestId, ...write } = call.write;
        // The last change is another one after this; only who names both is told so.
        const isNamed = change !== undefined || call.request.headers.has('idempotency-key');
        const options = isNamed ? { ...write, requestId } : write;
        return { body: { document: await call.rollout.undo(reference(call), change, options) } };
      },
    });
  // There is always one.
  if (of === 'population') return;
  historyRoutes.add(at('POST', 'restore'), {
    id: `restore${title}`,
    summary: 'Brings back what was removed, as it was.',
    body: z.strictObject({ members: z.enum(['keep', 'none']).optional() }),
    answer: Feature,
    handle: async (call) => {
      const { members } = call.body;
      const options = { ...call.about, ...(members !== undefined && { members }) };
      return answerOf(await call.rollout.restore(reference(call), options));
    },
  });
}

function kept({ limit = 50, ...others }: z.output<typeof HistoryQuery>) {
  return { ...others, limit: limit + 1 };
}

function pageOf(found: readonly (Entry & { of?: string })[], limit: number = 50) {
  const page = found.slice(0, limit);
  const next = found.length > limit ? page.at(-1)?.id : undefined;
  return { body: { changes: page.map(entryOf), next } };
}

function entryOf(change: Entry & { of?: string }) {
  const { id, kind, at, head, actor, note, before, after, added, removed, memberCount } = change;
  const [stored, bare] = readName(change.name);
  return {
    ...{ id, of: change.of ?? stored, name: bare, kind, at: new Date(at).toISOString() },
    ...{ revision: head.revision, actor, note, before, after, added, removed, memberCount },
  };
}

function momentIn(text: string): Moment {
  if (text.startsWith('change:')) return text.slice('change:'.length);
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new Refusal(
    'INVALID_ARGUMENT',
    'Expected a revision, or `change:` and the id of a change.',
  );
}

/** The document that a rollback would bring back. */
async function documentAt(rollout: Rollout, name: string, to: string | number) {
  for (let before: string | undefined; ; ) {
    const changes = await rollout.history(name, {
      limit: 100,
      kind: 'documents',
      ...(before && { before }),
    });
    const match = changes.find(({ id, after }) =>
      typeof to === 'string' ? id === to : after?.revision === to,
    );
    if (match?.after !== undefined) return match.after;
    before = changes.at(-1)?.id;
    if (before === undefined)
      throw new Refusal('NOT_KEPT', 'The history does not keep that document.');
  }
}
