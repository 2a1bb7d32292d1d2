import { setTimeout as sleep } from 'node:timers/promises';

/** Tries again until it holds; fails after `timeoutMs`. */
export async function until(holds: () => Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`did not come to hold within ${timeoutMs} ms: ${holds}`);
    await sleep(10);
  }
}
