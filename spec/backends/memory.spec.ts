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
});
