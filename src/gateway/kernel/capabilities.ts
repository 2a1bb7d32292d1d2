/**
 * What of root's power the kernel side needs (capabilities(7)), and what of it this process lacks. May be imported by
 * src/gateway only.
 */
import { readFileSync } from 'node:fs';

/** Bits of linux/capability.h. */
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;
const CAP_PERFMON = 38n;
const CAP_BPF = 39n;

interface Need {
  readonly name: string;
  /** Any of these will do. */
  readonly bits: readonly bigint[];
}

const NEEDS: readonly Need[] = [
  { name: 'CAP_BPF', bits: [CAP_BPF, CAP_SYS_ADMIN] },
  { name: 'CAP_NET_ADMIN', bits: [CAP_NET_ADMIN] },
  { name: 'CAP_PERFMON', bits: [CAP_PERFMON, CAP_SYS_ADMIN] },
];

/**
 * Names of the capabilities that are needed and not among the effective ones; none where the kernel doesn't tell.
 * @param status text of /proc/self/status (proc_pid_status(5))
 */
export function missingCapabilities(status: string = readFileSync('/proc/self/status', 'utf8')): string[] {
  const [, digits] = /^CapEff:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  if (digits === undefined) return [];
  const effective = BigInt(`0x${digits}`);
  return NEEDS.filter(({ bits }) => bits.every((bit) => ((effective >> bit) & 1n) === 0n)).map(({ name }) => name);
}
