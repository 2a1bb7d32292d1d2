/**
 * The middleware: its options, and how it hears of what happens to sessions, which is by their store. May be imported by
 * src/express.
 */
import { requireInteger } from '../auth/bytes.ts';
import { Functions, installLibrary } from '../sync/redis/functions.ts';
import { FailureReport } from './failure-report.ts';
import { callerOf, type RedisClient } from './redis-caller.ts';
import { RouteWriter } from './route-writer.ts';
import {
  type Callback,
  type ExpressSession,
  hasSession,
  type RequestWithStore,
  type SessionStore,
} from './session-store.ts';
import { Touched } from './touched.ts';

export interface SessionRoutesOptions {
  /** The Redis that gateways follow, by a client that stays the application's. */
  readonly redis: RedisClient;
  /** This process's name in the gateways' table of backends. 1 to 256 bytes. */
  readonly backend: string;
  /** A route's key is this and the session id: the gateways' `sessions.prefix`. Default `route:`. */
  readonly prefix?: string | undefined;
  /** The gateways' `feed.stream`. Default `sessions:feed`. */
  readonly feed?: string | undefined;
  /**
   * How long a session lives whose cookie has no end, in ms, 1 to 3155760000000; as the store has it. Default 86400000, as of
   * connect-redis.
   */
  readonly ttlMs?: number | ((session: ExpressSession) => number) | undefined;
  /**
   * A route that was written less than this ago isn't written again; so a route outlives its session by up to this. In ms, 0 to
   * 86400000, 0 = written with every request. Default 60000.
   */
  readonly touchEveryMs?: number | undefined;
  /** The longest that a response waits for the route, in ms, 1 to 60000. Default 1000. */
  readonly timeoutMs?: number | undefined;
  /** Hears of each failure, without any session id. Default: a line on standard error, at most one a minute for one cause. */
  readonly onError?: ((error: Error) => void) | undefined;
}

const NAMES: readonly string[] = [
  'redis',
  'backend',
  'prefix',
  'feed',
  'ttlMs',
  'touchEveryMs',
  'timeoutMs',
  'onError',
] satisfies (keyof SessionRoutesOptions)[];

const DAY_MS = 86_400_000;
const TTL_MAX_MS = 3_155_760_000_000;

export type Middleware = (request: object, response: unknown, next: (error?: unknown) => void) => void;

/**
 * A middleware to be used after express-session's. Each session that is saved here gets a route that leads to this backend,
 * unless it has one; the route lives as long as the session, and goes with it. A response that makes a session ends only when
 * the route is there too, so that the next request finds it. No failure fails a request.
 * @throws TypeError or RangeError for an option of the wrong type or value
 */
export function sessionRoutes(options: SessionRoutesOptions): Middleware {
  const { prefix = 'route:', feed = 'sessions:feed', touchEveryMs = 60_000, timeoutMs = 1_000, onError } = options;
  requireOptions(options);
  requireText('backend', options.backend);
  requireText('prefix', prefix);
  requireText('feed', feed);
  requireInteger('touchEveryMs', touchEveryMs, 0, DAY_MS);
  requireInteger('timeoutMs', timeoutMs, 1, 60_000);
  const ttlMs = options.ttlMs ?? DAY_MS;
  if (typeof ttlMs !== 'function') requireInteger('ttlMs', ttlMs, 1, TTL_MAX_MS);
  const monotonicMs = (): number => performance.now();
  const caller = callerOf(options.redis);
  const report = new FailureReport({ onError, monotonicMs, write: (line) => process.stderr.write(line) });
  const writer = new RouteWriter({
    functions: new Functions(caller, { sessionPrefix: prefix, feed, names: 'gateway:' }, () => installLibrary(caller)),
    backend: options.backend,
    timeoutMs,
    touched: new Touched(touchEveryMs, monotonicMs),
    report,
  });
  const ttlOf = (session: ExpressSession): number => {
    const expires = session.cookie?.expires;
    if (expires) return new Date(expires).getTime() - Date.now();
    return typeof ttlMs === 'function' ? ttlMs(session) : ttlMs;
  };
  const heard = new WeakSet<SessionStore>();
  return (request, _response, next) => {
    const store = (request as RequestWithStore).sessionStore;
    if (store === undefined) {
      report.note(new Error('found a request without a session store, allowed: after app.use(session(…))'));
    } else if (!heard.has(store)) {
      heard.add(store);
      listen(store, { writer, report, ttlOf, touchEveryMs });
    }
    next();
  };
}

interface Listener {
  readonly writer: RouteWriter;
  readonly report: FailureReport;
  readonly ttlOf: (session: ExpressSession) => number;
  readonly touchEveryMs: number;
}

/**
 * From now on the writer hears what is saved, touched and destroyed in the store: express-session has no events for that, and
 * sessions are also saved and destroyed apart from any request.
 */
function listen(store: SessionStore, { writer, report, ttlOf, touchEveryMs }: Listener): void {
  const set = store.set.bind(store);
  const touch = store.touch?.bind(store);
  const destroy = store.destroy.bind(store);

  const keep = async (sid: string, session: ExpressSession, exists: () => Promise<boolean>): Promise<void> => {
    try {
      const ttlMs = Math.ceil(ttlOf(session));
      // A store destroys what has ended, and then the route goes as well.
      if (ttlMs > 0) await writer.keep(sid, Math.min(ttlMs + touchEveryMs, TTL_MAX_MS), exists);
    } catch (error) {
      report.note(error);
    }
  };

  store.set = (sid, session, callback) =>
    set(
      sid,
      session,
      after(
        keep(sid, session, async () => true),
        callback,
      ),
    );
  if (touch !== undefined) {
    store.touch = (sid, session, callback) => {
      // A touched session may be gone, and then its route isn't made anew. Nobody waits for that.
      void keep(sid, session, () => hasSession(store, sid));
      return touch(sid, session, callback);
    };
  }
  store.destroy = (sid, callback) => destroy(sid, after(writer.remove(sid), callback));
}

/** A callback that waits for `done`, which never fails, as well; none where none was given. */
function after(done: Promise<void>, callback: Callback | undefined): Callback | undefined {
  if (callback === undefined) return undefined;
  return (...results) => {
    // Whatever the callback throws is the application's, and stays outside of the promise.
    void done.then(() => setImmediate(() => callback(...results)));
  };
}

function requireOptions(options: SessionRoutesOptions): void {
  for (const name of Object.keys(options)) {
    if (!NAMES.includes(name)) throw new TypeError(`options: found ${name}, allowed: ${NAMES.join(', ')}`);
  }
  const { onError } = options;
  if (onError !== undefined && typeof onError !== 'function') {
    throw new TypeError(`onError: found ${typeof onError}, allowed: a function`);
  }
}

/** As the function library has it: 1 to 256 bytes, no control characters. */
function requireText(field: string, value: string): void {
  if (typeof value !== 'string') throw new TypeError(`${field}: found ${typeof value}, allowed: a string`);
  const size = Buffer.byteLength(value);
  if (size < 1 || size > 256) throw new RangeError(`${field}: found ${size} bytes, allowed: 1 to 256`);
  if (/\p{Cc}/u.test(value)) throw new RangeError(`${field}: found a control character, allowed: none`);
}
