/**
 * Gateways for tests: the responder of src/auth over tables in memory, and the same behind a UDP socket on loopback. Each can
 * be made stale, not ready, late, or to answer whatever a test wants.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { RequestType, Status, type Verdict } from '../../src/abi.ts';
import { cookieHash, factHash } from '../../src/auth/cookie.ts';
import { nonceOf, readKeyId, readType, viewOf } from '../../src/auth/header.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { type LookupAnswer, sealLookupReply } from '../../src/auth/lookup.ts';
import { buildRing } from '../../src/auth/placement.ts';
import { authenticate } from '../../src/auth/request.ts';
import { respond } from '../../src/auth/respond.ts';
import type {
  BackendRecord,
  FactRecord,
  ResponderSettings,
  ResponderTables,
  SessionRecord,
} from '../../src/auth/responder-tables.ts';

const EMPTY_RING = buildRing([]);
const ANY_SOURCE = new Uint8Array(16);
const STALE_AFTER_MS = 10_000;

/** 16 bytes, IPv4 as ::ffff:a.b.c.d */
export function mappedAddress(ipv4: string): Uint8Array {
  return Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...ipv4.split('.').map(Number)]);
}

/** What a gateway knows and how it answers, without a socket. Ready, fresh, and its clock right, until changed. */
export class GatewayModel {
  isReady = true;
  /** null = never in step */
  ageMs: number | null = 0;
  /** The gateway's clock minus the right one. */
  clockErrorMs = 0;
  maxSkewMs = 30_000;
  /** Fields that replace those of the reply to a LOOKUP, whatever the tables say. */
  override: Partial<LookupAnswer> | null = null;
  readonly verdicts: Verdict[] = [];
  readonly requests: Uint8Array[] = [];
  readonly #keys: ReadonlyMap<number, Key>;
  readonly #sessions = new Map<string, SessionRecord>();
  readonly #backends = new Map<number, BackendRecord>();
  readonly #facts = new Map<string, FactRecord>();

  constructor(keys: readonly Key[]) {
    this.#keys = new Map(keys.map((key) => [key.id, key]));
  }

  putBackend(id: number, address: string | Uint8Array, port: number): this {
    const bytes = typeof address === 'string' ? mappedAddress(address) : address;
    this.#backends.set(id, { address: bytes, port, known: true, active: true, shed: 0 });
    return this;
  }

  putSession(sessionId: string | Uint8Array, backendId: number, record: Partial<SessionRecord> = {}): this {
    const whole = { version: 1n, expiresMs: 0, generation: 1, backendId, ...record };
    this.#sessions.set(hex(cookieHash(sessionId)), whole);
    return this;
  }

  putFact(name: string, value: string, version: bigint): this {
    this.#facts.set(hex(factHash(name)), { value: new TextEncoder().encode(value), version });
    return this;
  }

  /**
   * What the gateway sends back, if anything.
   * @param unixMs the right time
   */
  answer(datagram: Uint8Array, unixMs: number): Uint8Array | undefined {
    this.requests.push(datagram);
    // Any time will do for the monotonic clock that leaves room for the age.
    const monotonicMs = 10_000_000;
    const { verdict, reply } = respond(datagram, ANY_SOURCE, this.#tables(unixMs, monotonicMs), monotonicMs);
    this.verdicts.push(verdict);
    return reply !== undefined && this.override !== null ? this.#overridden(datagram, this.override, unixMs) : reply;
  }

  #tables(unixMs: number, monotonicMs: number): ResponderTables {
    const settings: ResponderSettings = {
      clockOffsetMs: unixMs + this.clockErrorMs - monotonicMs,
      inStepMs: this.ageMs === null ? 0 : monotonicMs - this.ageMs,
      staleAfterMs: STALE_AFTER_MS,
      maxSkewMs: this.maxSkewMs,
      generation: 1,
      ready: this.isReady,
    };
    return {
      settings,
      allows: () => true,
      key: (id) => this.#keys.get(id),
      session: (hash) => this.#sessions.get(hex(hash)),
      backend: (id) => this.#backends.get(id),
      ring: () => EMPTY_RING,
      denied: () => 0,
      fact: (hash) => this.#facts.get(hex(hash)),
      spendSkewBudget: () => true,
    };
  }

  #overridden(datagram: Uint8Array, fields: Partial<LookupAnswer>, timeMs: number): Uint8Array {
    const keyId = readKeyId(viewOf(datagram));
    const key = this.#keys.get(keyId);
    if (key === undefined || readType(viewOf(datagram)) !== RequestType.LOOKUP) throw new Error('not a LOOKUP');
    const replyKey = authenticate(key, datagram, RequestType.LOOKUP, 1);
    if (replyKey === undefined) throw new Error('not authentic');
    const nonce = nonceOf(datagram);
    const request = { type: RequestType.LOOKUP, keyId, nonce, count: 1, encrypted: key.encrypt, replyKey };
    const nothing = { status: Status.NOT_FOUND, flags: 0, port: 0, backendId: 0, address: ANY_SOURCE };
    return sealLookupReply(request, { timeMs, ...nothing, version: 0n, ttlS: 0, ageMs: 0, ...fields });
  }
}

/** One datagram that a gateway was asked with, and how to answer it. */
export interface Incoming {
  readonly datagram: Uint8Array;
  /** The right reply; undefined where the gateway stays silent. */
  readonly reply: Uint8Array | undefined;
  /** Sends a datagram to the one who asked, from the port that was asked. */
  send(bytes: Uint8Array): void;
}

/** A gateway on loopback. `handle` may be replaced; as it is it sends the right reply at once. */
export class FakeGateway extends GatewayModel {
  handle: (incoming: Incoming) => void = ({ reply, send }) => {
    if (reply !== undefined) send(reply);
  };
  readonly #socket: Socket;
  readonly address: { readonly host: string; readonly port: number };

  private constructor(keys: readonly Key[], socket: Socket) {
    super(keys);
    this.#socket = socket;
    this.address = { host: socket.address().address, port: socket.address().port };
    socket.on('message', (datagram, source) => {
      const reply = this.answer(datagram, Date.now());
      this.handle({ datagram, reply, send: (bytes) => socket.send(bytes, source.port, source.address) });
    });
  }

  /** @param host IP literal of this machine */
  static async start(keys: readonly Key[], host = '127.0.0.1', port = 0): Promise<FakeGateway> {
    const type = host.includes(':') ? 'udp6' : 'udp4';
    const socket = createSocket({ type, recvBufferSize: 1024 * 1024 });
    socket.bind(port, host);
    await once(socket, 'listening');
    return new FakeGateway(keys, socket);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.#socket.close(() => resolve()));
  }
}

let addressesTaken = 0;

/**
 * An address of loopback, 127.64.0.0/10, that nothing else on this machine uses: as long as no gateway is started on it, it
 * refuses. A port that was let go of would not do: another test may be given it.
 */
export function refusedAddress(): { host: string; port: number } {
  addressesTaken += 1;
  const host = `127.${64 + (addressesTaken % 64)}.${(process.pid >> 8) & 0xff}.${process.pid & 0xff}`;
  return { host, port: 6464 };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
