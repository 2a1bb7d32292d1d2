/**
 * The addresses that a gateway of this configuration answers on. May be imported by src/gateway only.
 */
import { addressBytes } from './addresses.ts';
import type { Config } from './config.ts';
import { interfaceAddresses, interfaceIndex } from './kernel/libc.ts';

/** @returns 16 bytes each @throws Error where the kernel doesn't tell those of the interfaces */
export function listenAddresses({ addresses, interfaces }: Config['listen']): Uint8Array[] {
  if (addresses.length > 0) return addresses.map(addressBytes);
  const byIndex = interfaceAddresses();
  return interfaces.flatMap((name) => byIndex.get(interfaceIndex(name)) ?? []);
}
