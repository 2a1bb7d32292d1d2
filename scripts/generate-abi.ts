/**
 * Generates src/abi.ts from the BTF of build/abi.o, that is, from bpf/abi.h.
 *
 *     node scripts/generate-abi.ts [--check]
 *
 * With --check nothing is written: exits 1 when the committed file is not what would be generated.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const OBJECT = fileURLToPath(new URL('../build/abi.o', import.meta.url));
const OUTPUT = fileURLToPath(new URL('../src/abi.ts', import.meta.url));

interface BtfType {
  id: number;
  kind: string;
  name: string;
  size?: number;
  type_id?: number;
  nr_elems?: number;
  members?: { name: string; type_id: number; bits_offset: number }[];
  values?: { name: string; val: number }[];
}

/** How one field is held in TypeScript: its type there and the expressions that read and write it. */
interface Codec {
  type: string;
  size: number;
  /** C spelling, for the layout's hash. */
  c: string;
  read(at: string): string;
  write(at: string, value: string): string;
}

const camel = (name: string): string => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const pascal = (name: string): string => camel(`_${name}`);

function plus(at: string, offset: number): string {
  return offset === 0 ? at : `${at} + ${offset}`;
}

/** What programs of different layouts have in common while one takes over from the other (src/gateway/kernel/pins.ts). */
const SHARED = ['layout', 'wall_clock', 'key', 'key_fingerprint', 'address'];

export function generate(types: readonly BtfType[]): string {
  const byId = new Map(types.map((type) => [type.id, type]));
  const find = (id: number | undefined): BtfType => {
    const type = id === undefined ? undefined : byId.get(id);
    if (type === undefined) throw new Error(`BTF type ${id} is missing from ${OBJECT}`);
    return type;
  };

  function scalar(size: number, bigEndian: boolean, signed: boolean, c: string): Codec {
    const bits = size * 8;
    const method = size === 8 ? `Big${signed ? 'Int' : 'Uint'}64` : `${signed ? 'Int' : 'Uint'}${bits}`;
    const order = size === 1 ? '' : `, ${!bigEndian}`;
    return {
      type: size === 8 ? 'bigint' : 'number',
      size,
      c,
      read: (at) => `view.get${method}(${at}${order})`,
      write: (at, value) => `view.set${method}(${at}, ${value}${order});`,
    };
  }

  function codec(id: number | undefined): Codec {
    const type = find(id);
    switch (type.kind) {
      case 'TYPEDEF': {
        const match = /^__(s|u|be)(8|16|32|64)$/.exec(type.name);
        if (match === null) return codec(type.type_id);
        return scalar(Number(match[2]) / 8, match[1] === 'be', match[1] === 's', type.name);
      }
      case 'ENUM':
        return scalar(4, false, false, `enum ${type.name}`);
      case 'STRUCT':
        return {
          type: pascal(type.name),
          size: type.size ?? 0,
          c: `struct ${type.name}`,
          read: (at) => `read${pascal(type.name)}(view, ${at})`,
          write: (at, value) => `write${pascal(type.name)}(view, ${at}, ${value});`,
        };
      case 'ARRAY': {
        const element = codec(type.type_id);
        const length = type.nr_elems ?? 0;
        const c = `${element.c}[${length}]`;
        if (element.size === 1) {
          return {
            type: 'Uint8Array',
            size: length,
            c,
            read: (at) => `readBytes(view, ${at}, ${length})`,
            write: (at, value) => `writeBytes(view, ${at}, ${length}, ${value});`,
          };
        }
        return {
          type: `${element.type}[]`,
          size: element.size * length,
          c,
          read: (at) => `Array.from({ length: ${length} }, (_, i) => ${element.read(`${at} + ${element.size} * i`)})`,
          write: (at, value) =>
            `for (let i = 0; i < ${length}; i++) ${element.write(`${at} + ${element.size} * i`, `${value}[i] as ${element.type}`)}`,
        };
      }
      default:
        throw new Error(`abi.h uses a ${type.kind} (${type.name}), which the generator does not know`);
    }
  }

  const root = types.find((type) => type.kind === 'STRUCT' && type.name === 'abi');
  if (root?.members === undefined) throw new Error(`${OBJECT} has no struct abi: is bpf/abi.c intact?`);

  const parts: string[] = [];
  const layout = new Map<string, string>();
  for (const member of root.members) {
    const type = find(member.type_id);
    const name = pascal(type.name);
    if (type.kind === 'ENUM') {
      const values = type.values ?? [];
      const prefix = commonPrefix(values.map((value) => value.name));
      layout.set(type.name, `enum ${type.name} ${values.map((value) => `${value.name}=${value.val}`).join(' ')}`);
      parts.push(
        `/** enum ${type.name} */\nexport const ${name} = {\n` +
          values.map((value) => `  ${value.name.slice(prefix.length)}: ${value.val},\n`).join('') +
          `} as const;\nexport type ${name} = (typeof ${name})[keyof typeof ${name}];\n`,
      );
      continue;
    }
    const fields = (type.members ?? []).map((field) => ({
      name: camel(field.name),
      offset: field.bits_offset / 8,
      codec: codec(field.type_id),
    }));
    layout.set(
      type.name,
      `struct ${type.name} ${type.size} ${fields.map((f) => `${f.codec.c} ${f.name}@${f.offset}`).join(' ')}`,
    );
    parts.push(
      `/** struct ${type.name}, ${type.size} bytes */\n` +
        `export interface ${name} {\n${fields.map((f) => `  ${f.name}: ${f.codec.type};\n`).join('')}}\n\n` +
        `export const ${camel(type.name)}Layout = {\n  size: ${type.size},\n  offset: {\n` +
        fields.map((f) => `    ${f.name}: ${f.offset},\n`).join('') +
        `  },\n} as const;\n\n` +
        `export function read${name}(view: DataView, at = 0): ${name} {\n  return {\n` +
        fields.map((f) => `    ${f.name}: ${f.codec.read(plus('at', f.offset))},\n`).join('') +
        `  };\n}\n\n` +
        `export function write${name}(view: DataView, at: number, value: ${name}): void {\n` +
        fields.map((f) => `  ${f.codec.write(plus('at', f.offset), `value.${f.name}`)}\n`).join('') +
        `}\n`,
    );
  }
  const hashOf = (lines: Iterable<string>): string => {
    return createHash('sha256')
      .update([...lines].join('\n'))
      .digest('hex')
      .slice(0, 12);
  };
  const shared = SHARED.map((name) => {
    const line = layout.get(name);
    if (line === undefined) throw new Error(`abi.c does not name ${name}, which programs of different layouts share`);
    return line;
  });

  return (
    `// Generated from bpf/abi.h by scripts/generate-abi.ts; do not edit.\n\n` +
    `/** First 48 bits of SHA-256 over every name, size and offset below. Maps pinned by a program of another hash are not adopted. */\n` +
    `export const ABI_HASH = '${hashOf(layout.values())}';\n\n` +
    `/** The same over what programs of different layouts share: ${SHARED.join(', ')}. */\n` +
    `export const SHARED_HASH = '${hashOf(shared)}';\n\n` +
    `function readBytes(view: DataView, at: number, length: number): Uint8Array {\n` +
    `  return new Uint8Array(view.buffer, view.byteOffset + at, length).slice();\n}\n\n` +
    `function writeBytes(view: DataView, at: number, length: number, value: Uint8Array): void {\n` +
    `  if (value.length !== length) throw new RangeError(\`\${value.length} bytes where \${length} belong\`);\n` +
    `  new Uint8Array(view.buffer, view.byteOffset + at, length).set(value);\n}\n\n` +
    parts.join('\n')
  );
}

/** The longest prefix that ends in an underscore and that all names share. */
function commonPrefix(names: readonly string[]): string {
  const first = names[0] ?? '';
  for (let end = first.lastIndexOf('_'); end > 0; end = first.lastIndexOf('_', end - 1)) {
    const prefix = first.slice(0, end + 1);
    if (names.every((name) => name.startsWith(prefix))) return prefix;
  }
  return '';
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const dump = execFileSync('bpftool', ['btf', 'dump', 'file', OBJECT, '-j'], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` },
  });
  const generated = generate((JSON.parse(dump) as { types: BtfType[] }).types);
  if (!process.argv.includes('--check')) {
    writeFileSync(OUTPUT, generated);
  } else if (readFileSync(OUTPUT, 'utf8') !== generated) {
    console.error('src/abi.ts is not what bpf/abi.h gives: run `npm run generate` and commit the result');
    process.exit(1);
  }
}
