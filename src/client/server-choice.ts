/** Which gateway a lookup asks next. May be imported by src/client. */
import type { Server } from './server.ts';
import type { Standing } from './server-memory.ts';

/** Times that one lookup asks one gateway at most, more than once only if it was silent. */
export const ROUNDS = 2;

const RANKS: Readonly<Record<Standing, number>> = { good: 0, stale: 1, failing: 2 };
const RANKS_PER_ROUND = 3;

/**
 * The gateway to ask next: one that was asked less often first, then by standing, stale ones by freshness, then in turn.
 * @param first where in the list the turn begins
 * @param timesAsked how often this lookup asked it in vain; `ROUNDS` where it is not to be asked again
 * @param onlyBetter a stale answer is at hand: only one in good standing that wasn't asked yet can better it
 * @param nowMs the monotonic clock
 */
export function chooseServer(
  servers: readonly Server[],
  first: number,
  timesAsked: (server: Server) => number,
  onlyBetter: boolean,
  nowMs: number,
): Server | undefined {
  let best: Server | undefined;
  let bestRank = onlyBetter ? 1 : RANKS_PER_ROUND * ROUNDS;
  for (let i = 0; i < servers.length; i++) {
    const server = servers[(first + i) % servers.length] as Server;
    const standing = server.memory.standing(nowMs);
    const rank = timesAsked(server) * RANKS_PER_ROUND + RANKS[standing];
    const isBetter = rank < bestRank || (rank === bestRank && standing === 'stale' && isFresher(server, best));
    if (!isBetter) continue;
    best = server;
    bestRank = rank;
    if (rank === 0) break;
  }
  return best;
}

/** In step with Redis last. */
function isFresher(server: Server, other: Server | undefined): boolean {
  return other !== undefined && server.memory.inStepMs > other.memory.inStepMs;
}
