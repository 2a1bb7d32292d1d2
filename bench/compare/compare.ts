/**
 * `npm run bench [-- compare] [options]`: the gateway beside a bare echo, beside itself as it grows, and beside what one would run in its place; in one
 * run, in turns, on two cores. Prints tables; needs root and a kernel of 5.18 or newer.
 *
 *     --quick          under a minute: few and short turns, small tables
 *     --only a,b       sections: cost, sessions, keys, backends, cores, alternatives, latency, memory
 *     --turns N        7; of --quick 5
 *     --cpus A,B       where frames are sent and the gateway answers, and where servers in user space run
 *     --json FILE      every turn of every figure
 *     --report FILE    what is printed
 *     --plots FOLDER   SVG
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { integer, programOptions, wrong } from '../../scripts/program-options.ts';
import { machineTimes } from '../traffic/processor.ts';
import { alternativesSection, memorySection } from './alternatives.ts';
import { costSection } from './cost.ts';
import { backendsSection, coresSection, keysSection, sessionsSection } from './growth.ts';
import { latencySection } from './latency.ts';
import { busyPart, type Disturbance, describeMachine, machineText, warnings } from './machine.ts';
import type { Section } from './measure.ts';
import { nicSection } from './nic.ts';
import { writePlots } from './plots.ts';
import { sectionData, sectionText } from './report.ts';
import { type Alternatives, startAlternatives, stopAlternatives } from './running.ts';
import { FULL, QUICK, Setup, type Size } from './setup.ts';
import { targets, targetsText } from './targets.ts';

const SECTIONS = ['cost', 'sessions', 'keys', 'backends', 'cores', 'alternatives', 'latency', 'memory'] as const;
type SectionName = (typeof SECTIONS)[number];
const BENCH = fileURLToPath(new URL('..', import.meta.url));

interface Options {
  readonly size: Size;
  readonly only: readonly SectionName[];
  readonly cpus: readonly [number, number];
  readonly json: string | undefined;
  readonly report: string | undefined;
  readonly plots: string | undefined;
}

function readOptions(): Options {
  const count = availableParallelism();
  const values = programOptions(
    'npm run bench -- compare',
    'The gateway beside a bare echo, beside itself as it grows, and beside what one would run in its place.',
    {
      quick: { type: 'boolean', default: false, about: 'under a minute: few and short turns, small tables' },
      only: { type: 'string', default: SECTIONS.join(','), value: 'NAME,…', about: 'sections' },
      turns: { type: 'string', value: 'N', about: 'turns of each, 7 or 5 unless told' },
      cpus: {
        type: 'string',
        default: `${count - 2},${count - 1}`,
        value: 'A,B',
        about: 'where frames are sent and the gateway answers, and where servers in user space run',
      },
      json: { type: 'string', value: 'FILE', about: 'write every turn of every figure there' },
      report: { type: 'string', value: 'FILE', about: 'write there what is printed' },
      plots: { type: 'string', value: 'FOLDER', about: 'write SVG there' },
    },
  );
  const size = values.quick ? QUICK : FULL;
  const turns = integer('turns', values.turns ?? String(size.turns), 1, 1_000);
  const only = values.only.split(',') as SectionName[];
  const unknown = only.filter((name) => !SECTIONS.includes(name));
  const cpus = values.cpus.split(',').map(Number);
  const [sender = -1, server = -1] = cpus;
  if (unknown.length > 0) wrong(`--only: found "${unknown.join(',')}", allowed: ${SECTIONS.join(', ')}`);
  if (cpus.length !== 2 || sender === server || !cpus.every((cpu) => Number.isInteger(cpu) && cpu >= 0))
    wrong(`--cpus: found "${values.cpus}", allowed: the numbers of two CPUs, as 0,1; a machine has to have two`);
  return {
    size: { ...size, turns },
    only,
    cpus: [sender, server],
    json: values.json,
    report: values.report,
    plots: values.plots,
  };
}

async function measureAll(setup: Setup, only: readonly SectionName[]): Promise<Section[]> {
  const found: (Section | undefined)[] = [];
  const alone = { cost: costSection, sessions: sessionsSection, keys: keysSection, backends: backendsSection };
  for (const [name, measure] of Object.entries(alone))
    if (only.includes(name as SectionName)) found.push(await measure(setup));
  if (only.includes('cores')) found.push(await coresSection(setup));
  if (!(['alternatives', 'latency', 'memory'] as const).some((name) => only.includes(name)))
    return found.flatMap((one) => one ?? []);
  let alternatives: Alternatives | undefined;
  try {
    alternatives = await startAlternatives(setup);
    if (only.includes('alternatives')) found.push(await alternativesSection(setup, alternatives));
    if (only.includes('latency')) found.push(await latencySection(setup, alternatives));
    if (only.includes('memory')) found.push(memorySection(setup, alternatives));
  } finally {
    if (alternatives !== undefined) await stopAlternatives(alternatives);
  }
  return found.flatMap((one) => one ?? []);
}

async function main(): Promise<void> {
  const { size, only, cpus, json, report, plots } = readOptions();
  const [at, beganMs] = [new Date(), performance.now()];
  const machine = describeMachine();
  const load = loadavg()[0]?.toFixed(1);
  const given = process.argv.length > 2 ? ` -- ${process.argv.slice(2).join(' ')}` : '';
  execFileSync('make', ['--silent', '-C', BENCH, 'traffic'], { stdio: ['ignore', 'inherit', 'inherit'] });
  const busyBefore = await busyPart();
  const times = machineTimes();
  const setup = new Setup(size, cpus);
  let sections: Section[];
  try {
    sections = await measureAll(setup, only);
  } finally {
    await setup.close();
  }
  const after = machineTimes();
  const stolen = (after.stolenMs - times.stolenMs) / ((after.atMs - times.atMs) * machine.cpus);
  const disturbance: Disturbance = { busyBefore, stolen, leastShare: setup.leastShare, busyAfter: await busyPart() };
  const disturbed = warnings(disturbance);
  const idle = 'The machine was idle otherwise.';
  const busy = `**The machine was not idle otherwise**: ${disturbed.join('; ')}. Ratios hold better than figures.`;
  const paper = nicSection(sections);
  const reached = targets(sections);
  const text = [
    `Measured by \`npm run bench${given}\` on ${at.toISOString().slice(0, 10)} on ${machineText(machine)}; load average at the start ${load}.`,
    disturbed.length > 0 ? busy : idle,
    `Frames are sent on CPU ${cpus[0]}, servers in user space run on CPU ${cpus[1]}. Medians of ${size.turns} turns; ±: half of the range of the first column.`,
    ...[...sections, ...(paper === undefined ? [] : [paper])].map(sectionText),
    targetsText(reached),
  ].join('\n\n');
  console.log(text);
  if (report !== undefined) writeFileSync(report, `# Results of the benchmarks\n\n${text}\n`);
  if (json !== undefined) {
    const data = { at: at.toISOString(), machine, cpus, size, disturbance, disturbed, targets: reached };
    writeFileSync(json, `${JSON.stringify({ ...data, sections: sections.map(sectionData) }, null, 1)}\n`);
  }
  if (plots !== undefined) writePlots(plots, sections);
  setup.say(`took ${((performance.now() - beganMs) / 1000).toFixed(0)} s`);
}

await main();
