import { importInto, readHanoi } from '../../lib/import/index.js';
import { Rollout } from '../../lib/index.js';
import fixture from '../fixtures/hanoi.json' with { type: 'json' };
import { storedData } from './stored-data.js';

type Expected = Record<string, { enabled: string[]; variant: Record<string, string> }>;

describe.each(fixture.cases.map((each) => [each.backend, each] as const))(
  'a database that %s of the real hanoi wrote',
  (_, { redis, subjects, expect: recorded }) => {
    const { _no_subject: withoutSubject, ...rest } = recorded as typeof recorded & {
      _no_subject: unknown;
    };
    const expected = rest as unknown as Expected;
    const imported = readHanoi(storedData(redis));
    let rollout: Rollout;

    beforeAll(async () => {
      rollout = new Rollout();
      await importInto(rollout, imported);
    });

    it('is read whole', () => {
      expect(imported.problems).toEqual([]);
      expect(new Set(imported.features.map((feature) => feature.name))).toEqual(
        new Set(Object.keys(expected)),
      );
      expect(withoutSubject).toBeDefined();
    });

    it.each(Object.entries(expected))('lets in the same subjects to %s', (name, { enabled }) => {
      const letIn = subjects.filter((subject) => rollout.isEnabledSync(name, subject));
      expect(new Set(letIn)).toEqual(new Set(enabled));
    });

    it.each(Object.entries(expected))(
      'serves the same variants of %s',
      async (name, { variant }) => {
        for (const [subject, served] of Object.entries(variant ?? {})) {
          // hanoi calls the variant of a feature without variants ''.
          expect((await rollout.variant(name, subject)) ?? '').toBe(served ?? '');
        }
      },
    );
  },
);
