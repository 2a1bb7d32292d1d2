/** What node:dgram needs to be used safely. May be imported by src/client. */
import type { Socket } from 'node:dgram';

/** As a Uint8Array, whose `slice` copies: a Buffer's doesn't, and no result may share memory with a datagram. */
export function plainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** Closes a socket, also one that is still being bound. Its listeners stay: they ignore what an abandoned socket says. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', resolve);
    // close waits for the end of bind, and is forgotten where that fails.
    socket.once('error', () => {
      try {
        socket.close();
      } catch {
        // It was closed; what failed was something else that was still under way.
      }
    });
    socket.close();
  });
}
