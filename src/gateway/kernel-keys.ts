/**
 * A keyring put into the kernel's maps, as a whole or not at all. Imported by keys.ts alone.
 */
import { type Key as KernelKey, Limit, Suite } from '../abi.ts';
import type { Key, Keyring } from '../auth/keyring.ts';
import { failure, reasonOf } from './errors.ts';
import type { KeyTable } from './ports.ts';

/** Where the file says null: the whole of time. */
const FIRST_MS = 0n;
const LAST_MS = 2n ** 64n - 1n;

const SUITE_NUMBERS = { 'hmac-sha256': Suite.HMAC_SHA256, blake2s: Suite.BLAKE2S } as const;

/** What the kernel keeps for a key; whoever makes it zeroes it after use. */
export function kernelKey(key: Key): KernelKey {
  const { inner, outer } = key.padStates();
  return {
    notBeforeMs: key.notBeforeMs === null ? FIRST_MS : BigInt(key.notBeforeMs),
    notAfterMs: key.notAfterMs === null ? LAST_MS : BigInt(key.notAfterMs),
    guardKey: key.guardKey.slice(),
    innerState: inner,
    outerState: outer,
    suite: SUITE_NUMBERS[key.suite],
    encrypt: key.encrypt ? 1 : 0,
    usesAt: 0, // given by the table
    zero: 0,
  };
}

/**
 * Makes the kernel's keys those of the keyring. A key that stays as it is isn't written, so that no request signed with
 * it can fail meanwhile. Ids are remembered before they work: a crash in between leaves none in use that isn't.
 * @throws GatewayError KEYS_NOT_APPLIED when the kernel refuses; what was in force is in force again
 */
export function applyKeys(table: KeyTable, next: Keyring): void {
  const undo: (() => void)[] = [];
  const snapshots: KernelKey[] = [];
  try {
    const present = new Set(table.keyIds());
    for (const key of next) remember(table, key, undo);
    const puts = () => {
      for (const key of next) put(table, key, undo, snapshots);
    };
    const removals = () => {
      for (const id of present) if (next.get(id) === undefined) remove(table, id, undo, snapshots);
    };
    // New ones first, where the map has room for both.
    const all = new Set([...present, ...[...next].map((key) => key.id)]);
    for (const step of all.size <= Limit.KEYS ? [puts, removals] : [removals, puts]) step();
  } catch (error) {
    const undone = runBackwards(undo);
    throw failure('KEYS_NOT_APPLIED', { reason: reasonOf(error), undone }, error);
  } finally {
    snapshots.forEach(zero);
  }
}

function remember(table: KeyTable, key: Key, undo: (() => void)[]): void {
  if (table.keyFingerprint(key.id) !== undefined) return;
  table.rememberKey(key.id, key.fingerprint());
  undo.push(() => table.forgetKey(key.id));
}

function put(table: KeyTable, key: Key, undo: (() => void)[], snapshots: KernelKey[]): void {
  const before = table.key(key.id);
  const value = kernelKey(key);
  snapshots.push(value);
  if (before !== undefined) snapshots.push(before);
  if (before !== undefined && sameKey(before, value)) return;
  table.putKey(key.id, value);
  undo.push(() => (before === undefined ? table.removeKey(key.id) : table.putKey(key.id, before)));
}

function remove(table: KeyTable, id: number, undo: (() => void)[], snapshots: KernelKey[]): void {
  const before = table.key(id);
  if (before === undefined) return;
  snapshots.push(before);
  table.removeKey(id);
  undo.push(() => table.putKey(id, before));
}

/** Every step, whatever becomes of the others; true when none failed. */
function runBackwards(steps: readonly (() => void)[]): boolean {
  let undone = true;
  for (const step of steps.toReversed()) {
    try {
      step();
    } catch {
      undone = false;
    }
  }
  return undone;
}

function sameKey(a: KernelKey, b: KernelKey): boolean {
  return (
    a.notBeforeMs === b.notBeforeMs &&
    a.notAfterMs === b.notAfterMs &&
    a.suite === b.suite &&
    a.encrypt === b.encrypt &&
    a.guardKey.every((byte, i) => byte === b.guardKey[i]) &&
    a.innerState.every((word, i) => word === b.innerState[i]) &&
    a.outerState.every((word, i) => word === b.outerState[i])
  );
}

function zero(key: KernelKey): void {
  key.guardKey.fill(0);
  key.innerState.fill(0);
  key.outerState.fill(0);
}
