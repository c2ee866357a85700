import { project } from './jest.config.js';

// What is published, packed and installed in an empty folder: npm is at work there, and compilers.
export default {
  projects: [
    project('package', ['<rootDir>/spec/package.spec.ts'], { decoratorVersion: '2022-03' }),
  ],
};
