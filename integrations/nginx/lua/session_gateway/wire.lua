-- Requests and replies as bytes (docs/protocol.md): LOOKUP and FACT. Pure: time, nonce and key are passed in.
local ffi = require "ffi"
local bit = require "bit"
local libcrypto = require "session_gateway.libcrypto"
local siphash = require "session_gateway.siphash"

local band = bit.band
local byte, sub = string.byte, string.sub
local floor = math.floor

local SIZE = 80
local HEADER_SIZE = 24
local REQUEST_TAG_AT = 40
local GUARD_AT = 56
local REPLY_TAG_AT = 64
local TAG_SIZE = 16
local FACT_MAX = 24

local REPLY_BIT = 0x80
local ENCRYPTED_BIT = 0x40
local NEVER = 0xffffffff

local wire = {}

wire.LOOKUP = 1
wire.FACT = 3

local STATUSES = { [0] = "FOUND", "NOT_FOUND", "CLOCK_SKEW", "NOT_READY", "DENIED" }
local MOVED, PLACED, STALE = 0x01, 0x02, 0x04

-- Filled and read within one call; nothing yields in between.
local out = ffi.new("unsigned char[?]", SIZE)
local prf_out = ffi.new("unsigned char[?]", libcrypto.PRF_SIZE)
local guard = ffi.new("uint64_t[1]")
local opened = ffi.new("unsigned char[?]", SIZE)
local tag = ffi.new("uint64_t[2]")
local stream = ffi.new("uint64_t[2]")
local stream_input = ffi.new("unsigned char[?]", TAG_SIZE + 8)
local reply_key = ffi.new("uint64_t[2]")

local function put_u32(bytes, at, value)
  bytes[at] = floor(value / 0x1000000)
  bytes[at + 1] = floor(value / 0x10000) % 256
  bytes[at + 2] = floor(value / 0x100) % 256
  bytes[at + 3] = value % 256
end

local function u16(bytes, at)
  return bytes[at] * 256 + bytes[at + 1]
end

local function u32(bytes, at)
  return u16(bytes, at) * 0x10000 + u16(bytes, at + 2)
end

local function u64(bytes, at)
  return 0x100000000ULL * u32(bytes, at) + u32(bytes, at + 4)
end

local function is_zero(bytes, from, to)
  for at = from, to - 1 do
    if bytes[at] ~= 0 then return false end
  end
  return true
end

-- A request, for one try.
-- `hash`: 16 bytes; `time_ms`: Unix time; `nonce`: 8 random bytes, others for every try.
-- Returns what is kept to know the reply by: `bytes` goes out, `reply_key` (R) is a secret of this one request.
function wire.request(key, kind, hash, time_ms, nonce)
  ffi.fill(out, SIZE)
  ffi.copy(out, "SG\1", 3)
  out[3] = kind
  put_u32(out, 4, key.id)
  put_u32(out, 8, floor(time_ms / 0x100000000))
  put_u32(out, 12, time_ms % 0x100000000)
  ffi.copy(out + 16, nonce, 8)
  ffi.copy(out + HEADER_SIZE, hash, 16)
  key.prf(out, REQUEST_TAG_AT, prf_out)
  ffi.copy(out + REQUEST_TAG_AT, prf_out, TAG_SIZE)
  siphash.hash64(key.guard_key, out, GUARD_AT, guard)
  ffi.copy(out + GUARD_AT, guard, 8)
  return {
    bytes = ffi.string(out, SIZE),
    kind = kind,
    encrypt = key.encrypt,
    nonce = nonce,
    reply_key = ffi.string(prf_out + TAG_SIZE, 16),
    time_ms = time_ms,
  }
end

-- XORs bytes 24..64 with S0 ‖ S1 ‖ …, Si = SipHash-2-4 (128 bit) under R of (tag ‖ i, little-endian).
local function apply_key_stream(bytes)
  ffi.copy(stream_input, bytes + REPLY_TAG_AT, TAG_SIZE)
  local stream_bytes = ffi.cast("unsigned char *", stream)
  local i = 0
  for from = HEADER_SIZE, REPLY_TAG_AT - 1, TAG_SIZE do
    ffi.fill(stream_input + TAG_SIZE, 8)
    stream_input[TAG_SIZE] = i
    siphash.hash128(reply_key, stream_input, TAG_SIZE + 8, stream)
    for at = from, math.min(from + TAG_SIZE, REPLY_TAG_AT) - 1 do
      bytes[at] = bit.bxor(bytes[at], stream_bytes[at - from])
    end
    i = i + 1
  end
end

-- Whether `datagram` is the reply to `request`; if so it lies in `opened`, in the clear. What comes without a secret is
-- looked at first, so that a stray datagram costs little. Returns nil, or why not.
local function refusal(request, datagram)
  if #datagram ~= SIZE then return "length" end
  if sub(datagram, 1, 3) ~= "SG\1" then return "magic" end
  if byte(datagram, 4) ~= request.kind + REPLY_BIT + (request.encrypt and ENCRYPTED_BIT or 0) then return "type" end
  if sub(datagram, 5, 8) ~= sub(request.bytes, 5, 8) then return "key_id" end
  if sub(datagram, 17, 24) ~= request.nonce then return "nonce" end
  ffi.copy(opened, datagram, SIZE)
  ffi.copy(reply_key, request.reply_key, 16)
  if request.encrypt then apply_key_stream(opened) end
  siphash.hash128(reply_key, opened, REPLY_TAG_AT, tag)
  if not libcrypto.equal(tag, opened + REPLY_TAG_AT, TAG_SIZE) then return "tag" end
  return nil
end

local function common(flags, age_ms)
  return {
    status = STATUSES[opened[HEADER_SIZE]],
    time_ms = u32(opened, 8) * 0x100000000 + u32(opened, 12),
    stale = band(flags, STALE) ~= 0,
    age_ms = age_ms ~= NEVER and age_ms or nil, -- nil = never in step
  }
end

-- As nginx wants it: IPv6 in brackets. nil for the unspecified address.
local function address_text(bytes, at)
  if is_zero(bytes, at, at + 16) then return nil end
  if is_zero(bytes, at, at + 10) and bytes[at + 10] == 0xff and bytes[at + 11] == 0xff then
    return string.format("%d.%d.%d.%d", bytes[at + 12], bytes[at + 13], bytes[at + 14], bytes[at + 15])
  end
  local groups = {}
  for i = 0, 7 do groups[i + 1] = string.format("%x", u16(bytes, at + 2 * i)) end
  return "[" .. table.concat(groups, ":") .. "]"
end

local function lookup_answer()
  local flags = opened[25]
  local backend = u32(opened, 28)
  local answer = common(flags, u32(opened, 60))
  if answer.status == nil or backend > 0xffff or (answer.status == "FOUND" and backend == 0) then return nil end
  local port, ttl = u16(opened, 26), u32(opened, 56)
  answer.moved = band(flags, MOVED) ~= 0
  answer.placed = band(flags, PLACED) ~= 0
  answer.backend = backend ~= 0 and backend or nil
  answer.address = address_text(opened, 32)
  answer.port = port ~= 0 and port or nil
  answer.version = u64(opened, 48)
  answer.ttl_s = ttl ~= NEVER and ttl or math.huge
  return answer
end

local function fact_answer()
  local length = u16(opened, 26)
  local answer = common(opened[25], u32(opened, 60))
  if answer.status == nil or answer.status == "DENIED" or length > FACT_MAX then return nil end
  if not is_zero(opened, 28 + length, 52) then return nil end
  answer.value = answer.status == "FOUND" and ffi.string(opened + 28, length) or nil
  answer.version = u64(opened, 52)
  return answer
end

-- What `datagram` says, if it is the reply to `request`: a table of its own. Else nil and the reason: wait on.
-- Of a LOOKUP: status, backend, address, port, moved, placed, stale, version, ttl_s, age_ms, time_ms.
-- Of a FACT: status, value, version, stale, age_ms, time_ms.
function wire.open(request, datagram)
  local reason = refusal(request, datagram)
  if reason ~= nil then return nil, reason end
  local answer
  if request.kind == wire.LOOKUP then answer = lookup_answer() else answer = fact_answer() end
  if answer == nil then return nil, "content" end
  return answer
end

return wire
