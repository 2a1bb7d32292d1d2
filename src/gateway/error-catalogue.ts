/**
 * The entries of the gateway's error catalogue: per code the exit status of a command that fails with it, the HTTP status
 * of a request that does, a title that never changes, and the builder of the message. Imported by errors.ts alone.
 *
 * docs/errors.md has a section for each code; a test holds it to that.
 */

interface Entry<D> {
  readonly exitStatus: 1 | 2;
  readonly httpStatus: number;
  readonly title: string;
  readonly message: (details: D) => string;
}

function entry<D>(exitStatus: 1 | 2, httpStatus: number, title: string, message: (details: D) => string): Entry<D> {
  return { exitStatus, httpStatus, title, message };
}

interface Reason {
  readonly reason: string;
}

/** Most names that a message lists. */
const LISTED_MAX = 20;

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'are none: add one with "gateway backend set"';
  const shown = names.slice(0, LISTED_MAX).map((name) => JSON.stringify(name));
  const more = names.length - shown.length;
  return `${names.length === 1 ? 'is' : 'are'} ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Some names of a list that may be long. */
function named(names: readonly string[]): string {
  const more = names.length - LISTED_MAX;
  const shown = names.slice(0, LISTED_MAX).map((name) => JSON.stringify(name));
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

export const errorCatalogue = {
  /* Usage and configuration */

  USAGE_INVALID: entry(2, 400, 'Wrong usage', ({ problem, help }: { problem: string; help: string }) => {
    return `${problem}\nRun "${help} --help" for what is allowed.`;
  }),
  CONFIG_NOT_FOUND: entry(2, 500, 'No configuration file', ({ tried }: { tried: readonly string[] }) => {
    return `found no configuration file at ${tried.join(' or ')}; start from config/gateway.yaml of this package, or name yours with -c FILE`;
  }),
  CONFIG_UNREADABLE: entry(2, 500, 'Configuration file unreadable', ({ file, reason }: Reason & { file: string }) => {
    return `${file}: can't be read: ${reason}; allowed: a regular file that this user may read`;
  }),
  CONFIG_INVALID: entry(2, 500, 'Configuration refused', ({ problems }: { problems: readonly string[] }) => {
    return problems.join('\n');
  }),

  /* Keys */

  KEY_FILE_INVALID: entry(2, 422, 'Key file refused', ({ reason }: Reason) => reason),
  KEY_ID_REUSED: entry(2, 422, 'Key id used before', ({ keys }: { keys: readonly string[] }) => {
    return `${keys.join(', ')}: found another secret, suite or encryption setting than this id stood for before; an id is never used again for another one: give the new key a new id`;
  }),
  KEYS_NOT_APPLIED: entry(1, 500, 'Keys not applied', ({ reason, undone }: Reason & { undone: boolean }) => {
    return `the kernel refused the keys: ${reason}; ${
      undone
        ? 'the old keys are still in force'
        : 'and going back to the old keys failed too, so a part of either may be in force: restart the gateway'
    }`;
  }),
  KEY_NOT_IN_FILE: entry(2, 400, 'No such key', ({ reason }: Reason) => `--key: ${reason}`),

  /* Reaching the daemon */

  DAEMON_NOT_RUNNING: entry(1, 503, 'Gateway not running', ({ socket }: { socket: string }) => {
    return `no gateway is running behind ${socket}: start it with "gateway run", or name its configuration with -c FILE`;
  }),
  DAEMON_UNREACHABLE: entry(1, 503, 'Gateway out of reach', ({ socket, reason }: Reason & { socket: string }) => {
    return `can't connect to ${socket}: ${reason}; run this command as root or as a member of the socket's group`;
  }),
  DAEMON_SILENT: entry(1, 504, 'Gateway silent', ({ socket, timeoutMs }: { socket: string; timeoutMs: number }) => {
    return `the gateway behind ${socket} did not answer within ${timeoutMs} ms: see its log`;
  }),
  DAEMON_ANSWER_INVALID: entry(1, 502, 'Gateway not understood', ({ socket, reason }: Reason & { socket: string }) => {
    return `what answered behind ${socket} is not understood: ${reason}; is the gateway of the same version as this command?`;
  }),
  DAEMON_REFUSED: entry(1, 500, 'Gateway refused', ({ code, detail }: { code: string; detail: string }) => {
    return `the gateway refused (${code}): ${detail}`;
  }),

  /* Running the daemon */

  SOCKET_IN_USE: entry(1, 500, 'Control socket in use', ({ socket }: { socket: string }) => {
    return `another gateway is running behind ${socket}: stop it first, or set control.socket to another path`;
  }),
  SOCKET_UNUSABLE: entry(1, 500, 'Control socket unusable', ({ socket, reason }: Reason & { socket: string }) => {
    return `can't listen on ${socket}: ${reason}; allowed: a path of at most 107 bytes in a folder that this user may write to`;
  }),
  TOKEN_FILE_INVALID: entry(2, 422, 'Token file refused', ({ reason }: Reason) => `control.tokenFile: ${reason}`),
  HTTP_UNUSABLE: entry(
    1,
    500,
    'Control API over TCP unusable',
    ({ host, port, reason }: Reason & { host: string; port: number }) => {
      return `can't listen on ${host} port ${port}: ${reason}; set control.http to an address of this machine and a free port`;
    },
  ),
  CAPABILITY_MISSING: entry(1, 500, 'Capability missing', ({ missing }: { missing: readonly string[] }) => {
    return `this process doesn't have ${missing.join(', ')}; needed are CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: run it as root, or with these three, as packaging/systemd/session-gateway.service does`;
  }),
  START_FAILED: entry(1, 500, 'Start failed', ({ part, reason }: Reason & { part: string }) => {
    return `${part} did not start: ${reason}`;
  }),
  PART_FAILED: entry(1, 500, 'Part failed', ({ reason }: Reason) => {
    return `a part of the daemon failed: ${reason}; an XDP program goes on answering from what it holds`;
  }),
  DETACH_FAILED: entry(1, 500, 'Detach failed', ({ pins, reason }: Reason & { pins: string }) => {
    return `the program can't be taken off (${pins}): ${reason}`;
  }),

  /* Redis and what it holds */

  REDIS_TLS_INVALID: entry(2, 500, 'Certificates for Redis refused', ({ reason }: Reason) => reason),
  REDIS_UNREACHABLE: entry(1, 503, 'Redis out of reach', ({ url, reason }: Reason & { url: string }) => {
    return `Redis at ${url} can't be reached: ${reason}; check the configuration's section redis and that Redis is running`;
  }),
  REDIS_REFUSED: entry(1, 502, 'Redis refused', ({ url, reason }: Reason & { url: string }) => {
    const needed = reason.includes('NOPERM') ? '; needed: a user as in docs/redis.md, "Access control"' : '';
    return `Redis at ${url} refused: ${reason}${needed}`;
  }),
  BACKEND_UNKNOWN: entry(1, 404, 'No such backend', ({ name, names }: { name: string; names: readonly string[] }) => {
    return `there is no backend ${JSON.stringify(name)}; there ${listed(names)}`;
  }),
  BACKEND_REFUSED: entry(1, 422, 'Backend refused', ({ name, reason }: Reason & { name: string }) => {
    return `backend ${JSON.stringify(name)}: ${reason}`;
  }),
  BACKEND_IN_USE: entry(1, 409, 'Backend in use', ({ name, found }: { name: string; found: string }) => {
    return `backend ${JSON.stringify(name)}: ${found}, and without it their users are not found: drain it and move them with "gateway settle" first, or remove it all the same with --force`;
  }),
  SESSION_UNKNOWN: entry(1, 404, 'No such session', (_: object) => {
    return 'Redis has no such session: it expired, was deleted, or never was';
  }),
  SESSION_REFUSED: entry(1, 422, 'Session refused', ({ reason }: Reason) => reason),
  SESSION_ID_INVALID: entry(2, 400, 'Not a session id', ({ found }: { found: string }) => {
    return `session id: found ${found}; allowed: 1 to 1024 bytes of text, as an argument or, with "-", on standard input`;
  }),

  SETTLE_STOPPED: entry(1, 500, 'Settling stopped', ({ moved, reason }: Reason & { moved: number }) => {
    return `${reason} after ${moved} sessions were moved; every user's answer is as it was: run the same command again to go on`;
  }),
  SETTLE_BUSY: entry(1, 409, 'Settling already', ({ backend }: { backend: string }) => {
    return `this gateway is settling backend ${JSON.stringify(backend)}; one at a time is allowed: wait for its end, or stop it with DELETE /v1/settle`;
  }),
  FACT_UNKNOWN: entry(1, 404, 'No such fact', ({ name }: { name: string }) => {
    return `there is no fact ${JSON.stringify(name)}`;
  }),
  FACT_REFUSED: entry(1, 422, 'Fact refused', ({ name, reason }: Reason & { name: string }) => {
    return `fact ${JSON.stringify(name)}: ${reason}`;
  }),

  BALANCE_IMPOSSIBLE: entry(
    1,
    422,
    'Too much load',
    ({ total, capacity, over }: { total: string; capacity: string; over: string }) => {
      return `found ${total} load in all, allowed by the targets of all active backends: ${capacity}; that is ${over} too much: add or undrain backends, or raise --target`;
    },
  ),
  BALANCE_NOT_REACHED: entry(1, 422, 'Targets not reached', ({ names }: { names: readonly string[] }) => {
    return `over their targets also after this plan: ${named(names)}; there is room elsewhere, but the ring can't send users there in parts this fine: raise --target a little`;
  }),
  BALANCE_LOADS_MISSING: entry(
    1,
    422,
    'Loads missing',
    ({ where, names }: { where: string; names: readonly string[] }) => {
      return `${where} has no load of ${named(names)}; needed is a number from 0 to 10^15 for each active backend, since one taken for idle would be sent users`;
    },
  ),
  BALANCE_LOCKED: entry(1, 409, 'Another balancer works', ({ key, leftMs }: { key: string; leftMs: number | null }) => {
    const ends = leftMs === null ? 'has no end, so none made it: delete it' : `ends in ${leftMs} ms`;
    return `another balancer holds ${key}: end it first; if it died, the lock ${ends}`;
  }),
  BALANCE_LOCK_LOST: entry(1, 409, 'Lock of the balancer lost', ({ key, reason }: Reason & { key: string }) => {
    return `the lock ${key} is lost: ${reason}; nothing is changed from here on: start it again`;
  }),

  BALANCE_STOPPED: entry(1, 500, 'Balancing stopped', (_: object) => {
    return 'interrupted; backends that were changed already stay so: run it again to go on';
  }),

  /* Lookups from the command line */

  AGENT_NOT_LISTENING: entry(
    1,
    500,
    'Agent not listening',
    ({ host, port, reason }: Reason & { host: string; port: number }) => {
      return `can't listen on ${host} port ${port}: ${reason}; name an address of this machine and a free port with --listen`;
    },
  ),
  CONSOLE_NOT_LISTENING: entry(
    1,
    500,
    'Console not listening',
    ({ host, port, reason }: Reason & { host: string; port: number }) => {
      return `can't listen on ${host} port ${port}: ${reason}; name a free port with --port, or none`;
    },
  ),
  LOOKUP_FAILED: entry(1, 504, 'Lookup failed', ({ server, reason }: Reason & { server: string }) => {
    return `no answer from ${server}: ${reason}`;
  }),

  /* Benchmarks */

  BENCH_NOT_HERE: entry(1, 500, 'No benchmarks here', ({ looked }: { looked: string }) => {
    return `found no ${looked}: the benchmarks compile programs of their own and are not in the published package; in a checkout of the source run "npm run bench"`;
  }),

  /* The control API */

  REQUEST_INVALID: entry(1, 400, 'Request refused', ({ reason }: Reason) => reason),
  TOKEN_NEEDED: entry(1, 401, 'Token needed', ({ given }: { given: boolean }) => {
    return `found ${given ? 'another token' : 'no token'}; needed is "Authorization: Bearer TOKEN" with the one in control.tokenFile`;
  }),
  TOKEN_ATTEMPTS: entry(1, 429, 'Too many wrong tokens', ({ seconds }: { seconds: number }) => {
    return `found too many wrong tokens of late; ask again in ${seconds} s`;
  }),
  ROUTE_UNKNOWN: entry(1, 404, 'No such resource', ({ method }: { method: string }) => {
    return `nothing is served at this path for ${method}; see the control API's documentation`;
  }),
  METHOD_NOT_ALLOWED: entry(
    1,
    405,
    'Method not allowed',
    ({ method, allowed }: { method: string; allowed: string }) => {
      return `found ${method}; allowed here: ${allowed}`;
    },
  ),
  BODY_TOO_LARGE: entry(1, 413, 'Body too large', ({ maxBytes }: { maxBytes: number }) => {
    return `found a body over ${maxBytes} bytes; allowed: at most ${maxBytes}`;
  }),
  MEDIA_TYPE_UNSUPPORTED: entry(1, 415, 'Media type not supported', (_: object) => {
    return 'found a body of another type; allowed: application/json';
  }),
  NOT_READY: entry(1, 503, 'Not ready', (_: object) => 'the first load from Redis is not finished'),
  EVENTS_BUSY: entry(1, 503, 'Too many readers of events', ({ max }: { max: number }) => {
    return `found ${max} readers of events already; allowed: at most ${max}`;
  }),
  TRACE_WITHOUT_PROGRAM: entry(1, 503, 'No program shows packets', (_: object) => {
    return 'listen.attach is none, and packets are shown by the XDP program: use auto, or see the counts in "gateway status"';
  }),
  TRACE_BUSY: entry(1, 503, 'Packets are watched already', (_: object) => {
    return 'somebody else watches packets of this gateway, and one at a time may: end the other "gateway trace" first';
  }),
  HEADERS_TOO_LARGE: entry(1, 431, 'Headers too large', ({ maxBytes }: { maxBytes: number }) => {
    return `found request line and headers over ${maxBytes} bytes; allowed: at most ${maxBytes}`;
  }),
  REQUEST_TIMEOUT: entry(1, 408, 'Request too slow', ({ timeoutMs }: { timeoutMs: number }) => {
    return `the request was not complete within ${timeoutMs} ms`;
  }),
  INTERNAL: entry(1, 500, 'Internal error', ({ reason }: Reason) => {
    return `unexpected: ${reason}; this is a mistake in session-gateway: please report it with the log`;
  }),
} as const;
