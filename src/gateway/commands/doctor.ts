/**
 * `gateway doctor`. May be imported by src/gateway only.
 */
import type { Command } from 'commander';
import type { Finding } from '../doctor/finding.ts';
import { addCommand, type ConfigOption, type JsonOption, print, printJson } from './common.ts';
import { printable, wrapped } from './text.ts';

interface DoctorOptions extends ConfigOption, JsonOption {
  readonly setNotifications?: boolean;
}

export function addDoctor(program: Command): void {
  addCommand(program, 'doctor', {
    description: 'Look whether machine, daemon and Redis are as they must be, and say what to do where not.',
    notes:
      'Needs neither daemon nor Redis, but tells more where they answer. Exit status 1 if there is a problem; warnings and notes are none. Every finding is explained in docs/doctor.md.',
    example: ['gateway doctor', `gateway doctor --json | jq '.findings[] | select(.level == "problem")'`],
  })
    .option(
      '--set-notifications',
      'add to notify-keyspace-events of Redis what is missing; without this nothing is changed anywhere',
    )
    .action(async ({ config: file, json, setNotifications = false }: DoctorOptions) => {
      const { loadConfig } = await import('../config.ts');
      const { examine } = await import('../doctor/examine.ts');
      const { systemRuntime } = await import('../../sync/runtime.ts');
      const findings = await examine(loadConfig(file), { setNotifications }, systemRuntime);
      if (json) printJson({ findings });
      else print(findingsText(findings, process.stdout.columns));
      if (findings.some(({ level }) => level === 'problem')) process.exitCode = 1;
    });
}

const LABELS = { ok: 'ok', note: 'note', warning: 'WARNING', problem: 'PROBLEM' } as const;
const LABEL_WIDTH = 9;

/** Each finding, below it why it matters and what to do; then how many there are. @param columns width of the terminal, where it is one */
export function findingsText(findings: readonly Finding[], columns?: number): string {
  const nameWidth = Math.min(24, Math.max(...findings.map(({ name }) => printable(name).length)));
  const lines = findings.flatMap(({ name, level, found, why, remedy, code }) => {
    const line = `${LABELS[level].padEnd(LABEL_WIDTH)}${printable(name).padEnd(nameWidth)}  ${printable(found)}`;
    if (why === null || remedy === null) return [line];
    const more = wrapped(`${printable(why)}\nTo do: ${printable(remedy)} [${code}]`, (columns ?? 120) - LABEL_WIDTH);
    return [line, ...more.split('\n').map((text) => `${' '.repeat(LABEL_WIDTH)}${text}`)];
  });
  const count = (wanted: Finding['level']): number => findings.filter(({ level }) => level === wanted).length;
  const counts = (['problem', 'warning', 'note'] as const).map((level) => {
    return `${count(level)} ${level}${count(level) === 1 ? '' : 's'}`;
  });
  return [...lines, '', `${counts.join(', ')}, ${count('ok')} ok`].join('\n');
}
