import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 90_000,
    hookTimeout: 120_000,
    // Most of them wait for Redis, for processes and for the kernel most of the time.
    maxWorkers: 2,
    // There, on a machine shared with others, a test may be held up past every bound. Each that was tried again is named.
    retry: process.env['CI'] === 'true' ? 2 : 0,
  },
});
