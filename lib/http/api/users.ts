import { z } from 'zod';
import { Routes } from '../route.js';
import { Count, Feature, Id, Ids, MOST_USERS } from '../wire.js';
import { answerOf } from './features.js';

export const Users = z.strictObject({ users: z.array(Id).min(1).max(MOST_USERS) });

/** A page of ids, which are in order. */
export const PageQuery = z.strictObject({
  prefix: z.string().optional().describe('Only ids that begin so.'),
  after: z.string().optional().describe('Only ids that come after this one.'),
  limit: z.coerce.number().int().min(1).max(1_000).optional().describe('Default 100.'),
});

export const Page = z.strictObject({ users: Ids, count: z.int(), next: z.string().optional() });

export const userRoutes: Routes = new Routes('Users')
  .add('GET /v1/features/{name}/users', {
    id: 'listUsers',
    summary: 'The users who are let in by name, a page at a time, and how many there are.',
    query: PageQuery,
    answer: Page,
    handle: async ({ rollout, param, query }) => {
      const name = param('name');
      const page = await pageOf(rollout.members(name), query);
      return { body: { ...page, count: await rollout.countMembers(name) } };
    },
  })
  .add('POST /v1/features/{name}/users', {
    id: 'addUsers',
    summary: 'Lets users in by name, at most 1,000 at once.',
    body: Users,
    answer: Count,
    handle: async ({ rollout, param, body, about }) => ({
      body: { changed: await rollout.register(param('name'), body.users, about) },
    }),
  })
  .add('POST /v1/features/{name}/users/remove', {
    id: 'removeUsers',
    summary: 'Takes back that users were let in by name.',
    body: Users,
    answer: Count,
    handle: async ({ rollout, param, body, about }) => ({
      body: { changed: await rollout.unregister(param('name'), body.users, about) },
    }),
  })
  .add('POST /v1/features/{name}/excluded', {
    id: 'excludeUsers',
    summary: 'Keeps users out, whatever else lets them in.',
    conditional: true,
    body: Users,
    answer: Feature,
    handle: async ({ rollout, param, body, write }) =>
      answerOf(await rollout.exclude(param('name'), body.users, write)),
  })
  .add('POST /v1/features/{name}/excluded/remove', {
    id: 'unexcludeUsers',
    summary: 'Takes back that users are kept out.',
    conditional: true,
    body: Users,
    answer: Feature,
    handle: async ({ rollout, param, body, write }) =>
      answerOf(await rollout.unexclude(param('name'), body.users, write)),
  });

/**
 * The next ids in their order: they come in none, so all of them are looked at, of which no more
 * than a page is held.
 */
export async function pageOf(
  ids: AsyncIterable<string>,
  { prefix = '', after = '', limit = 100 }: z.output<typeof PageQuery>,
): Promise<{ users: string[]; next: string | undefined }> {
  // One more tells whether there is another page.
  let least: string[] = [];
  let last: string | undefined;
  const cut = () => {
    least = [...new Set(least)].sort(byCode).slice(0, limit + 1);
    last = least.length > limit ? least.at(-1) : undefined;
  };
  for await (const id of ids) {
    if (id <= after || !id.startsWith(prefix) || (last !== undefined && id >= last)) continue;
    least.push(id);
    if (least.length >= 2 * limit + 2) cut();
  }
  cut();
  const users = least.slice(0, limit);
  return { users, next: least.length > limit ? users.at(-1) : undefined };
}

function byCode(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
