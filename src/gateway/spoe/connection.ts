/**
 * One connection of HAProxy: the handshake, then a NOTIFY for each request and an ACK for each of them, in whatever order they
 * are found (SPOE.txt, section 3.2.3). May be imported by src/gateway/spoe only.
 */
import type { Socket } from 'node:net';
import { reasonOf } from '../errors.ts';
import type { Value } from './bytes.ts';
import { SpopError, SpopStatus } from './errors.ts';
import {
  ack,
  agentDisconnect,
  agentHello,
  FRAME_SIZE_MAX,
  type Frame,
  FrameType,
  readArguments,
  readFrame,
  readHello,
} from './frames.ts';
import { Splitter } from './splitter.ts';

export type Variables = readonly (readonly [name: string, value: string | number])[];

export interface ConnectionOptions {
  /** What HAProxy is to know of a request. Should not fail; if it does, HAProxy is told nothing of that request. */
  readonly answer: (found: ReadonlyMap<string, Value>) => Promise<Variables>;
  /** Told once, when the connection ends otherwise than it should. The problem says nothing of the request. */
  readonly refused: (problem: string) => void;
  readonly helloTimeoutMs: number;
}

/** With so many requests under way no more are read; those of one chunk that has been read, 64 KiB, are still taken. */
const UNDER_WAY_MAX = 256;
/** Time for HAProxy to take the last frame, and to close. */
const LINGER_MS = 1_000;

export class Connection {
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #splitter = new Splitter();
  readonly #helloTimer: NodeJS.Timeout;
  #frameSize = FRAME_SIZE_MAX;
  #state: 'hello' | 'open' | 'ended' = 'hello';
  #underWay = 0;
  #isFull = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setNoDelay(true);
    // A HAProxy that is gone without a word would hold its place for ever.
    socket.setKeepAlive(true, 60_000);
    this.#helloTimer = setTimeout(
      () => this.#refuse(new SpopError(SpopStatus.TIMEOUT, 'hello: found none in time')),
      options.helloTimeoutMs,
    );
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('drain', () => this.#flow());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(this.#helloTimer);
      this.#state = 'ended';
    });
  }

  /** Says goodbye; HAProxy asks again elsewhere, or goes on without. */
  end(): void {
    this.#leave(SpopStatus.NONE, 'the agent stops');
  }

  #read(chunk: Buffer): void {
    if (this.#state === 'ended') return;
    try {
      for (const bytes of this.#splitter.push(chunk, () => this.#frameSize)) {
        this.#take(readFrame(bytes));
        if (this.#hasEnded()) return;
      }
    } catch (error) {
      this.#refuse(error);
    }
    this.#flow();
  }

  /** Asked anew after each frame, which may have ended it. */
  #hasEnded(): boolean {
    return this.#state === 'ended';
  }

  #take(frame: Frame): void {
    if (this.#state === 'hello') {
      if (frame.type !== FrameType.HAPROXY_HELLO) {
        throw new SpopError(SpopStatus.INVALID, `frame: found type ${frame.type}, needed first: 1, a hello`);
      }
      this.#greet(frame);
      return;
    }
    switch (frame.type) {
      case FrameType.NOTIFY:
        this.#notify(frame);
        return;
      case FrameType.HAPROXY_DISCONNECT:
        this.#leave(SpopStatus.NONE, 'as asked');
        return;
      case FrameType.HAPROXY_HELLO:
        throw new SpopError(SpopStatus.INVALID, 'frame: found another hello, allowed: one');
      // What isn't known may be left out.
    }
  }

  #greet(frame: Frame): void {
    const hello = readHello(frame.payload);
    clearTimeout(this.#helloTimer);
    this.#frameSize = hello.frameSize;
    this.#state = 'open';
    this.#socket.write(agentHello(hello));
    if (hello.isHealthCheck) {
      this.#state = 'ended';
      this.#close();
    }
  }

  #notify(frame: Frame): void {
    const found = readArguments(frame.payload);
    this.#underWay += 1;
    // They are parts of a chunk that need not be kept for them.
    const ids = { streamId: Buffer.from(frame.streamId), frameId: Buffer.from(frame.frameId) };
    this.#options.answer(found).then(
      (variables) => this.#acknowledge(ids, variables),
      () => this.#acknowledge(ids, []),
    );
  }

  #acknowledge(ids: Pick<Frame, 'streamId' | 'frameId'>, variables: Variables): void {
    this.#underWay -= 1;
    if (this.#hasEnded()) return;
    // What is found in one turn of the event loop goes out in one piece.
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork();
      setImmediate(() => this.#socket.uncork());
    }
    this.#socket.write(ack(ids, variables));
    this.#flow();
  }

  /** Reads on only while there is room for more requests, and HAProxy takes the answers. */
  #flow(): void {
    const isFull = this.#underWay >= UNDER_WAY_MAX || this.#socket.writableNeedDrain;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    if (isFull) this.#socket.pause();
    else this.#socket.resume();
  }

  #refuse(error: unknown): void {
    if (this.#hasEnded()) return;
    this.#options.refused(reasonOf(error));
    const status = error instanceof SpopError ? error.status : SpopStatus.INVALID;
    this.#leave(status, reasonOf(error));
  }

  #leave(status: SpopStatus, message: string): void {
    if (this.#hasEnded()) return;
    this.#state = 'ended';
    this.#socket.write(agentDisconnect(status, message));
    this.#close();
  }

  /** What HAProxy still sends is thrown away, and if it doesn't close, the connection is cut. */
  #close(): void {
    clearTimeout(this.#helloTimer);
    this.#socket.resume();
    this.#socket.end();
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#socket.once('close', () => clearTimeout(timer));
  }
}
