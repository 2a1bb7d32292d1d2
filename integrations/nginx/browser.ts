/** What a browser does, as far as nginx sees it: one kept connection and one cookie. For the demo and the tests. */
import { Agent, request } from 'node:http';

const TIMEOUT_MS = 30_000;

export interface Page {
  readonly status: number;
  /** The backend that answered; null where nginx itself did. */
  readonly backend: string | null;
  readonly body: string;
}

export class Browser {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #host: string;
  readonly #port: number;
  readonly #cookie: string | undefined;

  /**
   * @param server host:port
   * @param cookie the header's value; undefined = none
   */
  constructor(server: string, cookie?: string) {
    const colon = server.lastIndexOf(':');
    this.#host = server.slice(0, colon);
    this.#port = Number(server.slice(colon + 1));
    this.#cookie = cookie;
  }

  /** @throws Error where there is no response */
  async get(path = '/'): Promise<Page> {
    try {
      return await this.#get(path);
    } catch (error) {
      // A kept connection may be closed while a request is on its way, as by a reload: browsers ask again, on another one.
      if (!(error instanceof KeptConnectionLost)) throw error;
      return this.#get(path);
    }
  }

  #get(path: string): Promise<Page> {
    return new Promise((resolve, reject) => {
      const headers = this.#cookie === undefined ? {} : { cookie: this.#cookie };
      const asked = request(
        { host: this.#host, port: this.#port, path, agent: this.#agent, headers, timeout: TIMEOUT_MS },
        (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (text) => {
            body += text;
          });
          response.on('error', reject);
          response.on('end', () => {
            const backend = response.headers['x-backend'];
            const name = typeof backend === 'string' ? backend : null;
            resolve({ status: response.statusCode ?? 0, backend: name, body });
          });
        },
      );
      asked.on('timeout', () => asked.destroy(new Error(`no response within ${TIMEOUT_MS} ms`)));
      asked.on('error', (error: NodeJS.ErrnoException) => {
        const lost = asked.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
        reject(lost ? new KeptConnectionLost(error.message, { cause: error }) : error);
      });
      asked.end();
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

class KeptConnectionLost extends Error {}

/** The cookie that express-session would have set; nginx doesn't look at the signature. */
export function expressCookie(sessionId: string): string {
  return `connect.sid=${encodeURIComponent(`s:${sessionId}.c2lnbmF0dXJl`)}`;
}

/** Counters of the module by their line without the prefix, as `requests_total{outcome="found"}`. */
export async function counters(server: string): Promise<Readonly<Record<string, number>>> {
  const browser = new Browser(server);
  const { body } = await browser.get('/session-gateway-status');
  browser.close();
  const found: Record<string, number> = {};
  for (const [, name = '', value] of body.matchAll(/^session_gateway_nginx_(\S+) (\d+)$/gm))
    found[name] = Number(value);
  return found;
}
