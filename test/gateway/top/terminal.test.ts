/** The terminal is given back also where the program ends by an error. */
import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';

const TERMINAL = new URL('../../../src/gateway/top/terminal.ts', import.meta.url).href;

async function run(ending: string): Promise<string> {
  const script = `import { Terminal } from ${JSON.stringify(TERMINAL)};
    const terminal = new Terminal(process.stdin, process.stdout);
    terminal.enter(() => {}, () => {});
    terminal.draw(['a', 'b']);
    ${ending}`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  await new Promise((resolve) => child.once('close', resolve));
  return output;
}

test.each([
  ['an error that nobody catches', "setImmediate(() => { throw new Error('broken'); });"],
  ['an exit', 'process.exit(3);'],
  ['the end', 'terminal.leave(); terminal.leave();'],
])('%s', async (_, ending) => {
  const output = await run(ending);
  expect(output).toContain('\u001b[?1049h\u001b[?25l\u001b[2J\u001b[H\u001b[Ka\r\n\u001b[Kb');
  expect(output.split('\u001b[?25h\u001b[?1049l')).toHaveLength(2);
});
