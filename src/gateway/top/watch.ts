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
/** So many times as long as reading the backends took, they aren't read again: a table may have tens of thousands. */
const BACKENDS_REST = 9;

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
  const backends = new BackendsReader(socket, runtime);
  let dueMs = runtime.monotonicMs();
  while (!signal.aborted) {
    const goesOn = await lookAt(socket, runtime, backends).then(onSample, (error: unknown) => {
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
async function lookAt(socket: string, runtime: Runtime, reader: BackendsReader): Promise<Sample> {
  const backends = reader.read();
  const status = (await askDaemon(socket, { method: 'GET', path: '/v1/status' }, STATUS_TIMEOUT_MS)) as SeenStatus;
  const [atMs, wallMs] = [runtime.monotonicMs(), runtime.wallMs()];
  return { atMs, wallMs, status, ...(await backends) };
}

type SeenBackends = Pick<Sample, 'backends' | 'backendsProblem'>;

class BackendsReader {
  readonly #socket: string;
  readonly #runtime: Runtime;
  #last: SeenBackends = { backends: null, backendsProblem: null };
  #dueMs = Number.NEGATIVE_INFINITY;

  constructor(socket: string, runtime: Runtime) {
    this.#socket = socket;
    this.#runtime = runtime;
  }

  /** What is there now, or was a moment ago. Never fails. */
  async read(): Promise<SeenBackends> {
    const beganMs = this.#runtime.monotonicMs();
    if (beganMs < this.#dueMs) return this.#last;
    try {
      const answer = await askDaemon(this.#socket, { method: 'GET', path: '/v1/backends' }, BACKENDS_TIMEOUT_MS);
      this.#last = { backends: answer as BackendViews, backendsProblem: null };
    } catch (error) {
      this.#last = { backends: null, backendsProblem: reasonOf(error) };
    }
    const endedMs = this.#runtime.monotonicMs();
    this.#dueMs = endedMs + BACKENDS_REST * (endedMs - beganMs);
    return this.#last;
  }
}
