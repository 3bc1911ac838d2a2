import { defineConfig } from 'vitest/config';

/** Unit tests stand beside their file; suites over real parts live in test/. Benches are never tests. */
export default defineConfig({
  test: {
    include: ['{crds,controller,api,cli,examples,test,scripts}/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'test/cluster/**'], // These need a Kubernetes: npm run test:cluster.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // What is awaited may take as long as a busy machine needs; a second is too little for that.
    expect: { poll: { timeout: 10_000 } },
    // CI counts what really ran from this file.
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: 'test-results.json' }]] : ['default'],
  },
});
