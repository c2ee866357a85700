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
      const { page, next } = await pageOf(rollout.members(name), query);
      return { body: { users: page, count: await rollout.countMembers(name), next } };
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
 * The next ones in the order of their ids: they come in none, so all of them are looked at, of which
 * no more than two pages are held.
 */
export async function pageOf<Item>(
  items: AsyncIterable<Item>,
  { prefix = '', after = '', limit = 100 }: z.output<typeof PageQuery>,
  idOf: (item: Item) => string = String,
): Promise<{ page: Item[]; next: string | undefined }> {
  // One more tells whether there is another page.
  const least = new Map<string, Item>();
  let last: string | undefined;
  const cut = () => {
    const ids = [...least.keys()].sort(byCode);
    for (const id of ids.slice(limit + 1)) least.delete(id);
    last = ids[limit];
    return ids.slice(0, limit);
  };
  for await (const item of items) {
    const id = idOf(item);
    if (id <= after || !id.startsWith(prefix) || (last !== undefined && id >= last)) continue;
    least.set(id, item);
    if (least.size >= 2 * limit + 2) cut();
  }
  const ids = cut();
  const page = ids.map((id) => least.get(id) as Item);
  return { page, next: least.size > limit ? ids.at(-1) : undefined };
}

function byCode(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
