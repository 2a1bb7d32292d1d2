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
  KEY_UNSUPPORTED: entry(2, 422, 'Key not available', ({ keys }: { keys: readonly string[] }) => {
    return `${keys.join('\n')}\nThis is not available in this version: change these keys, or take them out.`;
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
    return `this process doesn't have ${missing.join(', ')}; needed are CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: run it as root, or with these three, as config/session-gateway.service does`;
  }),
  START_FAILED: entry(1, 500, 'Start failed', ({ part, reason }: Reason & { part: string }) => {
    return `${part} did not start: ${reason}`;
  }),
  PART_FAILED: entry(1, 500, 'Part failed', ({ reason }: Reason) => {
    return `a part of the daemon failed: ${reason}; the kernel goes on answering from what it holds`;
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
    return `Redis at ${url} refused: ${reason}`;
  }),
  BACKEND_UNKNOWN: entry(1, 404, 'No such backend', ({ name }: { name: string }) => {
    return `there is no backend ${JSON.stringify(name)}: "gateway backends" lists them`;
  }),
  BACKEND_REFUSED: entry(1, 422, 'Backend refused', ({ name, reason }: Reason & { name: string }) => {
    return `backend ${JSON.stringify(name)}: ${reason}`;
  }),
  SESSION_UNKNOWN: entry(1, 404, 'No such session', (_: object) => {
    return 'Redis has no such session: it expired, was deleted, or never was';
  }),
  SESSION_REFUSED: entry(1, 422, 'Session refused', ({ reason }: Reason) => reason),
  SESSION_ID_INVALID: entry(2, 400, 'Not a session id', ({ found }: { found: string }) => {
    return `session id: found ${found}; allowed: 1 to 1024 bytes of text, as an argument or, with "-", on standard input`;
  }),

  /* Lookups from the command line */

  LOOKUP_FAILED: entry(1, 504, 'Lookup failed', ({ server, reason }: Reason & { server: string }) => {
    return `no answer from ${server}: ${reason}`;
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
