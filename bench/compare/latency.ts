/**
 * How long one lookup takes, from a socket to a socket: the closed-loop client asks one question at a time, at several rates. May be
 * imported by bench only.
 */
import { fileURLToPath } from 'node:url';
import { BpfObject } from '../../src/gateway/kernel/libbpf.ts';
import { attachProgram } from '../traffic/gateway.ts';
import { PORT } from '../traffic/world.ts';
import { type ClientOrder, runClient } from './clients.ts';
import { type Contender, inTurns, type Row, type Section, type Turn } from './measure.ts';
import {
  type Alternatives,
  MEMCACHED_PORT,
  MODEL_PORT,
  REDIS_PORT,
  type ServerName,
  USER_SPACE_PORT,
} from './running.ts';
import type { Setup } from './setup.ts';

/** Less than this part of the rate, and a contender has not kept up with it. */
const KEPT_UP = 0.95;
const PASS_OBJECT = fileURLToPath(new URL('../../build/pass.bpf.o', import.meta.url));

type Asked = { readonly name: string; readonly server?: ServerName } & Pick<ClientOrder, 'protocol' | 'port'>;

const ASKED: readonly Asked[] = [
  { name: 'gateway', protocol: 'gateway', port: PORT },
  { name: 'user space in C', server: 'userSpace', protocol: 'gateway', port: USER_SPACE_PORT },
  { name: 'TypeScript model over node:dgram', server: 'model', protocol: 'gateway', port: MODEL_PORT },
  { name: 'Redis GET', server: 'redis', protocol: 'redis', port: REDIS_PORT },
  { name: 'memcached over UDP', server: 'memcached', protocol: 'memcached-udp', port: MEMCACHED_PORT },
  { name: 'memcached over TCP', server: 'memcached', protocol: 'memcached', port: MEMCACHED_PORT },
];

/** A name for people, and for plots. */
export function rateText(rate: number): string {
  return rate === 0 ? 'as many as go' : `${rate.toLocaleString('en')}/s`;
}

export async function latencySection(setup: Setup, alternatives: Alternatives): Promise<Section | undefined> {
  const { size, network, pair, generator } = setup;
  if (!alternatives.servers.has('userSpace')) return undefined; // nor is there a client
  const gateway = setup.gateway();
  const asked = ASKED.filter(({ server }) => server === undefined || alternatives.servers.has(server));
  const contenders = size.rates.flatMap((rate) =>
    asked.map(
      (who): Contender => ({
        name: `${who.name}, ${rateText(rate)}`,
        measure: () => measure(setup, alternatives, who, rate),
      }),
    ),
  );
  generator.deafen();
  const pass = new BpfObject(PASS_OBJECT);
  pass.load('pass');
  // A veth device passes on what XDP sends only while its peer has a program, too.
  const detachPass = network.onClient(() => attachProgram(pass.programFd('pass'), pair.client));
  const detach = gateway.attach(pair.server);
  let rows: Row[];
  let leftOut: Section['leftOut'];
  try {
    ({ rows, leftOut } = await inTurns(size.turns, contenders, (text) => setup.say(`latency: ${text}`)));
  } finally {
    detach();
    detachPass();
    pass.close();
    generator.listen();
    setup.releaseGateways();
  }
  return {
    id: 'latency',
    title: 'How long a lookup takes',
    about:
      'One question at a time, from a client that never sleeps, on a core of its own; the gateway answers on that core, inside the ' +
      "client's system call, the others on the other core. A question's time counts from when it was due at its rate. The client signs and checks, which takes about 1 µs of it. Nothing is told of who did not keep up with the rate.",
    columns: [
      { id: 'p50', title: 'p50 µs', digits: 1 },
      { id: 'p99', title: 'p99 µs', digits: 1 },
      { id: 'p999', title: 'p99.9 µs', digits: 1 },
      { id: 'perSecond', title: 'answered/s', digits: 0 },
    ],
    rows,
    leftOut,
  };
}

async function measure(setup: Setup, { keyFile }: Alternatives, who: Asked, rate: number): Promise<Turn> {
  const { size, network, pair, senderCpu } = setup;
  const { protocol, port } = who;
  const result = await runClient(network, {
    ...{ protocol, port, rate },
    host: pair.serverHost,
    connections: 1,
    depth: 1,
    milliseconds: size.serverMilliseconds,
    cpu: senderCpu,
    sessions: size.sessions,
    state: keyFile,
  });
  const perSecond = (result.answered * 1e9) / result.elapsedNs;
  if (perSecond < rate * KEPT_UP) return { perSecond }; // times would be those of a queue that grows as long as it is measured
  return { p50: result.p50Ns / 1000, p99: result.p99Ns / 1000, p999: result.p999Ns / 1000, perSecond };
}
