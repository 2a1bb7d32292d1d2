/**
 * What the gateway needs of the machine: kernel, BPF file system, capabilities, interfaces, files. May be imported by
 * src/gateway/commands/doctor.ts and tests.
 */
import { existsSync, statSync } from 'node:fs';
import { release } from 'node:os';
import type { Config } from '../config.ts';
import { missingCapabilities } from '../kernel/capabilities.ts';
import { interfaceIndex } from '../kernel/libc.ts';
import { canHoldPins } from '../kernel/pins.ts';
import { readKeys } from '../keys.ts';
import type { InterfaceStatus } from '../ports.ts';
import { type Check, checked, fail, ok, warn } from './check.ts';

/** docs/architecture.md, "Kernel floor" */
const KERNEL_MIN = [5, 15] as const;
const BTF = '/sys/kernel/btf/vmlinux';
const OTHERS_READ = 0o004;

/** @param attached what a running daemon says of its interfaces; undefined where none answers */
export function checkHost(config: Config, attached: readonly InterfaceStatus[] | undefined): Check[] {
  return [
    checkKernel(release()),
    checkBtf(existsSync(BTF)),
    checkCapabilities(missingCapabilities()),
    checked('bpf file system', 'see that the path above it can be reached', () => checkPins(config.pins)),
    checkConfigFile(config),
    checked('key file', 'see its path and its permissions', () => checkKeys(config.keys)),
    ...config.listen.interfaces.map((name) =>
      checked(`interface ${name}`, 'see listen.interfaces', () => checkInterface(name, attached)),
    ),
    ...(config.listen.interfaces.length > 0
      ? []
      : [fail('interfaces', 'none', 'name those that requests arrive on in listen.interfaces')]),
    checkDaemon(attached),
  ];
}

/** @param version as `uname -r` says */
export function checkKernel(version: string): Check {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  const found = [Number(major), Number(minor)];
  const older = found[0] === KERNEL_MIN[0] ? Number(found[1]) < KERNEL_MIN[1] : !(Number(found[0]) > KERNEL_MIN[0]);
  if (older) return fail('kernel', version, `use Linux ${KERNEL_MIN.join('.')} or newer`);
  return ok('kernel', version);
}

export function checkBtf(there: boolean): Check {
  if (there) return ok('kernel BTF', BTF);
  const advice =
    'the gateway works without it, but bpftool can not show what is in its maps: use a kernel with CONFIG_DEBUG_INFO_BTF';
  return warn('kernel BTF', `no ${BTF}`, advice);
}

/** @param missing names of capabilities that this process lacks */
export function checkCapabilities(missing: readonly string[]): Check {
  const name = 'capabilities';
  if (missing.length === 0) return ok(name, 'all that are needed');
  const advice = 'this process is not the daemon: run doctor as the daemon runs, or give the daemon these';
  return fail(name, `without ${missing.join(', ')}`, advice);
}

function checkPins(path: string): Check {
  const name = 'bpf file system';
  if (canHoldPins(path)) return ok(name, `holds ${path}`);
  const advice = 'mount one with "mount -t bpf bpf /sys/fs/bpf" and let "pins" name a directory in it';
  return fail(name, `${path} is not on one`, advice);
}

function checkConfigFile({ file, redis }: Config): Check {
  const name = 'configuration';
  const hasPassword = redis.url.startsWith('unix:') ? false : Boolean(URL.parse(redis.url)?.password);
  if (hasPassword && othersRead(file)) {
    const advice = `put the password into a file of its own (redis.passwordFile), or run: chmod o= ${file}`;
    return warn(name, `${file} has a password, and everybody can read it`, advice);
  }
  const passwords = [redis.passwordFile, redis.sentinel?.passwordFile].filter((path) => typeof path === 'string');
  const open = passwords.filter((path) => existsSync(path) && othersRead(path));
  if (open.length === 0) return ok(name, file);
  return warn(name, `everybody can read the password in ${open.join(' and ')}`, `run: chmod o= ${open.join(' ')}`);
}

function othersRead(path: string): boolean {
  return (statSync(path).mode & OTHERS_READ) !== 0;
}

function checkKeys(file: string): Check {
  const number = [...readKeys(file)].length;
  if (number === 0) return warn('key file', `${file} has no keys`, 'nobody can ask: add one with gateway keys new');
  return ok('key file', `${file}, ${number} ${number === 1 ? 'key' : 'keys'}`);
}

function checkInterface(interfaceName: string, attached: readonly InterfaceStatus[] | undefined): Check {
  const name = `interface ${interfaceName}`;
  if (interfaceIndex(interfaceName) === 0) {
    return fail(name, 'there is no such interface', 'put its name right in listen.interfaces, or make it');
  }
  const mode = attached?.find((one) => one.name === interfaceName)?.mode;
  if (mode === undefined) return ok(name, 'exists');
  if (mode === 'native') return ok(name, 'attached in native mode');
  if (mode === 'generic') {
    const advice = 'its driver has no XDP here, which costs more a packet: another driver or fewer queues may help';
    return warn(name, 'attached in generic mode', advice);
  }
  return fail(name, mode, "see the daemon's log");
}

function checkDaemon(attached: readonly InterfaceStatus[] | undefined): Check {
  if (attached !== undefined) return ok('daemon', 'runs');
  return warn('daemon', 'does not answer on control.socket', 'start it with: gateway run');
}
