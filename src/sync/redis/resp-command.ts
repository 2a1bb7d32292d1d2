/**
 * A command in the form in which Redis takes it: a RESP array of bulk strings. May be imported by src/sync only.
 */

type Part = string | Buffer | number;

/** @param args the command's name is the first. @returns text where there is no buffer among them, which is the cheaper way */
export function encodeCommand(args: readonly Part[]): string | Buffer {
  return args.some((arg) => Buffer.isBuffer(arg)) ? asBytes(args) : asText(args as readonly (string | number)[]);
}

function asText(args: readonly (string | number)[]): string {
  let text = `*${args.length}\r\n`;
  for (const arg of args) text += `$${Buffer.byteLength(String(arg), 'utf8')}\r\n${arg}\r\n`;
  return text;
}

function asBytes(args: readonly Part[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`, 'latin1')];
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg), 'utf8');
    parts.push(Buffer.from(`$${bytes.length}\r\n`, 'latin1'), bytes, END);
  }
  return Buffer.concat(parts);
}

const END = Buffer.from('\r\n', 'latin1');
