/**
 * A process made of parts: started in order, ended by a signal or by the failure of any part, stopped in the other order.
 * May be imported by src/gateway only.
 */
import type { EventEmitter } from 'node:events';
import { failure, reasonOf } from './errors.ts';
import type { Logger } from './log.ts';

export const STOP_TIMEOUT_MS = 10_000;

/** Stops one part. */
export type Stop = () => void | Promise<void>;

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
/** Where a failure arrives that no part has caught: an error in a timer, a promise that nobody waits for. */
const FAILURES = ['uncaughtException', 'unhandledRejection'] as const;

/**
 * Starts the parts and runs until one of the signals SIGTERM and SIGINT, or a failure. A second signal ends the process
 * at once, as it would without this.
 * @param start starts the parts, and adds what stops each
 * @param events where signals and failures come from
 * @returns the exit status: 0 after a signal, 1 after a failure, of a part or to stop one in time
 * @throws what `start` throws, when what it had started is stopped
 */
export async function runUntilEnded(
  start: (stops: Stop[]) => Promise<void>,
  log: Logger,
  events: EventEmitter = process,
  stopTimeoutMs: number = STOP_TIMEOUT_MS,
): Promise<number> {
  const ending = new AbortController();
  const stops: Stop[] = [];
  const onSignal = (signal: string) => ending.abort(signal);
  const onFailure = (error: unknown) => ending.abort(error instanceof Error ? error : new Error(String(error)));
  for (const signal of SIGNALS) events.once(signal, onSignal);
  for (const event of FAILURES) events.on(event, onFailure);
  let status = 0;
  try {
    await start(stops);
    await aborted(ending.signal);
    status = statusFor(ending.signal.reason, log);
  } finally {
    if (!(await stopAll(stops, stopTimeoutMs, log))) status = 1;
    for (const signal of SIGNALS) events.off(signal, onSignal);
    for (const event of FAILURES) events.off(event, onFailure);
  }
  return status;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function statusFor(reason: unknown, log: Logger): 0 | 1 {
  if (!(reason instanceof Error)) {
    log.info({ signal: reason }, 'stopping; an XDP program goes on answering');
    return 0;
  }
  const error = failure('PART_FAILED', { reason: reasonOf(reason) }, reason);
  log.fatal({ err: error }, error.message);
  return 1;
}

/** @returns whether everything stopped as it should, and in time */
async function stopAll(stops: readonly Stop[], timeoutMs: number, log: Logger): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => {
    log.error({ timeoutMs }, 'the parts did not stop in time');
    resolve(false);
  }, timeoutMs);
  const clean = await Promise.race([stopInTurn(stops, log), late]);
  clearTimeout(timer);
  return clean;
}

async function stopInTurn(stops: readonly Stop[], log: Logger): Promise<boolean> {
  let clean = true;
  for (const stop of stops.toReversed()) {
    try {
      await stop();
    } catch (error) {
      clean = false;
      log.error({ err: error }, 'a part did not stop');
    }
  }
  return clean;
}
