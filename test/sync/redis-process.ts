/**
 * The process of a real redis-server of the tests' own. Ended by its pid, also when the test process exits without doing so.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';

const START_TRIES = 400;
const START_STEP_MS = 25;

export class RedisProcess {
  #child: ChildProcess | undefined;
  readonly #onExit = (): void => void this.#child?.kill('SIGKILL');

  /**
   * Starts it, or starts it again where it was killed.
   * @param answers whether it does, by now
   * @throws Error where it ends at once, or never answers
   */
  async launch(args: readonly string[], answers: () => Promise<boolean>): Promise<void> {
    process.off('exit', this.#onExit);
    process.on('exit', this.#onExit);
    const child = spawn('redis-server', args, { stdio: 'ignore' });
    this.#child = child;
    for (let i = 0; i < START_TRIES; i++) {
      if (await answers()) return;
      if (child.exitCode !== null) throw new Error(`redis-server ended with code ${child.exitCode}`);
      await delay(START_STEP_MS);
    }
    throw new Error('redis-server does not answer');
  }

  /** SIGKILL: what was not saved is lost. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await ended;
    process.off('exit', this.#onExit);
  }

  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }
}
