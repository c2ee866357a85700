import { createHash } from 'node:crypto';
import { z } from 'zod';
import { MemoryBackend } from '../../backends/memory.js';
import { isMatch } from '../etag.js';
import { Refusal } from '../problem.js';
import { Routes } from '../route.js';
import { Json, MOST_USERS } from '../wire.js';

const Report = z.strictObject({
  copied: z.array(z.string()),
  replaced: z.array(z.string()),
  same: z.array(z.string()),
  skipped: z.array(z.string()),
  problems: z.array(z.strictObject({ code: z.string(), detail: z.string() })),
});

const Contents = z.strictObject({
  features: z.record(z.string(), z.record(z.string(), Json)),
  members: z.record(z.string(), z.array(z.union([z.string(), z.int()]))).optional(),
  store: z.record(z.string(), Json).optional(),
});

export const transferRoutes: Routes = new Routes('Export and import')
  .add('GET /v1/export', {
    id: 'exportAll',
    summary:
      'Every feature with its users, and what features go by, as one document in the format of a features file: an HttpSource can follow it.',
    conditional: true,
    answer: Contents,
    handle: async ({ rollout, request }) => {
      const text = await rollout.contents();
      const etag = `"${createHash('sha256').update(text).digest('base64url')}"`;
      const headers = { etag, 'cache-control': 'private, no-cache' };
      if (isMatch(request.headers.get('if-none-match'), etag)) return { status: 304, headers };
      return { body: text, headers };
    },
  })
  .add('POST /v1/import', {
    id: 'importAll',
    summary: 'Adds the features of such a document, with their users.',
    query: z.strictObject({
      onConflict: z.enum(['skip', 'replace']).optional().describe('Default skip.'),
      dryRun: z
        .enum(['true', 'false'])
        .optional()
        .describe('Say what would be done. Default false.'),
    }),
    body: Contents,
    answer: Report,
    handle: async ({ rollout, caller, body, query, about }) => {
      const users = Object.values(body.members ?? {}).flat().length;
      if (users > MOST_USERS) {
        throw new Refusal(
          'INVALID_REQUEST',
          `There are more than ${MOST_USERS} users: import the others after it, as users.`,
          { path: 'members' },
        );
      }
      const from = new MemoryBackend({ contents: JSON.stringify(body) });
      const { onConflict = 'skip', dryRun = 'false' } = query;
      const { note } = about;
      const { problems, ...report } = await rollout.copyFrom(from, {
        onConflict,
        dryRun: dryRun === 'true',
        ...(caller !== undefined && { actor: caller.actor }),
        ...(note !== undefined && { note }),
      });
      const told = problems.map(({ code, message }) => ({ code, detail: message }));
      return { body: { ...report, problems: told } };
    },
  });
