import { z } from 'zod';
import type { ExperimentSettings as Given } from '../../domain/experiment.js';
import { notFound } from '../../errors.js';
import { storedName } from '../../stored-name.js';
import { Routes } from '../route.js';
import { Experiment, ExperimentReport, ExperimentSettings, Name } from '../wire.js';

export const experimentRoutes: Routes = new Routes('Experiments')
  .add('GET /v1/experiments', {
    id: 'listExperiments',
    summary: 'Every experiment, by name.',
    answer: z.strictObject({ experiments: z.array(Experiment) }),
    handle: async ({ rollout }) => ({ body: { experiments: await rollout.experiments() } }),
  })
  .add('POST /v1/experiments', {
    id: 'addExperiment',
    summary: 'Adds an A/B test of one or more features.',
    body: ExperimentSettings.extend({ name: Name }),
    status: 201,
    answer: Experiment,
    handle: async ({ rollout, body: { name, ...settings }, about }) => {
      const experiment = await rollout.addExperiment(name, settings as Given, about);
      const headers = { location: `experiments/${encodeURIComponent(name)}` };
      return { body: experiment, state: experiment, headers };
    },
  })
  .add('GET /v1/experiments/{name}', {
    id: 'getExperiment',
    summary: 'An experiment, how many have used what its arms give, and whether that fits.',
    answer: ExperimentReport,
    handle: async ({ rollout, param }) => {
      const report = await rollout.experiment(param('name'));
      if (report === undefined) throw notFound(storedName('experiment', param('name')));
      return { body: report, state: report };
    },
  })
  .add('PATCH /v1/experiments/{name}', {
    id: 'updateExperiment',
    summary: 'Replaces what is named of an experiment.',
    conditional: true,
    body: ExperimentSettings.partial(),
    answer: Experiment,
    handle: async ({ rollout, param, body, write }) => {
      const experiment = await rollout.updateExperiment(
        param('name'),
        body as Partial<Given>,
        write,
      );
      return { body: experiment, state: experiment };
    },
  })
  .add('POST /v1/experiments/{name}/stop', {
    id: 'stopExperiment',
    summary: 'Ends an experiment now; what was counted stays.',
    conditional: true,
    answer: Experiment,
    handle: async ({ rollout, param, write }) => {
      const experiment = await rollout.stopExperiment(param('name'), write);
      return { body: experiment, state: experiment };
    },
  })
  .add('DELETE /v1/experiments/{name}', {
    id: 'removeExperiment',
    summary: 'Removes an experiment, with what was counted.',
    conditional: true,
    status: 204,
    handle: async ({ rollout, param, write }) => {
      await rollout.removeExperiment(param('name'), write);
      return {};
    },
  });
