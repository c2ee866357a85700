import { AssertionError } from 'node:assert';
import { setTimeout as delay } from 'node:timers/promises';
import { Rollout } from '../../lib/index.js';
import { everyCombination, withFeatures } from '../../lib/testing/index.js';

const app = new Rollout();

/** What `everyCombination` rejects with. */
async function failure(running: Promise<void>): Promise<AggregateError> {
  const [{ reason }] = (await Promise.allSettled([running])) as [PromiseRejectedResult];
  return reason;
}

it('calls the function once with each, one after the other, the features being so', async () => {
  const seen: unknown[] = [];
  let running = 0;
  await everyCombination(
    { chat: [true, false], cdc_on: ['foo', 'bar', false] },
    async (combination) => {
      expect(++running).toBe(1);
      await delay(1);
      const { chat, cdc_on } = combination;
      expect(app.isEnabledSync('chat')).toBe(chat);
      expect(await app.variant('cdc_on')).toBe(cdc_on === false ? undefined : cdc_on);
      seen.push(combination);
      running--;
    },
  );
  expect(seen).toEqual([
    { chat: true, cdc_on: 'foo' },
    { chat: true, cdc_on: 'bar' },
    { chat: true, cdc_on: false },
    { chat: false, cdc_on: 'foo' },
    { chat: false, cdc_on: 'bar' },
    { chat: false, cdc_on: false },
  ]);
  expect(app.isEnabledSync('chat')).toBe(false);
});

it('takes names alone, of features that are on or off', async () => {
  const seen: boolean[][] = [];
  await everyCombination(['a', 'b'], ({ a, b }) => {
    expect([app.isEnabledSync('a'), app.isEnabledSync('b')]).toEqual([a, b]);
    seen.push([a, b]);
  });
  expect(seen).toEqual([
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ]);
});

it('takes settings too, and adds to what is said around', async () => {
  const answers: unknown[] = [];
  const settings = { percentage: 100, patterns: [/^ann$/] };
  await withFeatures({ search: 'fast' }, () =>
    everyCombination({ chat: [settings, {}] }, async () => {
      answers.push([app.decideSync('chat', 'ann').detail, await app.variant('search')]);
    }),
  );
  expect(answers).toEqual([
    ['pattern', 'fast'],
    ['no gate', 'fast'],
  ]);
});

it('runs several at once where it is told to, which do not meet', async () => {
  let running = 0;
  let most = 0;
  let calls = 0;
  await everyCombination(
    ['a', 'b', 'c', 'd'],
    async (combination) => {
      calls++;
      most = Math.max(most, ++running);
      await delay(Math.random() * 5);
      for (const [name, value] of Object.entries(combination)) {
        expect(await app.isEnabled(name)).toBe(value);
      }
      running--;
    },
    { concurrency: 3 },
  );
  expect([calls, most]).toEqual([16, 3]);
});

it('runs them all, and then tells which have failed, and why', async () => {
  let calls = 0;
  const first = new AssertionError({ message: 'chat is broken' });
  const error = await failure(
    everyCombination({ chat: [true, false], color: ['red', 'blue', false] }, async ({ color }) => {
      calls++;
      if (color === 'red') throw first;
      await delay(1);
      if (color === false) throw undefined;
    }),
  );
  expect(calls).toBe(6);
  expect(error).toBeInstanceOf(AggregateError);
  expect(error.message).toBe(
    [
      '4 of 6 combinations failed.',
      "With { chat: true, color: 'red' }: chat is broken",
      'With { chat: true, color: false }: undefined',
      "With { chat: false, color: 'red' }: chat is broken",
      'With { chat: false, color: false }: undefined',
    ].join('\n'),
  );
  expect(error.errors.map(({ cause }) => cause)).toEqual([first, undefined, first, undefined]);
});

it('tells ten of many failures, in their order, and has all', async () => {
  const error = await failure(
    everyCombination(
      ['a', 'b', 'c', 'd'],
      async () => {
        await delay(Math.random() * 5);
        throw new Error('no');
      },
      { concurrency: 16 },
    ),
  );
  expect(error.errors).toHaveLength(16);
  const told = error.message.split('\n');
  expect(told).toHaveLength(12);
  expect(told[1]).toBe('With { a: true, b: true, c: true, d: true }: no');
  expect(told[2]).toBe('With { a: true, b: true, c: true, d: false }: no');
  expect(told[11]).toBe('And 6 more: see `errors`.');
});

it('fails where a feature is asked for that nobody has defined', async () => {
  const ask = () => app.isEnabled('caht');
  const { message } = await failure(everyCombination(['chat'], ask));
  expect(message).toContain('With { chat: true }: Feature "caht" was asked for');
  await everyCombination(['chat'], ask, { failOnUndefined: false });
});

describe('given what it can not take', () => {
  const names = (count: number) => Array.from({ length: count }, (_, n) => `f${n}`);

  it.each([
    ['no features', {}, 'at least one feature'],
    ['no names', [], 'at least one feature'],
    ['no values', { chat: [] }, 'a list of values for feature "chat"'],
    ['a value alone', { chat: true }, 'a list of values for feature "chat"'],
    ['a text for a list', { chat: 'foo' }, 'a list of values for feature "chat"'],
    ['another kind of value', { chat: [true, 7] }, 'settings for feature "chat", got `7`'],
    ['settings that are none', { chat: [{ percentage: 101 }] }, 'Feature "chat": Expected'],
    ['nothing', undefined, 'Expected `features` to be an object'],
    ['1,024 combinations', names(10), 'at most 1000 combinations'],
    ['2 ** 64 combinations', names(64), 'at most 1000 combinations'],
  ])('refuses %s, before anything runs', async (_, values, message) => {
    const fn = jest.fn();
    await expect(everyCombination(values as never, fn)).rejects.toThrow(message);
    expect(fn).toHaveBeenCalledTimes(0);
  });

  it('refuses what is no function, and options that there are not', async () => {
    const code = 'INVALID_ARGUMENT';
    const call = (...args: unknown[]) =>
      (everyCombination as (...args: unknown[]) => Promise<void>)(['chat'], ...args);
    await expect(call()).rejects.toMatchObject({ code });
    await expect(call(() => {}, { parallel: 2 })).rejects.toMatchObject({ code });
    await expect(call(() => {}, { concurrency: 0 })).rejects.toMatchObject({ code });
    await expect(call(() => {}, { failOnUndefined: 1 })).rejects.toMatchObject({ code });
  });
});

// What counts here is that `npm run types` passes.
describe('with the type of a Rollout', () => {
  const typed = new Rollout<{ chat: boolean; color: 'red' | 'blue' }>();

  it('knows names and variants, and what comes in', async () => {
    await everyCombination({ color: ['red', false], chat: [true] }, ({ color, chat }) => {
      const known: 'red' | false = color;
      const alwaysOn: true = chat;
      expect([known, alwaysOn]).toContain(true);
    });
    await everyCombination<typeof typed>({ color: ['red', 'blue'] }, ({ color }) => {
      expect(['red', 'blue']).toContain(color);
    });
    await everyCombination<typeof typed>(['chat'], async () => {
      expect(typeof (await typed.isEnabled('chat'))).toBe('boolean');
    });
    const fn = () => {};
    // @ts-expect-error no such variant
    await everyCombination<typeof typed>({ color: ['green'] }, fn);
    // @ts-expect-error no such feature
    await everyCombination<typeof typed>({ caht: [true] }, fn);
    // @ts-expect-error no such feature
    await everyCombination<typeof typed>(['caht'], fn);
    // @ts-expect-error no such feature among those that come in
    await everyCombination(['chat'], ({ caht }) => caht);
    // @ts-expect-error not a value, whatever the features
    await expect(everyCombination({ chat: [5] }, fn)).rejects.toThrow('got `5`');
  });
});
