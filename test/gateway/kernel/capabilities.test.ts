import { expect, test } from 'vitest';
import { missingCapabilities } from '../../../src/gateway/kernel/capabilities.ts';

test.each([
  ['000001ffffffffff', []],
  ['000000c000001000', []],
  ['0000000000201000', []],
  ['0000000000000000', ['CAP_BPF', 'CAP_NET_ADMIN', 'CAP_PERFMON']],
  ['0000000000200000', ['CAP_NET_ADMIN']],
  ['0000008000001000', ['CAP_PERFMON']],
  ['0000004000001000', ['CAP_BPF']],
])('of %s is missing %j', (effective, missing) => {
  const status = `Name:\tnode\nCapPrm:\t000001ffffffffff\nCapEff:\t${effective}\nCapBnd:\t000001ffffffffff\n`;
  expect(missingCapabilities(status)).toEqual(missing);
});

test('where the kernel does not tell, nothing is said', () => {
  expect(missingCapabilities('Name:\tnode\n')).toEqual([]);
});

test('this process can tell', () => {
  expect(missingCapabilities()).toEqual(process.getuid?.() === 0 ? [] : expect.any(Array));
});
