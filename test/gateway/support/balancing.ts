/** A command that goes on until it is ended, and what is waited for meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { GATEWAY, type Result } from './command.ts';

const WAIT_MS = 60_000;
const STEP_MS = 30;

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Result>;
  stderr(): string;
}

export function startGateway(args: readonly string[]): Running {
  const child = spawn(GATEWAY, args, { cwd: '/', env: { ...process.env, NODE_OPTIONS: '' }, timeout: WAIT_MS });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const ended = new Promise<Result>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve({ status, stdout, stderr }));
  });
  return { child, ended, stderr: () => stderr };
}

export async function until(isTrue: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!(await isTrue())) {
    if (performance.now() > endMs) throw new Error(`waited ${WAIT_MS} ms in vain`);
    await delay(STEP_MS);
  }
}
