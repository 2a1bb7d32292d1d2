/**
 * The terminal as `gateway top` takes it: the alternate screen, no cursor, each key at once; given back however it ends. May be imported by
 * src/gateway/commands/top.ts.
 */
import type { ReadStream, WriteStream } from 'node:tty';

/** xterm's control sequences: alternate screen, cursor, home, clear to the end of the line. */
const ENTER = '\u001b[?1049h\u001b[?25l\u001b[2J';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const HOME = '\u001b[H';
const CLEAR_LINE = '\u001b[K';
/** Where nobody tells. */
const DEFAULT_SIZE = { width: 80, height: 24 } as const;
/** Not yet taken by the terminal: more than that, and the next picture is left out. */
const UNREAD_MAX_BYTES = 64 * 1024;

export class Terminal {
  readonly #input: ReadStream;
  readonly #output: WriteStream;
  readonly #leave = (): void => this.leave();
  #onInput: (text: string) => void = () => undefined;
  #onResize: () => void = () => undefined;
  #isEntered = false;

  constructor(input: ReadStream, output: WriteStream) {
    this.#input = input;
    this.#output = output;
  }

  get size(): { width: number; height: number } {
    const { columns, rows } = this.#output;
    return columns > 0 && rows > 0 ? { width: columns, height: rows } : DEFAULT_SIZE;
  }

  /** @param onInput is given what keys send @param onResize called whenever the size has changed */
  enter(onInput: (text: string) => void, onResize: () => void): void {
    this.#isEntered = true;
    this.#onInput = onInput;
    this.#onResize = onResize;
    // Also where something is thrown that nobody catches, before that is printed.
    process.once('exit', this.#leave);
    process.once('uncaughtExceptionMonitor', this.#leave);
    this.#output.write(ENTER);
    this.#output.on('resize', onResize);
    if (!this.#input.isTTY) return;
    this.#input.setRawMode(true);
    this.#input.setEncoding('utf8');
    this.#input.on('data', onInput);
  }

  /** @param lines as many as the terminal has, none wider than it */
  draw(lines: readonly string[]): void {
    if (!this.#isEntered || this.#output.writableLength > UNREAD_MAX_BYTES) return;
    // Cleared first: after a character in the last column, its own would be.
    this.#output.write(HOME + lines.map((line) => CLEAR_LINE + line).join('\r\n'));
  }

  leave(): void {
    if (!this.#isEntered) return;
    this.#isEntered = false;
    process.off('exit', this.#leave);
    process.off('uncaughtExceptionMonitor', this.#leave);
    this.#output.off('resize', this.#onResize);
    if (this.#input.isTTY) {
      this.#input.setRawMode(false);
      this.#input.off('data', this.#onInput);
      this.#input.pause();
    }
    this.#output.write(LEAVE);
  }
}
