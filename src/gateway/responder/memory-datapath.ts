/**
 * The serving side of a gateway without XDP (`listen.attach: none`): tables, keys and settings in this process, where
 * ../kernel/datapath.ts has them in the kernel. May be imported by src/gateway only.
 */
import { Limit } from '../../abi.ts';
import type { Runtime } from '../../sync/runtime.ts';
import { interfaceIndex } from '../kernel/libc.ts';
import type { InterfaceStatus, VerdictName } from '../ports.ts';
import type { RequestRules, ServingSide } from '../serving-side.ts';
import { MemoryKeys } from './memory-keys.ts';
import { MemorySweeper } from './memory-sweeper.ts';
import { MemoryTable } from './memory-table.ts';
import type { AnswerTables } from './responder.ts';

export interface MemoryDatapathOptions {
  /** Most sessions held. */
  readonly capacity: number;
  readonly runtime: Pick<Runtime, 'timer'>;
  /** Datagrams by what became of them. */
  readonly verdictCounts: () => Record<VerdictName, number>;
}

export class MemoryDatapath extends MemoryKeys implements ServingSide {
  readonly capacity: number;
  readonly adopted = false;
  /** Nothing is timed here. */
  readonly settings: MemoryTable['settings'] & { readonly timedOneIn: 0 };
  readonly table: MemoryTable;
  readonly trace = null;
  readonly sweeper: MemorySweeper;
  readonly tables: AnswerTables;
  readonly verdictCounts: () => Record<VerdictName, number>;
  /** How often each backend was named in an answer, by its id. */
  readonly #answers = new Float64Array(Limit.BACKENDS);

  constructor({ capacity, runtime, verdictCounts }: MemoryDatapathOptions) {
    super();
    const settings = {
      clockOffsetMs: 0,
      inStepMs: 0,
      staleAfterMs: 0,
      maxSkewMs: 0,
      generation: 0,
      ready: false,
      timedOneIn: 0 as const,
    };
    const table = new MemoryTable(settings, capacity);
    const answers = this.#answers;
    this.capacity = capacity;
    this.verdictCounts = verdictCounts;
    this.settings = settings;
    this.table = table;
    this.sweeper = new MemorySweeper(table, runtime);
    this.tables = {
      settings,
      session: (hash) => table.session(hash),
      backend: (id) => table.backend(id),
      ring: () => table.ring(),
      denied: (hash) => table.denied(hash),
      fact: (hash) => table.fact(hash),
      countKeyUse: (id) => this.countKeyUse(id),
      countAnswer(id) {
        answers[id] = (answers[id] as number) + 1;
      },
    };
  }

  configure({ maxSkewMs, staleAfterMs }: RequestRules): void {
    this.settings.maxSkewMs = maxSkewMs;
    this.settings.staleAfterMs = staleAfterMs;
  }

  /** The sockets are the daemon's. */
  setAddresses(): void {}

  setClockOffset(ms: number): void {
    this.settings.clockOffsetMs = ms;
  }

  /** There is no copy of a key to take back. */
  withdrawKeys(): void {}

  /** There is nothing to put on an interface. */
  attach(_interfaces: readonly string[], configure: () => void): void {
    configure();
  }

  reattach(): { back: string[]; away: { name: string; reason: string }[] } {
    return { back: [], away: [] };
  }

  /** All misses are met here. */
  sayThatMissesAreAsked(): void {}

  takeOver(): void {}

  interfaces(names: readonly string[]): InterfaceStatus[] {
    return names.map((name) => ({ name, mode: interfaceIndex(name) === 0 ? 'missing' : 'none' }));
  }

  /** Nothing is timed here. */
  latencies(): Record<string, never> {
    return {};
  }

  backendAnswers(ids: readonly number[]): number[] {
    return ids.map((id) => this.#answers[id] ?? 0);
  }

  abandon(): void {}

  close(): void {}
}
