/**
 * JSON Schemas of the control API: parameters, bodies and answers. Imported by routes.ts alone.
 *
 * An answer has what its schema names and nothing else, so a secret cannot slip into one.
 */
import { KEY_ID_MAX } from '../../auth/keyring.ts';
import { SUITES } from '../../auth/suites.ts';
import {
  BACKEND_ID_MAX,
  BACKEND_SHED_MAX,
  BACKEND_WEIGHT_MAX,
  NAME_MAX_BYTES,
  SID_MAX_BYTES,
} from '../../sync/limits.ts';
import { SETTLE_RATE_MAX } from '../settle-rates.ts';

const count = { type: 'integer', minimum: 0 } as const;
const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;
const counts = { type: 'object', additionalProperties: count } as const;
const orNull = <S extends { type: string }>(schema: S) => ({ ...schema, type: [schema.type, 'null'] }) as const;
const unixMs = orNull(count);
/** What it means: for the reference, not for the check. */
const meaning = <S extends object>(description: string, schema: S) => ({ ...schema, description });
const listOf = <T>(items: T) => ({ type: 'array', items }) as const;

/** An object that has all of these. */
function object<P extends Record<string, unknown>>(properties: P) {
  return { type: 'object', properties, required: Object.keys(properties), additionalProperties: false } as const;
}

export const problem = object({ type: text, title: text, status: count, detail: text, code: text });

const keyId = { type: 'integer', minimum: 1, maximum: KEY_ID_MAX } as const;
const keyName = { id: keyId, name: text } as const;

export const key = object({
  ...keyName,
  suite: { enum: SUITES },
  encrypt: flag,
  notBeforeMs: unixMs,
  notAfterMs: unixMs,
  valid: flag,
  uses: count,
});

export const keyList = object({ keys: listOf(key) });

export const keyReload = object({
  added: listOf(object(keyName)),
  removed: listOf(object(keyName)),
  changed: listOf(object({ ...keyName, fields: listOf(text) })),
  kept: count,
});

export const health = object({ ok: flag });
export const readiness = object({ ready: flag });

const resync = { reason: text, startedMs: count, pages: count, sessions: count } as const;

const tableReading = orNull(object({ entries: count, malformed: count, timeMs: count }));

const sync = object({
  state: meaning('connecting, loading, resyncing or following.', text),
  position: meaning('Id of the last feed entry that is in the table.', orNull(text)),
  lagEntries: meaning('Entries that the feed had more than were applied, at the last check.', orNull(count)),
  notifications: orNull(object({ missing: orNull(text), pending: count, events: count, reads: count })),
  lastError: orNull(object({ message: text, timeMs: count })),
  resync: orNull(object(resync)),
  lastResync: orNull(object({ ...resync, endedMs: count })),
  backends: object({
    known: count,
    faults: listOf(object({ name: text, kind: text, message: text, keepsLastGood: flag })),
    unknown: listOf(object({ name: text, records: count })),
  }),
  denied: tableReading,
  facts: tableReading,
  connections: meaning(
    'That got as far as the first check of the feed, or the subscription, since the daemon’s start; so are the ones below.',
    count,
  ),
  entries: meaning('Of the feed, by what they did.', counts),
  changes: meaning('Of the table, by what became of them.', counts),
  problems: meaning('Things in Redis that are not as they must be, by kind.', counts),
  resyncs: meaning('Full loads, by reason.', counts),
  resyncsFailed: count,
});

/** A bucket: its upper bound, null for none, and how many are in it. */
const bucket = { type: 'array', items: orNull(count), minItems: 2, maxItems: 2 } as const;
const latencyCounts = object({
  count,
  sumNs: count,
  p50Ns: orNull(count),
  p99Ns: orNull(count),
  buckets: listOf(bucket),
});

export const latency = object({
  sampledOneIn: count,
  byStatus: { type: 'object', additionalProperties: latencyCounts },
});

export const status = object({
  version: text,
  pid: count,
  startedAt: meaning('Of this daemon.', { type: 'string', format: 'date-time' }),
  configFile: text,
  ready: meaning('This daemon’s own first load is in.', flag),
  sessions: meaning('In the kernel, expired ones that are not yet collected included.', count),
  capacity: meaning('Most sessions that the kernel can hold.', count),
  refused: meaning('Sessions not stored because the table was full, since the table was made.', count),
  collected: meaning('Dead sessions collected, since the daemon’s start.', count),
  ageMs: meaning(
    'How long ago the table was last known to be in step with Redis; null = never.',
    orNull({ type: 'number' }),
  ),
  staleAfterMs: meaning('Answers carry STALE where `ageMs` is above it: `listen.staleAfterMs`.', count),
  port: meaning('UDP.', count),
  interfaces: listOf(object({ name: text, mode: text })),
  addresses: meaning('That are answered on.', listOf(text)),
  redis: meaning('Where Redis is, without passwords.', text),
  sync,
  keys: listOf(key),
  packets: counts,
  latency,
  responder: orNull(counts),
  lost: object({
    overflowed: meaning('Dropped by the kernel, because a socket of the daemon’s was full.', count),
    unread: meaning('Not looked at by the daemon, because there were too many.', count),
    unsent: meaning('Replies that the daemon did not send, because the network took less.', count),
  }),
});

const backendFields = {
  id: meaning('Unique, and never given to another name again.', {
    type: 'integer',
    minimum: 1,
    maximum: BACKEND_ID_MAX,
  }),
  address: meaning('IP literal and port.', { type: 'string', minLength: 3, maxLength: 64 }),
  state: { enum: ['active', 'draining', 'down'] },
  weight: { type: 'integer', minimum: 0, maximum: BACKEND_WEIGHT_MAX },
  shed: meaning('Hundredths of a percent of its users that others answer.', {
    type: 'integer',
    minimum: 0,
    maximum: BACKEND_SHED_MAX,
  }),
} as const;

const backendName = { type: 'string', minLength: 1, maxLength: NAME_MAX_BYTES } as const;

export const backend = object({ name: backendName, ...backendFields });

/** With how much it is used, as this gateway sees it; null = not known. */
const backendView = object({
  name: backendName,
  ...backendFields,
  share: meaning('Of those who are placed anew, the part that comes here.', { type: 'number', minimum: 0, maximum: 1 }),
  sessions: meaning('Stored on it, as last counted in the kernel.', orNull(count)),
  lookupsPerSecond: meaning('Answered with it by this gateway, of late.', orNull({ type: 'number', minimum: 0 })),
});

export const backendList = object({
  backends: listOf(backendView),
  faults: listOf(object({ name: text, message: text })),
});
/** Also where sessions are stored on it. */
export const backendDelete = { ...object({ force: { enum: ['true', 'false'] } }), required: [] } as const;
export const backendParams = object({ name: backendName });

/** The whole backend: what is left out gets its default. */
export const backendPut = { ...object(backendFields), required: ['id', 'address'] } as const;
/** The fields to change. */
export const backendPatch = { ...object(backendFields), required: [], minProperties: 1 } as const;

export const sessionParams = object({ sid: { type: 'string', minLength: 1, maxLength: SID_MAX_BYTES } });

const ttlMs = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER } as const;

/** With `ttlMs`, milliseconds until it expires, the session is stored; without, one that is stored is moved and keeps its end. */
export const sessionPut = { ...object({ backend: backendName, ttlMs }), required: ['backend'] } as const;

/** For how long; without it for good. */
export const deniedPut = { ...object({ forMs: ttlMs }), type: ['object', 'null'], required: [] } as const;
/** Unix ms. */
export const denied = object({ untilMs: count });

export const factParams = object({ name: backendName });
/** At most 24 bytes as UTF-8, which the function library checks. */
export const factPut = object({ value: { type: 'string', maxLength: 1024 } });
export const fact = object({ name: text, value: orNull(text), hex: text, version: orNull(text) });

export const session = object({
  redis: orNull(object({ backend: orNull(text), ttlMs: orNull(count) })),
  kernel: orNull(object({ backendId: count, expiresMs: unixMs, version: text, live: flag })),
});

/** Which packets: verdicts with commas between, a key's id, a network, one packet in so many. */
export const traceQuery = {
  ...object({
    verdict: { type: 'string', minLength: 1, maxLength: 1024 },
    key: { type: 'string', pattern: '^[0-9]{1,10}$' },
    source: { type: 'string', minLength: 2, maxLength: 64 },
    sample: { type: 'string', pattern: '^[0-9]{1,9}$' },
  }),
  required: [],
} as const;
const part = { type: 'number', minimum: 0, maximum: 1 } as const;

export const fleet = object({
  self: meaning('Id of the gateway that is asked.', text),
  members: listOf(
    object({
      id: text,
      name: text,
      version: text,
      startedAt: text,
      ready: flag,
      state: text,
      sessions: count,
      capacity: count,
      ageMs: orNull({ type: 'number' }),
      lagEntries: orNull(count),
      answersPerSecond: meaning('Packets answered, over the last two seconds.', orNull({ type: 'number', minimum: 0 })),
      hitRatio: meaning('Of lookups in the last two seconds, the part with a live session.', orNull(part)),
      silentMs: meaning('How long it has said nothing new.', { type: 'number', minimum: 0 }),
      clockAheadMs: meaning(
        'How far its clock is ahead of that of the gateway that is asked, less than 0: behind; too low by up to 4 s. Null = not known.',
        orNull({ type: 'number' }),
      ),
    }),
  ),
  problem: meaning('Why the others are not known; null = they are.', orNull(text)),
});

const settleRate = { type: 'integer', minimum: 1, maximum: SETTLE_RATE_MAX } as const;

export const settle = object({
  backend: text,
  state: { enum: ['running', 'done', 'stopped', 'failed'] },
  rate: meaning('Sessions moved a second, at most.', settleRate),
  pass: meaning('From 1 on; each goes through all sessions.', count),
  part,
  moved: meaning('Since the start.', count),
  complete: meaning(
    'False where sessions were still found to move in the last pass; null before the end.',
    orNull(flag),
  ),
  problem: meaning('What it failed with.', orNull(text)),
});
/** Null where none has run since the daemon's start. */
export const lastSettle = object({ settle: orNull(settle) });
export const settlePost = { ...object({ backend: backendName, rate: settleRate }), required: ['backend'] } as const;

export const eventsQuery = { ...object({ stats: { enum: ['true', 'false'] } }), required: [] } as const;
/** Of event `stats`. */
export const stats = object({ atMs: { type: 'number' }, status, fleet, settle: orNull(settle) });

export const nothing = { type: 'null', description: 'No content' } as const;
