/**
 * Looks at the daemon again and again for `gateway top`, each look bounded in time. May be imported by src/gateway/commands/top.ts.
 */
import { type Runtime, sleep } from '../../sync/runtime.ts';
import { askDaemon } from '../control/client.ts';
import { GatewayError, reasonOf } from '../errors.ts';
import type { BackendViews } from '../ports.ts';
import type { Sample, SeenStatus } from './figures.ts';

const STATUS_TIMEOUT_MS = 3_000;
/** It reads Redis. */
const BACKENDS_TIMEOUT_MS = 3_000;

export interface WatchOptions {
  readonly socket: string;
  readonly everyMs: number;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
}

/**
 * @param onSample given each look; ends the watching by returning false
 * @param onSilence given why there was no answer; likewise
 */
export async function watch(
  { socket, everyMs, runtime, signal }: WatchOptions,
  onSample: (sample: Sample) => boolean,
  onSilence: (error: GatewayError) => boolean,
): Promise<void> {
  let dueMs = runtime.monotonicMs();
  while (!signal.aborted) {
    const goesOn = await lookAt(socket, runtime).then(onSample, (error: unknown) => {
      if (!(error instanceof GatewayError)) throw error;
      return onSilence(error);
    });
    if (!goesOn) return;
    // A look that took long is not made up for.
    dueMs = Math.max(dueMs + everyMs, runtime.monotonicMs());
    await sleep(runtime, dueMs - runtime.monotonicMs(), signal);
  }
}

/** @throws GatewayError as askDaemon */
async function lookAt(socket: string, runtime: Runtime): Promise<Sample> {
  const backends = askDaemon(socket, { method: 'GET', path: '/v1/backends' }, BACKENDS_TIMEOUT_MS).then(
    (views) => ({ views: views as BackendViews, problem: null }),
    (error: unknown) => ({ views: null, problem: reasonOf(error) }),
  );
  const status = (await askDaemon(socket, { method: 'GET', path: '/v1/status' }, STATUS_TIMEOUT_MS)) as SeenStatus;
  const [atMs, wallMs] = [runtime.monotonicMs(), runtime.wallMs()];
  const { views, problem } = await backends;
  return { atMs, wallMs, status, backends: views, backendsProblem: problem };
}
