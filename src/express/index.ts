/**
 * The package's entry `session-gateway/express`: a middleware that tells gateways which backend an express-session belongs
 * to, whatever store keeps the session (docs/integrations.md, "express"). May be imported by anyone.
 *
 * ```js
 * import { sessionRoutes } from 'session-gateway/express';
 *
 * app.use(session({ store: new RedisStore({ client }), … }));
 * app.use(sessionRoutes({ redis: client, backend: 'app-1' }));
 * ```
 */
export type { RedisClient } from './redis-caller.ts';
export { type SessionRoutesOptions, sessionRoutes } from './session-routes.ts';
export type { ExpressSession } from './session-store.ts';
