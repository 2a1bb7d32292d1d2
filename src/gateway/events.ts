/**
 * Who wants to know what changes in the gateway, and what they are told. May be imported by src/gateway only.
 */
import type { Runtime } from '../sync/runtime.ts';
import type { GatewayEvent } from './ports.ts';

/** How often state and counts are looked at while there are readers. */
const LOOK_EVERY_MS = 1_000;

type State = Pick<Extract<GatewayEvent, { type: 'state' }>, 'state' | 'ready'>;
type Reader = (event: GatewayEvent) => void;

export class Events {
  readonly #state: () => State;
  readonly #runtime: Runtime;
  readonly #readers = new Set<Reader>();
  #cancel: (() => void) | undefined;
  #last: State | undefined;
  #denials = 0;

  constructor(state: () => State, runtime: Runtime) {
    this.#state = state;
    this.#runtime = runtime;
  }

  /** The reader is told the state at once. @returns what ends it */
  subscribe(reader: Reader): () => void {
    this.#readers.add(reader);
    const { state, ready } = this.#state();
    reader({ type: 'state', state, ready });
    if (this.#readers.size === 1) {
      this.#last = { state, ready };
      this.#denials = 0;
      this.#lookLater();
    }
    return () => {
      this.#readers.delete(reader);
      if (this.#readers.size === 0) this.#cancel?.();
    };
  }

  publish(event: GatewayEvent): void {
    for (const reader of this.#readers) reader(event);
  }

  /** Counted, since there may be hundreds of thousands; told once a second. */
  countDenial(): void {
    this.#denials += 1;
  }

  #lookLater(): void {
    this.#cancel = this.#runtime.timer(LOOK_EVERY_MS, () => {
      this.#lookLater();
      this.#look();
    });
  }

  #look(): void {
    const { state, ready } = this.#state();
    if (state !== this.#last?.state || ready !== this.#last.ready) this.publish({ type: 'state', state, ready });
    this.#last = { state, ready };
    if (this.#denials > 0) this.publish({ type: 'denied', changes: this.#denials });
    this.#denials = 0;
  }
}
