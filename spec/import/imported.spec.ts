import { importInto, readHanoi, readRolloutGem } from '../../lib/import/index.js';
import { MemoryBackend, Rollout } from '../../lib/index.js';

describe('a record of the gem', () => {
  const read = (record: string) => readRolloutGem({ 'feature:chat': record });

  it.each([
    ['20.0|ann,bob,,ann|staff,all|{"a":1}', 20, ['ann', 'bob'], ['staff', 'all'], { a: 1 }],
    ['33.333333333333336|||{}', 33.333333333333336, [], [], {}],
    ['1.0e-05|||', 0.00001, [], [], {}],
    ['|||{}', 0, [], [], {}],
    ['100|||{"a":"b|c"}', 100, [], [], { a: 'b|c' }],
  ])('%j is read', (record, percentage, members, groups, data) => {
    expect(read(record)).toEqual({
      features: [
        {
          name: 'chat',
          settings: { percentage, bucketing: 'rollout-gem', groups, data },
          members,
        },
      ],
      problems: [],
    });
  });

  it.each([
    ['', 'cut short'],
    ['20.0', 'cut short'],
    ['20.0|ann,bo', 'cut short'],
    ['20.0|ann,bob|staf', 'cut short, or from before 2.4'],
    ['20.0|ann|staff|{"a":', 'cut short'],
    ['20%|||{}', 'not a number'],
    ['abc|||{}', 'not a number'],
    ['101|||{}', 'from 0 to 100'],
    ['-1|||{}', 'from 0 to 100'],
    ['20|||[1]', 'an object'],
    ['20|||null', 'an object'],
    ['20||ALL|{}', 'a meaning of its own'],
    ['20||none|{}', 'a meaning of its own'],
    ['20||a\nb|{}', 'control characters'],
  ])('%j is a problem, and not a feature: %s', (record, message) => {
    const { features, problems } = read(record);
    expect(features).toEqual([]);
    expect(problems).toMatchObject([
      { code: 'INVALID_RECORD', feature: 'chat', path: 'feature:chat' },
    ]);
    expect(problems[0]?.message).toContain(message);
  });

  it('that the index names but nobody stored is a problem', () => {
    const { problems } = readRolloutGem({
      'feature:__features__': 'chat,search',
      'feature:chat': '0|||',
    });
    expect(problems).toMatchObject([{ code: 'INVALID_RECORD', feature: 'search' }]);
  });

  it('that the index has lost is read all the same, and other keys are not', () => {
    const { features } = readRolloutGem({
      'feature:__features__': '',
      'feature:__proto__': '100|||{}',
      'feature:chat:logging:events': ['a set'],
      unrelated: '1|2|3|4',
    });
    expect(features.map(({ name }) => name)).toEqual(['__proto__']);
  });
});

describe('data of another shape', () => {
  it.each([
    [undefined],
    [null],
    ['feature:chat'],
    [[['feature:chat', '0|||']]],
    [{ 'app:feature:chat': '20|||{}' }],
  ])('%j is refused by both', (data) => {
    for (const read of [readRolloutGem, readHanoi]) {
      expect(() => read(data as unknown as Record<string, string>)).toThrow(
        expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
      );
    }
  });

  it.each([[{ type: 'string', value: '20|||' }], [Buffer.from('20|||')], [['ann']], [20], [null]])(
    '%p under a key is a problem',
    (value) => {
      const gem = readRolloutGem({ 'feature:chat': value as unknown as string });
      expect(gem).toMatchObject({ features: [], problems: [{ code: 'INVALID_RECORD' }] });
      const hanoi = readHanoi({ 'h:chat': value as unknown as string });
      expect(hanoi).toMatchObject({ features: [], problems: [{ code: 'INVALID_RECORD' }] });
    },
  );

  it('is refused for the option that is not spelt so', () => {
    const options = { randomize_percentage: true } as object;
    expect(() => readRolloutGem({}, options)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it('is taken empty: there was nothing', () => {
    expect(readRolloutGem({})).toEqual({ features: [], problems: [] });
    expect(readHanoi(new Map())).toEqual({ features: [], problems: [] });
  });
});

describe('a record of hanoi', () => {
  it.each([
    ['1|0|||', { enabled: true, percentage: 0, variants: [] }, []],
    ['1|1|||', { enabled: true, percentage: 2, variants: [] }, []],
    ['1|98|||', { enabled: true, percentage: 99, variants: [] }, []],
    ['1|99|||', { enabled: true, percentage: 100, variants: [] }, []],
    ['0|100|||', { enabled: false, percentage: 100, variants: [] }, []],
    [
      '1|20|phone|ann,bob|foo,bar',
      { enabled: true, percentage: 21, subjectKey: 'phone', variants: ['foo', 'bar'] },
      ['ann', 'bob'],
    ],
    ['1|20||foo', { enabled: true, percentage: 21, variants: ['foo'] }, ['eve']],
  ])('%j is read', (record, settings, members) => {
    const users = record === '1|20||foo' ? { 'h:users:chat': ['eve', 'eve'] } : {};
    expect(readHanoi({ 'h:chat': record, ...users })).toEqual({
      features: [{ name: 'chat', settings: { bucketing: 'hanoi', ...settings }, members }],
      problems: [],
    });
  });

  it.each([
    ['', 'cut short'],
    ['1|20', 'cut short'],
    ['1|20|', 'cut short'],
    ['1|20|||a|b', 'cut short'],
    ['1|2x|||', 'not a number'],
    ['1|101|||', 'from 0 to 100'],
    ['yes|20|||', 'neither 0 nor 1'],
    ['1|20|||foo,foo', 'unique'],
    ['1|20|||foo,', '1-200 characters'],
  ])('%j is a problem, and not a feature: %s', (record, message) => {
    const { features, problems } = readHanoi({ 'h:chat': record });
    expect(features).toEqual([]);
    expect(problems).toMatchObject([{ code: 'INVALID_RECORD', feature: 'chat', path: 'h:chat' }]);
    expect(problems[0]?.message).toContain(message);
  });

  it('of four fields beside those of five is cut short: its users are no variants', () => {
    const { features, problems } = readHanoi({
      'h:chat': '1|20||447568110000,447568110001',
      'h:whole': '1|20||447568110000|foo,bar',
    });
    expect(features.map(({ name }) => name)).toEqual(['whole']);
    expect(problems).toMatchObject([{ code: 'INVALID_RECORD', feature: 'chat' }]);
    expect(problems[0]?.message).not.toContain('4475');
  });

  it('whose field names an attribute goes by it', async () => {
    const rollout = new Rollout();
    await importInto(rollout, readHanoi({ 'h:chat': '1|0|phone|447568110000|' }));
    expect(await rollout.isEnabled('chat', { id: 1, phone: '447568110000' })).toBe(true);
    expect(await rollout.isEnabled('chat', { id: '447568110000', phone: '1' })).toBe(false);
  });
});

describe('an import', () => {
  const found = readRolloutGem(
    new Map([
      ['feature:one', '10|ann||{}'],
      ['feature:two', '20|||{}'],
    ]),
  );

  it('adds what is not there, says so, and can be repeated', async () => {
    const rollout = new Rollout();
    await rollout.addFeature('two', { percentage: 1 });
    const progress: unknown[] = [];
    const report = await importInto(rollout, found, {
      actor: 'alice',
      onProgress: (step) => progress.push(step),
    });
    expect(report).toEqual({ imported: ['one'], skipped: ['two'] });
    expect(progress).toEqual([
      { done: 1, of: 2 },
      { done: 2, of: 2 },
    ]);
    expect(await rollout.get('two')).toMatchObject({ percentage: 1 });
    expect((await rollout.history('one')).map(({ actor }) => actor)).toEqual(
      Array(3).fill('alice'),
    );
    expect(await importInto(rollout, found)).toEqual({ imported: [], skipped: ['one', 'two'] });
  });

  it('writes nothing when it runs dry', async () => {
    const rollout = new Rollout();
    expect(await importInto(rollout, found, { dryRun: true })).toEqual({
      imported: ['one', 'two'],
      skipped: [],
    });
    expect(await rollout.features()).toEqual([]);
  });

  it('leaves no half of a feature behind when it fails', async () => {
    const backend = new MemoryBackend();
    const write = backend.write.bind(backend);
    backend.write = async (wanted) => {
      if ('add' in wanted && wanted.add !== undefined) throw new Error('store gone');
      return write(wanted);
    };
    const rollout = new Rollout(backend);
    await expect(importInto(rollout, found)).rejects.toThrow('store gone');
    expect(await rollout.features()).toEqual([]);
  });

  it('leaves a feature off that was off, also with members', async () => {
    const rollout = new Rollout();
    await importInto(rollout, readHanoi({ 'h:chat': '0|100||ann|' }));
    expect(await rollout.get('chat')).toMatchObject({ enabled: false });
    expect(await rollout.countMembers('chat')).toBe(1);
  });

  it('touches no feature that somebody else has put in the place of its own', async () => {
    const rollout = new Rollout();
    rollout.on('change', ({ kind, head }) => {
      if (kind !== 'members' || head.revision > 1) return;
      void rollout.remove('one').then(() => rollout.addFeature('one', { percentage: 77 }));
    });
    await expect(importInto(rollout, found)).rejects.toThrow();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await rollout.get('one')).toMatchObject({ percentage: 77 });
  });

  it('beside another one adds each feature once, and both end well', async () => {
    const rollout = new Rollout();
    const reports = await Promise.all([importInto(rollout, found), importInto(rollout, found)]);
    expect(reports.flatMap(({ imported }) => imported)).toHaveLength(2);
    expect(reports.flatMap(({ skipped }) => skipped)).toHaveLength(2);
  });

  it('shows nobody a feature before its members are there', async () => {
    const rollout = new Rollout();
    const seen: boolean[] = [];
    rollout.on('change', () => seen.push(rollout.isEnabledSync('one', 'ann')));
    await importInto(rollout, readRolloutGem({ 'feature:one': '100|ann||{}' }));
    expect(seen).toEqual([false, false, true]);
  });
});
