/**
 * What tests over random inputs share: a seed that is printed and can be set, and how many inputs there are.
 *
 *     SEED=1234 RUNS=20 npm test -- test/gateway/control/hostile-requests.test.ts
 */

/** From 0 to 2^31 - 1. */
export const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
const FACTOR = Number(process.env['RUNS'] ?? 1);

console.info(`SEED=${SEED} RUNS=${FACTOR}`);

/** Parameters for fast-check. @param number of inputs; RUNS multiplies it */
export function runs(number: number): { seed: number; numRuns: number } {
  return { seed: SEED, numRuns: number * FACTOR };
}
