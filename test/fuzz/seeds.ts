/**
 * What fuzzing begins with. `frame`: a frame for each way through the program, in the world of gateway.h, and the
 * requests of the test vectors. `changes`: the shortest stories of a record. For run.ts.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { Key } from '../../src/auth/keyring.ts';
import { encodeBatchRequest, encodeFactRequest, encodeLookupRequest } from '../../src/auth/request.ts';
import { buildFrame, type FrameOptions, ipv4 } from '../model/frames.ts';

const NOW_MS = 1_795_000_000_000;
const PORT = 6464;
const GATEWAY_V6 = Uint8Array.of(0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2);
const CLIENT_V6 = Uint8Array.of(0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
/** The first byte of an input: how the world differs. */
const WORLD = {
  usual: 0,
  notReady: 1,
  allowList: 2,
  noBudget: 4,
  neverInStep: 8,
  otherHalf: 0x10,
  stale: 0x20,
  asked: 0x40,
  askedTooOften: 0xc0,
};

/** As WORLD_SESSIONS in gateway.h. */
const SESSIONS = 14;

const series = (first: number, length: number): Uint8Array => new Uint8Array(length).map((_, i) => first + i);

/** As KEY_ENCRYPTED, KEY_BLAKE2S and KEY_BLAKE2S_ENCRYPTED in gateway.h. */
const [ENCRYPTED, BLAKE2S, BLAKE2S_ENCRYPTED] = [5, 6, 7] as const;

function keyOf(id: number): Key {
  const suite = id === BLAKE2S || id === BLAKE2S_ENCRYPTED ? 'blake2s' : 'hmac-sha256';
  const fields = { id, name: `key-${id}`, suite, encrypt: id === ENCRYPTED || id === BLAKE2S_ENCRYPTED } as const;
  return new Key({ ...fields, notBeforeMs: null, notAfterMs: null }, series(16 * id, 32));
}

function request(options: { keyId?: number; session?: number; skewMs?: number } = {}): Uint8Array {
  const { keyId = 1, session = 0, skewMs = 0 } = options;
  return encodeLookupRequest(keyOf(keyId), series(16 * session, 16), NOW_MS + skewMs, series(1, 8)).bytes;
}

function factRequest(fact: number): Uint8Array {
  return encodeFactRequest(keyOf(1), series(16 * fact, 16), NOW_MS, series(1, 8)).bytes;
}

function batchRequest(keyId: number, count: number): Uint8Array {
  const hashes = Array.from({ length: count }, (_, i) => series(16 * (i % SESSIONS), 16));
  return encodeBatchRequest(keyOf(keyId), hashes, NOW_MS, series(1, 8)).bytes;
}

function frame(payload: Uint8Array, options: Partial<FrameOptions> = {}): Uint8Array {
  return buildFrame({
    source: ipv4(10, 99, 0, 1),
    destination: ipv4(10, 99, 0, 2),
    destinationPort: PORT,
    payload,
    ...options,
  });
}

const changed = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at, (bytes[at] ?? 0) ^ 0x10);

function frames(): { world: number; frame: Uint8Array }[] {
  const v6 = { source: CLIENT_V6, destination: GATEWAY_V6 };
  const layouts: Partial<FrameOptions>[] = [
    {},
    { vlans: [0x8100] },
    { vlans: [0x88a8, 0x8100] },
    { vlans: [0x88a8, 0x88a8, 0x8100] },
    { trailer: series(0, 5) },
    { options: Uint8Array.of(1, 1, 1, 0) },
    { fragment: 0x2000 },
    { destination: ipv4(10, 99, 0, 3) },
    { destinationPort: 53 },
    { udpLength: 7 },
    { ipLength: 19 },
    v6,
    { ...v6, vlans: [0x88a8, 0x8100] },
    { ...v6, extensions: [{ type: 60, bytes: new Uint8Array(8) }] },
  ];
  const payloads = [
    ...[...series(0, SESSIONS)].map((session) => request({ session })),
    ...[0, 1, 2, 3].map(factRequest),
    ...[2, 3, 4, ENCRYPTED, BLAKE2S, BLAKE2S_ENCRYPTED].map((keyId) => request({ keyId })),
    ...[1, ENCRYPTED, BLAKE2S, BLAKE2S_ENCRYPTED].flatMap((keyId) => [1, 2, 64].map((n) => batchRequest(keyId, n))),
    changed(batchRequest(1, 2), 25),
    ...[-31_000, 31_000].map((skewMs) => request({ skewMs })),
    ...[0, 2, 3, 20, 40, 56, 64, 79].map((at) => changed(request(), at)),
    request().subarray(0, 79),
    new Uint8Array(0),
  ];
  return [
    ...layouts.map((layout) => ({ world: WORLD.usual, frame: frame(request(), layout) })),
    ...payloads.map((payload) => ({ world: WORLD.usual, frame: frame(payload) })),
    ...vectorRequests().map((payload) => ({ world: WORLD.usual, frame: frame(payload) })),
    ...Object.values(WORLD).flatMap((world) => [
      { world, frame: frame(request()) },
      { world, frame: frame(request({ skewMs: 31_000 }), { source: ipv4(10, 98, 0, 1) }) },
    ]),
  ];
}

function vectorRequests(): Uint8Array[] {
  const file = new URL('../vectors/protocol-v1.json', import.meta.url);
  const { vectors } = JSON.parse(fs.readFileSync(file, 'utf8')) as { vectors: { request_bytes: string }[] };
  return vectors.map(({ request_bytes }) => Buffer.from(request_bytes, 'hex'));
}

/** Steps as changes.c has them. */
const [PUT, DELETE, APPLY, RECYCLE, INTERRUPT, DENY, ALLOW, FORGET_DENIED, PUT_FACT, DELETE_FACT, RETELL] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
] as const;
const STEPS = 11;
/** Kinds of records that a lookup is for. */
const [REVOCATION, FACT] = [STEPS, 2 * STEPS] as const;

function stories(): number[][][] {
  const session = 1;
  const put = (version: number): number[] => [PUT, session, version, 3, 10 + version];
  const remove = (version: number): number[] => [DELETE, session, version, 3, 0];
  const deny = (untilMs: number): number[] => [DENY, session, untilMs, 1, 0];
  const forget = (untilMs: number): number[] => [FORGET_DENIED, session, untilMs, 1, 0];
  const putFact = (version: number): number[] => [PUT_FACT, session, version, 3, 10 + version];
  const recycle = [RECYCLE, session, 0, 1, 8];
  return [
    [put(1), recycle],
    [put(1), put(2), [APPLY, 0, 0, 0, 0], remove(3), recycle, put(4), recycle],
    [put(2), put(1), [INTERRUPT, session, 3, 5, 9], recycle],
    [put(1), deny(5), put(2), [RECYCLE + REVOCATION, session, 0, 1, 8], [INTERRUPT + REVOCATION, session, 9, 1, 0]],
    [deny(5), put(1), deny(6), forget(5), forget(6), put(2), deny(7), [ALLOW, session, 0, 0, 0]],
    [putFact(2), putFact(1), [RECYCLE + FACT, session, 0, 3, 8], [INTERRUPT + FACT, session, 9, 0x83, 7]],
    [putFact(1), [DELETE_FACT, session, 0, 3, 0], [DELETE_FACT, session, 1, 3, 0]],
    [deny(5), putFact(1), [RETELL + REVOCATION, session, 0, 0, 0], [RETELL + FACT, session, 0, 0, 0]],
  ];
}

const SEEDS = {
  frame: () => frames().map(({ world, frame }) => [world, ...frame]),
  signed: () => [
    ...[...series(0, SESSIONS)].flatMap((session) => [0, 0x10].map((layout) => [0, layout, 0, session, 0, 0])),
    ...[0x40, 0x80, 0xc0].flatMap((world) => [0, 0x10, 0x20].map((layout) => [world, layout, 0, SESSIONS - 1, 0, 0])),
    ...[0, 4, 5, 6].flatMap((key) => [0, 1, 15, 63].map((session) => [0, 0x20, key, session, 0, 0])),
  ],
  changes: () => stories().map((steps) => steps.flat()),
} as const;

/** Writes one file each, named by its hash as the fuzzer does. */
export function writeSeeds(target: keyof typeof SEEDS, directory: string): void {
  fs.mkdirSync(directory, { recursive: true });
  for (const seed of SEEDS[target]()) {
    const input = Uint8Array.from(seed);
    fs.writeFileSync(join(directory, createHash('sha1').update(input).digest('hex')), input);
  }
}
