-- A clock that never steps: nginx's own is the wall clock.
local ffi = require "ffi"

ffi.cdef [[
  struct session_gateway_time { long seconds; long nanoseconds; };
  int clock_gettime(int clock, void *time);
]]

local CLOCK_MONOTONIC = 1
local time = ffi.new("struct session_gateway_time")
local time_pointer = ffi.cast("void *", time)

local clock = {}

-- Milliseconds since some moment, with fractions.
function clock.monotonic_ms()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, time_pointer)
  return tonumber(time.seconds) * 1000 + tonumber(time.nanoseconds) / 1e6
end

return clock
