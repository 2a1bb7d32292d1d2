/**
 * The gateway beside what one would run in its place: the same protocol in user space, in C and in TypeScript, Redis and memcached. May be
 * imported by bench only.
 *
 * Datagrams come from the live-frame sender, which costs the server nothing; at most so many are unanswered that none is lost. TCP comes from the
 * closed-loop client, which checks every answer. Servers in user space have a CPU for themselves, beside the sender's.
 *
 * Processor time is the server's and that of the network's soft interrupts on its CPU; of datagrams also what the sender's CPU spent on more than
 * making frames and waiting for answers, both measured in the same turn: soft interrupts that carry them to the socket. Of TCP each
 * side's system calls carry the other side's half of the stack, which is taken for equal.
 */
import type { FrameSet } from '../traffic/frames.ts';
import { processNs, softInterruptThreads } from '../traffic/processor.ts';
import { PORT } from '../traffic/world.ts';
import { type ClientOrder, runClient } from './clients.ts';
import { type Contender, inTurns, type LeftOut, type Section, type Turn, withDerived } from './measure.ts';
import { bare, ECHO, gatewayCase, mustBeRight } from './one-core.ts';
import { type Alternatives, MEMCACHED_PORT, MODEL_PORT, REDIS_PORT, USER_SPACE_PORT } from './running.ts';
import type { Server } from './servers.ts';
import { hits, memcachedGets } from './sets.ts';
import { BACKENDS, type Setup } from './setup.ts';

/** Unanswered datagrams: what the server's socket holds. */
const WINDOWS = { userSpace: 512, model: 32, memcached: 32 } as const;
const CONNECTIONS = 50;
const PIPELINE = 16;
const BATCH = 64;
const GATEWAY = 'gateway';

interface SenderCosts {
  readonly frameNs: number;
  /** Of a look whether there are answers. */
  readonly waitNs: number;
}

/** What the sender spends on frames that it doesn't send, and on waiting. */
async function senderCosts({ generator, size }: Setup, set: FrameSet): Promise<SenderCosts> {
  const milliseconds = size.milliseconds;
  const made = await generator.run({ flows: [{ set }], milliseconds, withhold: true });
  const waited = await generator.run({ flows: [{ set }], milliseconds, withhold: true, window: 1 });
  const frameNs = made.senderNs / (made.sent[0] ?? 0);
  return { frameNs, waitNs: waited.senderNs / waited.idle };
}

/** An XDP program, which shares the sender's core. */
function inKernel(setup: Setup, set: FrameSet, contender: Contender): Contender {
  return {
    name: contender.name,
    async measure(): Promise<Turn> {
      const { frameNs } = await senderCosts(setup, set);
      const { ns = 0, perSecond = 0 } = await contender.measure();
      return { perSecond, cpu: (ns - frameNs / set.lookups) / 1000, cores: 1, lost: 0 };
    },
  };
}

function overUdp(setup: Setup, name: string, set: FrameSet, server: Server, window: number): Contender {
  const { generator, size, serverCpu } = setup;
  const servers = [server.pid, ...softInterruptThreads([serverCpu])];
  return {
    name,
    async measure(): Promise<Turn> {
      const { frameNs, waitNs } = await senderCosts(setup, set);
      const run = await generator.run({ flows: [{ set }], milliseconds: size.serverMilliseconds, window, servers });
      const sent = run.sent[0] ?? 0;
      mustBeRight(run, sent);
      const lookups = run.answers * set.lookups;
      const stackNs = Math.max(0, run.senderNs - sent * frameNs - run.idle * waitNs);
      return {
        perSecond: (lookups * 1e9) / run.elapsedNs,
        cpu: (stackNs + run.serversNs) / lookups / 1000,
        cores: (stackNs + run.serversNs) / run.elapsedNs,
        lost: (100 * run.lost) / sent,
      };
    },
  };
}

function overTcp(
  setup: Setup,
  name: string,
  server: Server,
  ask: Pick<ClientOrder, 'protocol' | 'port' | 'depth'>,
): Contender {
  const { generator, size, serverCpu, senderCpu, network, pair } = setup;
  const softInterrupts = softInterruptThreads([serverCpu]);
  const spentNs = (): number => [server.pid, ...softInterrupts].reduce((sum, pid) => sum + processNs(pid), 0);
  return {
    name,
    async measure(): Promise<Turn> {
      generator.deafen();
      try {
        const beforeNs = spentNs();
        const result = await runClient(network, {
          ...ask,
          host: pair.serverHost,
          connections: CONNECTIONS,
          rate: 0,
          milliseconds: size.serverMilliseconds,
          cpu: senderCpu,
          sessions: size.sessions,
        });
        const serverNs = spentNs() - beforeNs;
        return {
          perSecond: (result.answered * 1e9) / result.elapsedNs,
          cpu: serverNs / result.answered / 1000,
          cores: serverNs / result.elapsedNs,
          lost: 0,
        };
      } finally {
        generator.listen();
      }
    },
  };
}

export async function alternativesSection(setup: Setup, alternatives: Alternatives): Promise<Section> {
  const { size } = setup;
  setup.say('alternatives: signing requests');
  const { contenders: inKernels, leftOut: refused } = kernelContenders(setup);
  const contenders = [...inKernels, ...userSpaceContenders(setup, alternatives), ...stores(setup, alternatives)];
  const { rows, leftOut } = await inTurns(size.turns, contenders, (text) => setup.say(`alternatives: ${text}`));
  setup.releaseGateways();
  const compared = withDerived(rows, GATEWAY, (turn, gateway) => ({
    slower: (gateway['perSecond'] as number) / (turn['perSecond'] as number),
    dearer: (turn['cpu'] as number) / (gateway['cpu'] as number),
  }));
  return {
    id: 'alternatives',
    title: 'Instead of the gateway',
    about:
      `${size.sessions.toLocaleString('en')} sessions, hmac-sha256 where requests are signed, all found. Echo and gateway share one core with the ` +
      `sender; servers in user space have a core for themselves and, over UDP, a part of the sender's for the network stack. TCP: ${CONNECTIONS} connections.`,
    columns: [
      { id: 'perSecond', title: 'lookups/s', digits: 0 },
      { id: 'slower', title: 'gateway is faster by', digits: 2 },
      { id: 'cpu', title: 'CPU-s per million, sender taken out', digits: 3 },
      { id: 'dearer', title: 'in those of the gateway', digits: 2 },
      { id: 'cores', title: 'cores used, sender taken out', digits: 2 },
      { id: 'lost', title: 'lost %', digits: 2 },
    ],
    rows: compared,
    leftOut: [...alternatives.leftOut, ...refused, ...leftOut],
  };
}

function questions(setup: Setup, port: number, batch = 1, atMost = Number.POSITIVE_INFINITY): FrameSet {
  const { size, target, keys } = setup;
  const count = Math.min(batch === 1 ? size.frames : size.batchFrames, atMost);
  const order = { keys: [keys[0]], sessions: size.sessions, backends: BACKENDS };
  return hits({ ...order, target: { ...target, port }, count, batch });
}

function kernelContenders(setup: Setup): { contenders: Contender[]; leftOut: LeftOut[] } {
  const gateway = setup.gateway();
  const plain = questions(setup, PORT);
  const batched = questions(setup, PORT, BATCH);
  const contenders = [
    inKernel(setup, plain, bare(setup.core, 'echo', plain, ECHO)),
    inKernel(setup, plain, gatewayCase(setup.core, { name: GATEWAY, gateway, set: plain })),
  ];
  const name = `${GATEWAY}, batch of ${BATCH}`;
  const why = gateway.refusal(batched);
  if (why !== undefined) return { contenders, leftOut: [{ name, why }] };
  contenders.push(inKernel(setup, batched, gatewayCase(setup.core, { name, gateway, set: batched })));
  return { contenders, leftOut: [] };
}

function userSpaceContenders(setup: Setup, { servers }: Alternatives): Contender[] {
  const found: Contender[] = [];
  const [userSpace, model] = [servers.get('userSpace'), servers.get('model')];
  const add = (name: string, server: Server, port: number, window: number, batch = 1, atMost?: number): void => {
    found.push(overUdp(setup, name, questions(setup, port, batch, atMost), server, window));
  };
  if (userSpace !== undefined) {
    add('user space in C', userSpace, USER_SPACE_PORT, WINDOWS.userSpace);
    add(`user space in C, batch of ${BATCH}`, userSpace, USER_SPACE_PORT, WINDOWS.userSpace, BATCH);
  }
  if (model !== undefined) add('TypeScript model over node:dgram', model, MODEL_PORT, WINDOWS.model, 1, 5_003);
  return found;
}

function stores(setup: Setup, { servers }: Alternatives): Contender[] {
  const found: Contender[] = [];
  const [redis, memcached] = [servers.get('redis'), servers.get('memcached')];
  const hasClient = servers.has('userSpace');
  if (redis !== undefined && hasClient) {
    const ask = { protocol: 'redis', port: REDIS_PORT } as const;
    found.push(overTcp(setup, 'Redis GET', redis, { ...ask, depth: 1 }));
    found.push(overTcp(setup, `Redis GET, pipelined (${PIPELINE})`, redis, { ...ask, depth: PIPELINE }));
  }
  if (memcached !== undefined) {
    const set = memcachedGets({ ...setup.target, port: MEMCACHED_PORT }, setup.size.frames, setup.size.sessions);
    found.push(overUdp(setup, 'memcached over UDP', set, memcached, WINDOWS.memcached));
  }
  if (memcached !== undefined && hasClient) {
    const ask = { protocol: 'memcached', port: MEMCACHED_PORT } as const;
    found.push(overTcp(setup, 'memcached over TCP', memcached, { ...ask, depth: 1 }));
    found.push(overTcp(setup, `memcached over TCP, pipelined (${PIPELINE})`, memcached, { ...ask, depth: PIPELINE }));
  }
  return found;
}

/** What a million sessions take, in MB. */
export function memorySection(setup: Setup, alternatives: Alternatives): Section {
  const gateway = setup.gateway();
  const all = new Map([[GATEWAY, gateway.sessionBytes / setup.size.sessions], ...alternatives.memory]);
  setup.releaseGateways();
  return {
    id: 'memory',
    title: 'Memory per million sessions',
    about:
      `From ${setup.size.sessions.toLocaleString('en')} sessions: the kernel's map with room for a tenth more, what Redis says it uses, what became resident of the others. ` +
      'The gateway and the server in C hold a hash of 16 bytes, version, expiry and backend; the stores a name and a value of 5 or 6 bytes, without an expiry.',
    columns: [{ id: 'memory', title: 'MB', digits: 0 }],
    rows: [...all].map(([name, memory]) => ({ name, turns: [{ memory }] })),
    leftOut: [],
  };
}
