/**
 * The XDP program on packets that no interface carries (BPF_PROG_RUN), beside the model, both over the same
 * tables.
 */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { RequestType, readLookupReply, Verdict } from '../../src/abi.ts';
import { cookieHash } from '../../src/auth/cookie.ts';
import { Key } from '../../src/auth/keyring.ts';
import { encodeLookupRequest } from '../../src/auth/request.ts';
import type { BackendRecord, SessionRecord } from '../../src/auth/responder-tables.ts';
import { Datapath, detachAll } from '../../src/gateway/kernel/datapath.ts';
import { runOnPacket } from '../../src/gateway/kernel/libbpf.ts';
import { kernelKey } from '../../src/gateway/kernel-keys.ts';
import { type FrameTables, respondToFrame } from '../model/frame-responder.ts';
import { buildFrame, type FrameOptions, ipv4 } from '../model/frames.ts';

export const PORT = 6464;
export const GATEWAY_V4 = ipv4(10, 99, 0, 2);
export const CLIENT_V4 = ipv4(10, 99, 0, 1);
export const GATEWAY_V6 = Uint8Array.of(0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);
export const CLIENT_V6 = Uint8Array.of(0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

export const XDP = { ABORTED: 0, DROP: 1, PASS: 2, TX: 3 } as const;

/** What the program did with one frame. */
export interface Outcome {
  verdict: Verdict;
  action: number;
  frame: Uint8Array;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

export class BpfLab implements FrameTables {
  readonly pins = `/sys/fs/bpf/session-gateway-test-${process.pid}-${hex(randomBytes(4))}`;
  readonly datapath: Datapath;
  readonly port = PORT;
  readonly serves = { types: [RequestType.LOOKUP], suites: ['hmac-sha256'], encrypted: false } as const;
  readonly settings = {
    clockOffsetMs: Date.now() - monotonicMs(),
    inStepMs: 0,
    staleAfterMs: 10_000,
    maxSkewMs: 30_000,
    generation: 1,
    ready: true,
  };
  readonly #keys = new Map<number, Key>();
  readonly #sessions = new Map<string, SessionRecord>();
  readonly #backends = new Map<number, BackendRecord>();
  readonly #own = new Set([hex(GATEWAY_V4), hex(GATEWAY_V6)]);
  #denied: ((source: Uint8Array) => boolean) | undefined;

  constructor(capacity = 1000) {
    this.datapath = new Datapath({
      pins: this.pins,
      capacity,
      object: fileURLToPath(new URL('../../build/gateway.bpf.o', import.meta.url)),
      attach: 'auto',
      events: { generic() {}, attached() {}, kept() {}, putAside() {} },
    });
    const { settings } = this.datapath;
    settings.port = PORT;
    settings.skewBudget = 0xffff_ffff;
    this.datapath.setAddresses([GATEWAY_V4, GATEWAY_V6]);
    this.datapath.table.beginGeneration();
    this.datapath.table.commitGeneration();
    this.applySettings();
  }

  /** Hands `settings`, which tests change, to the program. */
  applySettings(): void {
    const { settings } = this.datapath;
    this.datapath.setClockOffset(this.settings.clockOffsetMs);
    settings.inStepMs = this.settings.inStepMs;
    settings.staleAfterMs = this.settings.staleAfterMs;
    settings.maxSkewMs = this.settings.maxSkewMs;
    settings.generation = this.settings.generation;
    settings.ready = this.settings.ready;
  }

  addKey(key: Key): Key {
    this.#keys.set(key.id, key);
    this.datapath.putKey(key.id, kernelKey(key));
    return key;
  }

  newKey(id: number, notBeforeMs: number | null = null, notAfterMs: number | null = null): Key {
    return this.addKey(
      new Key(
        { id, name: `key-${id}`, suite: 'hmac-sha256', encrypt: false, notBeforeMs, notAfterMs },
        randomBytes(32),
      ),
    );
  }

  setBackends(backends: { id: number; address: Uint8Array; port: number }[]): void {
    this.#backends.clear();
    for (const { id, address, port } of backends) this.#backends.set(id, { address, port, known: true });
    this.datapath.table.setBackends(
      backends.map((backend) => ({ ...backend, name: `backend-${backend.id}`, state: 'active', weight: 100, shed: 0 })),
    );
  }

  addSession(
    sessionId: string,
    record: Omit<SessionRecord, 'generation' | 'version'> & { ms?: number; seq?: number },
  ): void {
    const ms = record.ms ?? 1_795_000_000_123;
    const seq = record.seq ?? 7;
    const hash = hex(cookieHash(sessionId));
    this.#sessions.set(hash, {
      ...record,
      version: BigInt(ms) * 2n ** 20n + BigInt(seq),
      generation: this.settings.generation,
    });
    this.datapath.table.put(hash, { ms, seq }, record.expiresMs, record.backendId);
    this.datapath.table.flush();
  }

  /** Only these sources may ask, in the model; the program's list is the test's to set. */
  allowOnly(allows: ((source: Uint8Array) => boolean) | undefined): void {
    this.#denied = allows;
  }

  // the model's side of the tables
  allows(source: Uint8Array): boolean {
    return this.#denied === undefined || this.#denied(source);
  }
  isOwn(address: Uint8Array): boolean {
    return this.#own.has(hex(address));
  }
  key(id: number): Key | undefined {
    return this.#keys.get(id);
  }
  session(hash: Uint8Array): SessionRecord | undefined {
    return this.#sessions.get(hex(hash));
  }
  backend(id: number): BackendRecord | undefined {
    return this.#backends.get(id);
  }
  fact(): undefined {
    return undefined;
  }
  spendSkewBudget(): boolean {
    return true;
  }

  nowMs(): number {
    return monotonicMs() + this.settings.clockOffsetMs;
  }

  request(key: Key, sessionId: string, timeMs = this.nowMs()): Uint8Array {
    return encodeLookupRequest(key, cookieHash(sessionId), timeMs, randomBytes(8)).bytes;
  }

  frame(payload: Uint8Array, options: Partial<FrameOptions> = {}): Uint8Array {
    return buildFrame({ source: CLIENT_V4, destination: GATEWAY_V4, destinationPort: PORT, payload, ...options });
  }

  /** Runs the program; its verdict is the counter that moved, and exactly one must have, by one. */
  run(frame: Uint8Array): Outcome {
    const before = this.datapath.verdictCounts();
    const { action, packet } = runOnPacket(this.datapath.programDescriptor, frame);
    const after = this.datapath.verdictCounts();
    const moved = (Object.keys(after) as (keyof typeof after)[]).filter((name) => after[name] !== before[name]);
    const [name] = moved;
    if (moved.length !== 1 || name === undefined || after[name] !== before[name] + 1) {
      throw new Error(`one verdict was to be counted once, but these moved: ${moved.join(', ') || 'none'}`);
    }
    return { verdict: Verdict[name], action, frame: packet };
  }

  /** What the model says, as of the moment at which the program answered. */
  model(frame: Uint8Array, outcome: Outcome): Outcome {
    const isReply = outcome.action === XDP.TX;
    const at = isReply ? this.replyTimeMs(outcome.frame) - this.settings.clockOffsetMs : monotonicMs();
    const answer = respondToFrame(frame, this, at);
    const action = answer.frame !== undefined ? XDP.TX : answer.verdict <= Verdict.PASS_SLOW_PATH ? XDP.PASS : XDP.DROP;
    return { verdict: answer.verdict, action, frame: answer.frame ?? frame };
  }

  /** `time_ms` of the reply in a frame with any VLAN tags and any family. */
  replyTimeMs(frame: Uint8Array): number {
    return Number(this.reply(frame).header.timeMs);
  }

  reply(frame: Uint8Array): ReturnType<typeof readLookupReply> {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    let at = 12;
    while ([0x8100, 0x88a8].includes(view.getUint16(at))) at += 4;
    return readLookupReply(view, at + 2 + (view.getUint16(at) === 0x0800 ? 20 : 40) + 8);
  }

  close(): void {
    this.datapath.close();
    detachAll(this.pins);
  }
}
