/**
 * A run: the same faults in the same order for the same seed, each followed by a comparison once the gateway says that it is
 * in step, with writes and lookups all the while.
 *
 *     load ─▶ fault ─▶ in step again? ─▶ writer pauses ─▶ feed read to its end? ─▶ Redis = kernel? ─▶ load …
 */
import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyInTurn, FAULTS, type Fault } from './faults.ts';
import { compare, type Differences } from './oracle.ts';
import { Random } from './random.ts';
import { type FaultResult, isGood, progressLine } from './report.ts';
import { type From, World } from './world.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly from: From;
  /** Number of the first fault, from 1: that of the same seed's run from the beginning. */
  readonly first: number;
  /** At most so many. */
  readonly faults: number;
  /** None is begun after this. */
  readonly minutes: number;
  /** Names of the faults that take part; empty = all. */
  readonly only: readonly string[];
  readonly say: (line: string) => void;
  /** Ends the run; what was found so far is the result. */
  readonly signal: AbortSignal;
}

/** Faults during which the writer rests. */
const REST_SHARE = 0.3;
const CALM_MS: readonly [number, number] = [200, 1_200];

export async function runChaos(options: ChaosOptions): Promise<FaultResult[]> {
  const { seed, from, first, faults, minutes, say, signal } = options;
  const kinds = FAULTS.filter((fault) => takesPart(fault, options));
  const endMs = performance.now() + minutes * 60_000;
  const results: FaultResult[] = [];
  const world = new World({ seed, from, name: `sgw-chaos-${process.pid}`, signal });
  try {
    await world.open();
    for (let number = first; number < first + faults && performance.now() < endMs && !signal.aborted; number++) {
      const result = await suffer(world, faultOf(kinds, seed, number), number, Random.of(seed, number));
      if (signal.aborted) break;
      results.push(result);
      say(progressLine(result));
      // What failed once may be out of step for good, and would be blamed on the faults that follow.
      if (!isGood(result)) {
        say(keepLog(world, options, number));
        if (result.failure !== null) break;
      }
    }
  } finally {
    await world.close();
  }
  return results;
}

function takesPart({ name, from }: Fault, options: ChaosOptions): boolean {
  if (from !== undefined && from !== options.from) return false;
  return options.only.length === 0 || options.only.includes(name);
}

/** Every kind comes once before any comes again. */
function faultOf(kinds: readonly Fault[], seed: number, number: number): Fault {
  const round = Math.floor((number - 1) / kinds.length);
  return Random.of(seed, -1_000 - round).shuffled(kinds)[(number - 1) % kinds.length] as Fault;
}

async function suffer(world: World, fault: Fault, number: number, random: Random): Promise<FaultResult> {
  let differences: Differences = { count: 0, compared: 0, samples: [] };
  let inStepAfterMs: number | null = null;
  let failure: string | null = null;
  const found = fault.loses ? world.lookups.allow('absence') : () => undefined;
  try {
    await sleep(random.between(...CALM_MS));
    // Where nothing is written, nothing but its own checks tells the gateway that something has happened.
    if (random.chance(REST_SHARE)) await world.writer.pause();
    await applyInTurn([fault], world, random);
    const sinceMs = world.recovery.sinceMs();
    await world.until('the gateway says that it is in step', () => world.isInStep(sinceMs));
    inStepAfterMs = performance.now() - sinceMs;
    differences = await compareAtRest(world, sinceMs);
    if (fault.loses) {
      await world.populate();
      differences = sum(differences, await compareAtRest(world, performance.now()));
    }
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  } finally {
    found();
    world.writer.start();
  }
  const [note, lookups] = [world.takeNote(), world.lookups.takeCounts()];
  return { number, name: fault.name, note, differences, lookups, inStepAfterMs, failure };
}

/**
 * Without writes, and as soon as the gateway's own words leave it no excuse: in step since `sinceMs`, and the feed read to where
 * its end is. Notifications have no such place: there it is to be in step since the writer paused.
 */
async function compareAtRest(world: World, sinceMs: number): Promise<Differences> {
  await world.writer.pause();
  const inStepSinceMs = world.from === 'stream' ? sinceMs : performance.now();
  let differences: Differences | undefined;
  await world.until('the gateway says that it has read all that was written', async () => {
    const end = await world.feedEnd();
    if (!(await world.isInStep(inStepSinceMs, end))) return false;
    const found = await compare(world.redis, world.stage.pins, world.capacity);
    if (found.count > 0) found.samples.push(await accountOf(world, inStepSinceMs));
    if ((await world.feedEnd()).last !== end.last) return false;
    differences = found;
    return true;
  });
  if (differences === undefined) throw new Error('nothing was compared');
  return differences;
}

/** What the gateway says of itself where it is found to be wrong. */
async function accountOf(world: World, sinceMs: number): Promise<string> {
  const askedMs = performance.now();
  const [status, { newest, last }] = [await world.status(), await world.feedEnd()];
  if (status === undefined) return 'the gateway does not answer any more';
  const { sync, ageMs } = status;
  const sinceFault = ageMs === null ? 'never' : `as of ${Math.round(askedMs - ageMs - sinceMs)} ms after the fault`;
  return `the gateway is ${sync.state}, in step ${sinceFault}, at ${sync.position}; the feed's newest entry: ${newest}, its last id: ${last}`;
}

function sum(a: Differences, b: Differences): Differences {
  return { count: a.count + b.count, compared: a.compared + b.compared, samples: [...a.samples, ...b.samples] };
}

function keepLog(world: World, { seed, from, only }: ChaosOptions, number: number): string {
  const kept = `/tmp/session-gateway-chaos-${seed}-${number}.log`;
  if (fs.existsSync(world.stage.logFile)) fs.copyFileSync(world.stage.logFile, kept);
  const kinds = only.length === 0 ? '' : ` --only "${only.join()}"`;
  return `        the gateway's log until here: ${kept}; again: --seed ${seed} --first ${number} --faults 1 --from ${from}${kinds}`;
}
