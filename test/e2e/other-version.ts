/** Another version of this package in a folder of its own: the sources with one thing changed, built anew. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export class OtherVersion {
  readonly folder: string;

  /** @param edit of one file below `bpf`: what stands there, and what stands there instead */
  constructor(edit: { file: string; from: string; to: string }) {
    this.folder = fs.mkdtempSync(join(tmpdir(), 'other-version-'));
    for (const name of ['bin', 'bpf', 'src', 'scripts', 'package.json'])
      fs.cpSync(join(ROOT, name), join(this.folder, name), { recursive: true });
    for (const name of ['node_modules', '.tools']) fs.symlinkSync(join(ROOT, name), join(this.folder, name));
    const file = join(this.folder, 'bpf', edit.file);
    const text = fs.readFileSync(file, 'utf8');
    if (text.split(edit.from).length !== 2) throw new Error(`${edit.file} does not have it once: ${edit.from}`);
    fs.writeFileSync(file, text.replace(edit.from, edit.to));
    execFileSync('make', ['-C', join(this.folder, 'bpf')], { stdio: ['ignore', 'ignore', 'pipe'] });
    execFileSync(process.execPath, [join(this.folder, 'scripts/generate-abi.ts')]);
  }

  /** The command "gateway" of this version. */
  get command(): string {
    return join(this.folder, 'bin/gateway');
  }

  remove(): void {
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}
