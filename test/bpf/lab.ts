/**
 * The XDP program on packets that no interface carries (BPF_PROG_RUN), beside the model, both over the same
 * tables.
 */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import {
  type BatchEntry,
  batchEntryLayout,
  batchPrefixLayout,
  type FactReply,
  type LookupReply,
  readBatchEntry,
  readFactReply,
  readLookupReply,
  readWireHeader,
  Verdict,
} from '../../src/abi.ts';
import { cookieHash, factHash } from '../../src/auth/cookie.ts';
import { Key, type KeyFields } from '../../src/auth/keyring.ts';
import { buildRing, type Ring } from '../../src/auth/placement.ts';
import { encodeBatchRequest, encodeFactRequest, encodeLookupRequest } from '../../src/auth/request.ts';
import type { BackendRecord, FactRecord, SessionRecord } from '../../src/auth/responder-tables.ts';
import { Datapath, detachAll } from '../../src/gateway/kernel/datapath.ts';
import { runOnPacket } from '../../src/gateway/kernel/libbpf.ts';
import { kernelKey } from '../../src/gateway/kernel-keys.ts';
import { MemoryTable } from '../../src/gateway/responder/memory-table.ts';
import type { AnswerTables } from '../../src/gateway/responder/responder.ts';
import type { Backend } from '../../src/sync/table.ts';
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

/** Active, of weight 100, and shedding nobody, where it says nothing else. */
export type LabBackend = Pick<Backend, 'id' | 'address' | 'port'> & Partial<Pick<Backend, 'state' | 'weight' | 'shed'>>;

const SWITCH_WAIT_MS = 60_000;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

export class BpfLab implements FrameTables {
  readonly pins = `/sys/fs/bpf/session-gateway-test-${process.pid}-${hex(randomBytes(4))}`;
  readonly datapath: Datapath;
  /** Told the same as the kernel's. */
  readonly memory: MemoryTable;
  readonly port = PORT;
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
  readonly #denied = new Map<string, number>();
  readonly #facts = new Map<string, FactRecord>();
  #ring: Ring = buildRing([]);
  readonly #own = new Set([hex(GATEWAY_V4), hex(GATEWAY_V6)]);
  #mayAsk: ((source: Uint8Array) => boolean) | undefined;

  constructor(capacity = 1000) {
    this.datapath = new Datapath({
      pins: this.pins,
      capacity,
      object: fileURLToPath(new URL('../../build/gateway.bpf.o', import.meta.url)),
      attach: 'auto',
      events: { generic() {}, attached() {}, kept() {}, putAside() {} },
    });
    this.memory = new MemoryTable({ ...this.settings, generation: 0 }, capacity);
    const { settings } = this.datapath;
    settings.port = PORT;
    settings.skewBudget = 0xffff_ffff;
    this.datapath.setAddresses([GATEWAY_V4, GATEWAY_V6]);
    for (const table of this.#tables()) {
      table.beginGeneration();
      table.commitGeneration();
    }
    this.applySettings();
  }

  #tables() {
    return [this.datapath.table, this.memory];
  }

  /** What the responder answers from: the kernel's maps, and the table in memory. */
  responders(): AnswerTables[] {
    return [this.datapath.tables, this.memory];
  }

  /** Hands `settings`, which tests change, to the program. */
  applySettings(): void {
    const { settings } = this.datapath;
    Object.assign(this.memory.settings, this.settings);
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

  /** Of suite hmac-sha256, not encrypted, and valid always, where it says nothing else. */
  newKey(id: number, fields: Partial<Omit<KeyFields, 'id'>> = {}): Key {
    const defaults = { name: `key-${id}`, suite: 'hmac-sha256', encrypt: false } as const;
    return this.addKey(new Key({ id, ...defaults, notBeforeMs: null, notAfterMs: null, ...fields }, randomBytes(32)));
  }

  /** Resolves once the program answers by these: soon after another switch that takes a moment. */
  async setBackends(backends: readonly LabBackend[]): Promise<void> {
    const whole = backends.map(
      (backend): Backend => ({ name: `backend-${backend.id}`, state: 'active', weight: 100, shed: 0, ...backend }),
    );
    const { settings, table } = this.datapath;
    const half = settings.backendsHalf;
    this.memory.setBackends(whole);
    table.setBackends(whole);
    for (const startMs = performance.now(); settings.backendsHalf === half; ) {
      if (performance.now() - startMs > SWITCH_WAIT_MS) throw new Error('the backends were not switched');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const placed = whole.map((backend) => ({ ...backend, active: backend.state === 'active' }));
    this.#ring = buildRing(placed);
    this.#backends.clear();
    for (const { id, address, port, active, shed } of placed)
      this.#backends.set(id, { address, port, known: true, active, shed });
  }

  /** @param untilMs Unix ms; 0 = allowed again */
  deny(sessionId: string, untilMs: number): void {
    const hash = hex(cookieHash(sessionId));
    if (untilMs === 0) this.#denied.delete(hash);
    else this.#denied.set(hash, untilMs);
    for (const table of this.#tables()) {
      table.deny(hash, untilMs);
      table.flush();
    }
  }

  /** @param value undefined = it is removed */
  setFact(name: string, value: Uint8Array | undefined, ms = 1_795_000_000_123, seq = 7): void {
    const hash = hex(factHash(name));
    if (value === undefined) {
      this.#facts.delete(hash);
      for (const table of this.#tables()) table.removeFact(hash);
    } else {
      this.#facts.set(hash, { value, version: BigInt(ms) * 2n ** 20n + BigInt(seq) });
      for (const table of this.#tables()) table.putFact(hash, value, { ms, seq });
    }
    for (const table of this.#tables()) table.flush();
  }

  /** All that the tables hold goes: sessions, revocations and facts. */
  forgetAll(): void {
    const { settings } = this.datapath;
    for (const table of this.#tables()) {
      table.beginGeneration();
      table.commitGeneration();
      table.beginDenied();
      table.endDenied();
      table.beginFacts();
      table.endFacts();
    }
    this.settings.generation = settings.generation;
    this.#sessions.clear();
    this.#denied.clear();
    this.#facts.clear();
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
    for (const table of this.#tables()) {
      table.put(hash, { ms, seq }, record.expiresMs, record.backendId);
      table.flush();
    }
  }

  /** @param seq at least that of the record */
  removeSession(sessionId: string, seq: number): void {
    const hash = hex(cookieHash(sessionId));
    this.#sessions.delete(hash);
    for (const table of this.#tables()) {
      table.remove(hash, { ms: 2 ** 43, seq });
      table.flush();
    }
  }

  /** Only these sources may ask, in the model; the program's list is the test's to set. */
  allowOnly(allows: ((source: Uint8Array) => boolean) | undefined): void {
    this.#mayAsk = allows;
  }

  // the model's side of the tables
  allows(source: Uint8Array): boolean {
    return this.#mayAsk === undefined || this.#mayAsk(source);
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
  ring(): Ring {
    return this.#ring;
  }
  denied(hash: Uint8Array): number {
    return this.#denied.get(hex(hash)) ?? 0;
  }
  fact(hash: Uint8Array): FactRecord | undefined {
    return this.#facts.get(hex(hash));
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

  factRequest(key: Key, name: string, timeMs = this.nowMs()): Uint8Array {
    return encodeFactRequest(key, factHash(name), timeMs, randomBytes(8)).bytes;
  }

  batchRequest(key: Key, sessionIds: readonly string[], timeMs = this.nowMs()): Uint8Array {
    const hashes = sessionIds.map((sessionId) => cookieHash(sessionId));
    return encodeBatchRequest(key, hashes, timeMs, randomBytes(8)).bytes;
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
  model(frame: Uint8Array, outcome: Outcome, tables: AnswerTables = this): Outcome {
    const isReply = outcome.action === XDP.TX;
    const at = isReply ? this.replyTimeMs(outcome.frame) - this.settings.clockOffsetMs : monotonicMs();
    const own = {
      port: this.port,
      isOwn: (address: Uint8Array) => this.isOwn(address),
      allows: (source: Uint8Array) => this.allows(source),
      key: (id: number) => this.key(id),
      spendSkewBudget: () => this.spendSkewBudget(),
    };
    const answer = respondToFrame(frame, { ...tablesOf(tables), ...own }, at);
    const action = answer.frame !== undefined ? XDP.TX : answer.verdict <= Verdict.PASS_SLOW_PATH ? XDP.PASS : XDP.DROP;
    return { verdict: answer.verdict, action, frame: answer.frame ?? frame };
  }

  /** `time_ms` of the reply in a frame with any VLAN tags and any family. */
  replyTimeMs(frame: Uint8Array): number {
    return Number(readWireHeader(viewOf(frame), payloadAt(frame)).timeMs);
  }

  reply(frame: Uint8Array): LookupReply {
    return readLookupReply(viewOf(frame), payloadAt(frame));
  }

  batchReply(frame: Uint8Array, count: number): BatchEntry[] {
    const at = payloadAt(frame) + batchPrefixLayout.size;
    return Array.from({ length: count }, (_, i) => readBatchEntry(viewOf(frame), at + batchEntryLayout.size * i));
  }

  factReply(frame: Uint8Array): FactReply {
    return readFactReply(viewOf(frame), payloadAt(frame));
  }

  close(): void {
    this.datapath.close();
    detachAll(this.pins);
  }
}

/** Methods of a class are not among what a spread copies. */
function tablesOf(tables: AnswerTables): AnswerTables {
  return {
    settings: tables.settings,
    session: (hash) => tables.session(hash),
    backend: (id) => tables.backend(id),
    ring: () => tables.ring(),
    denied: (hash) => tables.denied(hash),
    fact: (hash) => tables.fact(hash),
  };
}

function viewOf(frame: Uint8Array): DataView {
  return new DataView(frame.buffer, frame.byteOffset, frame.length);
}

function payloadAt(frame: Uint8Array): number {
  const view = viewOf(frame);
  let at = 12;
  while ([0x8100, 0x88a8].includes(view.getUint16(at))) at += 4;
  return at + 2 + (view.getUint16(at) === 0x0800 ? 20 : 40) + 8;
}
