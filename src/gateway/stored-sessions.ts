/**
 * All sessions that Redis stores, in pages, each read in one step by a script on the server's side. May be imported by src/gateway only.
 */
import { Cluster, type Redis } from 'ioredis';
import { asPage, CURSOR_START, pageArguments, type SessionsOptions } from '../sync/pages.ts';
import { PAGE_SCRIPT } from '../sync/scripts.ts';
import { backendIn } from '../sync/session-forms.ts';

/** COUNT of each SCAN. */
const PAGE_SIZE = 250;
/** Where a page's records begin, and how many values each has. */
const RECORDS_AT = 2;
const RECORD_SIZE = 3;

export interface StoredSession {
  /** May be any bytes. */
  readonly sid: Buffer;
  /** The name of its backend. */
  readonly backend: Buffer;
}

export interface SessionPage {
  /** Those that name a backend; others are left out. One may come twice, as with SCAN. */
  readonly sessions: readonly StoredSession[];
  /** About how many keys of the database have been passed. */
  readonly keysPassed: number;
}

/** Every session that is stored all the while comes at least once. @throws what ioredis throws */
export async function* storedSessions(client: Redis | Cluster, options: SessionsOptions): AsyncGenerator<SessionPage> {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client];
  let keysPassed = 0;
  for (const node of nodes) {
    let cursor = CURSOR_START;
    do {
      const args = pageArguments(options, cursor, PAGE_SIZE);
      const page = asPage(await node.callBuffer('EVAL_RO', PAGE_SCRIPT.text, 0, ...args));
      cursor = String(page[0]);
      keysPassed += PAGE_SIZE;
      yield { sessions: sessionsOf(page, options), keysPassed };
    } while (cursor !== CURSOR_START);
  }
}

function sessionsOf(page: readonly unknown[], { prefix, backend: form }: SessionsOptions): StoredSession[] {
  const sessions: StoredSession[] = [];
  const prefixBytes = Buffer.byteLength(prefix);
  for (let i = RECORDS_AT; i + RECORD_SIZE <= page.length; i += RECORD_SIZE) {
    const backend = backendIn(form, page[i + 1] as Buffer | null);
    if (typeof backend !== 'string') sessions.push({ sid: (page[i] as Buffer).subarray(prefixBytes), backend });
  }
  return sessions;
}
