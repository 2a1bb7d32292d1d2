/**
 * All sessions that Redis stores, in pages, each read in one step by a script on the server's side. May be imported by src/gateway only.
 */
import { Cluster, type Redis } from 'ioredis';
import { PAGE_SCRIPT } from '../sync/redis/scripts.ts';
import { asPage, CURSOR_START, pageArguments, type SessionsOptions } from '../sync/snapshot/pages.ts';
import { backendIn } from '../sync/snapshot/session-forms.ts';

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
  /** Which part of the keys in Redis has been passed, over 0 to 1; 1 on the last page, and on no other. */
  readonly part: number;
}

/** Every session that is stored all the while comes at least once. @throws what ioredis throws */
export async function* storedSessions(client: Redis | Cluster, options: SessionsOptions): AsyncGenerator<SessionPage> {
  const nodes = client instanceof Cluster ? client.nodes('master') : [client];
  for (const [at, node] of nodes.entries()) {
    let cursor = CURSOR_START;
    do {
      const args = pageArguments(options, cursor, PAGE_SIZE);
      const page = asPage(await node.callBuffer('EVAL_RO', PAGE_SCRIPT.text, 0, ...args));
      cursor = String(page[0]);
      yield { sessions: sessionsOf(page, options), part: (at + partPassed(cursor)) / nodes.length };
    } while (cursor !== CURSOR_START);
  }
}

/**
 * SCAN goes through the buckets of a table of 2^n by counting up the cursor with its bits in reverse order (Redis, dictScan):
 * turned round, it is the part of the table that is behind it, whatever n is and becomes meanwhile.
 */
function partPassed(cursor: string): number {
  if (cursor === CURSOR_START) return 1;
  let part = 0;
  let weight = 1;
  for (let rest = BigInt(cursor); rest > 0n; rest >>= 1n) {
    weight /= 2;
    if (rest & 1n) part += weight;
  }
  return part;
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
