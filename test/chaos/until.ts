import { setTimeout as sleep } from 'node:timers/promises';

/** No wait of the chaos test is longer: what takes longer has failed. */
export const WAIT_MAX_MS = 60_000;
const STEP_MS = 25;

/** @throws Error naming `what` where it doesn't come to hold in time, or `signal`'s reason */
export async function until(what: string, holds: () => Promise<boolean>, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + WAIT_MAX_MS;
  while (!(await holds())) {
    signal?.throwIfAborted();
    if (performance.now() > deadline) throw new Error(`waited ${WAIT_MAX_MS} ms in vain: ${what}`);
    await sleep(STEP_MS);
  }
}
