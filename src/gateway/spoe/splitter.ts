/** Cuts a stream of bytes into frames (SPOE.txt, section 3.2). May be imported by src/gateway/spoe only. */
import { SpopError, SpopStatus } from './errors.ts';
import { LENGTH_SIZE } from './frames.ts';

/** Smallest frame: type, flags and two numbers. */
const FRAME_MIN = 7;

export class Splitter {
  #held: Buffer = Buffer.alloc(0);

  /**
   * @param chunk not kept where it ends with a frame
   * @param frameSizeOf the largest frame, asked before each, since a frame may change it
   * @yields whole frames, without their lengths
   * @throws SpopError TOO_BIG or INVALID, as soon as a length says so
   */
  *push(chunk: Buffer, frameSizeOf: () => number): Generator<Buffer> {
    let bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    while (bytes.length >= LENGTH_SIZE) {
      const size = bytes.readUInt32BE();
      const frameSize = frameSizeOf();
      if (size > frameSize) {
        throw new SpopError(SpopStatus.TOO_BIG, `frame: found ${size} bytes, allowed: at most ${frameSize}`);
      }
      if (size < FRAME_MIN) {
        throw new SpopError(SpopStatus.INVALID, `frame: found ${size} bytes, allowed: at least ${FRAME_MIN}`);
      }
      if (bytes.length < LENGTH_SIZE + size) break;
      yield bytes.subarray(LENGTH_SIZE, LENGTH_SIZE + size);
      bytes = bytes.subarray(LENGTH_SIZE + size);
    }
    this.#held = bytes;
  }
}
