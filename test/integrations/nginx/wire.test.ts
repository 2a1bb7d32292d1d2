/** The Lua codec gives, byte for byte, what an independent implementation gave, and takes nothing else for a reply. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LuaLab, luaString } from './lua-lab.ts';

interface Vector {
  kind: 'lookup' | 'fact' | 'batch';
  key: { id: number; suite: string; encrypt: boolean; secret: string; guard_key: string };
  request: { time_ms: number; nonce: string; session_id?: string; name?: string; cookie_hash?: string };
  request_bytes: string;
  reply_key: string;
  reply: Record<string, string | number>;
  reply_bytes: string;
}

const file = new URL('../../vectors/protocol-v1.json', import.meta.url);
const { vectors, siphash } = JSON.parse(readFileSync(file, 'utf8')) as {
  vectors: Vector[];
  siphash: { key: string; message: string; out8: string; out16: string }[];
};
const single = vectors.filter(({ kind }) => kind !== 'batch');
const STATUSES = ['FOUND', 'NOT_FOUND', 'CLOCK_SKEW', 'NOT_READY', 'DENIED'];
const NEVER = 0xffff_ffff;

let lab: LuaLab;
beforeAll(async () => {
  lab = await LuaLab.start();
});
afterAll(() => lab?.close());

const fromHex = (digits: string) => luaString(Buffer.from(digits, 'hex'));

/** Lua that makes `request` and `reply` of a vector. */
function prepared({ kind, key, request, reply_bytes }: Vector): string {
  return `
    local wire = require "session_gateway.wire"
    local libcrypto = require "session_gateway.libcrypto"
    local ffi = require "ffi"
    local key = require("session_gateway.key_file").usable {
      id = ${key.id}, suite = "${key.suite}", encrypt = ${key.encrypt}, secret = "${key.secret}" }
    local request = wire.request(key, wire.${kind.toUpperCase()},
      libcrypto.name_hash(${luaString(request.session_id ?? request.name ?? '')}),
      ${request.time_ms}, ${fromHex(request.nonce)})
    local reply = ${fromHex(reply_bytes)}`;
}

test('there are vectors for both suites, in the clear and encrypted, of both types', () => {
  const kinds = new Set(single.map(({ kind, key }) => `${kind} ${key.suite} ${key.encrypt}`));
  expect(kinds.size).toBe(8);
});

test('SipHash-2-4 gives what the vectors have, with 64 and 128 bits', async () => {
  for (const { key, message, out8, out16 } of siphash) {
    const out = await lab.run(`
      local ffi = require "ffi"
      local siphash = require "session_gateway.siphash"
      local out = ffi.new("uint64_t[2]")
      local message = ${fromHex(message)}
      siphash.hash64(${fromHex(key)}, message, #message, out)
      local short = hex(ffi.string(out, 8))
      siphash.hash128(${fromHex(key)}, message, #message, out)
      return short .. " " .. hex(ffi.string(out, 16))`);
    expect(out).toBe(`${out8} ${out16}`);
  }
});

describe.each(single.map((vector, i) => ({ name: `${i}: ${vector.kind} ${vector.key.suite}`, vector })))(
  '$name',
  ({ vector }) => {
    test('the request is the same', async () => {
      const out = await lab.run(`${prepared(vector)}
      return table.concat({ hex(ffi.string(key.guard_key, 16)), hex(request.bytes), hex(request.reply_key) }, " ")`);
      expect(out).toBe(`${vector.key.guard_key} ${vector.request_bytes} ${vector.reply_key}`);
    });

    test('the reply says the same', async () => {
      const { reply } = vector;
      const flags = Number(reply['flags']);
      const out = await lab.run(`${prepared(vector)}
      local answer = assert(wire.open(request, reply))
      local function text(value)
        if value == nil then return "-" end
        if value == math.huge then return "never" end
        return (tostring(value):gsub("ULL$", ""))
      end
      local fields = { answer.status, string.format("%.0f", answer.time_ms), text(answer.version), text(answer.age_ms),
        text(answer.stale) }
      if request.kind == wire.FACT then
        fields[#fields + 1] = answer.value and hex(answer.value) or "-"
      else
        for _, name in ipairs { "backend", "port", "ttl_s", "moved", "placed" } do
          fields[#fields + 1] = text(answer[name])
        end
      end
      return table.concat(fields, " ")`);
      const common = [
        STATUSES[Number(reply['status'])],
        reply['time_ms'],
        reply['version'],
        reply['age_ms'] === NEVER ? '-' : reply['age_ms'],
        (flags & 4) !== 0,
      ];
      const own =
        vector.kind === 'fact'
          ? [reply['status'] === 0 ? reply['value'] : '-']
          : [
              reply['backend_id'] || '-',
              reply['port'] || '-',
              reply['ttl_s'] === NEVER ? 'never' : reply['ttl_s'],
              (flags & 1) !== 0,
              (flags & 2) !== 0,
            ];
      expect(out).toBe([...common, ...own].map(String).join(' '));
    });

    test('with any one bit wrong, longer or shorter, it is no reply', async () => {
      const out = await lab.run(`${prepared(vector)}
      local bit = require "bit"
      local taken = {}
      for at = 1, #reply do
        local wrong = string.char(bit.bxor(reply:byte(at), bit.lshift(1, at % 8)))
        if wire.open(request, reply:sub(1, at - 1) .. wrong .. reply:sub(at + 1)) then taken[#taken + 1] = at end
      end
      for _, other in ipairs { reply .. "\\0", reply:sub(1, -2), "", request.bytes } do
        if wire.open(request, other) then taken[#taken + 1] = "length " .. #other end
      end
      return table.concat(taken, " ")`);
      expect(out).toBe('');
    });
  },
);

test('addresses are written as nginx wants them', async () => {
  const lookups = single.filter(({ kind, reply }) => kind === 'lookup' && !/^0*$/.test(String(reply['address'])));
  expect(lookups.length).toBeGreaterThan(0);
  for (const vector of lookups) {
    const out = await lab.run(`${prepared(vector)} return assert(wire.open(request, reply)).address`);
    const digits = String(vector.reply['address']);
    const bytes = Buffer.from(digits, 'hex');
    const groups = (digits.match(/.{4}/g) ?? []).map((group) => Number.parseInt(group, 16).toString(16));
    const mapped = digits.startsWith('00000000000000000000ffff');
    expect(out).toBe(mapped ? bytes.subarray(12).join('.') : `[${groups.join(':')}]`);
  }
});
