/**
 * What is known of express-session and its stores, without importing them. May be imported by src/express.
 */

/** A session as a store gets it; of its fields only the cookie's end is looked at. */
export interface ExpressSession {
  readonly cookie?: { readonly expires?: Date | string | false | null | undefined } | undefined;
}

export type Callback = (error?: unknown, ...rest: unknown[]) => void;

/** An express-session store, as far as it is needed here. */
export interface SessionStore {
  get(sid: string, callback: (error: unknown, session?: unknown) => void): unknown;
  set(sid: string, session: ExpressSession, callback?: Callback): unknown;
  touch?(sid: string, session: ExpressSession, callback?: Callback): unknown;
  destroy(sid: string, callback?: Callback): unknown;
}

/** What the middleware needs of a request. */
export interface RequestWithStore {
  readonly sessionStore?: SessionStore | undefined;
}

/** Whether the store still has the session; a store that fails is taken to have it not. */
export function hasSession(store: SessionStore, sid: string): Promise<boolean> {
  return new Promise((resolve) => {
    const answer = (error: unknown, session?: unknown): void =>
      resolve(!error && session !== undefined && session !== null);
    // A store may call back, or return a promise, or do both; the first one counts.
    Promise.resolve(store.get(sid, answer)).then(undefined, () => resolve(false));
  });
}
