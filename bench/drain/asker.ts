/**
 * Asks the gateway, as a load balancer does, for the same sessions over and over, and says when their answers changed. A process of its own,
 * so that whoever writes to Redis doesn't hold it up. Takes an Asked by message, then Watches, each of which is
 * answered with "as before" and then with a Change.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Key, type KeyFields } from '../../src/auth/keyring.ts';
import { createLookupClient, type LookupClient, type LookupResult } from '../../src/client/index.ts';

export interface Asked {
  readonly host: string;
  readonly port: number;
  readonly fields: KeyFields;
  readonly secretHex: string;
}

/** `moved`: by the backends; `other`: with that backend, which is not web-1, as the record says. */
export type Answer = 'stored' | 'moved' | 'other' | 'denied';

export interface Watch {
  readonly sids: readonly string[];
  /** What all are answered with now, and what they will be. */
  readonly from: Answer;
  readonly to: Answer;
}

/** Moments of process.hrtime, which all processes of a machine share. */
export interface Change {
  readonly firstNs: string;
  /** When anyone was last answered as before. */
  readonly lastBeforeNs: string;
  readonly answers: number;
  /** Without an answer, or with any other one. */
  readonly strays: number;
}

const IN_FLIGHT = 32;
const WATCH_MAX_MS = 600_000;
/** The backend that users are moved away from. */
export const STORED = 1;

function answerOf({ status, moved, backend }: LookupResult): Answer | undefined {
  if (status === 'DENIED') return 'denied';
  if (status !== 'FOUND') return undefined;
  return moved ? 'moved' : backend === STORED ? 'stored' : 'other';
}

/** Asks for each session once. */
async function round(client: LookupClient, sids: readonly string[], note: (answer: Answer | undefined) => void) {
  let next = 0;
  const ask = async (): Promise<void> => {
    for (let sid = sids[next++]; sid !== undefined; sid = sids[next++]) note(answerOf(await client.lookup(sid)));
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, ask));
}

/** Asks until all are answered so. @param note called at each answer */
async function untilAll(client: LookupClient, { sids }: Watch, answer: Answer, note: (found?: Answer) => void) {
  const endMs = performance.now() + WATCH_MAX_MS;
  for (let all = false; !all; ) {
    all = true;
    await round(client, sids, (found) => {
      if (found !== answer) all = false;
      note(found);
    });
    if (performance.now() > endMs) throw new Error(`waited ${WATCH_MAX_MS} ms in vain for the answer "${answer}"`);
  }
}

async function watch(client: LookupClient, asked: Watch): Promise<void> {
  await untilAll(client, asked, asked.from, () => undefined);
  process.send?.('as before');
  let [firstNs, lastBeforeNs, answers, strays] = [0n, 0n, 0, 0];
  await untilAll(client, asked, asked.to, (found) => {
    const nowNs = process.hrtime.bigint();
    answers += 1;
    if (found === asked.from) lastBeforeNs = nowNs;
    else if (found !== asked.to) strays += 1;
    else if (firstNs === 0n) firstNs = nowNs;
  });
  const change: Change = { firstNs: String(firstNs), lastBeforeNs: String(lastBeforeNs), answers, strays };
  process.send?.(change);
}

if (import.meta.main) {
  let client: LookupClient | undefined;
  let work: Promise<void> = Promise.resolve();
  process.on('message', (message: Asked | Watch) => {
    if ('host' in message) {
      const { host, port, fields, secretHex } = message;
      const key = new Key(fields, Buffer.from(secretHex, 'hex'));
      client = createLookupClient({ servers: [{ host, port }], key, timeoutMs: 2_000 });
      return;
    }
    work = work.then(() => watch(client as LookupClient, message));
    work.catch((error: unknown) => {
      console.error(error);
      process.exit(1);
    });
  });
  process.on('disconnect', () => process.exit(0));
  // Messages alone don't keep a process running.
  for (;;) await sleep(60_000);
}
