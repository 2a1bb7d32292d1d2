/**
 * What an earlier program goes by that uses other shared maps than this daemon's own, while it still answers: clock and
 * keys. Of these the daemon knows no more than what never changes: map `wall_clock` as a whole, and that `keys` and
 * `key_history` have ids for keys. New keys and addresses don't reach it. Imported by datapath.ts alone.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { keyFingerprintLayout, Limit, wallClockLayout } from '../../abi.ts';
import {
  MAP_MMAPABLE,
  type MapShape,
  MapType,
  mapDelete,
  mapKeys,
  mapLookup,
  mapShape,
  mapUpdate,
  openPin,
} from './libbpf.ts';
import { WallClock } from './wall-clock.ts';

const ID_BYTES = 4;

export class EarlierShared {
  readonly #keys: number[] = [];
  readonly #histories: number[] = [];
  readonly #clocks: WallClock[] = [];

  /** @param directories of maps that are not the daemon's own */
  constructor(directories: readonly string[]) {
    for (const directory of directories) {
      const keys = openIf(
        join(directory, 'keys'),
        ({ type, keySize }) => type === MapType.HASH && keySize === ID_BYTES,
      );
      if (keys !== undefined) this.#keys.push(keys);
      const history = openIf(join(directory, 'key_history'), ({ type, keySize, valueSize }) => {
        return type === MapType.HASH && keySize === ID_BYTES && valueSize === keyFingerprintLayout.size;
      });
      if (history !== undefined) this.#histories.push(history);
      const clock = openIf(join(directory, 'wall_clock'), ({ type, valueSize, flags }) => {
        return type === MapType.ARRAY && valueSize === wallClockLayout.size && (flags & MAP_MMAPABLE) !== 0;
      });
      if (clock === undefined) continue;
      this.#clocks.push(new WallClock(clock));
      fs.closeSync(clock); // the mapping stays
    }
  }

  /** An id that was once used stays used. */
  copyKeyHistory(to: number): void {
    for (const history of this.#histories) {
      for (const id of mapKeys(history, ID_BYTES, Limit.KEY_HISTORY)) {
        const fingerprint = new Uint8Array(keyFingerprintLayout.size);
        if (mapLookup(to, id, fingerprint) || !mapLookup(history, id, fingerprint)) continue;
        mapUpdate(to, id, fingerprint);
      }
    }
  }

  setClockOffset(ms: number): void {
    for (const clock of this.#clocks) clock.offsetMs = ms;
  }

  /** Takes out what is not among these ids. */
  keepKeys(ids: ReadonlySet<number>): void {
    for (const keys of this.#keys) {
      for (const id of mapKeys(keys, ID_BYTES, Limit.KEYS))
        if (!ids.has(new DataView(id.buffer, id.byteOffset).getUint32(0, true))) mapDelete(keys, id);
    }
  }

  close(): void {
    for (const fd of [...this.#keys.splice(0), ...this.#histories.splice(0)]) fs.closeSync(fd);
    for (const clock of this.#clocks.splice(0)) clock.close();
  }
}

function openIf(path: string, fits: (shape: MapShape) => boolean): number | undefined {
  const fd = openPin(path);
  if (fd === undefined || fits(mapShape(fd))) return fd;
  fs.closeSync(fd);
  return undefined;
}
