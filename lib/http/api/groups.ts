import { z } from 'zod';
import { Routes } from '../route.js';
import { Count, Group, Id, MOST_USERS, Name } from '../wire.js';
import { Page, PageQuery, pageOf, Users } from './users.js';

export const groupRoutes: Routes = new Routes('Groups')
  .add('GET /v1/groups', {
    id: 'listGroups',
    summary: 'The stored groups, by name.',
    answer: z.strictObject({ groups: z.array(Group) }),
    handle: async ({ rollout }) => ({ body: { groups: await rollout.groups() } }),
  })
  .add('GET /v1/groups/{name}/users', {
    id: 'listGroupUsers',
    summary: 'Who is listed in a group, a page at a time, and how many there are.',
    query: PageQuery,
    answer: Page,
    handle: async ({ rollout, param, query }) => {
      const name = param('name');
      const { page, next } = await pageOf(rollout.groupMembers(name), query);
      return { body: { users: page, count: await rollout.countGroup(name), next } };
    },
  })
  .add('POST /v1/groups/{name}/users', {
    id: 'addGroupUsers',
    summary: 'Lists users in a group, which is made at its first; at most 1,000 at once.',
    body: z.strictObject({
      users: z.array(Id).min(1).max(MOST_USERS),
      subjectKey: Name.optional(),
    }),
    answer: Count,
    handle: async ({ rollout, param, body: { users, subjectKey }, about }) => {
      const options = { ...about, ...(subjectKey !== undefined && { subjectKey }) };
      return { body: { changed: await rollout.addToGroup(param('name'), users, options) } };
    },
  })
  .add('POST /v1/groups/{name}/users/remove', {
    id: 'removeGroupUsers',
    summary: 'Takes users out of a group.',
    body: Users,
    answer: Count,
    handle: async ({ rollout, param, body, about }) => ({
      body: { changed: await rollout.removeFromGroup(param('name'), body.users, about) },
    }),
  })
  .add('DELETE /v1/groups/{name}', {
    id: 'removeGroup',
    summary: 'Removes a stored group that no rule names.',
    status: 204,
    handle: async ({ rollout, param, about }) => {
      await rollout.removeGroup(param('name'), about);
      return {};
    },
  });
