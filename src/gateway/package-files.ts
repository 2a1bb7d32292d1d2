/**
 * Where the files that come with the code are: compiled BPF objects, package.json, the command itself. The one place that knows
 * how a checkout and the published package are laid out. May be imported by src/gateway only.
 *
 *     checkout    src/gateway/….ts    build/*.bpf.o   bin/gateway   package.json
 *     package     dist/gateway/….js   build/*.bpf.o   bin/gateway   package.json
 *
 * Files that stand beside the code that reads them, as Lua scripts do, are found by that code, since the package has the same folders.
 */
import { fileURLToPath } from 'node:url';

/** @param path relative to the root of the checkout, or of the package */
export function packageFile(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

export const GATEWAY_COMMAND = packageFile('bin/gateway');
/** The program that answers lookups. */
export const GATEWAY_OBJECT = packageFile('build/gateway.bpf.o');
/** A program that passes everything on: what the far end of a veth pair needs. */
export const PASS_OBJECT = packageFile('build/pass.bpf.o');
