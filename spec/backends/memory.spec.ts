import { KEEP_REMOVED_MS, REQUEST_MEMORY_MS } from '../../lib/backends/backend.js';
import { MemoryBackend } from '../../lib/backends/memory.js';
import { createFeature } from '../../lib/domain/validate.js';
import { backendContract } from './contract.js';

backendContract('MemoryBackend', { open: async () => new MemoryBackend() });

describe('a MemoryBackend', () => {
  const document = createFeature('chat', 'id', {});

  it('stamps the history by the clock that it is given', async () => {
    const backend = new MemoryBackend({ now: () => 1_234 });
    await backend.write({ name: 'chat', expect: 'absent', document });
    expect((await backend.history('chat', { limit: 1 }))[0]?.at).toBe(1_234);
  });

  it('keeps the last changes, as many as it was told', async () => {
    const backend = new MemoryBackend({ historyLength: 3 });
    await backend.write({ name: 'chat', expect: 'absent', document });
    for (let n = 0; n < 20; n++) {
      await backend.write({ name: 'chat', expect: 'present', add: [`user-${n}`] });
      const history = await backend.history('chat', { limit: 1_000, kind: 'members' });
      expect(history[0]?.added).toEqual([`user-${n}`]);
      expect(history.length).toBe(Math.min(n + 1, 3));
    }
    expect(await backend.log({ limit: 1_000, kind: 'members' })).toHaveLength(3);
  });

  it('keeps none where it was told so', async () => {
    const backend = new MemoryBackend({ historyLength: 0 });
    await backend.write({ name: 'chat', expect: 'absent', document });
    expect(await backend.history('chat', { limit: 10 })).toEqual([]);
  });

  it.each([-1, 1.5, Number.NaN, '10'])('refuses a history of %p', (historyLength) => {
    expect(() => new MemoryBackend({ historyLength: historyLength as number })).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it.each([{ historylength: 3 }, { now: 5 }])('refuses the options %j', (options) => {
    expect(() => new MemoryBackend(options as object)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it('breaks a stream of members when it is closed', async () => {
    const backend = new MemoryBackend();
    const add = Array.from({ length: 1_000 }, (_, n) => `user-${n}`);
    await backend.write({ name: 'chat', expect: 'absent', document, add });
    await backend.write({ name: 'chat', expect: 'present', add: ['one more'] });
    const stream = backend.members('chat')[Symbol.asyncIterator]();
    await stream.next();
    await backend.close();
    await expect(stream.next()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('forgets the members of a removed feature in time', async () => {
    let now = 0;
    const backend = new MemoryBackend({ now: () => now });
    const remove = () => backend.write({ name: 'chat', expect: 'present', document: null });
    await backend.write({ name: 'chat', expect: 'absent', document, add: ['ann'] });
    await remove();
    now = KEEP_REMOVED_MS - 1;
    await backend.write({ name: 'chat', expect: 'absent', document: { ...document, revision: 2 } });
    expect(await backend.countMembers('chat')).toBe(1);
    await remove();
    now += KEEP_REMOVED_MS;
    await backend.write({ name: 'chat', expect: 'absent', document: { ...document, revision: 3 } });
    expect(await backend.countMembers('chat')).toBe(0);
  });

  it('forgets a request id in time', async () => {
    let now = 0;
    const backend = new MemoryBackend({ now: () => now });
    await backend.write({ name: 'chat', expect: 'absent', document });
    const join = { name: 'chat', expect: 'present', add: ['ann'], requestId: 'r' } as const;
    await backend.write(join);
    await backend.write({ name: 'chat', expect: 'present', remove: ['ann'] });
    now = REQUEST_MEMORY_MS;
    expect(await backend.write(join)).toMatchObject({ added: 1 });
  });

  it('forgets a request id that was answered', async () => {
    const backend = new MemoryBackend();
    await backend.write({ name: 'chat', expect: 'absent', document });
    const join = { name: 'chat', expect: 'present', add: ['ann'], requestId: 'r' } as const;
    await backend.write(join);
    await backend.write({ name: 'chat', expect: 'present', remove: ['ann'] });
    expect(await backend.write(join)).toMatchObject({ added: 1 });
    expect(await backend.countMembers('chat')).toBe(0);
    backend.forgetRequest('r');
    await backend.write(join);
    expect(await backend.countMembers('chat')).toBe(1);
  });
});

describe('what a MemoryBackend has kept, as a text', () => {
  const document = createFeature('chat', 'id', { percentage: 12.5, data: { owner: 'ann' } });
  const join = { name: 'chat', expect: 'present', add: ['ann', 'bob'], requestId: 'r' } as const;
  let backend: MemoryBackend;
  beforeEach(async () => {
    backend = new MemoryBackend();
    await backend.write({ name: 'chat', expect: 'absent', document, actor: 'alice' });
    await backend.write(join);
    const assign = [{ id: 'ann', value: 'a', weight: 2 }];
    await backend.write({ name: 'chat', expect: 'present', assign });
    const old = createFeature('old', 'id-old', {});
    await backend.write({ name: 'old', expect: 'absent', document: old, add: ['eve'] });
    await backend.write({ name: 'old', expect: 'present', document: null });
  });

  it('is all of it to the next one', async () => {
    const again = new MemoryBackend({ contents: backend.contents() });
    expect(await again.loadAll()).toEqual(await backend.loadAll());
    const { head } = (await again.load('chat')) as { head: object };
    expect(Object.isFrozen(head)).toBe(true);
    expect(await again.log({ limit: 10 })).toEqual(await backend.log({ limit: 10 }));
    expect(await again.assignedWeights('chat')).toEqual(new Map([['a', 2]]));
    expect(await again.write(join)).toMatchObject({ added: 2 });
    expect(await again.countMembers('chat')).toBe(2);
    const back = { ...createFeature('old', 'id-old', {}), revision: 2 };
    await again.write({ name: 'old', expect: 'absent', document: back });
    expect(await again.countMembers('old')).toBe(1);
    // The two are apart.
    expect(await backend.load('old')).toBeUndefined();
  });

  it('is the same text where nothing was written', () => {
    const text = backend.contents();
    expect(new MemoryBackend({ contents: text }).contents()).toBe(text);
  });

  it('may be written by a person', async () => {
    const contents = '{ "features": { "chat": { "percentage": 20 } }, "members": { "chat": [7] } }';
    const written = new MemoryBackend({ contents });
    expect((await written.load('chat'))?.feature?.percentage).toBe(20);
    expect((await written.loadMembers(new Map([['chat', 'other']]))).size).toBe(0);
    expect(await written.countMembers('chat')).toBe(1);
  });

  it('keeps what can not be read as it is', async () => {
    const contents = '{ "features": { "chat": { "percentage": 200 }, "list": {} } }';
    const written = new MemoryBackend({ contents });
    expect((await written.load('chat'))?.problem?.code).toBe('CORRUPT_FEATURE');
    await written.write({ name: 'list', expect: 'present', add: ['ann'] });
    expect(JSON.parse(written.contents()).features.chat).toEqual({ percentage: 200 });
  });

  it('of a closed one is no more', async () => {
    await backend.close();
    expect(() => backend.contents()).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    expect(() => backend.forgetRequest('r')).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('is not more than can be read again', async () => {
    const features = Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`f${n}`, {}]));
    const full = new MemoryBackend({ contents: JSON.stringify({ features }) });
    expect(full.contents().length).toBeGreaterThan(1_000_000);
    await full.write({ name: 'chat', expect: 'absent', document });
    expect(() => full.contents()).toThrow(
      expect.objectContaining({
        code: 'STORE_DENIED',
        message: 'It could not be read again: `features` are 20001, more than 20000.',
      }),
    );
  });

  it.each([
    ['{ "features": { "chat": ', 'INVALID_RECORD', /it is not JSON/],
    ['[]', 'INVALID_RECORD', /has to be an object/],
    [7, 'INVALID_ARGUMENT', /Expected `contents` to be a text, got `7`/],
  ])('can not be %p', (contents, code, message) => {
    expect(() => new MemoryBackend({ contents: contents as string })).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});
