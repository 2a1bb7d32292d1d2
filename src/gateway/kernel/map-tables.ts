/**
 * The maps as the responder reads them: what the XDP program leaves to the host is answered from the same records. Imported by
 * datapath.ts alone.
 *
 * Records are changed by apply_changes only, which this thread runs: here none is met half written, as packets may do (bpf/session.h).
 */
import type { ResponderSettings } from '../../auth/responder-tables.ts';
import type { AnswerTables } from '../responder/responder.ts';
import type { DaemonAnswers } from './daemon-answers.ts';
import type { KernelSessionTable } from './session-table.ts';
import type { Settings } from './settings.ts';
import type { WallClock } from './wall-clock.ts';

export function mapTables(
  settings: Settings,
  wallClock: WallClock,
  table: KernelSessionTable,
  answers: DaemonAnswers,
): AnswerTables {
  const read: ResponderSettings = {
    get clockOffsetMs() {
      return wallClock.offsetMs;
    },
    get inStepMs() {
      return settings.inStepMs;
    },
    get staleAfterMs() {
      return settings.staleAfterMs;
    },
    get maxSkewMs() {
      return settings.maxSkewMs;
    },
    get generation() {
      return settings.generation;
    },
    get ready() {
      return settings.ready;
    },
  };
  return {
    settings: read,
    session(hash) {
      const held = table.find(hash);
      if (held === undefined) return undefined;
      const { version, expiresMs, generation, backendId } = held;
      return { version, expiresMs: Number(expiresMs), generation, backendId };
    },
    backend: (id) => table.backend(id),
    ring: () => table.ring(),
    denied: (hash) => (table.deniedEntries === 0 ? 0 : (table.findDenied(hash) ?? 0)),
    fact(hash) {
      const held = table.findFact(hash);
      return held && { value: held.value.subarray(0, held.length), version: held.version };
    },
    countAnswer: (id) => answers.count(id),
  };
}
