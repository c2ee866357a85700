import { importInto, readRolloutGem } from '../../lib/import/index.js';
import { Rollout } from '../../lib/index.js';
import fixture from '../fixtures/rollout-gem.json' with { type: 'json' };
import { storedData } from './stored-data.js';

describe.each(fixture.cases.map((each) => [JSON.stringify(each.options), each] as const))(
  'a database of the real gem with options %s',
  (_, { options, redis, subjects, expect: expected, active_features_without_subject }) => {
    const imported = readRolloutGem(storedData(redis), {
      randomizePercentage: 'randomize_percentage' in options,
    });
    let rollout: Rollout;

    beforeAll(async () => {
      rollout = new Rollout();
      rollout.defineGroup('staff', (id: string) => id.endsWith('3'));
      rollout.defineGroup('beta_testers', (id: string) => id.endsWith('7'));
      await importInto(rollout, imported);
    });

    it('is read whole', () => {
      expect(imported.problems).toEqual([]);
      expect(new Set(imported.features.map((feature) => feature.name))).toEqual(
        new Set(Object.keys(expected)),
      );
    });

    it.each(Object.entries(expected))(
      'lets in the same subjects to %s',
      async (name, { active }) => {
        const letIn = subjects.filter((subject) => rollout.isEnabledSync(name, subject));
        expect(new Set(letIn)).toEqual(new Set(active));
      },
    );

    it('gives the same answers without a subject', async () => {
      const names = Object.keys(expected).filter((name) => rollout.isEnabledSync(name, undefined));
      expect(new Set(names)).toEqual(new Set(active_features_without_subject));
    });

    it("keeps the team's data", async () => {
      const record = storedData(redis)['feature:invoices'] as string;
      const data = JSON.parse(record.slice(record.indexOf('{')));
      expect((await rollout.get('invoices'))?.data).toEqual(data);
    });
  },
);
