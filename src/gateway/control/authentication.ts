/**
 * The bearer token as a step before every request over TCP (RFC 6750). Imported by app.ts alone.
 */
import type { FastifyInstance } from 'fastify';
import { CONSOLE_FILES, CONSOLE_PAGE } from '../console/routes.ts';
import { failure } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Judge } from './admission.ts';

/**
 * Say one word that anyone may know, and are asked by probes that have no token; or are the console's files, which hold no data:
 * the page asks its user for the token.
 */
export const OPEN: ReadonlySet<string | undefined> = new Set(['/healthz', '/readyz', CONSOLE_PAGE, CONSOLE_FILES]);
const LOG_EVERY_MS = 60_000;

/** Every request but those to OPEN needs the token, unknown paths too, and before its body is read. */
export function requireToken(app: FastifyInstance, admission: Judge, log: Logger): void {
  const note = wrongTokenLog(log);
  app.addHook('onRequest', async (request, reply) => {
    if (OPEN.has(request.routeOptions.url)) return;
    const address = request.socket.remoteAddress ?? '';
    const verdict = admission.judge(request.headers.authorization, address);
    if (verdict.admitted) return;
    // Whatever body comes after it is not waited for.
    reply.header('connection', 'close');
    if (verdict.reason === 'too-many') {
      note(address);
      reply.header('retry-after', verdict.retryAfterSeconds);
      throw failure('TOKEN_ATTEMPTS', { seconds: verdict.retryAfterSeconds });
    }
    if (verdict.reason === 'wrong-token') note(address);
    const challenge = 'Bearer realm="session-gateway"';
    reply.header('www-authenticate', verdict.reason === 'no-token' ? challenge : `${challenge}, error="invalid_token"`);
    throw failure('TOKEN_NEEDED', { given: verdict.reason === 'wrong-token' });
  });
}

/** One line a minute at most, with the number since. */
function wrongTokenLog(log: Logger): (address: string) => void {
  let number = 0;
  let nextMs = Number.NEGATIVE_INFINITY;
  return (address) => {
    number += 1;
    const nowMs = performance.now();
    if (nowMs < nextMs) return;
    log.warn({ address, number }, 'wrong tokens for the control API');
    number = 0;
    nextMs = nowMs + LOG_EVERY_MS;
  };
}
