import { project } from './jest.config.js';

// The one that takes the README's picture changes a file: it runs by `npm run screenshot` alone.
const files = process.env.HANOI_SCREENSHOT === '1' ? 'screenshot' : '!(screenshot)';

// In a real Chromium, which is found or fetched as spec/browser/chromium.ts says.
export default {
  maxWorkers: 2,
  testTimeout: 30_000,
  projects: [
    project('browser', [`<rootDir>/spec/browser/${files}.spec.ts`], {
      decoratorVersion: '2022-03',
    }),
  ],
};
