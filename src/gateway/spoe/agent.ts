/**
 * `gateway spoe-agent`: answers HAProxy's questions about requests by lookups over UDP (docs/integrations.md, "HAProxy"). May be
 * imported by src/gateway only.
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Key } from '../../auth/keyring.ts';
import { createLookupClient, type LookupClient, type LookupClientOptions } from '../../client/index.ts';
import { failure, reasonOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { answer } from './answer.ts';
import { Connection } from './connection.ts';

/** More than any HAProxy opens; its threads each keep some. */
const CONNECTIONS_MAX = 1_024;
const HELLO_TIMEOUT_MS = 5_000;
/** Refusals are logged one by one up to so many a minute; the rest is counted. */
const LOGGED_PER_MINUTE = 20;
const MINUTE_MS = 60_000;

export interface SpoeAgentOptions {
  readonly listen: { readonly host: string; readonly port: number };
  readonly client: Omit<LookupClientOptions, 'key'>;
  /** Name of the session's cookie. */
  readonly cookie: string;
  readonly readKey: () => Promise<Key>;
}

export interface SpoeAgent {
  readonly address: AddressInfo;
  /** Reads the key again; lookups under way end with the former one. @throws what `readKey` throws, and then the former stays */
  reloadKey(): Promise<void>;
  stop(): Promise<void>;
}

/** @throws GatewayError AGENT_NOT_LISTENING; what `readKey` throws */
export async function startSpoeAgent(options: SpoeAgentOptions, log: Logger): Promise<SpoeAgent> {
  const newClient = async (): Promise<OwnedClient> => {
    const key = await options.readKey();
    return { key, client: createLookupClient({ ...options.client, key }) };
  };
  let owned = await newClient();
  const connections = new Set<Connection>();
  const refusals = new Refusals(log);
  const server = createServer({ noDelay: true }, (socket: Socket) => {
    const connection = new Connection(socket, {
      answer: (found) => answer(owned.client, options.cookie, found),
      refused: (problem) => refusals.note(problem),
      helloTimeoutMs: HELLO_TIMEOUT_MS,
    });
    connections.add(connection);
    socket.once('close', () => connections.delete(connection));
  });
  server.maxConnections = CONNECTIONS_MAX;
  try {
    server.listen(options.listen);
    await once(server, 'listening');
  } catch (error) {
    await close(owned);
    throw failure('AGENT_NOT_LISTENING', { ...options.listen, reason: reasonOf(error) }, error);
  }
  const address = server.address() as AddressInfo;
  log.info({ address: address.address, port: address.port }, 'listening for HAProxy');
  return {
    address,
    reloadKey: async () => {
      const next = await newClient();
      const former = owned;
      owned = next;
      log.info({ keyId: owned.key.id }, 'key read again');
      await close(former);
    },
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const connection of connections) connection.end();
      await closed;
      refusals.end();
      await close(owned);
    },
  };
}

interface OwnedClient {
  readonly key: Key;
  readonly client: LookupClient;
}

async function close({ key, client }: OwnedClient): Promise<void> {
  await client.close();
  key.wipe();
}

/** Logs refused connections, bounded: whoever reaches the port can cause them. */
class Refusals {
  readonly #log: Logger;
  readonly #timer: NodeJS.Timeout;
  #count = 0;

  constructor(log: Logger) {
    this.#log = log;
    this.#timer = setInterval(() => this.#nextMinute(), MINUTE_MS);
    this.#timer.unref();
  }

  note(problem: string): void {
    this.#count += 1;
    if (this.#count <= LOGGED_PER_MINUTE) this.#log.warn({ problem }, 'connection refused');
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #nextMinute(): void {
    const untold = this.#count - LOGGED_PER_MINUTE;
    if (untold > 0) this.#log.warn({ untold }, 'more connections refused in the last minute');
    this.#count = 0;
  }
}
