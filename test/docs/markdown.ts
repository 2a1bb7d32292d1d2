/**
 * The fenced blocks of a document, and what the comment above each says of running it. A block of commands (`sh`, `console`) is
 *
 *   <!-- run: MACHINE -->                  run there: gateway or load-balancer
 *   <!-- run: MACHINE, exit 1 -->          run there, and to end so
 *   <!-- run: MACHINE, until it does -->   run there again and again until it ends well: for what takes a moment
 *   <!-- run: MACHINE, with A=b, C=d -->   run there with these words in the place of those; comes last
 *   <!-- not run: REASON -->               left out
 *
 *   <!-- copy: MACHINE /FROM, MACHINE /TO -->   stands for copying a file from machine to machine
 *
 * and of any other language one may be put into a file: <!-- write: /etc/some/file, MACHINE -->, which takes `with`, too. Of a
 * `console` block the lines after `$ ` are commands and the others what they print, where `…` stands for anything.
 */

export const MACHINES = ['gateway', 'load-balancer'] as const;
export type Machine = (typeof MACHINES)[number];

export interface PathOn {
  readonly machine: Machine;
  readonly path: string;
}

export type Intent =
  | { readonly kind: 'run'; readonly machine: Machine; readonly exit: number; readonly isRepeated: boolean }
  | { readonly kind: 'write'; readonly machine: Machine; readonly path: string }
  | { readonly kind: 'copy'; readonly from: PathOn; readonly to: PathOn }
  | { readonly kind: 'not run'; readonly reason: string }
  | { readonly kind: 'unsaid' };

export interface Block {
  /** As `docs/keys.md:17`: where it begins. */
  readonly at: string;
  /** The heading of the second level that it is below; empty before the first. */
  readonly section: string;
  /** The first word of its info string; empty where there is none. */
  readonly language: string;
  /** With the words that `with` names replaced, and without the indentation of the fence. */
  readonly text: string;
  readonly intent: Intent;
}

const FENCE = /^( *)(`{3,})\s*(\S*).*$/;
const COMMENT = /^\s*<!--\s*((?:not run|run|write|copy):.*?)\s*-->\s*$/;

export const isCommands = ({ language }: Block): boolean => language === 'sh' || language === 'console';

/** @param name of the document, for messages. @throws Error for a comment that is not one of the above */
export function blocksOf(name: string, markdown: string): Block[] {
  const lines = markdown.split('\n');
  const blocks: Block[] = [];
  let section = '';
  for (let i = 0; i < lines.length; i++) {
    section = /^## (.*)$/.exec(lines[i] ?? '')?.[1] ?? section;
    const fence = FENCE.exec(lines[i] ?? '');
    if (fence === null) continue;
    const [, indent = '', ticks = '', language = ''] = fence;
    const end = lines.findIndex((line, at) => at > i && line.trim() === ticks);
    const at = `${name}:${i + 1}`;
    if (end < 0) throw new Error(`${at}: found no end of this block`);
    const comment = COMMENT.exec(lines[i - 1] ?? '')?.[1];
    const { intent, words } = comment === undefined ? UNSAID : intentOf(at, comment);
    const body = lines.slice(i + 1, end).map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line));
    blocks.push({ at, section, language, text: replaced(at, `${body.join('\n')}\n`, words), intent });
    i = end;
  }
  return blocks;
}

type Words = readonly (readonly [string, string])[];
const UNSAID: { intent: Intent; words: Words } = { intent: { kind: 'unsaid' }, words: [] };

function intentOf(at: string, comment: string): { intent: Intent; words: Words } {
  const fail = (found: string): never => {
    throw new Error(`${at}: found "${found}" in the comment above, allowed: what test/docs/markdown.ts describes`);
  };
  const [, kind, rest = ''] = /^(not run|run|write|copy):\s*(.*)$/.exec(comment) ?? fail(comment);
  if (kind === 'not run') return { intent: { kind, reason: rest || fail(comment) }, words: [] };
  if (kind === 'copy') {
    const [from, to] = rest.split(/,\s*/).map((text): PathOn => {
      const [name, path = ''] = text.split(' ');
      return { machine: MACHINES.find((candidate) => candidate === name) ?? fail(text), path };
    });
    if (from === undefined || to === undefined || !`${from.path}${to.path}`.startsWith('/')) return fail(rest);
    return { intent: { kind, from, to }, words: [] };
  }
  const [before = '', after] = rest.split(/,\s*with\s+/);
  const words = (after ?? '').split(/,\s*/).flatMap((pair): Words => {
    if (pair === '') return [];
    const equals = pair.indexOf('=');
    return equals > 0 ? [[pair.slice(0, equals), pair.slice(equals + 1)]] : fail(pair);
  });
  const parts = before.split(/,\s*/);
  const path = kind === 'write' ? parts.shift() : undefined;
  const machine = MACHINES.find((candidate) => candidate === parts[0]) ?? fail(comment);
  if (path !== undefined) {
    if (!path.startsWith('/') || parts.length > 1) fail(comment);
    return { intent: { kind: 'write', machine, path }, words };
  }
  let exit = 0;
  let isRepeated = false;
  for (const option of parts.slice(1)) {
    const status = /^exit (\d+)$/.exec(option)?.[1];
    if (status !== undefined) exit = Number(status);
    else if (option === 'until it does') isRepeated = true;
    else fail(option);
  }
  return { intent: { kind: 'run', machine, exit, isRepeated }, words };
}

function replaced(at: string, text: string, words: Words): string {
  return words.reduce((changed, [from, to]) => {
    if (!changed.includes(from)) throw new Error(`${at}: found no "${from}", which the comment above replaces`);
    return changed.replaceAll(from, to);
  }, text);
}

export interface ConsoleStep {
  readonly command: string;
  /** Lines that it prints. */
  readonly prints: readonly string[];
}

/** A command may go on in the next line after a backslash. */
export function consoleSteps(text: string): ConsoleStep[] {
  const steps: { command: string; prints: string[] }[] = [];
  let isContinued = false;
  for (const line of text.trimEnd().split('\n')) {
    const last = steps.at(-1);
    if (isContinued && last !== undefined) last.command += `\n${line}`;
    else if (/^[$#] /.test(line)) steps.push({ command: line.slice(2), prints: [] });
    else last?.prints.push(line);
    isContinued = line.endsWith('\\') && (isContinued || /^[$#] /.test(line));
  }
  return steps;
}

/** Whether a text is as a `console` block shows it: line by line, whatever the width of gaps, `…` for anything. */
export function looksLike(found: string, prints: readonly string[]): boolean {
  if (prints.length === 0) return found.trim() === '';
  const pattern = prints.map((line) =>
    line
      .trim()
      .split('…')
      .map((part) =>
        part
          .split(/\s+/)
          .map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
          .join('\\s+'),
      )
      .join('[^\\n]*'),
  );
  // A line of its own with nothing but "…" is any number of lines.
  const whole = pattern.map((line) => (line === '[^\\n]*' ? '(?:[^\\n]*\\n)*?' : `\\s*${line}[ \\t]*\\n`)).join('');
  return new RegExp(`^${whole}$`).test(`${found.trimEnd()}\n`);
}
