import { execFileSync } from 'node:child_process';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hits } from '../../../bench/compare/sets.ts';
import type { FrameSet } from '../../../bench/traffic/frames.ts';
import { attachProgram, BenchGateway } from '../../../bench/traffic/gateway.ts';
import { Generator } from '../../../bench/traffic/generator.ts';
import { BenchNetwork, type Pair } from '../../../bench/traffic/network.ts';
import { benchKey, PORT } from '../../../bench/traffic/world.ts';

const BENCH = fileURLToPath(new URL('../../../bench', import.meta.url));
const NAME = `bntest${process.pid}`;
const FRAMES = 101;
const SESSIONS = 500;
const BACKENDS = 9;
const key = benchKey(1);
let network: BenchNetwork;
let generator: Generator;
let gateway: BenchGateway;
let pair: Pair;
let plain: FrameSet;

/** Live frames. */
const [major = 0, minor = 0] = release().split('.').map(Number);
const HAS_LIVE_FRAMES = major > 5 || (major === 5 && minor >= 18);

describe.runIf(HAS_LIVE_FRAMES)('the load generator', () => {
  beforeAll(() => {
    execFileSync('make', ['--silent', '-C', BENCH, 'traffic']);
    network = new BenchNetwork(NAME, 1);
    pair = network.pairs[0] as Pair;
    generator = new Generator(network, pair, 0, { small: 2 * FRAMES, large: FRAMES });
    const world = { sessions: SESSIONS, backends: BACKENDS, keys: [key] };
    gateway = new BenchGateway({ name: NAME, addresses: [pair.serverAddress], ...world });
    plain = hits({ ...world, target: { address: pair.serverAddress, port: PORT }, count: FRAMES });
  });
  afterAll(async () => {
    await generator?.close();
    gateway?.close();
    network?.close();
  });

  test('the gateway answers every frame, and every sample is right', async () => {
    expect(gateway.refusal(plain)).toBeUndefined();
    const detach = gateway.attach(pair.server);
    const run = await generator.run({ flows: [{ set: plain }], milliseconds: 0, runs: 50_000 });
    detach();
    expect(run).toMatchObject({ sent: [50_000], replies: 50_000, answers: 50_000, lost: 0, wrong: { count: 0 } });
    expect(run.sampled).toBeGreaterThan(20);
    expect(gateway.datapath.verdictCounts().REPLY_FOUND).toBe(50_001); // one to see whether it does
  });

  test('what comes back and is no answer is counted, and its samples are wrong', async () => {
    const detach = attachProgram(generator.program('echo'), pair.server);
    const run = await generator.run({ flows: [{ set: plain }], milliseconds: 0, runs: 20_000 });
    detach();
    expect(run).toMatchObject({ sent: [20_000], replies: 0, answers: 20_000, wrong: { first: 'refused: type' } });
    expect(run.wrong.count).toBe(run.sampled);
  });

  test('frames that are withheld are made and not sent; no more are unanswered than the window has', async () => {
    const detach = attachProgram(generator.program('echo'), pair.server);
    const withheld = await generator.run({ flows: [{ set: plain }], milliseconds: 0, runs: 1_000, withhold: true });
    const alone = await generator.run({
      flows: [{ set: plain }],
      milliseconds: 0,
      runs: 1_000,
      withhold: true,
      window: 7,
    });
    detach();
    expect(withheld).toMatchObject({ sent: [1_000], answers: 0 });
    expect(alone).toMatchObject({ sent: [7], idle: 993, answers: 0 });
  });
});
