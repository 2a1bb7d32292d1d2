/**
 * Where a resync reads all sessions from: the port between resync.ts and the two ways of following Redis
 * (stream-source.ts, notifications.ts). May be imported by src/sync only.
 */

export interface SnapshotSource {
  /**
   * Opens what reading takes.
   * @throws SyncError; the signal's reason
   */
  open(signal: AbortSignal): Promise<Snapshot>;
}

export interface Snapshot {
  /** Resolves once backends, revocations and facts were read again and are in the table, or could not be. @throws the signal's reason */
  readTables(signal: AbortSignal): Promise<void>;
  /**
   * Asks for the page at `cursor`, `CURSOR_START` (pages.ts) for the first one.
   * @param ahead may be called, with the next page's cursor, as soon as that is known: it may be asked for before this page is there
   * @throws SyncError
   */
  ask(cursor: string, ahead: (cursor: string) => void): Promise<SnapshotPage>;
  /**
   * Resolves once the table holds all that happened up to a moment after the last page.
   * @throws SyncError; the signal's reason
   */
  caughtUp(signal: AbortSignal): Promise<void>;
  close(): void;
}

/** Either `apply` or `discard` is called, once. */
export interface SnapshotPage {
  /** Of the next page; `CURSOR_START` after the last one. Anything else is known to the source only. */
  readonly cursor: string;
  /** From the request to the reply, ms. */
  readonly tookMs: number;
  /** Brings its sessions into the table. @returns how many there are @throws SyncError PAGE_OVERTAKEN */
  apply(): number;
  discard(): void;
}
