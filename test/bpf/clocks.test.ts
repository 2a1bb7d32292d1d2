/** Expiry, skew and a key's times while the system clock steps by an hour: the upkeep puts the kernel's clock right. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Verdict } from '../../src/abi.ts';
import type { Key } from '../../src/auth/keyring.ts';
import { createLogger } from '../../src/gateway/log.ts';
import { Upkeep } from '../../src/gateway/upkeep.ts';
import { systemRuntime } from '../../src/sync/runtime.ts';
import { BpfLab, GATEWAY_V4, GATEWAY_V6 } from './lab.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

let lab: BpfLab;
let key: Key;
let passing: Key;
let upkeep: Upkeep;
let stepMs = 0;
const steps: number[] = [];

const wallMs = (): number => systemRuntime.wallMs() + stepMs;

beforeAll(async () => {
  lab = new BpfLab();
  key = lab.newKey(1);
  passing = lab.newKey(2, { notAfterMs: wallMs() + MINUTE_MS });
  await lab.setBackends([{ id: 1, address: new Uint8Array(16).fill(1), port: 80 }]);
  lab.addSession('ending', { expiresMs: wallMs() + 30 * MINUTE_MS, backendId: 1 });
  lab.addSession('endless', { expiresMs: 0, backendId: 1 });
  const log = createLogger('warn', {
    write: (line) => {
      const { byMs } = JSON.parse(line) as { byMs?: number };
      if (byMs !== undefined) steps.push(byMs);
    },
  });
  upkeep = new Upkeep(
    {
      setClockOffset: (ms) => lab.datapath.setClockOffset(ms),
      addresses: () => [GATEWAY_V4, GATEWAY_V6],
      setAddresses: (addresses) => lab.datapath.setAddresses(addresses),
      reattach: () => ({ back: [], away: [] }),
      isReady: () => false,
      takeOver: () => {},
    },
    { wallMs, monotonicMs: systemRuntime.monotonicMs },
    log,
  );
  upkeep.begin();
});
afterAll(() => lab.close());

function verdict(sessionId: string, by = key, timeMs = wallMs()): string | undefined {
  const outcome = lab.run(lab.frame(lab.request(by, sessionId, timeMs)));
  return Object.keys(Verdict).find((name) => Verdict[name as keyof typeof Verdict] === outcome.verdict);
}

/** What a client sees whose clock is right. */
function expectRight(atHour: number): void {
  expect(verdict('endless')).toBe('REPLY_FOUND');
  expect(verdict('ending')).toBe(atHour > 0 ? 'REPLY_PLACED' : 'REPLY_FOUND');
  expect(verdict('endless', key, wallMs() - HOUR_MS)).toBe('REPLY_CLOCK_SKEW');
  expect(verdict('endless', key, wallMs() + HOUR_MS)).toBe('REPLY_CLOCK_SKEW');
  expect(verdict('endless', passing)).toBe(atHour > 0 ? 'DROP_KEY_TIME' : 'REPLY_FOUND');
}

test.each([
  ['forward', 1],
  ['back to where it was', 0],
  ['back by an hour', -1],
  ['and forward again', 0],
])('%s', (_, atHour) => {
  expectRight(stepMs / HOUR_MS);
  const before = stepMs;
  stepMs = atHour * HOUR_MS;
  expect(verdict('endless')).toBe('REPLY_CLOCK_SKEW'); // until the next round, a second later at most
  upkeep.round();
  expectRight(atHour);
  expect(steps.at(-1)).toBeGreaterThan(stepMs - before - 1_000);
  expect(steps.at(-1)).toBeLessThan(stepMs - before + 1_000);
});
