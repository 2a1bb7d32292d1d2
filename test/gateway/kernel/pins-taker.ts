/**
 * A process that takes the pins and removes them again, as often as it is told, beside others that do the same. Says how
 * often it had them, and how often another one had them at the same time.
 *
 *     node pins-taker.ts PINS MARK TIMES
 */
import * as fs from 'node:fs';
import { Pins, PinsInUseError } from '../../../src/gateway/kernel/pins.ts';

const [path = '', mark = '', times = ''] = process.argv.slice(2);
let had = 0;
let shared = 0;
for (let i = 0; i < Number(times); i++) {
  try {
    const pins = new Pins(path);
    had += 1;
    try {
      fs.closeSync(fs.openSync(mark, 'wx'));
      pins.otherMaps(1);
      fs.rmSync(mark);
      pins.removeAll(); // and with this it is anybody's
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      shared += 1;
    }
    pins.close();
  } catch (error) {
    if (!(error instanceof PinsInUseError)) throw error;
  }
}
console.log(JSON.stringify({ had, shared }));
