-- Nonces, 8 random bytes for each try (docs/protocol.md, "Header"), drawn many at a time.
local ffi = require "ffi"
local libcrypto = require "session_gateway.libcrypto"

local SIZE = 8
local DRAWN = 512

local pool = ffi.new("unsigned char[?]", SIZE * DRAWN)
local left = 0
local drawn_by

local nonces = {}

-- A nonce, as a string. A pool that was drawn before a fork would be the same in every worker.
function nonces.next()
  local pid = ngx.worker.pid()
  if left == 0 or drawn_by ~= pid then
    libcrypto.fill_random(pool, SIZE * DRAWN)
    left, drawn_by = DRAWN, pid
  end
  left = left - 1
  return ffi.string(pool + SIZE * left, SIZE)
end

return nonces
