/**
 * A command in the form in which Redis takes it: a RESP array of bulk strings. May be imported by src/sync only.
 */

/** @param args the command's name is the first */
export function encodeCommand(args: readonly (string | Buffer | number)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`, 'latin1')];
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg), 'utf8');
    parts.push(Buffer.from(`$${bytes.length}\r\n`, 'latin1'), bytes, END);
  }
  return Buffer.concat(parts);
}

const END = Buffer.from('\r\n', 'latin1');
