export function project(displayName, testMatch, transform) {
  return {
    displayName,
    testMatch,
    // Sources name their neighbours as the emitted files will be named.
    moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1', '^(\\./assets/folder)\\.cjs$': '$1' },
    transform: {
      '\\.c?ts$': [
        '@swc/jest',
        {
          jsc: {
            target: 'es2022',
            parser: { syntax: 'typescript', decorators: true },
            transform,
          },
          sourceMaps: 'inline',
        },
      ],
    },
  };
}

/** What takes its time: `npm run test:faults`. */
export const FAULTS = [
  'faults',
  ...['redis/faults', 'redis/cluster', 'redis/sentinel', 'redis/replicas', 'redis/valkey'],
].map((file) => `<rootDir>/spec/backends/${file}.spec.ts`);

export default {
  // Much of the time is spent waiting for servers and clocks.
  maxWorkers: 2,
  // What a file's async storages leave in its process makes each await of the next file dearer.
  workerIdleMemoryLimit: '300MB',
  // On a machine that is busy otherwise, 5 s are soon over.
  testTimeout: 20_000,
  projects: [
    {
      ...project('standard', ['<rootDir>/spec/**/*.spec.ts'], { decoratorVersion: '2022-03' }),
      // They have configurations, and scripts, of their own.
      testPathIgnorePatterns: [
        '/node_modules/',
        '<rootDir>/spec/browser/',
        '<rootDir>/spec/package.spec.ts',
        ...FAULTS,
      ],
    },
    // The same spec once more, compiled to the decorators of before the standard.
    project('legacy', ['<rootDir>/spec/decorators.spec.ts'], {
      legacyDecorator: true,
      decoratorMetadata: true,
    }),
  ],
  coverageProvider: 'v8',
  collectCoverageFrom: ['lib/**/*.ts'],
};
