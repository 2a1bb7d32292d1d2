/**
 * Settling as the daemon does it for the control API: one backend at a time, over a connection of its own, with its progress kept
 * for whoever asks. May be imported by src/gateway only.
 */
import type { RedisDirectory } from './directory.ts';
import { failure, GatewayError, reasonOf } from './errors.ts';
import type { SettleState } from './ports.ts';

type SettleDirectory = Pick<RedisDirectory, 'settle' | 'close'>;

interface Run {
  readonly stopping: AbortController;
  readonly ended: Promise<void>;
}

export class Settling {
  readonly #open: () => SettleDirectory;
  #state: SettleState | null = null;
  #run: Run | undefined;

  /** @param open a directory that nobody else uses; closed when settling has ended */
  constructor(open: () => SettleDirectory) {
    this.#open = open;
  }

  /** The one that runs, or ran last. */
  get state(): SettleState | null {
    return this.#state;
  }

  /**
   * @param rate sessions moved a second, at most
   * @returns once the first sessions are gone through, or all
   * @throws GatewayError SETTLE_BUSY; whatever ends it before that
   */
  async start(backend: string, rate: number): Promise<SettleState> {
    if (this.#run !== undefined) throw failure('SETTLE_BUSY', { backend: this.#state?.backend ?? '' });
    const stopping = new AbortController();
    const { promise: begun, resolve: begin, reject: refuse } = Promise.withResolvers<void>();
    const before = this.#state;
    const started: SettleState = {
      ...{ backend, state: 'running', rate, pass: 1, part: 0, moved: 0, complete: null, problem: null },
    };
    this.#state = started;
    const settled = this.#settle(backend, rate, stopping.signal, begin).then(begin, (error: unknown) => {
      // A run that never began is the caller's to hear of, and not the last one.
      this.#state = before;
      refuse(error);
    });
    const ended = settled.finally(() => {
      this.#run = undefined;
    });
    this.#run = { stopping, ended };
    await begun;
    return this.#state ?? started;
  }

  /** Ends after the transaction that is under way. */
  async stop(): Promise<void> {
    this.#run?.stopping.abort();
    await this.#run?.ended;
  }

  async #settle(backend: string, rate: number, signal: AbortSignal, begin: () => void): Promise<void> {
    const directory = this.#open();
    let hasBegun = false;
    const set = (fields: Partial<SettleState>): void => {
      if (this.#state !== null) this.#state = { ...this.#state, ...fields };
    };
    try {
      const { moved, complete } = await directory.settle(backend, {
        rate,
        dryRun: false,
        signal,
        onProgress: (progress) => {
          hasBegun = true;
          set(progress);
          begin();
        },
      });
      set({ state: 'done', part: 1, moved, complete });
    } catch (error) {
      if (!hasBegun) throw error;
      // Stopped on demand, it says so too; what else is thrown is its failure.
      if (signal.aborted) set({ state: 'stopped' });
      else set({ state: 'failed', problem: error instanceof GatewayError ? error.message : reasonOf(error) });
    } finally {
      await directory.close();
    }
  }
}
