import { project } from './jest.config.js';

// In a real Chromium, which is found or fetched as spec/browser/chromium.ts says.
export default {
  maxWorkers: 2,
  testTimeout: 30_000,
  projects: [
    project('browser', ['<rootDir>/spec/browser/**/*.spec.ts'], { decoratorVersion: '2022-03' }),
  ],
};
