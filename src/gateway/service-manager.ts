/**
 * Tells systemd, or another service manager that speaks its protocol, how the daemon is (sd_notify(3)): lines of NAME=value in a datagram to
 * the Unix socket that NOTIFY_SOCKET names. Without that variable nothing is told. May be imported by daemon.ts and tests.
 *
 *     started ── READY=1 ──▶ at work: STATUS=… when it changes, WATCHDOG=1 at half of WATCHDOG_USEC ── STOPPING=1 ──▶ stopped
 *                              └── SIGHUP: RELOADING=1, MONOTONIC_USEC=… ── READY=1 ──┘
 *
 * Ready is said when the program is attached with the keys in force and the control API answers, and not later: the first load may take
 * minutes, or wait for a Redis that is away, and a manager that gave up on that would start the daemon over and over. That load has an answer
 * of its own, /readyz.
 */
import type { SyncState } from '../sync/status.ts';
import { reasonOf } from './errors.ts';
import { sendToUnixSocket } from './kernel/libc.ts';
import type { Logger } from './log.ts';

const STATUS_EVERY_MS = 1_000;
/** What setTimeout takes. */
const TIMER_MAX_MS = 2 ** 31 - 1;

const STATUS: Readonly<Record<SyncState, string>> = {
  connecting: 'Waiting for Redis',
  loading: 'Loading the sessions from Redis for the first time',
  resyncing: 'Reading everything from Redis again',
  following: 'Following Redis',
};

export interface ManagerPorts {
  /** @throws whatever keeps the message from being sent */
  send(socket: string, message: string): void;
  /** The monotonic clock, ms: systemd compares it with its own. */
  monotonicMs(): number;
  /** Calls back once after `ms`. @returns what cancels it */
  timer(ms: number, callback: () => void): () => void;
}

export class ServiceManager {
  readonly #socket: string | undefined;
  readonly #watchdogMs: number | undefined;
  readonly #ports: ManagerPorts;
  readonly #log: Logger;
  #failure: string | undefined;
  #told: string | undefined;
  readonly #timers = new Map<string, () => void>();

  /** @param environment of the process: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID */
  constructor(
    environment: Readonly<Record<string, string | undefined>>,
    clock: Omit<ManagerPorts, 'send'>,
    log: Logger,
    send: ManagerPorts['send'] = sendToUnixSocket,
  ) {
    // systemd knows paths and abstract names only; what else may stand there, as vsock:…, is for virtual machines.
    const socket = environment['NOTIFY_SOCKET'] ?? '';
    this.#socket = /^[/@]./.test(socket) ? socket : undefined;
    this.#watchdogMs = this.#socket === undefined ? undefined : pingEveryMs(environment);
    this.#ports = { ...clock, send };
    this.#log = log;
  }

  /** The daemon is at work. @param state says what the sync is doing, from now on */
  ready(state: () => SyncState): void {
    if (this.#socket === undefined) return;
    this.#tell(`READY=1\n${this.#status(state())}`);
    this.#repeat('status', STATUS_EVERY_MS, () => {
      const before = this.#told;
      const status = this.#status(state());
      if (status !== before) this.#tell(status);
    });
    // Of the event loop itself: a daemon that hangs can't send it.
    if (this.#watchdogMs !== undefined) this.#repeat('watchdog', this.#watchdogMs, () => this.#tell('WATCHDOG=1'));
  }

  /** Goes around what is read again at a hang-up, whatever comes of it. */
  around(reload: () => void): void {
    this.#tell(`RELOADING=1\nMONOTONIC_USEC=${Math.floor(this.#ports.monotonicMs() * 1000)}`);
    try {
      reload();
    } finally {
      this.#tell('READY=1');
    }
  }

  stopping(): void {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#tell('STOPPING=1\nSTATUS=Stopping; the kernel goes on answering');
  }

  #status(state: SyncState): string {
    this.#told = `STATUS=${STATUS[state]}`;
    return this.#told;
  }

  #repeat(name: string, everyMs: number, action: () => void): void {
    const again = (): void => {
      this.#timers.set(name, this.#ports.timer(everyMs, again));
      action();
    };
    this.#timers.set(name, this.#ports.timer(everyMs, again));
  }

  /** What can't be sent is no reason to stop: the manager draws its own conclusion. It is logged once, until it works again. */
  #tell(message: string): void {
    if (this.#socket === undefined) return;
    try {
      this.#ports.send(this.#socket, message);
      this.#failure = undefined;
    } catch (error) {
      const reason = reasonOf(error);
      if (this.#failure === reason) return;
      this.#failure = reason;
      this.#log.error({ socket: this.#socket, reason }, 'the service manager can not be told how the daemon is');
    }
  }
}

/** @returns half of the time after which the manager takes this process for dead; undefined where it doesn't watch it */
function pingEveryMs(environment: Readonly<Record<string, string | undefined>>): number | undefined {
  const { WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = environment;
  if (usec === undefined || !/^[1-9]\d{0,15}$/.test(usec)) return undefined;
  if (pid !== undefined && Number(pid) !== process.pid) return undefined;
  return Math.min(TIMER_MAX_MS, Math.max(1, Math.floor(Number(usec) / 2_000)));
}
