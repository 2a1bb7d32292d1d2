/**
 * The configuration file as a schema: every setting, its default, what is allowed. The commented example is
 * config/gateway.yaml. Imported by ../config.ts alone.
 */
import { z } from 'zod';
import { Limit } from '../../abi.ts';
import * as value from './values.ts';

const HOST_PORTS_MAX = 100;

/** Settings and nothing else; an unknown one is told the names there are. */
function settings<S extends z.ZodRawShape>(shape: S) {
  const known = Object.keys(shape).join(', ');
  return z.strictObject(shape, {
    error: ({ code }) => (code === 'unrecognized_keys' ? known : 'settings, each as "name: value"'),
  });
}

/** Settings that have defaults, as a whole too: a section may be missing, or be empty (null in YAML). */
function section<S extends z.ZodRawShape>(shape: S) {
  return z.preprocess((input) => input ?? {}, settings(shape));
}

/** A list, each value once. `same` says by what two values are the same. */
function list<T>(item: z.ZodType<T>, min: number, max: number, same: (item: T) => string = String) {
  const error = `a list of ${min} to ${max} values`;
  return z
    .array(item, { error })
    .min(min, { error })
    .max(max, { error })
    .superRefine((items, context) => {
      const first = new Map<string, number>();
      for (const [i, found] of items.entries()) {
        const before = first.get(same(found));
        if (before === undefined) first.set(same(found), i);
        else
          context.addIssue({ code: 'custom', path: [i], message: `each value once, and this one is [${before}] too` });
      }
    });
}

function hostPorts() {
  return list(value.hostPort(), 1, HOST_PORTS_MAX, ({ host, port }) => `${host.toLowerCase()} ${port}`);
}

function listen() {
  return section({
    interfaces: list(value.interfaceName(), 0, 64).default(['eth0']),
    port: value.integer(1, 65_535).default(6464),
    addresses: list(value.hostAddress(), 0, Limit.ADDRESSES).default([]),
    attach: value.oneOf('auto', 'native', 'generic', 'none').default('auto'),
    allow: list(value.cidr(), 0, Limit.ALLOWED_NETWORKS).default([]),
    maxSkewMs: value.integer(1, 86_400_000, 'milliseconds').default(30_000),
    // The most that a reply's age_ms can say.
    staleAfterMs: value.integer(1, 4_294_967_294, 'milliseconds').default(10_000),
  }).superRefine(({ interfaces, addresses, attach }, context) => {
    if (interfaces.length > 0 || (attach === 'none' && addresses.length > 0)) return;
    const message = 'at least one interface, unless listen.attach is none and listen.addresses has some';
    context.addIssue({ code: 'custom', path: ['interfaces'], message });
  });
}

function redis(path: () => z.ZodType<string>) {
  const optionalPath = () => path().nullable().default(null);
  const optionalName = () => value.redisName().nullable().default(null);
  const sentinel = settings({
    name: value.redisName(),
    nodes: hostPorts(),
    username: optionalName(),
    passwordFile: optionalPath(),
  }).superRefine(({ username, passwordFile }, context) => {
    if (username === null || passwordFile !== null) return;
    const message = 'null, or a user name together with redis.sentinel.passwordFile';
    context.addIssue({ code: 'custom', path: ['username'], message });
  });
  const tls = settings({
    caFile: optionalPath(),
    certFile: optionalPath(),
    keyFile: optionalPath(),
    serverName: value.serverName().nullable().default(null),
  }).superRefine(({ certFile, keyFile }, context) => {
    if ((certFile === null) === (keyFile === null)) return;
    const [missing, there] = certFile === null ? ['certFile', 'keyFile'] : ['keyFile', 'certFile'];
    context.addIssue({ code: 'custom', path: [missing], message: `a path, because redis.tls.${there} is there` });
  });
  return section({
    url: value.redisUrl().optional(),
    sentinel: sentinel.nullable().default(null),
    cluster: settings({ nodes: hostPorts() }).nullable().default(null),
    username: optionalName(),
    passwordFile: optionalPath(),
    tls: tls.nullable().default(null),
    names: value.redisName().default('gateway:'),
  })
    .superRefine(({ url, sentinel, cluster, username, passwordFile, tls }, context) => {
      const refuse = (name: string, message: string) => context.addIssue({ code: 'custom', path: [name], message });
      const [first, ...others] = Object.entries({ url, sentinel, cluster }).flatMap(([name, way]) =>
        way ? [name] : [],
      );
      for (const other of others) refuse(other, `only one of url, sentinel and cluster, and ${first} is there`);
      const parsed = url === undefined ? null : URL.parse(url);
      if (parsed?.username && username !== null) refuse('username', 'null, because redis.url has a user name');
      if (parsed?.password && passwordFile !== null) refuse('passwordFile', 'null, because redis.url has a password');
      if (username !== null && passwordFile === null && !parsed?.password) {
        refuse('username', 'null, or a user name together with redis.passwordFile');
      }
      const plain = sentinel === null && cluster === null && parsed?.protocol !== 'rediss:';
      if (tls !== null && plain)
        refuse('tls', 'null, or settings together with a redis.url that begins with rediss://');
    })
    .transform((found) => ({ ...found, url: found.url ?? 'redis://127.0.0.1:6379/0' }));
}

function sessions() {
  const form = z.discriminatedUnion(
    'in',
    [
      settings({ in: z.literal('hash'), field: value.redisName().default('backend') }),
      settings({ in: z.literal('json'), path: value.jsonPath() }),
      settings({ in: z.literal('value') }),
    ],
    { error: '{ in: hash, field: NAME }, { in: json, path: NAME } or { in: value }' },
  );
  return section({
    prefix: value.redisName().default('sess:'),
    backend: form.default({ in: 'hash', field: 'backend' }),
    capacity: value.integer(1, 100_000_000, 'sessions').default(1_000_000),
    onMiss: value.oneOf('answer', 'ask-redis').default('answer'),
  });
}

function feed() {
  return section({
    from: value.oneOf('stream', 'notifications').default('stream'),
    stream: value.redisName().default('sessions:feed'),
    // The longest that a timer of Node.js waits.
    reconcileEveryMs: value.integer(1_000, 2_147_483_647, 'milliseconds').default(3_600_000),
  });
}

function control(path: () => z.ZodType<string>) {
  return section({
    socket: path().prefault('/run/session-gateway/gateway.sock'),
    http: value.hostPort().nullable().default(null),
    tokenFile: path().nullable().default(null),
    announce: value.flag().default(true),
  }).superRefine(({ http, tokenFile }, context) => {
    if (http === null || tokenFile !== null) return;
    const message = 'null, or host:port together with control.tokenFile';
    context.addIssue({ code: 'custom', path: ['http'], message });
  });
}

/** @param folder where relative paths begin: that of the configuration file */
export function configSchema(folder: string) {
  const path = () => value.path(folder);
  return section({
    listen: listen(),
    pins: path().prefault('/sys/fs/bpf/session-gateway'),
    keys: path().prefault('keys.yaml'),
    redis: redis(path),
    sessions: sessions(),
    feed: feed(),
    control: control(path),
  }).superRefine(({ redis: { names, cluster }, sessions: { prefix }, feed: { from, stream } }, context) => {
    if (cluster !== null && from === 'stream') {
      const message =
        'null, or a cluster together with feed.from: notifications, because a session and one stream for all can not share a hash slot';
      context.addIssue({ code: 'custom', path: ['redis', 'cluster'], message });
    }
    // Else a scan of the sessions finds tables, and a session's id could name one.
    const message = `a name that does not begin with sessions.prefix, which is ${JSON.stringify(prefix)}`;
    const refuse = (path: string[], name: string) => {
      if (prefix !== '' && name.startsWith(prefix))
        context.addIssue({ code: 'custom', path, message, params: { default: name } });
    };
    refuse(['redis', 'names'], names);
    refuse(['feed', 'stream'], stream);
  });
}
