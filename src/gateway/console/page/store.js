/** Everything that the page knows, in one place, and who is told when it changes. Imported by main.js and tests. */
import { counted, timeOfDay } from './format.js';
import { History } from './history.js';
import { Latencies } from './latency.js';

/** Lines of what happened that are kept. */
const EVENTS_MAX = 60;
/** Messages at a time, of which the oldest makes room. */
const TOASTS_MAX = 3;

export class Store {
  /** 'login' | 'connecting' | 'live' | 'away' */
  phase = 'login';
  /** Since when the gateway is away, Unix ms, why, and when it is tried again. */
  away = null;
  /** Why the last token was refused. */
  refused = null;
  stats = null;
  backends = null;
  /** When they were read, Unix ms, and why the last try to do so failed. */
  backendsAtMs = null;
  backendsProblem = null;
  history = new History();
  latencies = new Latencies();
  /** { key, timeMs, text } each, the newest first. */
  events = [];
  /** { key, text, undo, isProblem, name } each. */
  toasts = [];
  /** The question that is open: { title, text, confirm, run }. */
  question = null;
  /** What is tried out: { name, shed }. */
  preview = null;
  /** The backend whose settling was seen here: how it ended is shown as well. */
  settled = null;
  /** Names of backends with a change under way. */
  busy = new Set();

  #readers = new Set();
  #keys = 0;
  #nowMs;

  /** @param nowMs Unix ms */
  constructor(nowMs) {
    this.#nowMs = nowMs;
  }

  subscribe(reader) {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  }

  set(fields) {
    Object.assign(this, fields);
    for (const reader of this.#readers) reader();
  }

  takeStats(stats) {
    this.history.add(stats, this.#nowMs());
    if (stats.status.latency !== undefined) this.latencies.add(stats.status.latency);
    if (this.phase === 'away')
      this.tell(`The gateway is back, after ${Math.round((this.#nowMs() - this.away.sinceMs) / 1000)} s.`);
    const { settle } = stats;
    this.#noteCutSettle(stats);
    if (settle?.state === 'running') this.settled = settle.backend;
    this.set({ stats, phase: 'live', away: null });
  }

  /** A daemon begins without the settling that the one before it was at. */
  #noteCutSettle({ status }) {
    const before = this.stats;
    if (before?.settle?.state !== 'running' || before.status.startedAt === status.startedAt) return;
    const { backend, moved } = before.settle;
    const text = `Settling ${backend} ended with the gateway, after ${counted(moved, 'user')}: settle it again.`;
    this.tell(text);
    this.toast(text, { isProblem: true });
  }

  takeBackends(backends) {
    this.set({ backends, backendsAtMs: this.#nowMs(), backendsProblem: null });
  }

  takeAway(reason, pauseMs) {
    const nowMs = this.#nowMs();
    if (this.phase !== 'away') this.tell(`The gateway is away: ${reason}.`);
    this.history.gap(nowMs);
    this.set({ phase: 'away', away: { sinceMs: this.away?.sinceMs ?? nowMs, reason, retryMs: nowMs + pauseMs } });
  }

  /** Something happened. */
  tell(text) {
    const timeMs = this.#nowMs();
    this.events = [{ key: ++this.#keys, timeMs, time: timeOfDay(timeMs), text }, ...this.events].slice(0, EVENTS_MAX);
    this.set({});
  }

  /**
   * @param {string} text
   * @param {{ undo?: () => unknown, isProblem?: boolean, name?: string }} [about] `undo` takes back what the text says; undefined = that
   * can't be, or needn't; `name`: of the backend that it is about, if it is
   */
  toast(text, { undo, isProblem = false, name } = {}) {
    this.set({ toasts: [...this.toasts, { key: ++this.#keys, text, undo, isProblem, name }].slice(-TOASTS_MAX) });
  }

  dismiss(key) {
    this.set({ toasts: this.toasts.filter((toast) => toast.key !== key) });
  }
}
