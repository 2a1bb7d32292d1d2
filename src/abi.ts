// Generated from bpf/abi.h by scripts/generate-abi.ts; do not edit.

/** First 48 bits of SHA-256 over every name, size and offset below. Maps pinned by a program of another hash are not adopted. */
export const ABI_HASH = '984066a7ca3b';

/** The same over what programs of different layouts share: layout, wall_clock, key, key_fingerprint, address. */
export const SHARED_HASH = 'd7ad894d8456';

function readBytes(view: DataView, at: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, length).slice();
}

function writeBytes(view: DataView, at: number, length: number, value: Uint8Array): void {
  if (value.length !== length) throw new RangeError(`${value.length} bytes where ${length} belong`);
  new Uint8Array(view.buffer, view.byteOffset + at, length).set(value);
}

/** enum wire */
export const Wire = {
  MAGIC: 21319,
  VERSION: 1,
  REPLY_BIT: 128,
  ENCRYPTED_BIT: 64,
  BATCH_MAX: 64,
  FACT_MAX: 24,
} as const;
export type Wire = (typeof Wire)[keyof typeof Wire];

/** enum request_type */
export const RequestType = {
  LOOKUP: 1,
  BATCH: 2,
  FACT: 3,
} as const;
export type RequestType = (typeof RequestType)[keyof typeof RequestType];

/** enum status */
export const Status = {
  FOUND: 0,
  NOT_FOUND: 1,
  CLOCK_SKEW: 2,
  NOT_READY: 3,
  DENIED: 4,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** enum flag */
export const Flag = {
  MOVED: 1,
  PLACED: 2,
  STALE: 4,
} as const;
export type Flag = (typeof Flag)[keyof typeof Flag];

/** enum verdict */
export const Verdict = {
  PASS_OTHER: 0,
  PASS_SLOW_PATH: 1,
  DROP_LENGTH: 2,
  DROP_SOURCE: 3,
  DROP_MAGIC: 4,
  DROP_VERSION: 5,
  DROP_TYPE: 6,
  DROP_RESERVED: 7,
  DROP_KEY_UNKNOWN: 8,
  DROP_KEY_TIME: 9,
  DROP_GUARD: 10,
  DROP_SKEW_BUDGET: 11,
  DROP_TAG: 12,
  DROP_BUSY: 13,
  REPLY_CLOCK_SKEW: 14,
  REPLY_NOT_READY: 15,
  REPLY_FOUND: 16,
  REPLY_MOVED: 17,
  REPLY_PLACED: 18,
  REPLY_NOT_FOUND: 19,
  REPLY_DENIED: 20,
  ABORTED: 21,
  PASS_MISS: 22,
  COUNT: 23,
} as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

/** enum layout */
export const Layout = {
  REVISION: 4,
} as const;
export type Layout = (typeof Layout)[keyof typeof Layout];

/** enum limit */
export const Limit = {
  KEYS: 256,
  ADDRESSES: 1024,
  ALLOWED_NETWORKS: 4096,
  BACKENDS: 65536,
  KEY_HISTORY: 65536,
  CHANGES: 4096,
  RECORD_READS: 16,
  RING_SLOTS: 65537,
  DENIED: 262144,
  FACTS: 4096,
  TRACE_BYTES: 65536,
} as const;
export type Limit = (typeof Limit)[keyof typeof Limit];

/** enum suite */
export const Suite = {
  HMAC_SHA256: 1,
  BLAKE2S: 2,
} as const;
export type Suite = (typeof Suite)[keyof typeof Suite];

/** enum shed */
export const Shed = {
  WHOLE: 10000,
} as const;
export type Shed = (typeof Shed)[keyof typeof Shed];

/** enum session_flag */
export const SessionFlag = {
  DENIED: 1,
} as const;
export type SessionFlag = (typeof SessionFlag)[keyof typeof SessionFlag];

/** enum change_kind */
export const ChangeKind = {
  PUT: 1,
  DELETE: 2,
  DENY: 3,
  ALLOW: 4,
  FORGET_DENIED: 5,
  PUT_FACT: 6,
  DELETE_FACT: 7,
} as const;
export type ChangeKind = (typeof ChangeKind)[keyof typeof ChangeKind];

/** enum latency_kind */
export const LatencyKind = {
  FOUND: 0,
  NOT_FOUND: 1,
  CLOCK_SKEW: 2,
  NOT_READY: 3,
  DENIED: 4,
  BATCH: 5,
  KINDS: 6,
} as const;
export type LatencyKind = (typeof LatencyKind)[keyof typeof LatencyKind];

/** enum latency_scale */
export const LatencyScale = {
  FIRST_BITS: 6,
  LAST_BITS: 20,
  PARTS_BITS: 2,
  BUCKETS: 58,
} as const;
export type LatencyScale = (typeof LatencyScale)[keyof typeof LatencyScale];

/** enum miss */
export const Miss = {
  PER_KEY: 2000,
  PER_SOURCE: 1000,
  BURST_MS: 250,
  ALIVE_MS: 1000,
  KEY_BUCKETS: 1024,
  SOURCE_BUCKETS: 16384,
} as const;
export type Miss = (typeof Miss)[keyof typeof Miss];

/** struct wire_header, 24 bytes */
export interface WireHeader {
  magic: number;
  version: number;
  type: number;
  keyId: number;
  timeMs: bigint;
  nonce: Uint8Array;
}

export const wireHeaderLayout = {
  size: 24,
  offset: {
    magic: 0,
    version: 2,
    type: 3,
    keyId: 4,
    timeMs: 8,
    nonce: 16,
  },
} as const;

export function readWireHeader(view: DataView, at = 0): WireHeader {
  return {
    magic: view.getUint16(at, false),
    version: view.getUint8(at + 2),
    type: view.getUint8(at + 3),
    keyId: view.getUint32(at + 4, false),
    timeMs: view.getBigUint64(at + 8, false),
    nonce: readBytes(view, at + 16, 8),
  };
}

export function writeWireHeader(view: DataView, at: number, value: WireHeader): void {
  view.setUint16(at, value.magic, false);
  view.setUint8(at + 2, value.version);
  view.setUint8(at + 3, value.type);
  view.setUint32(at + 4, value.keyId, false);
  view.setBigUint64(at + 8, value.timeMs, false);
  writeBytes(view, at + 16, 8, value.nonce);
}

/** struct lookup_request, 80 bytes */
export interface LookupRequest {
  header: WireHeader;
  hash: Uint8Array;
  tag: Uint8Array;
  guard: Uint8Array;
  zero: Uint8Array;
}

export const lookupRequestLayout = {
  size: 80,
  offset: {
    header: 0,
    hash: 24,
    tag: 40,
    guard: 56,
    zero: 64,
  },
} as const;

export function readLookupRequest(view: DataView, at = 0): LookupRequest {
  return {
    header: readWireHeader(view, at),
    hash: readBytes(view, at + 24, 16),
    tag: readBytes(view, at + 40, 16),
    guard: readBytes(view, at + 56, 8),
    zero: readBytes(view, at + 64, 16),
  };
}

export function writeLookupRequest(view: DataView, at: number, value: LookupRequest): void {
  writeWireHeader(view, at, value.header);
  writeBytes(view, at + 24, 16, value.hash);
  writeBytes(view, at + 40, 16, value.tag);
  writeBytes(view, at + 56, 8, value.guard);
  writeBytes(view, at + 64, 16, value.zero);
}

/** struct lookup_reply, 80 bytes */
export interface LookupReply {
  header: WireHeader;
  status: number;
  flags: number;
  port: number;
  backendId: number;
  address: Uint8Array;
  version: bigint;
  ttlS: number;
  ageMs: number;
  tag: Uint8Array;
}

export const lookupReplyLayout = {
  size: 80,
  offset: {
    header: 0,
    status: 24,
    flags: 25,
    port: 26,
    backendId: 28,
    address: 32,
    version: 48,
    ttlS: 56,
    ageMs: 60,
    tag: 64,
  },
} as const;

export function readLookupReply(view: DataView, at = 0): LookupReply {
  return {
    header: readWireHeader(view, at),
    status: view.getUint8(at + 24),
    flags: view.getUint8(at + 25),
    port: view.getUint16(at + 26, false),
    backendId: view.getUint32(at + 28, false),
    address: readBytes(view, at + 32, 16),
    version: view.getBigUint64(at + 48, false),
    ttlS: view.getUint32(at + 56, false),
    ageMs: view.getUint32(at + 60, false),
    tag: readBytes(view, at + 64, 16),
  };
}

export function writeLookupReply(view: DataView, at: number, value: LookupReply): void {
  writeWireHeader(view, at, value.header);
  view.setUint8(at + 24, value.status);
  view.setUint8(at + 25, value.flags);
  view.setUint16(at + 26, value.port, false);
  view.setUint32(at + 28, value.backendId, false);
  writeBytes(view, at + 32, 16, value.address);
  view.setBigUint64(at + 48, value.version, false);
  view.setUint32(at + 56, value.ttlS, false);
  view.setUint32(at + 60, value.ageMs, false);
  writeBytes(view, at + 64, 16, value.tag);
}

/** struct fact_reply, 80 bytes */
export interface FactReply {
  header: WireHeader;
  status: number;
  flags: number;
  valueLength: number;
  value: Uint8Array;
  version: Uint8Array;
  ageMs: number;
  tag: Uint8Array;
}

export const factReplyLayout = {
  size: 80,
  offset: {
    header: 0,
    status: 24,
    flags: 25,
    valueLength: 26,
    value: 28,
    version: 52,
    ageMs: 60,
    tag: 64,
  },
} as const;

export function readFactReply(view: DataView, at = 0): FactReply {
  return {
    header: readWireHeader(view, at),
    status: view.getUint8(at + 24),
    flags: view.getUint8(at + 25),
    valueLength: view.getUint16(at + 26, false),
    value: readBytes(view, at + 28, 24),
    version: readBytes(view, at + 52, 8),
    ageMs: view.getUint32(at + 60, false),
    tag: readBytes(view, at + 64, 16),
  };
}

export function writeFactReply(view: DataView, at: number, value: FactReply): void {
  writeWireHeader(view, at, value.header);
  view.setUint8(at + 24, value.status);
  view.setUint8(at + 25, value.flags);
  view.setUint16(at + 26, value.valueLength, false);
  writeBytes(view, at + 28, 24, value.value);
  writeBytes(view, at + 52, 8, value.version);
  view.setUint32(at + 60, value.ageMs, false);
  writeBytes(view, at + 64, 16, value.tag);
}

/** struct batch_prefix, 32 bytes */
export interface BatchPrefix {
  header: WireHeader;
  count: number;
  zero: number;
  ageMs: number;
}

export const batchPrefixLayout = {
  size: 32,
  offset: {
    header: 0,
    count: 24,
    zero: 26,
    ageMs: 28,
  },
} as const;

export function readBatchPrefix(view: DataView, at = 0): BatchPrefix {
  return {
    header: readWireHeader(view, at),
    count: view.getUint16(at + 24, false),
    zero: view.getUint16(at + 26, false),
    ageMs: view.getUint32(at + 28, false),
  };
}

export function writeBatchPrefix(view: DataView, at: number, value: BatchPrefix): void {
  writeWireHeader(view, at, value.header);
  view.setUint16(at + 24, value.count, false);
  view.setUint16(at + 26, value.zero, false);
  view.setUint32(at + 28, value.ageMs, false);
}

/** struct batch_entry, 16 bytes */
export interface BatchEntry {
  status: number;
  flags: number;
  backendId: number;
  ttlS: number;
  version: bigint;
}

export const batchEntryLayout = {
  size: 16,
  offset: {
    status: 0,
    flags: 1,
    backendId: 2,
    ttlS: 4,
    version: 8,
  },
} as const;

export function readBatchEntry(view: DataView, at = 0): BatchEntry {
  return {
    status: view.getUint8(at),
    flags: view.getUint8(at + 1),
    backendId: view.getUint16(at + 2, false),
    ttlS: view.getUint32(at + 4, false),
    version: view.getBigUint64(at + 8, false),
  };
}

export function writeBatchEntry(view: DataView, at: number, value: BatchEntry): void {
  view.setUint8(at, value.status);
  view.setUint8(at + 1, value.flags);
  view.setUint16(at + 2, value.backendId, false);
  view.setUint32(at + 4, value.ttlS, false);
  view.setBigUint64(at + 8, value.version, false);
}

/** struct wall_clock, 8 bytes */
export interface WallClock {
  offsetMs: bigint;
}

export const wallClockLayout = {
  size: 8,
  offset: {
    offsetMs: 0,
  },
} as const;

export function readWallClock(view: DataView, at = 0): WallClock {
  return {
    offsetMs: view.getBigInt64(at, true),
  };
}

export function writeWallClock(view: DataView, at: number, value: WallClock): void {
  view.setBigInt64(at, value.offsetMs, true);
}

/** struct settings, 80 bytes */
export interface Settings {
  inStepMs: bigint;
  staleAfterMs: bigint;
  maxSkewMs: bigint;
  skewBudget: number;
  generation: number;
  port: number;
  ready: number;
  allowList: number;
  backendsHalf: number;
  deniedGeneration: number;
  factsGeneration: number;
  newestGeneration: number;
  newestDeniedGeneration: number;
  newestFactsGeneration: number;
  timedOneIn: number;
  copyLines: number;
  zero: number;
}

export const settingsLayout = {
  size: 80,
  offset: {
    inStepMs: 0,
    staleAfterMs: 8,
    maxSkewMs: 16,
    skewBudget: 24,
    generation: 28,
    port: 32,
    ready: 36,
    allowList: 40,
    backendsHalf: 44,
    deniedGeneration: 48,
    factsGeneration: 52,
    newestGeneration: 56,
    newestDeniedGeneration: 60,
    newestFactsGeneration: 64,
    timedOneIn: 68,
    copyLines: 72,
    zero: 76,
  },
} as const;

export function readSettings(view: DataView, at = 0): Settings {
  return {
    inStepMs: view.getBigUint64(at, true),
    staleAfterMs: view.getBigUint64(at + 8, true),
    maxSkewMs: view.getBigUint64(at + 16, true),
    skewBudget: view.getUint32(at + 24, true),
    generation: view.getUint32(at + 28, true),
    port: view.getUint32(at + 32, true),
    ready: view.getUint32(at + 36, true),
    allowList: view.getUint32(at + 40, true),
    backendsHalf: view.getUint32(at + 44, true),
    deniedGeneration: view.getUint32(at + 48, true),
    factsGeneration: view.getUint32(at + 52, true),
    newestGeneration: view.getUint32(at + 56, true),
    newestDeniedGeneration: view.getUint32(at + 60, true),
    newestFactsGeneration: view.getUint32(at + 64, true),
    timedOneIn: view.getUint32(at + 68, true),
    copyLines: view.getUint32(at + 72, true),
    zero: view.getUint32(at + 76, true),
  };
}

export function writeSettings(view: DataView, at: number, value: Settings): void {
  view.setBigUint64(at, value.inStepMs, true);
  view.setBigUint64(at + 8, value.staleAfterMs, true);
  view.setBigUint64(at + 16, value.maxSkewMs, true);
  view.setUint32(at + 24, value.skewBudget, true);
  view.setUint32(at + 28, value.generation, true);
  view.setUint32(at + 32, value.port, true);
  view.setUint32(at + 36, value.ready, true);
  view.setUint32(at + 40, value.allowList, true);
  view.setUint32(at + 44, value.backendsHalf, true);
  view.setUint32(at + 48, value.deniedGeneration, true);
  view.setUint32(at + 52, value.factsGeneration, true);
  view.setUint32(at + 56, value.newestGeneration, true);
  view.setUint32(at + 60, value.newestDeniedGeneration, true);
  view.setUint32(at + 64, value.newestFactsGeneration, true);
  view.setUint32(at + 68, value.timedOneIn, true);
  view.setUint32(at + 72, value.copyLines, true);
  view.setUint32(at + 76, value.zero, true);
}

/** struct key, 112 bytes */
export interface Key {
  notBeforeMs: bigint;
  notAfterMs: bigint;
  guardKey: Uint8Array;
  innerState: number[];
  outerState: number[];
  suite: number;
  encrypt: number;
  usesAt: number;
  zero: number;
}

export const keyLayout = {
  size: 112,
  offset: {
    notBeforeMs: 0,
    notAfterMs: 8,
    guardKey: 16,
    innerState: 32,
    outerState: 64,
    suite: 96,
    encrypt: 100,
    usesAt: 104,
    zero: 108,
  },
} as const;

export function readKey(view: DataView, at = 0): Key {
  return {
    notBeforeMs: view.getBigUint64(at, true),
    notAfterMs: view.getBigUint64(at + 8, true),
    guardKey: readBytes(view, at + 16, 16),
    innerState: Array.from({ length: 8 }, (_, i) => view.getUint32(at + 32 + 4 * i, true)),
    outerState: Array.from({ length: 8 }, (_, i) => view.getUint32(at + 64 + 4 * i, true)),
    suite: view.getUint32(at + 96, true),
    encrypt: view.getUint32(at + 100, true),
    usesAt: view.getUint32(at + 104, true),
    zero: view.getUint32(at + 108, true),
  };
}

export function writeKey(view: DataView, at: number, value: Key): void {
  view.setBigUint64(at, value.notBeforeMs, true);
  view.setBigUint64(at + 8, value.notAfterMs, true);
  writeBytes(view, at + 16, 16, value.guardKey);
  for (let i = 0; i < 8; i++) view.setUint32(at + 32 + 4 * i, value.innerState[i] as number, true);
  for (let i = 0; i < 8; i++) view.setUint32(at + 64 + 4 * i, value.outerState[i] as number, true);
  view.setUint32(at + 96, value.suite, true);
  view.setUint32(at + 100, value.encrypt, true);
  view.setUint32(at + 104, value.usesAt, true);
  view.setUint32(at + 108, value.zero, true);
}

/** struct key_fingerprint, 16 bytes */
export interface KeyFingerprint {
  digest: Uint8Array;
}

export const keyFingerprintLayout = {
  size: 16,
  offset: {
    digest: 0,
  },
} as const;

export function readKeyFingerprint(view: DataView, at = 0): KeyFingerprint {
  return {
    digest: readBytes(view, at, 16),
  };
}

export function writeKeyFingerprint(view: DataView, at: number, value: KeyFingerprint): void {
  writeBytes(view, at, 16, value.digest);
}

/** struct address, 16 bytes */
export interface Address {
  bytes: Uint8Array;
}

export const addressLayout = {
  size: 16,
  offset: {
    bytes: 0,
  },
} as const;

export function readAddress(view: DataView, at = 0): Address {
  return {
    bytes: readBytes(view, at, 16),
  };
}

export function writeAddress(view: DataView, at: number, value: Address): void {
  writeBytes(view, at, 16, value.bytes);
}

/** struct network, 20 bytes */
export interface Network {
  prefixLength: number;
  bytes: Uint8Array;
}

export const networkLayout = {
  size: 20,
  offset: {
    prefixLength: 0,
    bytes: 4,
  },
} as const;

export function readNetwork(view: DataView, at = 0): Network {
  return {
    prefixLength: view.getUint32(at, true),
    bytes: readBytes(view, at + 4, 16),
  };
}

export function writeNetwork(view: DataView, at: number, value: Network): void {
  view.setUint32(at, value.prefixLength, true);
  writeBytes(view, at + 4, 16, value.bytes);
}

/** struct backend, 24 bytes */
export interface Backend {
  address: Uint8Array;
  port: number;
  known: number;
  active: number;
  shed: number;
  zero: Uint8Array;
}

export const backendLayout = {
  size: 24,
  offset: {
    address: 0,
    port: 16,
    known: 18,
    active: 19,
    shed: 20,
    zero: 22,
  },
} as const;

export function readBackend(view: DataView, at = 0): Backend {
  return {
    address: readBytes(view, at, 16),
    port: view.getUint16(at + 16, false),
    known: view.getUint8(at + 18),
    active: view.getUint8(at + 19),
    shed: view.getUint16(at + 20, true),
    zero: readBytes(view, at + 22, 2),
  };
}

export function writeBackend(view: DataView, at: number, value: Backend): void {
  writeBytes(view, at, 16, value.address);
  view.setUint16(at + 16, value.port, false);
  view.setUint8(at + 18, value.known);
  view.setUint8(at + 19, value.active);
  view.setUint16(at + 20, value.shed, true);
  writeBytes(view, at + 22, 2, value.zero);
}

/** struct ring_slot, 8 bytes */
export interface RingSlot {
  placed: number;
  moved: number;
  zero: number;
}

export const ringSlotLayout = {
  size: 8,
  offset: {
    placed: 0,
    moved: 2,
    zero: 4,
  },
} as const;

export function readRingSlot(view: DataView, at = 0): RingSlot {
  return {
    placed: view.getUint16(at, true),
    moved: view.getUint16(at + 2, true),
    zero: view.getUint32(at + 4, true),
  };
}

export function writeRingSlot(view: DataView, at: number, value: RingSlot): void {
  view.setUint16(at, value.placed, true);
  view.setUint16(at + 2, value.moved, true);
  view.setUint32(at + 4, value.zero, true);
}

/** struct session_key, 16 bytes */
export interface SessionKey {
  hash: Uint8Array;
}

export const sessionKeyLayout = {
  size: 16,
  offset: {
    hash: 0,
  },
} as const;

export function readSessionKey(view: DataView, at = 0): SessionKey {
  return {
    hash: readBytes(view, at, 16),
  };
}

export function writeSessionKey(view: DataView, at: number, value: SessionKey): void {
  writeBytes(view, at, 16, value.hash);
}

/** struct session, 32 bytes */
export interface Session {
  version: bigint;
  expiresMs: bigint;
  generation: number;
  backendId: number;
  flags: number;
  check: bigint;
}

export const sessionLayout = {
  size: 32,
  offset: {
    version: 0,
    expiresMs: 8,
    generation: 16,
    backendId: 20,
    flags: 22,
    check: 24,
  },
} as const;

export function readSession(view: DataView, at = 0): Session {
  return {
    version: view.getBigUint64(at, true),
    expiresMs: view.getBigUint64(at + 8, true),
    generation: view.getUint32(at + 16, true),
    backendId: view.getUint16(at + 20, true),
    flags: view.getUint16(at + 22, true),
    check: view.getBigUint64(at + 24, true),
  };
}

export function writeSession(view: DataView, at: number, value: Session): void {
  view.setBigUint64(at, value.version, true);
  view.setBigUint64(at + 8, value.expiresMs, true);
  view.setUint32(at + 16, value.generation, true);
  view.setUint16(at + 20, value.backendId, true);
  view.setUint16(at + 22, value.flags, true);
  view.setBigUint64(at + 24, value.check, true);
}

/** struct session_copies, 64 bytes */
export interface SessionCopies {
  ways: Session[];
}

export const sessionCopiesLayout = {
  size: 64,
  offset: {
    ways: 0,
  },
} as const;

export function readSessionCopies(view: DataView, at = 0): SessionCopies {
  return {
    ways: Array.from({ length: 2 }, (_, i) => readSession(view, at + 32 * i)),
  };
}

export function writeSessionCopies(view: DataView, at: number, value: SessionCopies): void {
  for (let i = 0; i < 2; i++) writeSession(view, at + 32 * i, value.ways[i] as Session);
}

/** struct denied, 24 bytes */
export interface Denied {
  untilMs: bigint;
  generation: number;
  zero: number;
  check: bigint;
}

export const deniedLayout = {
  size: 24,
  offset: {
    untilMs: 0,
    generation: 8,
    zero: 12,
    check: 16,
  },
} as const;

export function readDenied(view: DataView, at = 0): Denied {
  return {
    untilMs: view.getBigUint64(at, true),
    generation: view.getUint32(at + 8, true),
    zero: view.getUint32(at + 12, true),
    check: view.getBigUint64(at + 16, true),
  };
}

export function writeDenied(view: DataView, at: number, value: Denied): void {
  view.setBigUint64(at, value.untilMs, true);
  view.setUint32(at + 8, value.generation, true);
  view.setUint32(at + 12, value.zero, true);
  view.setBigUint64(at + 16, value.check, true);
}

/** struct fact, 48 bytes */
export interface Fact {
  version: bigint;
  value: Uint8Array;
  generation: number;
  length: number;
  check: bigint;
}

export const factLayout = {
  size: 48,
  offset: {
    version: 0,
    value: 8,
    generation: 32,
    length: 36,
    check: 40,
  },
} as const;

export function readFact(view: DataView, at = 0): Fact {
  return {
    version: view.getBigUint64(at, true),
    value: readBytes(view, at + 8, 24),
    generation: view.getUint32(at + 32, true),
    length: view.getUint32(at + 36, true),
    check: view.getBigUint64(at + 40, true),
  };
}

export function writeFact(view: DataView, at: number, value: Fact): void {
  view.setBigUint64(at, value.version, true);
  writeBytes(view, at + 8, 24, value.value);
  view.setUint32(at + 32, value.generation, true);
  view.setUint32(at + 36, value.length, true);
  view.setBigUint64(at + 40, value.check, true);
}

/** struct under_way, 104 bytes */
export interface UnderWay {
  session: Session;
  denied: Denied;
  fact: Fact;
}

export const underWayLayout = {
  size: 104,
  offset: {
    session: 0,
    denied: 32,
    fact: 56,
  },
} as const;

export function readUnderWay(view: DataView, at = 0): UnderWay {
  return {
    session: readSession(view, at),
    denied: readDenied(view, at + 32),
    fact: readFact(view, at + 56),
  };
}

export function writeUnderWay(view: DataView, at: number, value: UnderWay): void {
  writeSession(view, at, value.session);
  writeDenied(view, at + 32, value.denied);
  writeFact(view, at + 56, value.fact);
}

/** struct change, 64 bytes */
export interface Change {
  hash: Uint8Array;
  version: bigint;
  expiresMs: bigint;
  value: Uint8Array;
  generation: number;
  backendId: number;
  kind: number;
  length: number;
}

export const changeLayout = {
  size: 64,
  offset: {
    hash: 0,
    version: 16,
    expiresMs: 24,
    value: 32,
    generation: 56,
    backendId: 60,
    kind: 62,
    length: 63,
  },
} as const;

export function readChange(view: DataView, at = 0): Change {
  return {
    hash: readBytes(view, at, 16),
    version: view.getBigUint64(at + 16, true),
    expiresMs: view.getBigUint64(at + 24, true),
    value: readBytes(view, at + 32, 24),
    generation: view.getUint32(at + 56, true),
    backendId: view.getUint16(at + 60, true),
    kind: view.getUint8(at + 62),
    length: view.getUint8(at + 63),
  };
}

export function writeChange(view: DataView, at: number, value: Change): void {
  writeBytes(view, at, 16, value.hash);
  view.setBigUint64(at + 16, value.version, true);
  view.setBigUint64(at + 24, value.expiresMs, true);
  writeBytes(view, at + 32, 24, value.value);
  view.setUint32(at + 56, value.generation, true);
  view.setUint16(at + 60, value.backendId, true);
  view.setUint8(at + 62, value.kind);
  view.setUint8(at + 63, value.length);
}

/** struct apply_result, 44 bytes */
export interface ApplyResult {
  count: number;
  inserted: number;
  replaced: number;
  deleted: number;
  skipped: number;
  refused: number;
  denied: number;
  allowed: number;
  deniedRefused: number;
  facts: number;
  factsRefused: number;
}

export const applyResultLayout = {
  size: 44,
  offset: {
    count: 0,
    inserted: 4,
    replaced: 8,
    deleted: 12,
    skipped: 16,
    refused: 20,
    denied: 24,
    allowed: 28,
    deniedRefused: 32,
    facts: 36,
    factsRefused: 40,
  },
} as const;

export function readApplyResult(view: DataView, at = 0): ApplyResult {
  return {
    count: view.getUint32(at, true),
    inserted: view.getUint32(at + 4, true),
    replaced: view.getUint32(at + 8, true),
    deleted: view.getUint32(at + 12, true),
    skipped: view.getUint32(at + 16, true),
    refused: view.getUint32(at + 20, true),
    denied: view.getUint32(at + 24, true),
    allowed: view.getUint32(at + 28, true),
    deniedRefused: view.getUint32(at + 32, true),
    facts: view.getUint32(at + 36, true),
    factsRefused: view.getUint32(at + 40, true),
  };
}

export function writeApplyResult(view: DataView, at: number, value: ApplyResult): void {
  view.setUint32(at, value.count, true);
  view.setUint32(at + 4, value.inserted, true);
  view.setUint32(at + 8, value.replaced, true);
  view.setUint32(at + 12, value.deleted, true);
  view.setUint32(at + 16, value.skipped, true);
  view.setUint32(at + 20, value.refused, true);
  view.setUint32(at + 24, value.denied, true);
  view.setUint32(at + 28, value.allowed, true);
  view.setUint32(at + 32, value.deniedRefused, true);
  view.setUint32(at + 36, value.facts, true);
  view.setUint32(at + 40, value.factsRefused, true);
}

/** struct table_counts, 48 bytes */
export interface TableCounts {
  entries: bigint;
  refused: bigint;
  denied: bigint;
  deniedRefused: bigint;
  facts: bigint;
  factsRefused: bigint;
}

export const tableCountsLayout = {
  size: 48,
  offset: {
    entries: 0,
    refused: 8,
    denied: 16,
    deniedRefused: 24,
    facts: 32,
    factsRefused: 40,
  },
} as const;

export function readTableCounts(view: DataView, at = 0): TableCounts {
  return {
    entries: view.getBigUint64(at, true),
    refused: view.getBigUint64(at + 8, true),
    denied: view.getBigUint64(at + 16, true),
    deniedRefused: view.getBigUint64(at + 24, true),
    facts: view.getBigUint64(at + 32, true),
    factsRefused: view.getBigUint64(at + 40, true),
  };
}

export function writeTableCounts(view: DataView, at: number, value: TableCounts): void {
  view.setBigUint64(at, value.entries, true);
  view.setBigUint64(at + 8, value.refused, true);
  view.setBigUint64(at + 16, value.denied, true);
  view.setBigUint64(at + 24, value.deniedRefused, true);
  view.setBigUint64(at + 32, value.facts, true);
  view.setBigUint64(at + 40, value.factsRefused, true);
}

/** struct verdict_counts, 200 bytes */
export interface VerdictCounts {
  packets: bigint[];
  beganNs: bigint;
  untilTimed: number;
  timedFor: number;
}

export const verdictCountsLayout = {
  size: 200,
  offset: {
    packets: 0,
    beganNs: 184,
    untilTimed: 192,
    timedFor: 196,
  },
} as const;

export function readVerdictCounts(view: DataView, at = 0): VerdictCounts {
  return {
    packets: Array.from({ length: 23 }, (_, i) => view.getBigUint64(at + 8 * i, true)),
    beganNs: view.getBigUint64(at + 184, true),
    untilTimed: view.getUint32(at + 192, true),
    timedFor: view.getUint32(at + 196, true),
  };
}

export function writeVerdictCounts(view: DataView, at: number, value: VerdictCounts): void {
  for (let i = 0; i < 23; i++) view.setBigUint64(at + 8 * i, value.packets[i] as bigint, true);
  view.setBigUint64(at + 184, value.beganNs, true);
  view.setUint32(at + 192, value.untilTimed, true);
  view.setUint32(at + 196, value.timedFor, true);
}

/** struct latencies, 472 bytes */
export interface Latencies {
  sumNs: bigint;
  packets: bigint[];
}

export const latenciesLayout = {
  size: 472,
  offset: {
    sumNs: 0,
    packets: 8,
  },
} as const;

export function readLatencies(view: DataView, at = 0): Latencies {
  return {
    sumNs: view.getBigUint64(at, true),
    packets: Array.from({ length: 58 }, (_, i) => view.getBigUint64(at + 8 + 8 * i, true)),
  };
}

export function writeLatencies(view: DataView, at: number, value: Latencies): void {
  view.setBigUint64(at, value.sumNs, true);
  for (let i = 0; i < 58; i++) view.setBigUint64(at + 8 + 8 * i, value.packets[i] as bigint, true);
}

/** struct trace_control, 64 bytes */
export interface TraceControl {
  untilMs: bigint;
  verdicts: bigint;
  sourceMask: Uint8Array;
  source: Uint8Array;
  keyId: number;
  oneIn: number;
  lost: bigint;
}

export const traceControlLayout = {
  size: 64,
  offset: {
    untilMs: 0,
    verdicts: 8,
    sourceMask: 16,
    source: 32,
    keyId: 48,
    oneIn: 52,
    lost: 56,
  },
} as const;

export function readTraceControl(view: DataView, at = 0): TraceControl {
  return {
    untilMs: view.getBigUint64(at, true),
    verdicts: view.getBigUint64(at + 8, true),
    sourceMask: readBytes(view, at + 16, 16),
    source: readBytes(view, at + 32, 16),
    keyId: view.getUint32(at + 48, true),
    oneIn: view.getUint32(at + 52, true),
    lost: view.getBigUint64(at + 56, true),
  };
}

export function writeTraceControl(view: DataView, at: number, value: TraceControl): void {
  view.setBigUint64(at, value.untilMs, true);
  view.setBigUint64(at + 8, value.verdicts, true);
  writeBytes(view, at + 16, 16, value.sourceMask);
  writeBytes(view, at + 32, 16, value.source);
  view.setUint32(at + 48, value.keyId, true);
  view.setUint32(at + 52, value.oneIn, true);
  view.setBigUint64(at + 56, value.lost, true);
}

/** struct traced_packet, 48 bytes */
export interface TracedPacket {
  beganNs: bigint;
  source: Uint8Array;
  tookNs: number;
  verdict: number;
  keyId: number;
  sourcePort: number;
  type: number;
  entries: number;
  hash: Uint8Array;
  hasHash: number;
  zero: Uint8Array;
}

export const tracedPacketLayout = {
  size: 48,
  offset: {
    beganNs: 0,
    source: 8,
    tookNs: 24,
    verdict: 28,
    keyId: 32,
    sourcePort: 36,
    type: 38,
    entries: 39,
    hash: 40,
    hasHash: 44,
    zero: 45,
  },
} as const;

export function readTracedPacket(view: DataView, at = 0): TracedPacket {
  return {
    beganNs: view.getBigUint64(at, true),
    source: readBytes(view, at + 8, 16),
    tookNs: view.getUint32(at + 24, true),
    verdict: view.getUint32(at + 28, true),
    keyId: view.getUint32(at + 32, true),
    sourcePort: view.getUint16(at + 36, true),
    type: view.getUint8(at + 38),
    entries: view.getUint8(at + 39),
    hash: readBytes(view, at + 40, 4),
    hasHash: view.getUint8(at + 44),
    zero: readBytes(view, at + 45, 3),
  };
}

export function writeTracedPacket(view: DataView, at: number, value: TracedPacket): void {
  view.setBigUint64(at, value.beganNs, true);
  writeBytes(view, at + 8, 16, value.source);
  view.setUint32(at + 24, value.tookNs, true);
  view.setUint32(at + 28, value.verdict, true);
  view.setUint32(at + 32, value.keyId, true);
  view.setUint16(at + 36, value.sourcePort, true);
  view.setUint8(at + 38, value.type);
  view.setUint8(at + 39, value.entries);
  writeBytes(view, at + 40, 4, value.hash);
  view.setUint8(at + 44, value.hasHash);
  writeBytes(view, at + 45, 3, value.zero);
}

/** struct skew_budget, 16 bytes */
export interface SkewBudget {
  second: bigint;
  spent: bigint;
}

export const skewBudgetLayout = {
  size: 16,
  offset: {
    second: 0,
    spent: 8,
  },
} as const;

export function readSkewBudget(view: DataView, at = 0): SkewBudget {
  return {
    second: view.getBigUint64(at, true),
    spent: view.getBigUint64(at + 8, true),
  };
}

export function writeSkewBudget(view: DataView, at: number, value: SkewBudget): void {
  view.setBigUint64(at, value.second, true);
  view.setBigUint64(at + 8, value.spent, true);
}

/** struct responder, 8 bytes */
export interface Responder {
  aliveMs: bigint;
}

export const responderLayout = {
  size: 8,
  offset: {
    aliveMs: 0,
  },
} as const;

export function readResponder(view: DataView, at = 0): Responder {
  return {
    aliveMs: view.getBigUint64(at, true),
  };
}

export function writeResponder(view: DataView, at: number, value: Responder): void {
  view.setBigUint64(at, value.aliveMs, true);
}

/** struct miss_bucket, 8 bytes */
export interface MissBucket {
  fullNs: bigint;
}

export const missBucketLayout = {
  size: 8,
  offset: {
    fullNs: 0,
  },
} as const;

export function readMissBucket(view: DataView, at = 0): MissBucket {
  return {
    fullNs: view.getBigUint64(at, true),
  };
}

export function writeMissBucket(view: DataView, at: number, value: MissBucket): void {
  view.setBigUint64(at, value.fullNs, true);
}

/** struct daemon_answers, 8 bytes */
export interface DaemonAnswers {
  number: bigint;
}

export const daemonAnswersLayout = {
  size: 8,
  offset: {
    number: 0,
  },
} as const;

export function readDaemonAnswers(view: DataView, at = 0): DaemonAnswers {
  return {
    number: view.getBigUint64(at, true),
  };
}

export function writeDaemonAnswers(view: DataView, at: number, value: DaemonAnswers): void {
  view.setBigUint64(at, value.number, true);
}
