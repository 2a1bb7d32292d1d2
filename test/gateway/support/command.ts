/** Runs bin/gateway as its own process. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const GATEWAY = fileURLToPath(new URL('../../../bin/gateway', import.meta.url));

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
  readonly input?: string | Buffer;
  readonly executable?: string;
}

export function gateway(args: readonly string[], options: CommandOptions = {}): Promise<Result> {
  const { cwd = '/', env = { ...process.env, NODE_OPTIONS: '' }, input = '', executable = GATEWAY } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(executable, args, { cwd, env: env as NodeJS.ProcessEnv, timeout: 60_000 });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.once('error', reject);
    // A command that doesn't read it may be gone.
    child.stdin.on('error', () => undefined);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
    child.stdin.end(input);
  });
}
