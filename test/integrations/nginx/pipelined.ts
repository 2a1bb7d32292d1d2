/** Many requests in little time: a few connections, each with several requests on the way (RFC 9112, section 9.3.2). */
import { once } from 'node:events';
import { connect } from 'node:net';

const CONNECTIONS = 8;
const DEPTH = 16;
const STATUS_LINE = /HTTP\/1\.1 (\d{3}) /g;
const STATUS_LINE_LENGTH = 'HTTP/1.1 200 '.length;

/**
 * @param server host:port
 * @param cookieOf of the i-th request
 * @returns how often each status came
 */
export async function pipelined(
  server: string,
  requests: number,
  cookieOf: (i: number) => string,
): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {};
  let sent = 0;
  const over = Array.from({ length: CONNECTIONS }, async () => {
    const colon = server.lastIndexOf(':');
    const socket = connect(Number(server.slice(colon + 1)), server.slice(0, colon)).setEncoding('latin1');
    await once(socket, 'connect');
    let waiting = 0;
    let rest = '';
    const send = (count: number): void => {
      let text = '';
      for (; count > 0 && sent < requests; count--) {
        text += `GET / HTTP/1.1\r\nHost: test\r\nCookie: ${cookieOf(sent)}\r\n\r\n`;
        sent += 1;
        waiting += 1;
      }
      if (text !== '') socket.write(text);
      if (waiting === 0) socket.end();
    };
    socket.on('data', (chunk) => {
      const text = rest + chunk;
      let from = 0;
      let count = 0;
      for (const match of text.matchAll(STATUS_LINE)) {
        statuses[match[1] ?? ''] = (statuses[match[1] ?? ''] ?? 0) + 1;
        from = match.index + STATUS_LINE_LENGTH;
        count += 1;
      }
      rest = text.slice(Math.max(from, text.length - STATUS_LINE_LENGTH + 1));
      waiting -= count;
      send(count);
    });
    send(DEPTH);
    await once(socket, 'close');
    if (waiting > 0) throw new Error(`a connection ended with ${waiting} requests unanswered`);
  });
  await Promise.all(over);
  return statuses;
}
