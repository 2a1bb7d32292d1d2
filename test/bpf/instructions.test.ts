/** Instructions that some kernel or processor among those that are promised doesn't take, and that loading here doesn't show. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GATEWAY_OBJECT, PASS_OBJECT } from '../../src/gateway/package-files.ts';

const INSTRUCTION_BYTES = 8;
/** Of ELF-64: where the section headers are, and fields of one. */
const ELF = { headersAt: 0x28, headerBytes: 0x3a, headers: 0x3c, flags: 0x08, offset: 0x18, size: 0x20 } as const;
const SECTION_EXECUTABLE = 4n;
/** BPF_STX | BPF_ATOMIC, of a word and a double word (the kernel's Documentation/bpf/standardization/instruction-set.rst). */
const ATOMICS = [0xc3, 0xdb];
const ATOMIC_ADD = 0;

/** What each atomic instruction of an object does, as its `imm` says. */
function atomicOperations(path: string): number[] {
  const bytes = readFileSync(path);
  const operations: number[] = [];
  for (let i = 0; i < bytes.readUInt16LE(ELF.headers); i++) {
    const header = Number(bytes.readBigUInt64LE(ELF.headersAt)) + i * bytes.readUInt16LE(ELF.headerBytes);
    if ((bytes.readBigUInt64LE(header + ELF.flags) & SECTION_EXECUTABLE) === 0n) continue;
    const begin = Number(bytes.readBigUInt64LE(header + ELF.offset));
    const end = begin + Number(bytes.readBigUInt64LE(header + ELF.size));
    for (let at = begin; at < end; at += INSTRUCTION_BYTES)
      if (ATOMICS.includes(bytes.readUInt8(at))) operations.push(bytes.readInt32LE(at + 4));
  }
  return operations;
}

test('the only atomic operation is an addition whose result nobody wants: on arm64 no kernel before 5.18 takes another', () => {
  // One counts the traced packets that are lost: without it, this test would look in the wrong place.
  expect(atomicOperations(GATEWAY_OBJECT)).toEqual([ATOMIC_ADD]);
  expect(atomicOperations(PASS_OBJECT)).toEqual([]);
});
