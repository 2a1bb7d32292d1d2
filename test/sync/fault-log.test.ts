import { expect, it } from 'vitest';
import { FaultLog, LINES_MAX } from '../../src/sync/fault-log.ts';
import type { BackendFault } from '../../src/sync/tables/backends.ts';

const fault = (name: string, message = 'bad'): BackendFault => ({
  name,
  kind: 'backend-entry',
  message,
  keepsLastGood: true,
});

function setUp() {
  const lines: unknown[] = [];
  const clock = { nowMs: 0 };
  const runtime = {
    wallMs: () => clock.nowMs,
    monotonicMs: () => clock.nowMs,
    random: () => 0,
    timer: () => () => undefined,
  };
  const log = new FaultLog(runtime, (level, event, { name, message }) => lines.push([level, event, name, message]));
  return { log, lines, clock };
}

it('names each fault once for as long as it is the same', () => {
  const { log, lines } = setUp();
  log.note([fault('a'), fault('b')]);
  log.note([fault('b'), fault('a')]);
  log.note([fault('a', 'worse')]);
  log.note([fault('a', 'worse'), fault('b')]);
  expect(lines).toEqual([
    ['warn', 'backend-fault', 'a', 'bad'],
    ['warn', 'backend-fault', 'b', 'bad'],
    ['warn', 'backend-fault', 'a', 'worse'],
    ['warn', 'backend-fault', 'b', 'bad'],
  ]);
});

it('writes a few lines a minute, and what is still wrong then in the next one', () => {
  const { log, lines, clock } = setUp();
  const faults = Array.from({ length: LINES_MAX + 3 }, (_, i) => fault(`web-${i}`));
  log.note(faults);
  clock.nowMs = 59_999;
  log.note(faults);
  expect(lines).toHaveLength(LINES_MAX);
  clock.nowMs = 60_000;
  log.note(faults);
  expect(new Set(lines.map((line) => String(line))).size).toBe(LINES_MAX + 3);
  expect(lines).toHaveLength(LINES_MAX + 3);
});
