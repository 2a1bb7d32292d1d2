/**
 * A key as the program keeps it: what the secret is made into, never the secret.
 */
import { type Key as KernelKey, Suite } from '../../abi.ts';
import type { Key } from '../../auth/keyring.ts';

const FOR_EVER = 2n ** 64n - 1n;

export function kernelKey(key: Key): KernelKey {
  const { inner, outer } = key.padStates();
  return {
    notBeforeMs: key.notBeforeMs === null ? 0n : BigInt(Math.max(0, key.notBeforeMs)),
    notAfterMs: key.notAfterMs === null ? FOR_EVER : BigInt(Math.max(0, key.notAfterMs)),
    guardKey: key.guardKey,
    innerState: [...inner],
    outerState: [...outer],
    suite: key.suite === 'hmac-sha256' ? Suite.HMAC_SHA256 : Suite.BLAKE2S,
    encrypt: Number(key.encrypt),
  };
}
