/**
 * The names of the ways out of the program, in their order (bpf/abi.h, enum verdict). May be imported by src/gateway only.
 */
import { Verdict } from '../abi.ts';
import type { VerdictName } from './ports.ts';

export const VERDICT_NAMES: readonly VerdictName[] = Object.keys(Verdict).filter(
  (name): name is VerdictName => name !== 'COUNT',
);

export function isVerdictName(text: string): text is VerdictName {
  return (VERDICT_NAMES as readonly string[]).includes(text);
}
