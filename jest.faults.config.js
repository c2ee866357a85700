import { FAULTS, project } from './jest.config.js';

// A Redis that fails, fails over, or is several: what is mostly waiting for servers and clocks.
export default {
  maxWorkers: 2,
  projects: [project('faults', FAULTS, { decoratorVersion: '2022-03' })],
};
