import { MemoryBackend } from '../../../lib/backends/memory.js';
import { Rollout } from '../../../lib/rollout.js';
import { ADMIN, given, READ, type Visitor } from './visitor.js';

/** Features of whose documents some were spoilt by hand, with their history. */
async function spoilt(spoil: Record<string, object> = { chat: { percentage: 'secret-id' } }) {
  const backend = new MemoryBackend();
  const written = new Rollout(backend);
  await written.as('bea').addFeature('chat', { percentage: 20 });
  await written.register('chat', 'ann');
  await written.as('bea').setPercentage('chat', 40, { note: 'half' });
  await written.addFeature('fine');
  await written.addToGroup('friends', ['ann']);
  const file = JSON.parse(backend.contents());
  for (const [name, change] of Object.entries(spoil)) Object.assign(file.features[name], change);
  return given({}, new MemoryBackend({ contents: JSON.stringify(file) }));
}

/** The change to go back to: its id stands in a form of the page. */
function changesIn({ text }: Visitor): string[] {
  return [...text.matchAll(/name="change" value="([^"]*)"/g)].map(([, id = '']) => id);
}

describe('a document that can not be read', () => {
  it('stands before the list, whatever else it is narrowed to', async () => {
    const { visitor } = await spoilt({
      chat: { percentage: 'secret-id' },
      'group\u001ffriends': { percentage: 200 },
    });
    await visitor.signIn(ADMIN);
    for (const path of ['/', '/?state=ramping', '/?q=CHA']) {
      await visitor.get(path);
      expect(visitor.text).toContain(
        '<a href="/feature?name=chat"><bdi>chat</bdi></a> <strong>can not be read: off for everyone</strong>',
      );
      expect(visitor.text).not.toContain('secret-id');
    }
    expect(visitor.text).not.toContain('friends');
    await visitor.get('/');
    expect(visitor.text).toContain('group <bdi>friends</bdi>');
    expect(visitor.text).toContain('features.group friends.percentage: Expected');
    expect(visitor.text).toContain('2 documents can not be read');
    await visitor.get('/?q=fine');
    expect(visitor.text).not.toContain('can not be read');
  });

  it('has a page that says why, and what was', async () => {
    const { visitor } = await spoilt();
    await visitor.signIn(ADMIN);
    expect((await visitor.get('/feature?name=chat')).status).toBe(200);
    expect(visitor.text).toContain('features.chat.percentage: Expected');
    expect(visitor.text).toContain('“half”');
    expect(visitor.text).not.toContain('secret-id');
    expect((await visitor.get('/feature/history?name=chat')).status).toBe(200);
    expect(changesIn(visitor)).toHaveLength(2);
  });

  it('can be rolled back to each document that is kept, and keeps its users', async () => {
    const { visitor, rollout } = await spoilt();
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    const [newest = '', first = ''] = changesIn(visitor);
    const revision = () => rollout.get('chat').then((chat) => chat?.revision);
    let mended: number | undefined;
    for (let times = 0; times < 2; times++) {
      const fields = { do: 'rollback', change: newest, note: 'mended' };
      const response = await visitor.post('/feature?name=chat', fields);
      expect(response.headers.get('location')).toBe('/feature?name=chat&saved=1#saved');
      mended ??= await revision();
    }
    expect(await revision()).toBe(mended);
    expect(await rollout.get('chat')).toMatchObject({ percentage: 40 });
    expect(await rollout.countMembers('chat')).toBe(1);
    expect((await rollout.history('chat'))[0]).toMatchObject({ actor: 'ann', note: 'mended' });
    expect(first).not.toBe('');
    await visitor.get('/feature?name=chat&saved=1');
    expect(visitor.text).toContain('<strong>Saved</strong>');
    // There is nothing readable that an undo could bring back.
    expect(visitor.text).not.toContain('id="undo-note"');
    await visitor.get('/');
    expect(visitor.text).not.toContain('can not be read');
  });

  it('can be removed by who types its name', async () => {
    const { visitor, rollout } = await spoilt();
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    expect((await visitor.post('/feature?name=chat', { do: 'remove', typed: 'chap' })).status).toBe(
      400,
    );
    expect(visitor.text).toContain('<a href="#remove-typed">Expected the name of the feature');
    expect(visitor.text).toContain('value="chap"');
    const response = await visitor.post('/feature?name=chat', { do: 'remove', typed: 'chat' });
    expect(response.headers.get('location')).toBe('/?removed=chat');
    expect(await rollout.get('chat')).toBeUndefined();
    await visitor.get('/feature?name=chat');
    expect(visitor.text).toContain('could not be read, so it can not be brought back');
    expect(visitor.text).not.toContain('value="restore"');
  });

  it.each([
    ['of another state', { do: 'rollback', revision: '7' }, 409],
    ['to a change that is not kept', { do: 'rollback', change: '99999' }, 409],
    ['that steers it', { do: 'disable' }, 409],
    ['of no state', { do: 'remove', typed: 'chat', id: '' }, 400],
    ['of another page', { do: 'remove', typed: 'chat', form: 'x' }, 403],
  ])('stays as it is by a form %s', async (_, fields, expected) => {
    const { visitor, rollout } = await spoilt();
    await visitor.signIn(ADMIN);
    await visitor.get('/feature?name=chat');
    const [change = ''] = changesIn(visitor);
    const { status } = await visitor.post('/feature?name=chat', { change, ...fields });
    expect(status).toBe(expected);
    expect(await rollout.unreadable()).toHaveLength(1);
  });

  it('shows its history, and no form, to who only looks on', async () => {
    const { visitor } = await spoilt();
    await visitor.signIn(READ);
    await visitor.get('/feature?name=chat');
    expect(visitor.text).toContain('“half”');
    expect(visitor.text).not.toContain('<button name="do"');
    expect((await visitor.post('/feature?name=chat', { do: 'remove', typed: 'chat' })).status).toBe(
      403,
    );
  });
});

describe('a document whose head is lost too', () => {
  it('can only be removed, while it is so', async () => {
    const backend = new MemoryBackend();
    const { visitor, rollout } = given({}, backend);
    await rollout.addFeature('chat');
    await visitor.signIn(ADMIN);
    const problem = await spoiltProblem();
    const { load } = backend;
    // As a store of its own can lose it: Redis keeps heads in another hash.
    backend.load = async () => ({ head: undefined, problem });
    await visitor.get('/feature?name=chat');
    expect(visitor.text).toContain('can only be removed');
    expect(changesIn(visitor)).toEqual([]);
    const page = visitor.text;
    backend.load = load;
    const fields = { do: 'remove', typed: 'chat' };
    expect((await visitor.post('/feature?name=chat', fields)).status).toBe(400);
    expect(await rollout.get('chat')).toBeDefined();
    backend.load = async () => ({ head: undefined, problem });
    visitor.text = page;
    expect((await visitor.post('/feature?name=chat', fields)).status).toBe(303);
    backend.load = load;
    expect(await rollout.get('chat')).toBeUndefined();
  });
});

async function spoiltProblem() {
  const [{ problem } = raise()] = await (await spoilt()).rollout.unreadable();
  return problem;
}

function raise(): never {
  throw new Error('Nothing is unreadable.');
}
