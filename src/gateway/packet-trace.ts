/**
 * Packets shown to one who watches. One at a time, so that the kernel leaves out what the filter leaves out. While somebody
 * watches, the program's permission to show is renewed again and again: when the daemon dies, it ends by itself. May be
 * imported by src/gateway only.
 */
import { RequestType, type TracedPacket, Verdict } from '../abi.ts';
import type { Runtime } from '../sync/runtime.ts';
import { addressText } from './addresses.ts';
import { failure } from './errors.ts';
import type { TraceEvent, TraceFilter, TraceReader, VerdictName } from './ports.ts';

/** How often the ring is looked at: it has room for what comes meanwhile at 20,000 packets a second. */
const LOOK_EVERY_MS = 50;
/** How long the program goes on by itself. */
const PERMISSION_MS = 2_000;

const VERDICTS = new Map(Object.entries(Verdict).map(([name, number]) => [number as number, name as VerdictName]));
const OPS = new Map(Object.entries(RequestType).map(([name, number]) => [number as number, name]));

/** The kernel's side. */
export interface TraceSource {
  setFilter(filter: TraceFilter): void;
  /** Monotonic ms. */
  showUntil(monotonicMs: number): void;
  readonly lost: number;
  read(take: (packet: TracedPacket) => void): void;
  end(): void;
}

export class PacketTrace {
  readonly #source: TraceSource | null;
  readonly #runtime: Runtime;
  #isWatched = false;

  constructor(source: TraceSource | null, runtime: Runtime) {
    this.#source = source;
    this.#runtime = runtime;
  }

  /** @returns what ends it @throws GatewayError TRACE_BUSY, TRACE_WITHOUT_PROGRAM */
  watch(filter: TraceFilter, reader: TraceReader): () => void {
    const source = this.#source;
    if (source === null) throw failure('TRACE_WITHOUT_PROGRAM', {});
    if (this.#isWatched) throw failure('TRACE_BUSY', {});
    this.#isWatched = true;
    source.setFilter(filter);
    let lost = source.lost;
    let cancel: () => void;
    const look = (): void => {
      source.showUntil(this.#runtime.monotonicMs() + PERMISSION_MS);
      cancel = this.#runtime.timer(LOOK_EVERY_MS, look);
      // Read at each look, so that a stepped clock shows in the times at once.
      const monotonicToUnixMs = this.#runtime.wallMs() - this.#runtime.monotonicMs();
      source.read((packet) => reader.packet(eventOf(packet, monotonicToUnixMs)));
      const lostNow = source.lost;
      if (lostNow > lost) reader.lost(lostNow - lost);
      lost = lostNow;
    };
    look();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      cancel();
      source.end();
      this.#isWatched = false;
    };
  }
}

function eventOf(packet: TracedPacket, monotonicToUnixMs: number): TraceEvent {
  const isSourceKnown = packet.source.some((byte) => byte !== 0);
  const hasHeader = packet.keyId !== 0 || packet.type !== 0;
  return {
    timeMs: Math.round((Number(packet.beganNs) / 1e6 + monotonicToUnixMs) * 1000) / 1000,
    source: isSourceKnown ? addressText(packet.source) : null,
    sourcePort: packet.sourcePort === 0 ? null : packet.sourcePort,
    keyId: hasHeader ? packet.keyId : null,
    op: hasHeader ? (OPS.get(packet.type) ?? String(packet.type)) : null,
    entries: packet.type === RequestType.BATCH ? packet.entries : null,
    hash: packet.hasHash === 1 ? Buffer.from(packet.hash).toString('hex') : null,
    verdict: VERDICTS.get(packet.verdict) ?? 'ABORTED',
    tookNs: packet.tookNs,
  };
}
