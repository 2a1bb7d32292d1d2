/**
 * What the micro-benchmark runs: the programs of build/primitives.bpf.o, each with an input of the length that it takes.
 * May be imported by bench/micro only.
 */
import { keyLayout } from '../../src/abi.ts';

export interface Case {
  /** The program's name in the object. */
  program: string;
  title: string;
  inputBytes: number;
}

/** The least that an answer costs; the others are told as multiples of it. */
export const ECHO: Case = { program: 'echo', title: 'bare XDP_TX echo', inputBytes: 122 };

/** Of the input's bytes any will do: no primitive's time depends on them. */
export const CASES: readonly Case[] = [
  ECHO,
  { program: 'siphash64_56', title: 'SipHash-2-4 of 56 bytes, 64 bits (guard)', inputBytes: 16 + 56 },
  { program: 'siphash128_64', title: "SipHash-2-4 of 64 bytes, 128 bits (reply's tag)", inputBytes: 16 + 64 },
  { program: 'sha256_block', title: 'SHA-256, one block', inputBytes: 96 },
  { program: 'blake2s_block', title: 'BLAKE2s, one block', inputBytes: 104 },
  { program: 'hmac_sha256_40', title: 'HMAC-SHA-256 of 40 bytes', inputBytes: keyLayout.size + 40 },
];
