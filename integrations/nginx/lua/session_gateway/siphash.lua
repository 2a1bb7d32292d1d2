-- SipHash-2-4 with 64 and 128 bit output (Aumasson and Bernstein, INDOCRYPT 2012, and the authors' reference
-- implementation, whose byte order is used). Used by wire.lua alone.
--
-- Words are LuaJIT's 64-bit integers: once compiled they live in registers, and nothing is allocated.
local bit = require "bit"
local ffi = require "ffi"

local bxor, bor, rol, lshift = bit.bxor, bit.bor, bit.rol, bit.lshift
local cast = ffi.cast

local bytes_type = ffi.typeof("const uint8_t *")
local words_type = ffi.typeof("const uint64_t *")

assert(ffi.abi("le"), "session_gateway: found a big-endian processor, allowed: a little-endian one")

local function round(v0, v1, v2, v3)
  v0 = v0 + v1
  v1 = bxor(rol(v1, 13), v0)
  v0 = rol(v0, 32)
  v2 = v2 + v3
  v3 = bxor(rol(v3, 16), v2)
  v0 = v0 + v3
  v3 = bxor(rol(v3, 21), v0)
  v2 = v2 + v1
  v1 = bxor(rol(v1, 17), v2)
  v2 = rol(v2, 32)
  return v0, v1, v2, v3
end

-- The last block: what is left, and the length in the highest byte.
local function last_block(bytes, from, length)
  local block = lshift(0ULL + length % 256, 56)
  for at = from, length - 1 do
    block = bor(block, lshift(0ULL + bytes[at], 8 * (at - from)))
  end
  return block
end

local function absorbed(key, bytes, length, second)
  local k = cast(words_type, key)
  local k0, k1 = k[0], k[1]
  local v0 = bxor(k0, 0x736f6d6570736575ULL)
  local v1 = bxor(k1, 0x646f72616e646f6dULL, second)
  local v2 = bxor(k0, 0x6c7967656e657261ULL)
  local v3 = bxor(k1, 0x7465646279746573ULL)
  local words = cast(words_type, bytes)
  local whole = (length - length % 8) / 8
  for i = 0, whole do
    local block
    if i < whole then block = words[i] else block = last_block(bytes, 8 * whole, length) end
    v3 = bxor(v3, block)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    v0, v1, v2, v3 = round(v0, v1, v2, v3)
    v0 = bxor(v0, block)
  end
  return v0, v1, v2, v3
end

local function finished(v0, v1, v2, v3)
  v0, v1, v2, v3 = round(v0, v1, v2, v3)
  v0, v1, v2, v3 = round(v0, v1, v2, v3)
  v0, v1, v2, v3 = round(v0, v1, v2, v3)
  v0, v1, v2, v3 = round(v0, v1, v2, v3)
  return v0, v1, v2, v3
end

local siphash = {}

-- 64 bit. `key`: 16 bytes; `message`: `length` bytes; `out`: one uint64_t, written.
function siphash.hash64(key, message, length, out)
  local v0, v1, v2, v3 = absorbed(key, cast(bytes_type, message), length, 0ULL)
  v0, v1, v2, v3 = finished(v0, v1, bxor(v2, 0xffULL), v3)
  out[0] = bxor(v0, v1, v2, v3)
end

-- 128 bit. As `hash64`; `out`: two uint64_t, written.
function siphash.hash128(key, message, length, out)
  local v0, v1, v2, v3 = absorbed(key, cast(bytes_type, message), length, 0xeeULL)
  v0, v1, v2, v3 = finished(v0, v1, bxor(v2, 0xeeULL), v3)
  out[0] = bxor(v0, v1, v2, v3)
  v0, v1, v2, v3 = finished(v0, bxor(v1, 0xddULL), v2, v3)
  out[1] = bxor(v0, v1, v2, v3)
end

return siphash
