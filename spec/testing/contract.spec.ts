import type { Change, HistoryOptions, Token, Write } from '../../lib/backends/backend.js';
import { MemoryBackend } from '../../lib/index.js';
import { backendContract, type Deviation } from '../../lib/testing/index.js';
import { BROKEN_BACKENDS, without } from './broken-backends.js';

const casesOf = (Backend: new () => MemoryBackend, deviations: readonly Deviation[] = []) =>
  backendContract({ open: async () => new Backend(), deviations });

/** The names of the cases that fail. */
async function failing(cases: ReturnType<typeof backendContract>): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, run } of cases) await run().catch(() => failed.push(name));
  return failed;
}

const NAMES = casesOf(MemoryBackend).map(({ name }) => name);
const LAST = 'declares no deviation that there is not';

describe('the contract suite', () => {
  it('finds nothing wrong with a backend that does as it says', async () => {
    expect(await failing(casesOf(MemoryBackend))).toEqual([]);
  });

  it.each(BROKEN_BACKENDS)('tells of one that %s', async (_, Broken, told) => {
    expect(await failing(casesOf(Broken))).toEqual(expect.arrayContaining(told));
  });

  it('has no case that can not fail', () => {
    const told = new Set([...BROKEN_BACKENDS.flatMap(([, , each]) => each), LAST]);
    expect(NAMES.filter((name) => !told.has(name))).toEqual([]);
  });

  it('has a name of its own for each case', () => {
    expect(new Set(NAMES).size).toBe(NAMES.length);
    expect(NAMES).toContain('a document › is loaded as it was written');
  });

  it('opens a backend for each case, and closes it, whatever comes of it', async () => {
    const opened: MemoryBackend[] = [];
    class Watched extends MemoryBackend {
      constructor() {
        super();
        opened.push(this);
      }
      override async token(): Promise<Token> {
        return { documents: '0', members: '0' };
      }
    }
    const failed = await failing(casesOf(Watched));
    expect(failed.length).toBeGreaterThan(2);
    expect(opened).toHaveLength(NAMES.length - 1);
    for (const each of opened) expect(each.health().state).toBe('closed');
  });

  it('tells what was expected, and where', async () => {
    class Forgetful extends MemoryBackend {
      override async history(name: string, options: HistoryOptions): Promise<Change[]> {
        const all = await super.history(name, options);
        return all.map((each) => ({ ...each, actor: undefined }));
      }
    }
    const told = casesOf(Forgetful).find(({ name }) => name.startsWith('the history › tells each'));
    await expect(told?.run()).rejects.toMatchObject({
      name: 'AssertionError',
      message: "Expected [2].actor to be 'bob', got undefined.",
    });
    const one = casesOf(MemoryBackend).find(({ name }) => name.startsWith('a request id › of an'));
    expect(one?.timeoutMs).toBe(5_000);
    class Sloppy extends MemoryBackend {
      override write(write: Write) {
        return super.write(without(write, 'requestId'));
      }
    }
    const other = casesOf(Sloppy).find(({ name }) => name === one?.name);
    await expect(other?.run()).rejects.toThrow(
      "Expected a rejection with { code: 'INVALID_ARGUMENT' }, but it has resolved with { head:",
    );
  });
});

describe('a deviation that is declared', () => {
  const test = 'the token › is none before the first write';
  class Begun extends MemoryBackend {
    override async token(): Promise<Token> {
      return (await super.token()) ?? { documents: '0', members: '0' };
    }
  }

  it('is told by the name of its case, which passes as it fails', async () => {
    const cases = casesOf(Begun, [{ test, reason: 'it numbers from 0' }]);
    expect(cases.map(({ name }) => name)).toContain(`${test} (deviates: it numbers from 0)`);
    expect(await failing(cases)).toEqual([
      'a document › is not replaced, removed or joined where there is none',
    ]);
  });

  it('fails where there is none, or no such case', async () => {
    const reason = 'none';
    expect(await failing(casesOf(MemoryBackend, [{ test, reason }]))).toEqual([
      `${test} (deviates: none)`,
    ]);
    const unknown = { test: 'is none before the first write', reason };
    expect(await failing(casesOf(MemoryBackend, [unknown]))).toEqual([LAST]);
  });

  it('does not make up for a backend that can not be opened', async () => {
    const open = async () => {
      throw new Error('No such host.');
    };
    const cases = backendContract({ open, deviations: [{ test, reason: 'none' }] });
    expect(await failing(cases)).toHaveLength(NAMES.length - 1);
  });
});

it.each([{}, { open: 5 }, { open: async () => new MemoryBackend(), deviation: [] }])(
  'the options %p are refused',
  (options) => {
    expect(() => backendContract(options as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  },
);
