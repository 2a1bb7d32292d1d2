/**
 * What a flood of forged packets costs the gateway, beside a bare echo, and how many authentic requests are answered
 * meanwhile. Everything happens on one CPU: the sender, the gateway at the other end of a veth pair, and the counting of
 * answers. `npm run bench -- flood [--rounds N] [--cpu N]`.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cookieHash } from '../../src/auth/cookie.ts';
import { Key } from '../../src/auth/keyring.ts';
import { encodeLookupRequest } from '../../src/auth/request.ts';
import { sipHash64 } from '../../src/auth/siphash.ts';
import { Datapath, detachAll } from '../../src/gateway/kernel/datapath.ts';
import { attachXdp, BpfObject, mapLookup, possibleCpus } from '../../src/gateway/kernel/libbpf.ts';
import { enterNetworkNamespace, interfaceIndex } from '../../src/gateway/kernel/libc.ts';
import { kernelKey } from '../../src/gateway/kernel-keys.ts';
import { buildFrame, ipv4 } from '../../test/model/frames.ts';
import { FLOOD_OBJECT, FRAME_BYTES, type Kind, type Order, type Sent, TEMPLATES_MAX, VARY } from './generator.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    cpu: { type: 'string', default: String(availableParallelism() - 1) },
  },
});
const ROUNDS = Number(values.rounds);
const CPU = Number(values.cpu);
if (!(Number.isInteger(ROUNDS) && ROUNDS >= 1 && ROUNDS <= 1000 && Number.isInteger(CPU) && CPU >= 0)) {
  console.error('--rounds: a number of 1 to 1000; --cpu: the number of a CPU');
  process.exit(2);
}

const SESSIONS = 100_000;
const COST_PACKETS = 1_000_000;
const BESIDE_PACKETS = 2_000_000;
const FLOODS = [0, 100_000, 500_000, 1_000_000];
const PORT = 6464;
const HOUR_MS = 3_600_000;
const [NAMESPACE, CLIENT, GATEWAY] = [`sg-flood-${process.pid}`, 'flood0', 'flood1'];
const PINS = `/sys/fs/bpf/${NAMESPACE}`;
const HERE = fileURLToPath(new URL('.', import.meta.url));

const key = new Key(
  { id: 1, name: 'flood', suite: 'hmac-sha256', encrypt: false, notBeforeMs: null, notAfterMs: null },
  randomBytes(32),
);

const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });
const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
const count = (value: number): string => Math.round(value).toLocaleString('en');

/** Frames of one kind: `make` gets an authentic request for one of the sessions, and returns a payload. */
function kindOf(make: (request: Uint8Array) => Uint8Array, vary: number = VARY.nothing, timeMs = Date.now()): Kind {
  const frames = Array.from({ length: TEMPLATES_MAX }, (_, i) => {
    const session = cookieHash(`session-${Math.floor((i * SESSIONS) / TEMPLATES_MAX)}`);
    const payload = make(encodeLookupRequest(key, session, timeMs, randomBytes(8)).bytes);
    const frame = buildFrame({
      source: ipv4(10, 99, 0, 1),
      destination: ipv4(10, 99, 0, 2),
      destinationPort: PORT,
      payload,
      trailer: new Uint8Array(FRAME_BYTES - 122),
    });
    return Buffer.from(frame).toString('hex');
  });
  return { frames, rate: 0, vary };
}

/** The guard made right again, which takes the key. */
function sealed(request: Uint8Array): Uint8Array {
  request.set(sipHash64(key.guardKey, request.subarray(0, 56)), 56);
  return request;
}

const authentic = (): Kind => kindOf((request) => request);
const FORGED = {
  'malformed: magic': () => kindOf((request) => request.with(0, 0)),
  'unknown key': () => kindOf((request) => request, VARY.keyId),
  'wrong guard': () => kindOf((request) => request, VARY.nonce),
  'old capture, over the budget': () => kindOf((request) => request, VARY.nothing, Date.now() - HOUR_MS),
} satisfies Record<string, () => Kind>;
/** Not for everybody: see WHO. */
const WITH_KEY = {
  'right guard, wrong tag': () => kindOf((request) => sealed(request.with(40, (request[40] ?? 0) ^ 1))),
  authentic,
} satisfies Record<string, () => Kind>;
const WHO: Record<string, string> = {
  'old capture, over the budget': 'who captured a request at any time',
  'right guard, wrong tag': 'who holds the key',
  authentic: 'who holds the key, or captured a request within the skew',
};

/** Runs the generator in a process of its own on the CPU. */
function send(kinds: Kind[], runs: number): Sent {
  const order: Order = { interfaceName: CLIENT, kinds, runs, cpu: CPU };
  const args = ['-c', String(CPU), process.execPath, `${HERE}generator.ts`];
  const output = execFileSync('taskset', args, { input: JSON.stringify(order), encoding: 'utf8', maxBuffer: 1 << 20 });
  return JSON.parse(output) as Sent;
}

function attached<T>(program: number, interfaceName: string, run: () => T): T {
  const link = attachXdp(program, interfaceIndex(interfaceName), 'native');
  try {
    return run();
  } finally {
    fs.closeSync(link);
  }
}

function makeDatapath(): Datapath {
  const datapath = new Datapath({
    pins: PINS,
    capacity: 2 * SESSIONS,
    object: fileURLToPath(new URL('../../build/gateway.bpf.o', import.meta.url)),
    attach: 'native',
    events: { generic() {}, attached() {}, kept() {}, putAside() {} },
  });
  const { settings, table } = datapath;
  settings.port = PORT;
  datapath.setClockOffset(Date.now() - Number(process.hrtime.bigint() / 1_000_000n));
  settings.staleAfterMs = HOUR_MS;
  settings.maxSkewMs = HOUR_MS / 2;
  settings.skewBudget = 1000;
  settings.ready = true;
  datapath.setAddresses([ipv4(10, 99, 0, 2)]);
  datapath.putKey(key.id, kernelKey(key));
  table.beginGeneration();
  table.commitGeneration();
  table.setBackends([
    { id: 1, name: 'app-1', address: ipv4(10, 1, 0, 1), port: 8080, state: 'active', weight: 100, shed: 0 },
  ]);
  for (let i = 0; i < SESSIONS; i++) {
    table.put(Buffer.from(cookieHash(`session-${i}`)).toString('hex'), { ms: Date.now(), seq: 0 }, 0, 1);
    if (i % 1000 === 0) table.flush();
  }
  table.flush();
  return datapath;
}

/** Nanoseconds of processor time a packet; the kinds take turns, so that what else the machine does falls on all alike. */
function measureCosts(objects: BpfObject, datapath: Datapath): Map<string, number[]> {
  const costs = new Map<string, number[]>();
  const measure = (name: string, kind: Kind): void => {
    const { sent, cpuNs } = send([kind], COST_PACKETS);
    if (sent[0] !== COST_PACKETS) throw new Error(`${name}: ${sent[0]} of ${COST_PACKETS} packets were sent`);
    costs.set(name, [...(costs.get(name) ?? []), cpuNs / COST_PACKETS]);
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (const program of ['drop', 'echo'] as const)
      attached(objects.programFd(program), GATEWAY, () => measure(`bare ${program}`, authentic()));
    datapath.attach([GATEWAY]);
    for (const [name, make] of Object.entries({ ...FORGED, ...WITH_KEY })) measure(name, make());
    datapath.attach([]);
  }
  return costs;
}

function printCosts(costs: Map<string, number[]>): void {
  const echoNs = median(costs.get('bare echo') ?? []);
  console.log('\n| packet | who can send it | ns each, sender included | in bare echoes |\n|---|---|---|---|');
  for (const [name, all] of costs) {
    const who = name.startsWith('bare') ? '' : (WHO[name] ?? 'anyone');
    console.log(`| ${name} | ${who} | ${Math.round(median(all))} | ${(median(all) / echoNs).toFixed(2)} |`);
  }
  const worst = Math.max(...Object.keys(FORGED).map((name) => median(costs.get(name) ?? [])));
  console.log(`\nThe dearest forged packet costs ${(worst / echoNs).toFixed(2)} bare echoes.`);
}

function answered(objects: BpfObject): number {
  const each = new BigUint64Array(2 * possibleCpus());
  mapLookup(objects.mapFd('counts'), new Uint8Array(4), new Uint8Array(each.buffer));
  return each.reduce((sum, value, i) => (i % 2 === 0 ? sum + Number(value) : sum), 0);
}

function measureBeside(objects: BpfObject, datapath: Datapath): void {
  datapath.attach([GATEWAY]);
  console.log('\n| forged a second: asked for | sent | authentic a second, all answered | lost |\n|---|---|---|---|');
  for (const flood of FLOODS) {
    const forgedRates: number[] = [];
    const authenticRates: number[] = [];
    let lost = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const forged = flood === 0 ? { frames: [], rate: 0, vary: 0 } : { ...FORGED['wrong guard'](), rate: flood };
      const before = answered(objects);
      const { sent, elapsedNs } = send([forged, authentic()], BESIDE_PACKETS);
      const answers = answered(objects) - before;
      forgedRates.push(((sent[0] ?? 0) * 1e9) / elapsedNs);
      authenticRates.push((answers * 1e9) / elapsedNs);
      lost += (sent[1] ?? 0) - answers;
    }
    console.log(
      `| ${count(flood)} | ${count(median(forgedRates))} | ${count(median(authenticRates))} | ${count(lost)} |`,
    );
  }
  datapath.attach([]);
}

function main(): void {
  execFileSync('make', ['--silent', '-C', HERE], { stdio: ['ignore', 'inherit', 'inherit'] });
  ip('netns', 'add', NAMESPACE);
  let datapath: Datapath | undefined;
  const objects = new BpfObject(FLOOD_OBJECT);
  try {
    ip('-n', NAMESPACE, 'link', 'add', CLIENT, 'type', 'veth', 'peer', 'name', GATEWAY);
    for (const device of [CLIENT, GATEWAY]) ip('-n', NAMESPACE, 'link', 'set', device, 'up');
    const namespace = fs.openSync(`/run/netns/${NAMESPACE}`, 'r');
    enterNetworkNamespace(namespace);
    fs.closeSync(namespace);
    objects.load('count');
    datapath = makeDatapath();
    const held = datapath;
    console.log(
      `${cpus()[0]?.model.trim()}, ${cpus().length} CPUs, Linux ${release()}, Node.js ${process.version}; all on CPU ${CPU};` +
        ` ${count(SESSIONS)} sessions; medians of ${ROUNDS} rounds; load average at the start ${fs.readFileSync('/proc/loadavg', 'utf8').split(' ')[0]}`,
    );
    attached(objects.programFd('count'), CLIENT, () => {
      printCosts(measureCosts(objects, held));
      measureBeside(objects, held);
    });
  } finally {
    datapath?.close();
    objects.close();
    detachAll(PINS);
    ip('netns', 'del', NAMESPACE);
  }
}

main();
