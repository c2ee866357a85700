import { importInto, readHanoi } from '../lib/import/index.js';
import { Rollout } from '../lib/index.js';

interface Features {
  cdc_on: 'foo' | 'bar';
  chat: boolean;
  theme: { light: { bg: 'white' }; dark: { bg: 'black' } };
}

/** Passes only if both types are the same. */
function same<Expected>() {
  return <Actual>(
    _value: Actual,
    ..._different: (<T>() => T extends Actual ? 1 : 2) extends <T>() => T extends Expected ? 1 : 2
      ? []
      : [never]
  ) => {};
}

// What counts here is that `npm run types` passes.
describe('a Rollout that is told its features', () => {
  const rollout = new Rollout<Features>();

  beforeAll(async () => {
    await rollout.addFeature('cdc_on', { percentage: 100, variants: ['foo', 'bar'] });
    await rollout.addFeature('chat');
  });

  it('knows variants and values by name', async () => {
    same<'foo' | 'bar' | undefined>()(await rollout.variant('cdc_on', 'ann'));
    same<'foo' | 'bar' | 'none'>()(await rollout.value('cdc_on', 'none' as const, 'ann'));
    same<boolean>()(await rollout.value('chat', false, 'ann'));
    same<{ bg: 'white' } | { bg: 'black' } | null>()(await rollout.value('theme', null, 'ann'));
    same<'light' | 'dark' | undefined>()(await rollout.variant('theme', 'ann'));
    same<undefined>()(await rollout.variant('chat', 'ann'));
    same<'foo' | 'bar' | undefined>()((await rollout.decide('cdc_on', 'ann')).variant);
    const snapshot = await rollout.snapshot('ann');
    same<'foo' | 'bar' | undefined>()(snapshot.variant('cdc_on'));
    expect(['foo', 'bar']).toContain(snapshot.variant('cdc_on'));
  });

  it('refuses other names when it is compiled', async () => {
    // @ts-expect-error no such feature
    expect(await rollout.isEnabled('caht', 'ann')).toBe(false);
    // @ts-expect-error no such feature
    expect(rollout.isEnabledSync('caht', 'ann')).toBe(false);
    // @ts-expect-error no such feature
    await expect(rollout.setPercentage('caht', 5)).rejects.toMatchObject({
      code: 'FEATURE_NOT_FOUND',
    });
    // @ts-expect-error no such feature
    expect((await rollout.snapshot('ann')).isEnabled('caht')).toBe(false);
    // @ts-expect-error no such feature
    rollout.check('caht');
    // @ts-expect-error no such variant
    await expect(rollout.overrideGroup('cdc_on', 'staff', 'baz')).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
    });
    await rollout.overrideGroup('cdc_on', 'staff', 'foo');
    await rollout.overrideGroup('chat', 'staff', 'off');
    // @ts-expect-error not a setting
    await expect(rollout.update('chat', { percent: 5 })).rejects.toMatchObject({
      code: 'INVALID_FEATURE',
    });
  });

  it('refuses other variants when it is compiled', async () => {
    const feature = rollout.update('cdc_on', { variants: ['foo', { name: 'bar' }] });
    expect((await feature).variants).toHaveLength(2);
    // @ts-expect-error no such variant
    await rollout.update('cdc_on', { variants: ['foo', 'baz'] });
    // @ts-expect-error it has none
    await rollout.update('chat', { variants: ['foo'] });
  });

  it('guards only what returns a promise, and keeps its type', async () => {
    const guarded = rollout.check('chat', 1)(async (user: string, _amount: number) => user);
    same<(user: string, _amount: number) => Promise<string>>()(guarded);
    // @ts-expect-error it returns no promise
    rollout.check('chat', 1)((user: string) => user);
    rollout.check(
      'chat',
      (order: { id: string }, _more?: number) => order.id,
    )(async (order: { id: string; total: number }) => order.total);
    const byNumber = rollout.check('chat', (order: { id: number }) => order.id);
    // @ts-expect-error the selector reads what the function doesn't take
    byNumber(async (order: { id: string }) => order);
    // @ts-expect-error the selector reads more than the function takes
    rollout.check('chat', (_: string, user: string) => user)(async (_: string) => {});
    await expect(guarded('ann', 1)).rejects.toMatchObject({ code: 'FEATURE_DISABLED' });
  });
});

describe('an import into a Rollout that is told its features', () => {
  it('may bring others', async () => {
    const rollout = new Rollout<Features>();
    await importInto(rollout, readHanoi({ 'h:old': '1|100|||' }));
    expect((await rollout.features()).map(({ name }) => name)).toEqual(['old']);
  });
});

describe('a Rollout that is told nothing', () => {
  const rollout = new Rollout();

  it('takes any name, and variants are strings', async () => {
    same<string | undefined>()(await rollout.variant('anything', 'ann'));
    expect(await rollout.isEnabled('anything', 'ann')).toBe(false);
  });
});
