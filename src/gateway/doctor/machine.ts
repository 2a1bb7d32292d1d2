/**
 * What the gateway needs of the machine: kernel, capabilities, memory, clock. May be imported by src/gateway/commands/doctor.ts and tests.
 */
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { Config } from '../config.ts';
import { missingCapabilities } from '../kernel/capabilities.ts';
import { type ClockDiscipline, clockDiscipline } from '../kernel/libc.ts';
import { type Finding, finding, looked, ok } from './finding.ts';

/** docs/architecture.md, "Kernel floor" */
const KERNEL_MIN = [5, 15] as const;
const BTF = '/sys/kernel/btf/vmlinux';
/** Of the maps, docs/configuration.md and README.md, "Limits". */
const SESSION_BYTES = 190;
const OTHER_MAPS_BYTES = 35 * 2 ** 20;

/**
 * What the XDP program needs.
 * @param daemonAnswers then the maps are there already
 * @param daemonPid undefined where its process can't be seen from here
 */
export function checkKernelSide(config: Config, daemonAnswers: boolean, daemonPid: number | undefined): Finding[] {
  return [
    checkKernel(release()),
    checkBtf(existsSync(BTF)),
    checkJit(readIfThere('/proc/sys/net/core/bpf_jit_enable')),
    ...looked('capabilities', 'run this as the daemon runs', () => capabilities(daemonPid)),
    ...(daemonAnswers ? [] : [checkMemory(config.sessions.capacity, readIfThere('/proc/meminfo'), cgroupRoomBytes())]),
  ];
}

export function checkMachineClock(): Finding[] {
  return looked('clock', 'see timedatectl or chronyc tracking', () => checkClock(clockDiscipline()));
}

/** @param version as `uname -r` says */
export function checkKernel(version: string): Finding {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  const [a, b] = [Number(major), Number(minor)];
  const isNewEnough = a === KERNEL_MIN[0] ? b >= KERNEL_MIN[1] : a > KERNEL_MIN[0];
  return isNewEnough
    ? ok('kernel', version)
    : finding('kernel-old', 'kernel', version, { least: KERNEL_MIN.join('.') });
}

export function checkBtf(isThere: boolean): Finding {
  return isThere ? ok('kernel BTF', BTF) : finding('btf-missing', 'kernel BTF', `no ${BTF}`);
}

/** @param setting undefined where it can't be read, as in a network namespace other than the first */
export function checkJit(setting: string | undefined): Finding {
  const name = 'BPF compiler';
  if (setting === undefined) return ok(name, 'not shown here');
  return setting.trim() === '0' ? finding('jit-off', name, 'net.core.bpf_jit_enable is 0') : ok(name, 'on');
}

/** The daemon's, where its process can be seen from here; else this process's. */
function capabilities(daemonPid: number | undefined): Finding {
  const text = daemonPid === undefined ? undefined : readIfThere(`/proc/${daemonPid}/status`);
  const [missing, whose] =
    text === undefined ? [missingCapabilities(), 'this process'] : [missingCapabilities(text), 'the daemon'];
  return checkCapabilities(missing, whose);
}

/** @param missing names of capabilities that are lacking */
export function checkCapabilities(missing: readonly string[], whose: string): Finding {
  const name = 'capabilities';
  if (missing.length === 0) return ok(name, `${whose} has all that are needed`);
  return finding('capability-missing', name, `${whose} is without ${missing.join(', ')}`);
}

/** @param meminfo text of /proc/meminfo @param cgroupBytes what the control group leaves free; infinite where it has no limit */
export function checkMemory(capacity: number, meminfo: string | undefined, cgroupBytes: number): Finding {
  const name = 'memory';
  const needed = capacity * SESSION_BYTES + OTHER_MAPS_BYTES;
  const [, kilobytes] = /^MemAvailable:\s*(\d+) kB$/m.exec(meminfo ?? '') ?? [];
  const free = Math.min(kilobytes === undefined ? Number.POSITIVE_INFINITY : Number(kilobytes) * 1024, cgroupBytes);
  const shown = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MB`;
  if (free === Number.POSITIVE_INFINITY) return ok(name, `the maps take ${shown(needed)}`);
  const found = `the maps take ${shown(needed)}, free are ${shown(free)}`;
  return needed < free ? ok(name, found) : finding('memory-short', name, found);
}

/** Of this process's control group (version 2), which is not that of a daemon to be; infinite where there is none or it has no limit. */
function cgroupRoomBytes(): number {
  const [, path] = /^0::(.*)$/m.exec(readIfThere('/proc/self/cgroup') ?? '') ?? [];
  const value = (file: string): number => Number(readIfThere(`/sys/fs/cgroup${path}/${file}`));
  const room = path === undefined ? Number.NaN : value('memory.max') - value('memory.current');
  return Number.isNaN(room) ? Number.POSITIVE_INFINITY : room;
}

export function checkClock({ isUnsynchronised, maxErrorMs }: ClockDiscipline): Finding {
  const name = 'clock';
  if (isUnsynchronised) return finding('clock-unsynchronised', name, 'nothing keeps it by another clock');
  return ok(name, `kept by another clock, off by ${maxErrorMs.toFixed(1)} ms at most`);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
