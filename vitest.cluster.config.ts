import { defineConfig } from 'vitest/config';

/** Suites against a real Kubernetes API server; see test/cluster/setup.ts for where it comes from. */
export default defineConfig({
  test: {
    include: ['test/cluster/**/*.test.ts'],
    globalSetup: ['test/cluster/setup.ts'],
    pool: 'forks',
    fileParallelism: false, // Each file may start an API server of its own, 300 MB each.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // What is awaited may take as long as a busy machine needs; a second is too little for that.
    expect: { poll: { timeout: 10_000 } },
    reporters: process.env['CI'] ? ['default', ['json', { outputFile: 'test-results-cluster.json' }]] : ['default'],
  },
});
