import { compile, decide, type Surroundings } from '../../lib/domain/decide.js';
import {
  createExperiment,
  type Experiment,
  experimentOf,
  overlap,
  sampleRatio,
} from '../../lib/domain/experiment.js';
import { createFeature, parseFeature } from '../../lib/domain/validate.js';
import { storedName } from '../../lib/stored-name.js';
import { chiSquare, seeded } from '../property.js';

const SURROUNDINGS: Surroundings = {
  identify: (subject) => (subject as { id?: unknown }).id,
  now: () => Date.parse('2026-06-01T00:00:00Z'),
  inGroup: () => null,
  segmentOf: () => undefined,
  unreadableSubject: () => {},
};
const NOTHING = { isMember: () => false, assigned: () => null };
const WINDOW = { from: '2026-01-01T00:00:00Z', until: '2027-01-01T00:00:00Z' };
const MANY = 300_000;

/** The arm of each of many ids; a number by the arms' order. */
function dealt(
  name: string,
  proportions: readonly number[],
  idOf: (n: number) => string,
  count = MANY,
) {
  const arms = proportions.map((proportion, at) => {
    return { name: `${at}`, proportion, features: { f: true } };
  });
  const compiled = compile(createExperiment(name, name, { ...WINDOW, arms }));
  return Array.from({ length: count }, (_, n) =>
    Number(decide(compiled, idOf(n), NOTHING, SURROUNDINGS).variant),
  );
}

const counted = (answers: readonly number[], kinds: number) => {
  const counts: number[] = Array(kinds).fill(0);
  for (const answer of answers) counts[answer] = (counts[answer] as number) + 1;
  return counts;
};

const random = seeded(7);
const IDS: [string, (n: number) => string][] = [
  ['numbers in a row', (n) => String(n)],
  ['phone numbers', (n) => `+4479${String(n * 37).padStart(8, '0')}`],
  [
    'random ids',
    () => `${Math.floor(random() * 2 ** 32).toString(16)}-${Math.floor(random() * 2 ** 32)}`,
  ],
];

describe('the arms of an experiment, over 300,000 subjects', () => {
  it.each(IDS)('have their proportions: %s', (_, idOf) => {
    const proportions = [0.5, 0.3, 0.15, 0.05];
    const counts = counted(dealt('checkout', proportions, idOf), 4);
    const expected = proportions.map((each) => each * MANY);
    // p = 0.001 at three degrees of freedom.
    expect(chiSquare(counts, expected)).toBeLessThan(16.27);
    const arms = proportions.map((proportion, at) => ({ proportion, uses: counts[at] as number }));
    expect(sampleRatio(arms)?.isMismatched).toBe(false);
    expect(sampleRatio(arms)?.chiSquare).toBeCloseTo(chiSquare(counts, expected), 6);
  });

  it('have nothing to do with those of another one, nor with a percentage', () => {
    const one = dealt('checkout', [0.5, 0.5], String);
    const other = dealt('search', [0.5, 0.5], String);
    const gate = compile(createFeature('gate', 'id', { percentage: 25 }));
    const independent = compile(
      createFeature('checkout', 'id', { percentage: 25, bucketing: 'independent' }),
    );
    const admitted = (feature: typeof gate) =>
      one.map((_, n) => Number(decide(feature, String(n), NOTHING, SURROUNDINGS).enabled));
    for (const [share, answers] of [
      [0.5, other],
      [0.25, admitted(gate)],
      [0.25, admitted(independent)],
    ] as const) {
      const counts = counted(
        one.map((arm, n) => 2 * arm + (answers[n] as number)),
        4,
      );
      const rows = [(counts[0] as number) + (counts[1] as number)];
      rows.push(MANY - (rows[0] as number));
      const columns = (counts[1] as number) + (counts[3] as number);
      expect(Math.abs(columns / MANY - share)).toBeLessThan(0.003);
      const expected = rows.flatMap((row) => [
        (row * (MANY - columns)) / MANY,
        (row * columns) / MANY,
      ]);
      // p = 0.001 at one degree of freedom.
      expect(chiSquare(counts, expected)).toBeLessThan(10.83);
    }
  });

  it('lose nobody where another one shrinks before them', () => {
    const count = 200_000;
    const before = dealt('checkout', [0.5, 0.5], String, count);
    const after = dealt('checkout', [0.3, 0.7], String, count);
    let lost = 0;
    let moved = 0;
    for (const [n, arm] of before.entries()) {
      if (arm === 1 && after[n] !== 1) lost++;
      if (arm === 0 && after[n] === 1) moved++;
    }
    expect(lost).toBe(0);
    // Within five standard deviations.
    expect(Math.abs(moved / count - 0.2)).toBeLessThan(0.0045);
  });
});

it('deals by the salt `experiment/name`, which a feature of that name does not', () => {
  const arms = ['a', 'b'].map((name) => ({ name, proportion: 0.5, features: { f: true } }));
  const test = compile(createExperiment('checkout', 'id', { ...WINDOW, arms }));
  const alike = compile(
    createFeature('experiment', 'id', { variants: ['a', 'b'], percentage: 100 }),
  );
  const variantsOf = (feature: typeof test) =>
    Array.from(
      { length: 64 },
      (_, n) => decide(feature, String(n), NOTHING, SURROUNDINGS).variant,
    ).join('');
  expect(variantsOf(test)).not.toBe(variantsOf(alike));
  // Computed elsewhere: Python's zlib.crc32, and MurmurHash3's finalizer.
  expect(variantsOf(test)).toBe('bbaaaaababababbaabbbbabbabbbbbaaaabaaabbabaaaaabbabaabababaaaaaa');
});

describe('a sample ratio', () => {
  const arms = (...uses: number[]) =>
    uses.map((each) => ({ proportion: 1 / uses.length, uses: each }));

  it('is not told of too few, or of one arm', () => {
    expect(sampleRatio(arms(4, 5))).toBeUndefined();
    expect(sampleRatio(arms(0, 0))).toBeUndefined();
    expect(sampleRatio(arms(1_000))).toBeUndefined();
    expect(
      sampleRatio([
        { proportion: 1, uses: 500 },
        { proportion: 0, uses: 0 },
      ]),
    ).toBeUndefined();
    expect(sampleRatio(arms(5, 5))?.isMismatched).toBe(false);
  });

  it('is mismatched below one in a thousand', () => {
    // The chi-square of 500 +- d of a thousand is d * d / 250; its critical value 10.828.
    expect(sampleRatio(arms(552, 448))).toMatchObject({ chiSquare: 10.816, isMismatched: false });
    expect(sampleRatio(arms(553, 447))).toMatchObject({ chiSquare: 11.236, isMismatched: true });
  });
});

describe('two windows', () => {
  const at = (from: string, until: string) => ({ from, until }) as Experiment;

  it('overlap where an instant is in both', () => {
    const april = at('2026-04-01T00:00:00Z', '2026-05-01T00:00:00Z');
    const may = at('2026-05-01T02:00:00+02:00', '2026-06-01T00:00:00Z');
    expect(overlap(april, may)).toBe(false);
    expect(overlap(may, april)).toBe(false);
    expect(overlap(april, at('2026-05-01T00:59:59+01:00', may.until))).toBe(true);
    expect(overlap(at('2026-01-01T00:00:00Z', '2027-01-01T00:00:00Z'), april)).toBe(true);
    expect(overlap(april, april)).toBe(true);
  });
});

it('is read back from its document as it was given', () => {
  const arms = [{ name: 'a', proportion: 1, features: { f: 'x', g: false } }];
  const document = createExperiment('test', 'id', {
    ...WINDOW,
    arms,
    sticky: true,
    data: { n: 1 },
  });
  expect(parseFeature(JSON.parse(JSON.stringify(document)))).toEqual(document);
  expect(document.name).toBe(storedName('experiment', 'test'));
  expect(experimentOf('test', document)).toMatchObject({ ...WINDOW, arms, sticky: true });
});

it('refers to no experiment of its own, so that a circle ends', () => {
  const document = createExperiment('test', 'id', {
    ...WINDOW,
    arms: [{ name: 'a', proportion: 1, features: { f: true } }],
  });
  const circle = compile(parseFeature({ ...document, experiments: ['test'] }));
  const held = { compiled: circle, facts: NOTHING };
  const others = { get: () => held };
  expect(decide(circle, 'ann', NOTHING, SURROUNDINGS, others).variant).toBe('a');
});
